import { arithmetic, elementAt, negate } from './arithmetic.js';
import type { BinaryNode, CallNode, IdentifierNode, IndexNode, MapNode, Node, SelectNode } from './ast.js';
import type { CheckedExpression } from './checked.js';
import { compare, contains, equals, noOverload, valueUnder } from './compare.js';
import { emitConstantComparison, emitConstantMembership, emitConstantTextTest } from './emit-fused.js';
import { emitLogic } from './emit-logic.js';
import { emitMacro } from './emit-macro.js';
import { type AttributePath, emitHasPath, emitPath } from './emit-path.js';
import {
  constantly,
  type Emitted,
  located,
  notCondition,
  overBudget,
  type Result,
  type Run,
} from './emit-types.js';
import { callOverloads } from './functions.js';
import { type CelPosition, positionAt } from './issue.js';
import type { CelLimits } from './limits.js';
import { type RunState, spendScan } from './run-state.js';
import { DYN } from './types.js';
import {
  CelError,
  CelMap,
  type CelRecord,
  type CelValue,
  isList,
  kindOf,
  mapKey,
  selectKey,
} from './values.js';

const CHEAP_KINDS: ReadonlySet<string> = new Set([
  'bool',
  'int',
  'uint',
  'double',
  'timestamp',
  'duration',
  'null',
]);

/** The closures of a checked expression. */
export class Emitter<Frame> {
  /** Set when anything emitted loops, grows or scans, and so spends steps. */
  spends = false;
  readonly #checked: CheckedExpression<Frame>;
  readonly #source: string;
  readonly #foldState: RunState;

  constructor(checked: CheckedExpression<Frame>, source: string, limits: CelLimits) {
    this.#checked = checked;
    this.#source = source;
    this.#foldState = { steps: limits.steps, locals: [], limits };
  }

  position(node: Node): CelPosition {
    return positionAt(this.#source, node.start, node.end);
  }

  emit(node: Node): Emitted<Frame> {
    switch (node.kind) {
      case 'literal':
        return constantly(node.value);
      case 'identifier':
        return this.#name(node);
      case 'select':
        return this.#select(node);
      case 'has':
        return { run: this.#has(node.select) };
      case 'index':
        return this.#index(node);
      case 'call':
        return this.#call(node);
      case 'unary':
        return this.#unary(node.operator, this.emit(node.operand), this.position(node));
      case 'binary':
        return this.#binary(node);
      case 'logic': {
        const operands = node.operands.map((operand) => this.emit(operand));
        return { run: emitLogic(node.operator, operands, this.position(node)) };
      }
      case 'conditional':
        return { run: this.#conditional(node.condition, node.yes, node.no) };
      case 'list':
        return this.#list(node.elements);
      case 'map':
        return this.#map(node);
      case 'macro':
        this.spends = true;
        return {
          run: emitMacro({
            node,
            slot: this.#checked.slots.get(node) ?? 0,
            target: this.emit(node.target).run,
            filter: node.filter === undefined ? undefined : this.emit(node.filter).run,
            body: this.emit(node.body).run,
            position: this.position(node),
          }),
        };
      case 'error':
        return this.#failing(
          new CelError('NO_SUCH_OVERLOAD', 'The expression is not valid here', this.position(node)),
        );
    }
  }

  #failing(error: CelError): Emitted<Frame> {
    return { run: () => error };
  }

  /** Runs once what is the same in every evaluation. An error is kept for when it is met. */
  #folded(run: Run<Frame>, parts: readonly Emitted<Frame>[]): Emitted<Frame> {
    if (!parts.every((part) => part.constant !== undefined)) {
      this.spends = true;
      return { run };
    }
    // INVARIANT: constants read no frame.
    const result = run(undefined as Frame, this.#foldState);
    return result instanceof CelError ? this.#failing(result) : constantly(result);
  }

  /** The static path that ends at this node, if it begins at a variable. */
  #path(node: Node): AttributePath<Frame> | undefined {
    const keys: string[] = [];
    let part = node;
    for (;;) {
      const resolution = this.#checked.names.get(part as IdentifierNode);
      if (resolution?.kind === 'variable') {
        const type = this.#checked.types.get(node) ?? DYN;
        return {
          name: resolution.name,
          variable: resolution.variable,
          keys,
          type,
          position: this.position(node),
        };
      }
      if (resolution !== undefined) return undefined;
      if (part.kind === 'select') {
        keys.unshift(part.field);
        part = part.operand;
      } else if (
        part.kind === 'index' &&
        part.index.kind === 'literal' &&
        typeof part.index.value === 'string'
      ) {
        keys.unshift(part.index.value);
        part = part.operand;
      } else return undefined;
    }
  }

