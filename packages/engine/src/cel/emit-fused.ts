import type { BinaryOperator } from './ast.js';
import { compare, contains, equals, noOverload, type OrderOperator } from './compare.js';
import { type AttributePath, type RawReader, rawReader } from './emit-path.js';
import { overBudget, type Result, type Run } from './emit-types.js';
import type { CelPosition } from './issue.js';
import { type MemberReader, memberReader } from './member-reader.js';
import { spendScan } from './run-state.js';
import { CelError, CelUint, type CelValue, isFreeName, memberOf } from './values.js';

/*
 * The shapes that nearly every rule is made of, each with a path that touches nothing but the attribute and a constant.
 * INVARIANT: every closure here answers what the general one would; whatever is not the expected kind is left to that.
 */

/** An int that a double holds exactly compares like that double. */
function exactNumber(value: CelValue): number | undefined {
  if (typeof value === 'number') return value;
  const int = value instanceof CelUint ? value.value : value;
  return typeof int === 'bigint' && Number.isSafeInteger(Number(int)) ? Number(int) : undefined;
}

/** The last name of a path, whose raw JSON is what an evaluation would compare. */
interface Attribute<Frame> {
  readonly owner: RawReader<Frame>;
  readonly member: MemberReader;
}

function attributeOf<Frame>(
  path: AttributePath<Frame> | undefined,
  kinds: readonly string[],
): Attribute<Frame> | undefined {
  const name = path?.keys.at(-1);
  if (path === undefined || name === undefined || !isFreeName(name)) return undefined;
  if (!kinds.includes(path.type.kind)) return undefined;
  return { owner: rawReader({ ...path, keys: path.keys.slice(0, -1) }), member: memberReader(name) };
}

export function emitConstantComparison<Frame>(
  operator: BinaryOperator,
  left: Run<Frame>,
  path: AttributePath<Frame> | undefined,
  constant: CelValue,
): Run<Frame> | undefined {
  if (operator === '==' || operator === '!=') {
    if (typeof constant === 'string') return textEquality(operator === '==', left, path, constant);
    if (typeof constant === 'boolean') return boolEquality(operator === '==', left, constant);
  }
  const number = exactNumber(constant);
  if (number === undefined) return undefined;
  switch (operator) {
    case '==':
    case '!=':
    case '<':
    case '<=':
    case '>':
    case '>=':
      return numberComparison(operator, left, path, constant, number);
    default:
      return undefined;
  }
}

function textEquality<Frame>(
  wanted: boolean,
  left: Run<Frame>,
  path: AttributePath<Frame> | undefined,
  constant: string,
): Run<Frame> {
  const general: Run<Frame> = (frame, state) => {
    const value = left(frame, state);
    if (typeof value === 'string') return (value === constant) === wanted;
    return value instanceof CelError ? value : !wanted;
  };
  const attribute = attributeOf(path, ['string', 'dyn']);
  if (attribute === undefined) return general;
  const { owner, member } = attribute;
  if (wanted) {
    return (frame, state) => {
      const value = memberOf(owner(frame), member);
      return typeof value === 'string' ? value === constant : general(frame, state);
    };
  }
  return (frame, state) => {
    const value = memberOf(owner(frame), member);
    return typeof value === 'string' ? value !== constant : general(frame, state);
  };
}

function boolEquality<Frame>(wanted: boolean, left: Run<Frame>, constant: boolean): Run<Frame> {
  const forTrue = constant === wanted;
  return (frame, state) => {
    const value = left(frame, state);
    if (value === true) return forTrue;
    if (value === false) return !forTrue;
    return value instanceof CelError ? value : !wanted;
  };
}

type NumberOperator = '==' | '!=' | OrderOperator;

function numberTest(operator: NumberOperator, constant: number): (value: number) => boolean {
  switch (operator) {
    case '==':
      return (value) => value === constant;
    case '!=':
      return (value) => value !== constant;
    case '<':
      return (value) => value < constant;
    case '<=':
      return (value) => value <= constant;
    case '>':
      return (value) => value > constant;
    case '>=':
      return (value) => value >= constant;
  }
}

function numberComparison<Frame>(
  operator: NumberOperator,
  left: Run<Frame>,
  path: AttributePath<Frame> | undefined,
  constant: CelValue,
  number: number,
): Run<Frame> {
  const test = numberTest(operator, number);
  const general: Run<Frame> = (frame, state) => {
    const value = left(frame, state);
    if (typeof value === 'number') return test(value);
    if (value instanceof CelError) return value;
    if (operator === '==') return equals(value, constant, state);
    if (operator === '!=') return equals(value, constant, state) === false;
    return compare(operator, value, constant, state);
  };
  const attribute = attributeOf(path, ['double', 'dyn', 'int']);
  if (attribute === undefined) return general;
  const { owner, member } = attribute;
  const integer = path?.type.kind === 'int';
  // The one that most rules use stands out of `test`: one call less.
  if (operator === '>=') {
    return (frame, state) => {
      const value = memberOf(owner(frame), member);
      const fits = typeof value === 'number' && (!integer || Number.isSafeInteger(value));
      return fits ? value >= number : general(frame, state);
    };
  }
  return (frame, state) => {
    const value = memberOf(owner(frame), member);
    const fits = typeof value === 'number' && (!integer || Number.isSafeInteger(value));
    return fits ? test(value) : general(frame, state);
  };
}

