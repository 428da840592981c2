import { childrenOf, type MacroNode, type Node } from './ast.js';
import { keysOf } from './compare.js';
import { notCondition, overBudget, type Result, type Run } from './emit-types.js';
import type { CelPosition } from './issue.js';
import { type RunState, spend, tooLong } from './run-state.js';
import { CelError, type CelMap, type CelRecord, type CelValue, isList, kindOf } from './values.js';

export interface MacroParts<Frame> {
  readonly node: MacroNode;
  readonly slot: number;
  readonly target: Run<Frame>;
  readonly filter: Run<Frame> | undefined;
  readonly body: Run<Frame>;
  readonly position: CelPosition;
}

/** What one turn costs beside the loops in it, which pay for themselves. */
function turnCost(node: MacroNode): number {
  const count = (part: Node): number =>
    part.kind === 'macro'
      ? 1 + count(part.target)
      : childrenOf(part).reduce((total, child) => total + count(child), 1);
  return 1 + count(node.body) + (node.filter === undefined ? 0 : count(node.filter));
}

/** The elements that a macro walks through: of a list, or the keys of a map. */
function elementsOf(value: Result, position: CelPosition): readonly CelValue[] | CelError {
  if (isList(value)) return value;
  if (value instanceof CelError) return value;
  if (kindOf(value) === 'map') return keysOf(value as CelMap | CelRecord);
  return new CelError(
    'NO_SUCH_OVERLOAD',
    `A list or a map was expected, not a \`${kindOf(value)}\``,
    position,
  );
}

type Turn<Frame> = (elements: readonly CelValue[], frame: Frame, state: RunState) => Result;

export function emitMacro<Frame>(parts: MacroParts<Frame>): Run<Frame> {
  const { target, position } = parts;
  const turn = turnOf(parts);
  return (frame, state) => {
    const elements = elementsOf(target(frame, state), position);
    return isList(elements) ? turn(elements, frame, state) : elements;
  };
}

function turnOf<Frame>(parts: MacroParts<Frame>): Turn<Frame> {
  switch (parts.node.macro) {
    case 'all':
      return quantify(parts, false);
    case 'exists':
      return quantify(parts, true);
    case 'exists_one':
      return existsOne(parts);
    case 'map':
      return map(parts);
    case 'filter':
      return filter(parts);
  }
}

/** `all` ends at the first false, `exists` at the first true; an error counts only if none comes. */
function quantify<Frame>({ node, slot, body, position }: MacroParts<Frame>, exists: boolean): Turn<Frame> {
  const cost = turnCost(node);
  return (elements, frame, state) => {
    let unfit: Result | undefined;
    for (const element of elements) {
      if (!spend(state, cost)) return overBudget(position);
      state.locals[slot] = element;
      const result = body(frame, state);
      if (result === true) {
        if (exists) return true;
      } else if (result === false) {
        if (!exists) return false;
      } else unfit ??= result;
    }
    return unfit === undefined ? !exists : notCondition(unfit, position);
  };
}

function existsOne<Frame>({ node, slot, body, position }: MacroParts<Frame>): Turn<Frame> {
  const cost = turnCost(node);
  return (elements, frame, state) => {
    let found = 0;
    for (const element of elements) {
      if (!spend(state, cost)) return overBudget(position);
      state.locals[slot] = element;
      const result = body(frame, state);
      if (result === true) found += 1;
      else if (result !== false) return notCondition(result, position);
    }
    return found === 1;
  };
}

function filter<Frame>({ node, slot, body, position }: MacroParts<Frame>): Turn<Frame> {
  const cost = turnCost(node);
  return (elements, frame, state) => {
    const kept: CelValue[] = [];
    for (const element of elements) {
      if (!spend(state, cost)) return overBudget(position);
      state.locals[slot] = element;
      const result = body(frame, state);
      if (result === true) kept.push(element);
      else if (result !== false) return notCondition(result, position);
    }
    return kept.length > state.limits.listLength
      ? tooLong('list', state.limits.listLength).at(position)
      : kept;
  };
}

function map<Frame>({ node, slot, body, filter: condition, position }: MacroParts<Frame>): Turn<Frame> {
  const cost = turnCost(node);
  return (elements, frame, state) => {
    const made: CelValue[] = [];
    for (const element of elements) {
      if (!spend(state, cost)) return overBudget(position);
      state.locals[slot] = element;
      const wanted = condition === undefined ? true : condition(frame, state);
      if (wanted === false) continue;
      if (wanted !== true) return notCondition(wanted, position);
      const result = body(frame, state);
      if (result instanceof CelError) return result;
      made.push(result);
    }
    return made.length > state.limits.listLength
      ? tooLong('list', state.limits.listLength).at(position)
      : made;
  };
}