  #name(node: IdentifierNode | SelectNode): Emitted<Frame> {
    const resolution = this.#checked.names.get(node);
    switch (resolution?.kind) {
      case 'variable': {
        const path = this.#path(node);
        return path === undefined ? constantly(null) : { run: this.#attribute(path) };
      }
      case 'local': {
        const { slot } = resolution;
        return { run: (_frame, state) => state.locals[slot] ?? null };
      }
      case 'type':
        return constantly(resolution.value);
      case undefined: {
        const name = node.kind === 'identifier' ? node.name : node.field;
        return this.#failing(
          new CelError('NO_SUCH_VARIABLE', `There is no variable \`${name}\``, this.position(node)),
        );
      }
    }
  }

  #attribute(path: AttributePath<Frame>): Run<Frame> {
    // Lists and maps are converted at a cost; whatever is read besides costs nothing.
    if (path.type.kind === 'list' || path.type.kind === 'map' || path.type.kind === 'object')
      this.spends = true;
    return emitPath(path);
  }

  #select(node: SelectNode): Emitted<Frame> {
    if (this.#checked.names.has(node)) return this.#name(node);
    const path = this.#path(node);
    if (path !== undefined) return { run: this.#attribute(path) };
    const operand = this.emit(node.operand).run;
    return { run: selecting(operand, node.field, this.position(node)) };
  }

  #has(select: SelectNode): Run<Frame> {
    const path = this.#checked.names.has(select) ? undefined : this.#path(select);
    if (path !== undefined) return emitHasPath(path);
    const operand = this.emit(select.operand).run;
    const position = this.position(select);
    return (frame, state) => {
      const value = operand(frame, state);
      if (value instanceof CelError) return value;
      if (kindOf(value) !== 'map') return noOverload('has', value).at(position);
      return selectKey(value, select.field) !== undefined;
    };
  }

  #index(node: IndexNode): Emitted<Frame> {
    const path = this.#path(node);
    const type = this.#checked.types.get(node.operand);
    // An index into a list looks like a name only when it is wrong; the general form says so.
    if (path !== undefined && type?.kind !== 'list') return { run: this.#attribute(path) };
    const operand = this.emit(node.operand);
    const index = this.emit(node.index);
    return this.#folded(indexing(operand.run, index.run, this.position(node)), [operand, index]);
  }

  #unary(operator: '!' | '-', operand: Emitted<Frame>, position: CelPosition): Emitted<Frame> {
    const { run } = operand;
    if (operator === '-') {
      const negated: Run<Frame> = (frame, state) => {
        const value = run(frame, state);
        return value instanceof CelError ? value : located(negate(value), position);
      };
      return operand.constant === undefined ? { run: negated } : this.#folded(negated, [operand]);
    }
    return {
      run: (frame, state) => {
        const value = run(frame, state);
        return typeof value === 'boolean' ? !value : notCondition(value, position);
      },
    };
  }

  #conditional(conditionNode: Node, yesNode: Node, noNode: Node): Run<Frame> {
    const condition = this.emit(conditionNode).run;
    const yes = this.emit(yesNode).run;
    const no = this.emit(noNode).run;
    const position = this.position(conditionNode);
    return (frame, state) => {
      const value = condition(frame, state);
      if (value === true) return yes(frame, state);
      return value === false ? no(frame, state) : notCondition(value, position);
    };
  }

  #binary(node: BinaryNode): Emitted<Frame> {
    const left = this.emit(node.left);
    const right = this.emit(node.right);
    const fused =
      left.constant === undefined && right.constant !== undefined
        ? this.#fused(node, left, right.constant)
        : undefined;
    if (fused !== undefined) return { run: fused };
    const run = binary(node.operator, left.run, right.run, this.position(node));
    return this.#isCheap(node.left) && this.#isCheap(node.right) && left.constant === undefined
      ? { run }
      : this.#folded(run, [left, right]);
  }

  #fused(node: BinaryNode, left: Emitted<Frame>, constant: CelValue): Run<Frame> | undefined {
    const path = this.#path(node.left);
    if (node.operator === 'in') return emitConstantMembership(left.run, path, constant);
    return emitConstantComparison(node.operator, left.run, path, constant);
  }

  /** Values of this type are worked on in one step, however large. */
  #isCheap(node: Node): boolean {
    return CHEAP_KINDS.has(this.#checked.types.get(node)?.kind ?? 'dyn');
  }

  #list(nodes: readonly Node[]): Emitted<Frame> {
    const parts = nodes.map((node) => this.emit(node));
    const runs = parts.map((part) => part.run);
    return this.#folded((frame, state) => {
      const list: CelValue[] = [];
      for (const run of runs) {
        const value = run(frame, state);
        if (value instanceof CelError) return value;
        list.push(value);
      }
      return list;
    }, parts);
  }

  #map(node: MapNode): Emitted<Frame> {
    const parts = node.entries.map(({ key, value }) => {
      return { key: this.emit(key), value: this.emit(value), position: this.position(key) };
    });
    const run: Run<Frame> = (frame, state) => {
      const entries = new Map<string, readonly [CelValue, CelValue]>();
      for (const part of parts) {
        const key = part.key.run(frame, state);
        if (key instanceof CelError) return key;
        if (typeof key === 'string' && !spendScan(state, key.length)) return overBudget(part.position);
        const value = part.value.run(frame, state);
        if (value instanceof CelError) return value;
        const name = typeof key === 'number' ? undefined : mapKey(key);
        if (name === undefined) return noOverload('{}', key).at(part.position);
        if (entries.has(name)) return new CelError('INVALID_ARGUMENT', 'The key stands twice', part.position);
        entries.set(name, [key, value]);
      }
      return new CelMap(entries);
    };
    return this.#folded(
      run,
      parts.flatMap((part) => [part.key, part.value]),
    );
  }

  #call(node: CallNode): Emitted<Frame> {
    const position = this.position(node);
    const call = this.#checked.calls.get(node);
    if (call === undefined) {
      const message = `There is no function \`${node.name}\` for these arguments`;
      return this.#failing(new CelError('NO_SUCH_FUNCTION', message, position));
    }
    if (call.kind === 'matches') {
      const subject = this.emit(call.subject);
      return this.#folded(matching(subject.run, call.pattern.matches, position), [subject]);
    }
    if (call.kind === 'host') {
      const args = node.args.map((arg) => this.emit(arg));
      return {
        run: calling(
          args.map((arg) => arg.run),
          (values, frame) => call.host.call(frame, values),
          position,
        ),
      };
    }
    const args = call.args.map((arg) => this.emit(arg));
    const text = args.length === 2 ? args[1]?.constant : undefined;
    const subject = call.args[0];
    if (
      typeof text === 'string' &&
      subject !== undefined &&
      args[0] !== undefined &&
      args[0].constant === undefined
    ) {
      const fused = emitConstantTextTest(node.name, args[0].run, this.#path(subject), text, position);
      if (fused !== undefined) {
        this.spends ||= node.name === 'contains';
        return { run: fused };
      }
    }
    const { overloads } = call;
    const run = calling(
      args.map((arg) => arg.run),
      (values, _frame: Frame, state) => {
        return callOverloads(node.name, overloads, values, state);
      },
      position,
    );
    return this.#folded(run, args);
  }
}

