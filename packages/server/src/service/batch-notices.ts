import type { EntitlementDecision } from '@pennon/engine/model/decision';
import type { CompiledFeature } from '@pennon/engine/snapshot/snapshot';
import { decideNotices, NOTHING_TOLD, tellsReset } from '@pennon/engine/usage/notices';
import type { LockedFrame } from '../store/account-transaction.js';
import type { LiveAccount } from './batch-accounts.js';
import { levelNotice, type NoticeFacts, resetNotice, type UsageNotice } from './usage-notices.js';

/* What a batch tells of its accounts. The engine decides which levels are told; this file follows the accounts from one decision to the next. */

export interface BatchNotices {
  /** After an account's period was opened. */
  periodBegan(account: LiveAccount, entitlement: EntitlementDecision): void;
  /** After what is used changed, or the limit. */
  changed(
    account: LiveAccount,
    feature: CompiledFeature | undefined,
    entitlement: EntitlementDecision,
    usedBefore: number,
  ): void;
  rows(): readonly UsageNotice[];
}

export function createBatchNotices({ now }: LockedFrame): BatchNotices {
  const rows: UsageNotice[] = [];
  return {
    periodBegan(account, entitlement) {
      const { closed, told } = account;
      if (closed === null) return;
      if (tellsReset(told)) {
        const previous = { start: closed.periodStart, end: closed.periodEnd, used: closed.used };
        rows.push(resetNotice(factsOf(account, entitlement), previous, now));
      }
      account.told = NOTHING_TOLD;
    },
    changed(account, feature, entitlement, usedBefore) {
      if (feature === undefined) return;
      const { told, limitKnown: limit, used } = account;
      const answer = decideNotices({ levels: feature.noticeLevels, told, limit, usedBefore, used, now });
      if (answer.told === told) return;
      account.told = answer.told;
      account.touched = true;
      for (const level of answer.notices) rows.push(levelNotice(level, factsOf(account, entitlement), now));
    },
    rows: () => rows,
  };
}

function factsOf(account: LiveAccount, { enforcement, limit }: EntitlementDecision): NoticeFacts {
  const { before, used, reserved, periodStart, periodEnd } = account;
  const { feature, scope } = before;
  const value = limit?.kind === 'finite' ? limit.value : null;
  return { feature, scope, used, reserved, limit: value, enforcement, periodStart, periodEnd };
}
