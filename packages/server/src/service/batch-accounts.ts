import type { AccountState, CreditLot, Instant } from '@pennon/engine/model/customer';
import type { ConsumptionDecision, EntitlementDecision } from '@pennon/engine/model/decision';
import type { Told } from '@pennon/engine/usage/notices';
import { percentOf } from '@pennon/engine/usage/percent';
import type {
  AccountKey,
  AccountWrite,
  ConsumptionRow,
  LockedAccount,
  LockedFrame,
} from '../store/account-transaction.js';
import { accountText, type LotsWrite, NO_LOTS_WRITTEN } from '../store/lot-statements.js';
import { type EndedHolds, heldAccountName } from '../store/reservation-statements.js';
import { LiveCredits } from './batch-credits.js';
import { newId } from './new-id.js';

/* The locked accounts of one batch, as they stand between two of its decisions. */

/** An account between two decisions. */
export interface LiveAccount {
  readonly before: LockedAccount;
  used: number;
  reserved: number;
  nextHoldEnd: Instant | null;
  periodStart: Instant | null;
  periodEnd: Instant | null;
  closed: LockedAccount | null;
  touched: boolean;
  /** In force at the last decision; `null`: none. */
  limitKnown: number | null;
  told: Told;
  readonly credits: LiveCredits;
}

/** @param lots of the accounts that have some, by `accountText`. */
export function liveAccounts(
  accounts: readonly LockedAccount[],
  lots: ReadonlyMap<string, readonly CreditLot[]>,
): Map<string, LiveAccount> {
  return new Map(
    accounts.map((account) => {
      const { used, reserved, nextHoldEnd, periodStart, periodEnd, limitKnown, told } = account;
      const live = { used, reserved, nextHoldEnd, periodStart, periodEnd, limitKnown, told };
      const credits = new LiveCredits(account, lots.get(accountText(account)) ?? null);
      return [nameOf(account), { before: account, ...live, closed: null, touched: false, credits }];
    }),
  );
}

/** Finds them by feature and scope. */
export function createAccountFinder(
  accounts: ReadonlyMap<string, LiveAccount>,
): (feature: string, scope: string) => LiveAccount | undefined {
  // Most of a batch is for one account: only where another begins is a name made.
  let last: LiveAccount | undefined;
  return (feature, scope) => {
    if (last?.before.feature !== feature || last.before.scope !== scope) {
      last = accounts.get(nameOf({ feature, scope }));
    }
    return last;
  };
}

/** When the next hold ends is known, and not how much it holds: the answer may change then. */
export function accountState({
  before,
  used,
  reserved,
  periodStart,
  periodEnd,
  nextHoldEnd,
  credits,
}: LiveAccount): AccountState {
  const { feature, scope } = before;
  const holds = nextHoldEnd === null ? [] : [{ endsAt: nextHoldEnd, amount: 0 }];
  const { covered, lots } = credits;
  return { feature, scope, periodStart, periodEnd, used, reserved, holds, covered, lots };
}

/** Answers whether the limit that the decision was made with is more than what is left of it. */
export function takeOver(account: LiveAccount, decision: ConsumptionDecision, now: Instant): boolean {
  const { usedAfter, reservedAfter, entitlement } = decision;
  const isLess = account.credits.takeOver(entitlement, account.used, usedAfter, now);
  if (account.used !== usedAfter || account.reserved !== reservedAfter) {
    account.used = usedAfter;
    account.reserved = reservedAfter;
    account.touched = true;
  }
  return isLess;
}

/** Follows the limit that is in force now: who is near it is read from the account. Answers whether it changed. */
export function takeOverLimit(account: LiveAccount, { limit }: EntitlementDecision): boolean {
  const value = limit?.kind === 'finite' ? limit.value : null;
  if (account.limitKnown === value) return false;
  account.limitKnown = value;
  account.touched = true;
  return true;
}

/** Whether the database's time is in a later period than the account's; an earlier one is ignored. */
export function opensPeriod(account: LiveAccount, { period }: EntitlementDecision): boolean {
  return period !== null && (account.periodStart === null || period.start > account.periodStart);
}

