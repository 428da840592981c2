import type { Level } from '../entitlement/level.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type { AccountState, Instant } from '../model/customer.js';
import type { Period } from '../model/decision.js';
import { periodOf } from '../period/period-of.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';
import { accountOf, isClosed, scopeOf } from './account-of.js';

/** One account as it stands now. */
export interface Balance {
  readonly used: number;
  readonly reserved: number;
  readonly period: Period | null;
  /** When the next hold in `reserved` ends by the clock; `null`: none that is known. */
  readonly heldUntil: Instant | null;
  /** `null`: the feature counts per instance or user, and none was named. */
  readonly scope: string | null;
}

/** INVARIANT: a hold that has ended counts for nothing, whether anybody has taken it off the account yet or not. */
function heldAt(
  { reserved, holds = [] }: AccountState,
  now: Instant,
): { readonly reserved: number; readonly heldUntil: Instant | null } {
  let left = reserved;
  for (const { endsAt, amount } of holds) {
    if (endsAt > now) return { reserved: Math.max(0, left), heldUntil: endsAt };
    left -= amount;
  }
  return { reserved: Math.max(0, left), heldUntil: null };
}

/**
 * The last known balance. A period later than the account's starts from nothing; an earlier one is ignored, so that a clock that
 * lags, or an anchor that moved back, never opens a period a second time. What is held belongs to the account and not to a period: it
 * counts in every one until it is final.
 */
export function balanceOf(evaluation: Evaluation, feature: CompiledFeature, level: Level): Balance {
  const scope = scopeOf(evaluation, feature);
  const period = periodOf(evaluation, feature, level);
  const account = scope === null ? undefined : accountOf(evaluation, feature, scope);
  if (account === undefined) return { used: 0, reserved: 0, period, heldUntil: null, scope };
  const used = period !== null && isClosed(account, period) ? 0 : account.used;
  return { used, ...heldAt(account, evaluation.nowMilliseconds), period, scope };
}

/** What `usage("key")` and `remaining("key")` see; the answer then holds to the end of the period at most. */
export function usageOf(evaluation: Evaluation, feature: CompiledFeature, level: Level): Balance {
  const balance = balanceOf(evaluation, feature, level);
  if (balance.period !== null) evaluation.touch(balance.period.end);
  evaluation.touch(balance.heldUntil);
  return balance;
}
