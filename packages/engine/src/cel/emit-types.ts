import type { CelPosition } from './issue.js';
import { OVER_BUDGET, type RunState } from './run-state.js';
import { CelError, type CelValue, kindOf } from './values.js';

export type Result = CelValue | CelError;

/** One part of an expression as a closure. INVARIANT: it answers errors as values and reads nothing but its arguments. */
export type Run<Frame> = (frame: Frame, state: RunState) => Result;

/** A closure, and its value where that is the same in every evaluation. */
export interface Emitted<Frame> {
  readonly run: Run<Frame>;
  readonly constant?: CelValue;
}

export function constantly<Frame>(value: CelValue): Emitted<Frame> {
  return { run: () => value, constant: value };
}

/** Gives an error its place. */
export function located(result: Result, position: CelPosition): Result {
  return result instanceof CelError ? result.at(position) : result;
}

/** What stands where a condition should: an error as it is, anything else as an error. */
export function notCondition(value: Result, position: CelPosition): CelError {
  if (value instanceof CelError) return value;
  return new CelError('NO_SUCH_OVERLOAD', `A condition was expected, not a \`${kindOf(value)}\``, position);
}

export function overBudget(position: CelPosition): CelError {
  return OVER_BUDGET.at(position);
}