function selecting<Frame>(operand: Run<Frame>, field: string, position: CelPosition): Run<Frame> {
  const missing = new CelError('NO_SUCH_KEY', `There is no \`${field}\` here`, position);
  return (frame, state) => {
    const value = operand(frame, state);
    if (value instanceof CelError) return value;
    const selected = selectKey(value, field);
    if (selected !== undefined) return kindOf(selected) === 'unknown' ? missing : (selected as CelValue);
    return kindOf(value) === 'map' ? missing : noOverload(`.${field}`, value).at(position);
  };
}

function indexing<Frame>(operand: Run<Frame>, index: Run<Frame>, position: CelPosition): Run<Frame> {
  return (frame, state) => {
    const container = operand(frame, state);
    if (container instanceof CelError) return container;
    const key = index(frame, state);
    if (key instanceof CelError) return key;
    if (isList(container)) return located(elementAt(container, key), position);
    if (kindOf(container) !== 'map') return noOverload('[]', container, key).at(position);
    if (typeof key === 'string' && !spendScan(state, key.length)) return overBudget(position);
    const value = valueUnder(container as CelMap | CelRecord, key);
    return value ?? missingKey(value, key, position);
  };
}

function missingKey(value: null | undefined, key: CelValue, position: CelPosition): Result {
  if (value === null) return null;
  const text = typeof key === 'string' ? `\`${key.slice(0, 64)}\`` : 'that';
  return new CelError('NO_SUCH_KEY', `The map has no key ${text}`, position);
}

