import type { Level } from '../entitlement/level.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type { AccountState } from '../model/customer.js';
import type { Period } from '../model/decision.js';
import { periodOf } from '../period/period-of.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';

/** One account as it stands now. */
export interface Balance {
  readonly used: number;
  readonly reserved: number;
  readonly period: Period | null;
  /** `null`: the feature counts per instance or user, and none was named. */
  readonly scope: string | null;
}

/** The account that counts: empty for `per: customer`, else the instance's or user's key; `null` when none was named. */
export function scopeOf(evaluation: Evaluation, feature: CompiledFeature): string | null {
  switch (feature.per) {
    case 'customer':
      return '';
    case 'instance':
      return evaluation.request.subject.instance?.key ?? null;
    case 'user':
      return evaluation.request.subject.userKey;
  }
}

function accountOf(
  evaluation: Evaluation,
  feature: CompiledFeature,
  scope: string,
): AccountState | undefined {
  for (const account of evaluation.customer?.state?.accounts ?? []) {
    if (account.feature === feature.key && account.scope === scope) {
      const product = account.product;
      if (product === undefined || product === evaluation.snapshot.productKey) return account;
    }
  }
  return undefined;
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
  const closed = period !== null && account.periodStart !== null && account.periodStart < period.start;
  return closed
    ? { used: 0, reserved: 0, period, scope }
    : { used: account.used, reserved: account.reserved, period, scope };
}

/** What `usage("key")` and `remaining("key")` see; the answer then holds to the end of the period at most. */
export function usageOf(evaluation: Evaluation, feature: CompiledFeature, level: Level): Balance {
  const balance = balanceOf(evaluation, feature, level);
  if (balance.period !== null) evaluation.touch(balance.period.end);
  return balance;
}
