import type { BinaryOperator } from './ast.js';
import { compare, contains, equals, noOverload, type OrderOperator } from './compare.js';
import { type AttributePath, rawReader } from './emit-path.js';
import { overBudget, type Result, type Run } from './emit-types.js';
import type { CelPosition } from './issue.js';
import { spendScan } from './run-state.js';
import { CelError, CelUint, type CelValue } from './values.js';

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

/** Whether the raw JSON at the path is what an evaluation would compare: texts, doubles, integers held as numbers. */
function readsRaw<Frame>(
  path: AttributePath<Frame> | undefined,
  kinds: readonly string[],
): path is AttributePath<Frame> {
  return path !== undefined && kinds.includes(path.type.kind);
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
  if (!readsRaw(path, ['string', 'dyn'])) return general;
  const raw = rawReader(path);
  if (wanted) {
    return (frame, state) => {
      const value = raw(frame);
      return typeof value === 'string' ? value === constant : general(frame, state);
    };
  }
  return (frame, state) => {
    const value = raw(frame);
    return typeof value === 'string' ? value !== constant : general(frame, state);
  };
}

function boolEquality<Frame>(wanted: boolean, left: Run<Frame>, constant: boolean): Run<Frame> {
  return (frame, state) => {
    const value = left(frame, state);
    if (typeof value === 'boolean') return (value === constant) === wanted;
    return value instanceof CelError ? value : !wanted;
  };
}

type NumberOperator = '==' | '!=' | OrderOperator;

const NUMBER_TESTS: Readonly<Record<NumberOperator, (value: number, constant: number) => boolean>> = {
  '==': (value, constant) => value === constant,
  '!=': (value, constant) => value !== constant,
  '<': (value, constant) => value < constant,
  '<=': (value, constant) => value <= constant,
  '>': (value, constant) => value > constant,
  '>=': (value, constant) => value >= constant,
};

function numberComparison<Frame>(
  operator: NumberOperator,
  left: Run<Frame>,
  path: AttributePath<Frame> | undefined,
  constant: CelValue,
  number: number,
): Run<Frame> {
  const test = NUMBER_TESTS[operator];
  const general: Run<Frame> = (frame, state) => {
    const value = left(frame, state);
    if (typeof value === 'number') return test(value, number);
    if (value instanceof CelError) return value;
    if (operator === '==') return equals(value, constant, state);
    if (operator === '!=') return equals(value, constant, state) === false;
    return compare(operator, value, constant, state);
  };
  if (!readsRaw(path, ['double', 'dyn', 'int'])) return general;
  const raw = rawReader(path);
  if (path.type.kind === 'int') {
    return (frame, state) => {
      const value = raw(frame);
      return typeof value === 'number' && Number.isSafeInteger(value)
        ? test(value, number)
        : general(frame, state);
    };
  }
  return (frame, state) => {
    const value = raw(frame);
    return typeof value === 'number' ? test(value, number) : general(frame, state);
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
  if (!readsRaw(path, ['string', 'dyn'])) {
    return (frame, state) => {
      const value = left(frame, state);
      if (typeof value === 'string') return texts.has(value);
      return value instanceof CelError ? value : false;
    };
  }
  const raw = rawReader(path);
  const [first, second, ...more] = texts;
  if (first !== undefined && second !== undefined && more.length === 0) {
    return (frame, state) => {
      const value = raw(frame);
      return typeof value === 'string' ? value === first || value === second : general(frame, state);
    };
  }
  return (frame, state) => {
    const value = raw(frame);
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
  const raw = readsRaw(path, ['string', 'dyn']) ? rawReader(path) : undefined;
  switch (name) {
    case 'startsWith':
      return (frame, state) => {
        const value = raw === undefined ? left(frame, state) : raw(frame);
        return typeof value === 'string' ? value.startsWith(constant) : unfit(left(frame, state));
      };
    case 'endsWith':
      return (frame, state) => {
        const value = raw === undefined ? left(frame, state) : raw(frame);
        return typeof value === 'string' ? value.endsWith(constant) : unfit(left(frame, state));
      };
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