/** `x in ["a", "b"]`: membership by lookup where all elements are texts, or all are numbers. */
export function emitConstantMembership<Frame>(
  left: Run<Frame>,
  path: AttributePath<Frame> | undefined,
  haystack: CelValue,
): Run<Frame> | undefined {
  if (!Array.isArray(haystack)) return undefined;
  const list: readonly CelValue[] = haystack;
  const general: Run<Frame> = (frame, state) => {
    const value = left(frame, state);
    return value instanceof CelError ? value : contains(value, list, state);
  };
  if (list.every((element) => typeof element === 'string'))
    return textMembership(general, path, new Set(list), left);
  const numbers = list.map(exactNumber);
  if (!numbers.every((number) => number !== undefined)) return undefined;
  const set = new Set(numbers);
  return (frame, state) => {
    const value = left(frame, state);
    if (typeof value === 'number') return set.has(value);
    return value instanceof CelError ? value : contains(value, list, state);
  };
}

function textMembership<Frame>(
  general: Run<Frame>,
  path: AttributePath<Frame> | undefined,
  texts: ReadonlySet<string>,
  left: Run<Frame>,
): Run<Frame> {
  const attribute = attributeOf(path, ['string', 'dyn']);
  if (attribute === undefined) {
    return (frame, state) => {
      const value = left(frame, state);
      if (typeof value === 'string') return texts.has(value);
      return value instanceof CelError ? value : false;
    };
  }
  const { owner, member } = attribute;
  const [first, second, ...more] = texts;
  if (first !== undefined && second !== undefined && more.length === 0) {
    return (frame, state) => {
      const value = memberOf(owner(frame), member);
      return typeof value === 'string' ? value === first || value === second : general(frame, state);
    };
  }
  return (frame, state) => {
    const value = memberOf(owner(frame), member);
    return typeof value === 'string' ? texts.has(value) : general(frame, state);
  };
}

/** `text.startsWith("constant")` and its kin; `undefined` for other functions. */
export function emitConstantTextTest<Frame>(
  name: string,
  left: Run<Frame>,
  path: AttributePath<Frame> | undefined,
  constant: string,
  position: CelPosition,
): Run<Frame> | undefined {
  const unfit = (value: Result): CelError => {
    return value instanceof CelError ? value : noOverload(name, value, constant).at(position);
  };
  const attribute = attributeOf(path, ['string', 'dyn']);
  switch (name) {
    case 'startsWith':
    case 'endsWith': {
      const test = name === 'startsWith' ? startTest(left, constant, unfit) : endTest(left, constant, unfit);
      if (attribute === undefined) return test;
      return name === 'startsWith'
        ? attributeStarts(attribute, constant, test)
        : attributeEnds(attribute, constant, test);
    }
    case 'contains':
      return (frame, state) => {
        const value = left(frame, state);
        if (typeof value !== 'string') return unfit(value);
        return spendScan(state, value.length) ? value.includes(constant) : overBudget(position);
      };
    default:
      return undefined;
  }
}

type Unfit = (value: Result) => CelError;

function startTest<Frame>(left: Run<Frame>, constant: string, unfit: Unfit): Run<Frame> {
  return (frame, state) => {
    const value = left(frame, state);
    return typeof value === 'string' ? value.startsWith(constant) : unfit(value);
  };
}

function endTest<Frame>(left: Run<Frame>, constant: string, unfit: Unfit): Run<Frame> {
  return (frame, state) => {
    const value = left(frame, state);
    return typeof value === 'string' ? value.endsWith(constant) : unfit(value);
  };
}

function attributeStarts<Frame>(
  { owner, member }: Attribute<Frame>,
  constant: string,
  general: Run<Frame>,
): Run<Frame> {
  return (frame, state) => {
    const value = memberOf(owner(frame), member);
    return typeof value === 'string' ? value.startsWith(constant) : general(frame, state);
  };
}

function attributeEnds<Frame>(
  { owner, member }: Attribute<Frame>,
  constant: string,
  general: Run<Frame>,
): Run<Frame> {
  return (frame, state) => {
    const value = memberOf(owner(frame), member);
    return typeof value === 'string' ? value.endsWith(constant) : general(frame, state);
  };
}
