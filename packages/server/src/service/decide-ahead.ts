import type { Instant } from '@pennon/engine/model/customer';
import type {
  AccountKey,
  AccountTransaction,
  BatchWrite,
  LockedAccount,
  LockedFrame,
  LockRequest,
} from '../store/account-transaction.js';
import { NOTHING_ENDED } from '../store/reservation-statements.js';
import type { Evaluations } from './batch-request.js';
import { ByCall, ofCalls } from './by-call.js';
import type { ConsumeRequest } from './consume-request.js';
import { createBatchDecider } from './decide-batch.js';
import { isEnvironmentNewer, whatIsNewer } from './newer-facts.js';
import { type Settled, settleAll } from './settle-batch.js';
import { hourOf } from './usage/hour-rows.js';

/*
 * A batch that follows another is decided while the store still writes that one, on the balances that it leaves. INVARIANT: what was
 * decided so stands only if the frame that is then read under the locks is the one that was expected; else it is thrown away, and the
 * batch is decided on what was read (law 2).
 */

/** A batch that is on its way to the store. */
export interface SentBatch {
  readonly transaction: AccountTransaction;
  readonly write: BatchWrite;
}

export interface DecidedAhead {
  readonly expected: LockedFrame;
  /** By time alone it holds until then; `null`: for ever. */
  readonly validUntil: Instant | null;
  readonly settled: Settled;
  readonly write: BatchWrite;
}

/** `null`: it is not plain enough to be worth a guess. */
export function decideAhead(
  behind: SentBatch,
  lockRequest: LockRequest,
  requests: readonly ConsumeRequest[],
  evaluations: Evaluations,
): DecidedAhead | null {
  const expected = expectedFrame(behind, lockRequest);
  if (
    expected === null ||
    !requests.every(isPlain) ||
    whatIsNewer(expected, evaluations) !== null ||
    isEnvironmentNewer(expected, evaluations)
  ) {
    return null;
  }
  const decider = createBatchDecider(expected, NOTHING_ENDED, new Map());
  const settled = settleAll(requests, evaluations, new ByCall(), expected, decider.decide);
  const write = decider.write();
  return dependsOnItsInstant(write) ? null : { expected, validUntil: decider.validUntil(), settled, write };
}

/** What was decided, at the instant that was read under the locks; `null`: that is not what was expected. */
export function confirmAhead(
  { expected, validUntil, settled, write }: DecidedAhead,
  frame: LockedFrame,
  requests: readonly ConsumeRequest[],
): { readonly settled: Settled; readonly write: BatchWrite } | null {
  const { now } = frame;
  const isExpected =
    now >= expected.now &&
    (validUntil === null || now < validUntil) &&
    frame.revision === expected.revision &&
    frame.customer?.version === expected.customer?.version &&
    frame.versions.subjects === expected.versions.subjects &&
    frame.versions.shared === expected.versions.shared &&
    frame.accounts.length === expected.accounts.length &&
    frame.accounts.every((account, place) => isSameAccount(account, expected.accounts[place])) &&
    ofCalls(frame.earlier, requests).length === 0;
  if (!isExpected) return null;
  return {
    settled: settled.map((one) => (one.ok ? { ok: true, answer: { ...one.answer, decidedAt: now } } : one)),
    write: {
      ...write,
      now,
      hours: write.hours.map((row) => ({ ...row, hour: hourOf(now), lastAt: now })),
    },
  };
}

/** What the batch before leaves, as far as it is known without asking. */
function expectedFrame(
  { transaction, write }: SentBatch,
  { accounts, reservationIds, holders }: LockRequest,
): LockedFrame | null {
  if (reservationIds.length > 0 || holders.length > 0 || !isAllAllowed(write)) {
    return null;
  }
  const standing: LockedAccount[] = [];
  for (const key of accounts) {
    const account = find(write.accounts, key) ?? find(transaction.frame.accounts, key);
    if (account === undefined || account.hasLots || account.nextHoldEnd !== null) {
      return null;
    }
    standing.push(account);
  }
  return { ...transaction.frame, accounts: standing, earlier: [], reservations: [], holders: [] };
}

function find<Account extends AccountKey>(
  accounts: readonly Account[],
  { feature, scope }: AccountKey,
): Account | undefined {
  return accounts.find((account) => account.feature === feature && account.scope === scope);
}

/** Neither reserves nor settles, and neither happened already nor is about time alone. */
function isPlain({ reservation, happened, touches }: ConsumeRequest): boolean {
  return reservation === undefined && happened === undefined && touches === undefined;
}

/** Where something was denied, the next denial has a remedy to look for under the locks, which is dearer than to wait. */
function isAllAllowed({ consumptions }: BatchWrite): boolean {
  return consumptions.every(({ allowed }) => allowed);
}

/** Beyond the times of rows: a period that opens, a lot that ends, and what is told carry the instant in which they were decided. */
function dependsOnItsInstant(write: BatchWrite): boolean {
  const { accounts, closed, lots, notices } = write;
  return (
    !isAllAllowed(write) ||
    closed.length > 0 ||
    notices.length > 0 ||
    lots.credits.length + lots.changed.length + lots.made.length > 0 ||
    accounts.some(
      ({ told, periodStart, before }) => told !== before.told || periodStart !== before.periodStart,
    )
  );
}

function isSameAccount(left: LockedAccount, right: LockedAccount | undefined): boolean {
  return (
    right !== undefined &&
    left.feature === right.feature &&
    left.scope === right.scope &&
    left.used === right.used &&
    left.reserved === right.reserved &&
    left.covered === right.covered &&
    left.hasLots === right.hasLots &&
    left.periodStart === right.periodStart &&
    left.periodEnd === right.periodEnd &&
    left.nextHoldEnd === right.nextHoldEnd &&
    left.limitKnown === right.limitKnown &&
    left.told.rank === right.told.rank &&
    left.told.at === right.told.at &&
    left.told.limit === right.told.limit
  );
}
