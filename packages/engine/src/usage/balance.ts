import type { Level } from '../entitlement/level.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type { Period } from '../model/decision.js';
import { periodOf } from '../period/period-of.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';
import { accountOf, isClosed, scopeOf } from './account-of.js';

/** One account as it stands now. */
export interface Balance {
  readonly used: number;
  readonly reserved: number;
  readonly period: Period | null;
  /** `null`: the feature counts per instance or user, and none was named. */
  readonly scope: string | null;
}

/**
 * The last known balance. A period later than the account's starts from nothing; an earlier one is ignored, so that a clock that
 * lags, or an anchor that moved back, never opens a period a second time.
 */
export function balanceOf(evaluation: Evaluation, feature: CompiledFeature, level: Level): Balance {
  const scope = scopeOf(evaluation, feature);
  const period = periodOf(evaluation, feature, level);
  const account = scope === null ? undefined : accountOf(evaluation, feature, scope);
  if (account === undefined) return { used: 0, reserved: 0, period, scope };
  return period !== null && isClosed(account, period)
    ? { used: 0, reserved: 0, period, scope }
    : { used: account.used, reserved: account.reserved, period, scope };
}

/** What `usage("key")` and `remaining("key")` see; the answer then holds to the end of the period at most. */
export function usageOf(evaluation: Evaluation, feature: CompiledFeature, level: Level): Balance {
  const balance = balanceOf(evaluation, feature, level);
  if (balance.period !== null) evaluation.touch(balance.period.end);
  return balance;
}
