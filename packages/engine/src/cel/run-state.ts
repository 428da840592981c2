import type { CelLimits } from './limits.js';
import { CelError, type CelValue } from './values.js';

/** What one evaluation has left to spend, and the variables of its macros. */
export interface RunState {
  steps: number;
  readonly locals: CelValue[];
  readonly limits: CelLimits;
}

export const OVER_BUDGET = new CelError(
  'COST_LIMIT',
  'The evaluation needs more steps than are allowed; shorten the lists and texts that it walks through',
);

/** False when the budget is used up; the caller then answers `OVER_BUDGET`. */
export function spend(state: RunState, steps: number): boolean {
  state.steps -= steps;
  return state.steps >= 0;
}

/** Long texts cost by their length; short ones are covered by the bound on nodes. */
const FREE_LENGTH = 256;

/** For what looks at each character once: about sixteen in a unit of time. */
export function spendScan(state: RunState, length: number): boolean {
  return length <= FREE_LENGTH || spend(state, length >> 4);
}

/** For what takes a text to pieces or makes a new one. */
export function spendRebuild(state: RunState, length: number): boolean {
  return length <= FREE_LENGTH || spend(state, length >> 2);
}

export function tooLong(what: string, limit: number): CelError {
  return new CelError('SIZE_LIMIT', `The ${what} would be longer than ${limit}`);
}