/**
 * Opens the period that the database's time is in. What is held stays held.
 *
 * @param rolledOver what earlier periods leave it
 */
export function openPeriod(
  account: LiveAccount,
  { period }: EntitlementDecision,
  rolledOver: readonly CreditLot[],
): void {
  if (period === null) return;
  if (account.periodStart !== null) {
    const { before } = account;
    // An anchor that was moved, or a plan that changed, ends a period before its time.
    const periodEnd = Math.min(before.periodEnd ?? period.start, period.start);
    account.closed ??= { ...before, periodEnd };
    account.used = 0;
  }
  account.credits.open(rolledOver);
  account.periodStart = period.start;
  account.periodEnd = period.end;
  account.touched = true;
}

/**
 * A period that lasts longer than it was opened for (an anchor that was moved, a planned change that was taken back), or that nothing ends
 * any more: it has not ended, is not looked for again before it does, and is closed at the end that it has.
 */
export function takeOverPeriodEnd(account: LiveAccount, { period }: EntitlementDecision): void {
  const end = period?.end ?? null;
  if (account.periodStart === null || account.periodEnd === end) return;
  account.periodEnd = end;
  account.touched = true;
}

/** INVARIANT: what has ended by the database's clock is free for whoever is decided next. One row tells of each. */
export function takeOffEnded(
  accounts: ReadonlyMap<string, LiveAccount>,
  { ended, nextEnds }: EndedHolds,
  { now, revision }: LockedFrame,
): ConsumptionRow[] {
  const rows: ConsumptionRow[] = [];
  for (const account of accounts.values()) {
    if (account.nextHoldEnd === null || account.nextHoldEnd > now) continue;
    // Also where the hold that ended then was settled before: else it would be looked for in every transaction from then on.
    account.nextHoldEnd = nextEnds.get(heldAccountName(account.before)) ?? null;
    account.touched = true;
  }
  for (const { id, feature, scope, amount, attributes } of ended) {
    const account = accounts.get(nameOf({ feature, scope }));
    if (account === undefined) {
      continue;
    }
    const given = Math.min(amount, account.reserved);
    account.reserved -= given;
    account.touched = true;
    rows.push({
      id: newId(now),
      item: 0,
      operation: 'expire',
      idempotencyKey: id,
      requestHash: '',
      feature,
      scope,
      allowed: true,
      reason: 'EXPIRED',
      enforcement: 'hard',
      requested: amount,
      consumed: given,
      usedAfter: account.used,
      reservedAfter: account.reserved,
      limitAtDecision: null,
      periodStart: account.periodStart,
      revision: revision ?? 0,
      attributes,
      answer: null,
      actor: 'clock',
    });
  }
  return rows;
}

export function accountWrites(accounts: Iterable<LiveAccount>): {
  readonly writes: readonly AccountWrite[];
  readonly closed: readonly LockedAccount[];
} {
  const writes: AccountWrite[] = [];
  const closed: LockedAccount[] = [];
  for (const account of accounts) {
    const { before, used, reserved, periodStart, periodEnd, credits, limitKnown, told } = account;
    const nextHoldEnd = reserved === 0 ? null : account.nextHoldEnd;
    if (account.touched) {
      const { feature, scope } = before;
      const { covered, lots } = credits;
      const row = { feature, scope, used, reserved, nextHoldEnd, periodStart, periodEnd, covered };
      const percent = percentOf(used + reserved, limitKnown);
      writes.push({ ...row, hasLots: lots.length > 0, lots, limitKnown, percent, told, before });
    }
    if (account.closed !== null) {
      closed.push(account.closed);
    }
  }
  return { writes, closed };
}

export function lotWrites(accounts: Iterable<LiveAccount>, now: Instant): LotsWrite {
  let all = NO_LOTS_WRITTEN;
  for (const { credits } of accounts) {
    const one = credits.write(now);
    if (one === null) continue;
    all = {
      credits: [...all.credits, ...one.credits],
      changed: [...all.changed, ...one.changed],
      made: [...all.made, ...one.made],
    };
  }
  return all;
}

export function nameOf(account: AccountKey): string {
  return `${account.feature}|${account.scope}`;
}
