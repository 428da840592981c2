import type { AccountState, Instant } from '@pennon/engine/model/customer';
import type { ConsumptionDecision, EntitlementDecision } from '@pennon/engine/model/decision';
import type {
  AccountKey,
  AccountWrite,
  ConsumptionRow,
  LockedAccount,
  LockedFrame,
} from '../store/account-transaction.js';
import { type EndedHolds, heldAccountName } from '../store/reservation-statements.js';
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
}

export function liveAccounts(accounts: readonly LockedAccount[]): Map<string, LiveAccount> {
  return new Map(
    accounts.map((account) => {
      const { used, reserved, nextHoldEnd, periodStart, periodEnd } = account;
      const live = { used, reserved, nextHoldEnd, periodStart, periodEnd };
      return [nameOf(account), { before: account, ...live, closed: null, touched: false }];
    }),
  );
}

/** When the next hold ends is known, and not how much it holds: the answer may change then. */
export function accountState({
  before,
  used,
  reserved,
  periodStart,
  nextHoldEnd,
}: LiveAccount): AccountState {
  const { feature, scope } = before;
  const holds = nextHoldEnd === null ? [] : [{ endsAt: nextHoldEnd, amount: 0 }];
  return { feature, scope, periodStart, used, reserved, holds };
}

export function takeOver(account: LiveAccount, { usedAfter, reservedAfter }: ConsumptionDecision): void {
  if (account.used !== usedAfter || account.reserved !== reservedAfter) {
    account.used = usedAfter;
    account.reserved = reservedAfter;
    account.touched = true;
  }
}

/** Opens the period that the database's time is in; an earlier one than the account's is ignored. What is held stays held. */
export function openPeriod(account: LiveAccount, { period }: EntitlementDecision): void {
  if (period === null || (account.periodStart !== null && period.start <= account.periodStart)) {
    return;
  }
  if (account.periodStart !== null) {
    account.closed ??= account.before;
    account.used = 0;
  }
  account.periodStart = period.start;
  account.periodEnd = period.end;
  account.touched = true;
}

/** INVARIANT: what has ended by the database's clock is free for whoever is decided next. One row tells of each. */
export function takeOffEnded(
  accounts: ReadonlyMap<string, LiveAccount>,
  { ended, nextEnds }: EndedHolds,
  { now, revision }: LockedFrame,
): ConsumptionRow[] {
  const rows: ConsumptionRow[] = [];
  for (const { id, feature, scope, amount, attributes } of ended) {
    const account = accounts.get(nameOf({ feature, scope }));
    if (account === undefined) {
      continue;
    }
    const given = Math.min(amount, account.reserved);
    account.reserved -= given;
    account.nextHoldEnd = nextEnds.get(heldAccountName({ feature, scope })) ?? null;
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
    const { before, used, reserved, periodStart, periodEnd } = account;
    const nextHoldEnd = reserved === 0 ? null : account.nextHoldEnd;
    if (account.touched) {
      const { feature, scope } = before;
      writes.push({ feature, scope, used, reserved, nextHoldEnd, periodStart, periodEnd, before });
    }
    if (account.closed !== null) {
      closed.push(account.closed);
    }
  }
  return { writes, closed };
}

export function nameOf(account: AccountKey): string {
  return `${account.feature}|${account.scope}`;
}