function binary<Frame>(
  operator: BinaryNode['operator'],
  left: Run<Frame>,
  right: Run<Frame>,
  position: CelPosition,
): Run<Frame> {
  const apply = binaryFunction(operator);
  if (operator === '==') return equality(left, right, position);
  return (frame, state) => {
    const first = left(frame, state);
    if (first instanceof CelError) return first;
    const second = right(frame, state);
    if (second instanceof CelError) return second;
    return located(apply(first, second, state), position);
  };
}

/** Most of what is compared are texts. */
function equality<Frame>(left: Run<Frame>, right: Run<Frame>, position: CelPosition): Run<Frame> {
  return (frame, state) => {
    const first = left(frame, state);
    if (first instanceof CelError) return first;
    const second = right(frame, state);
    if (typeof first === 'string' && typeof second === 'string') return first === second;
    if (second instanceof CelError) return second;
    return located(equals(first, second, state), position);
  };
}

function binaryFunction(
  operator: BinaryNode['operator'],
): (left: CelValue, right: CelValue, state: RunState) => Result {
  switch (operator) {
    case '==':
      return (left, right, state) => equals(left, right, state);
    case '!=':
      return (left, right, state) => {
        const same = equals(left, right, state);
        return typeof same === 'boolean' ? !same : same;
      };
    case 'in':
      return contains;
    case '<':
    case '<=':
    case '>':
    case '>=':
      return (left, right, state) => compare(operator, left, right, state);
    default:
      return (left, right, state) => arithmetic(operator, left, right, state);
  }
}

function matching<Frame>(
  subject: Run<Frame>,
  matches: (text: string, state: RunState) => Result,
  position: CelPosition,
): Run<Frame> {
  return (frame, state) => {
    const text = subject(frame, state);
    if (typeof text === 'string') return located(matches(text, state), position);
    return text instanceof CelError ? text : noOverload('matches', text).at(position);
  };
}

function calling<Frame>(
  args: readonly Run<Frame>[],
  apply: (values: readonly CelValue[], frame: Frame, state: RunState) => Result,
  position: CelPosition,
): Run<Frame> {
  return (frame, state) => {
    const values: CelValue[] = [];
    for (const arg of args) {
      const value = arg(frame, state);
      if (value instanceof CelError) return value;
      values.push(value);
    }
    return located(apply(values, frame, state), position);
  };
}
