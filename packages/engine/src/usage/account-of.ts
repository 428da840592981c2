import type { Evaluation } from '../evaluation/evaluation.js';
import type { AccountState } from '../model/customer.js';
import type { Period } from '../model/decision.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';

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

export function accountOf(
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

/** Whether the account still stands in a period before this one. A period earlier than the account's is ignored. */
export function isClosed(account: AccountState, period: Period): boolean {
  return account.periodStart !== null && account.periodStart < period.start;
}
