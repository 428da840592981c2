import type { Instant } from '@pennon/engine/model/customer';
import type {
  AccountKey,
  BatchWrite,
  LockedAccount,
  LockedFrame,
  LockRequest,
} from '../store/account-transaction.js';
import { NOTHING_ENDED } from '../store/reservation-statements.js';
import type { AheadWrite } from '../store/write-ahead.js';
import type { Evaluations } from './batch-request.js';
import { ByCall } from './by-call.js';
import type { ConsumeRequest } from './consume-request.js';
import { createBatchDecider } from './decide-batch.js';
import { isEnvironmentNewer, whatIsNewer } from './newer-facts.js';
import { type Settled, settleAll } from './settle-batch.js';

/*
 * A batch that follows another is decided on the balances that the one before leaves, while the store still writes that one. INVARIANT: the
 * store writes it only if everything is as it was expected under its locks (law 2); else it is thrown away, and decided on what is read.
 */

/** A batch that is on its way to the store. */
export interface SentBatch {
  /** What the store knows it by. */
  readonly place: object;
  readonly productId: string;
  /** What it was decided on. */
  readonly frame: LockedFrame;
  readonly write: BatchWrite;
}

export interface DecidedAhead extends AheadWrite {
  readonly settled: Settled;
}

/** `null`: it is not plain enough to be worth a guess. */
export function decideAhead(
  behind: SentBatch,
  lockRequest: LockRequest,
  requests: readonly ConsumeRequest[],
  evaluations: Evaluations,
  now: Instant,
): DecidedAhead | null {
  const expected = expectedFrame(behind, lockRequest, now);
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
  const validUntil = decider.validUntil();
  return isOnlyBalances(write) && holdsForAWhile(validUntil, expected.now)
    ? { expected, validUntil, settled, write }
    : null;
}

/** What the batch before leaves, as far as it is known without asking. */
function expectedFrame(
  { frame, write, productId: productBefore }: SentBatch,
  { productId, accounts, reservationIds, holders }: LockRequest,
  now: Instant,
): LockedFrame | null {
  // Another product has accounts of its own, whatever its features are called.
  if (
    productId !== productBefore ||
    reservationIds.length > 0 ||
    holders.length > 0 ||
    !isAllAllowed(write)
  ) {
    return null;
  }
  const standing: LockedAccount[] = [];
  for (const key of accounts) {
    const account = find(write.accounts, key) ?? find(frame.accounts, key);
    if (account === undefined || account.hasLots || account.nextHoldEnd !== null) {
      return null;
    }
    standing.push(account);
  }
  return {
    ...frame,
    now: Math.max(now, frame.now),
    accounts: standing,
    earlier: [],
    reservations: [],
    holders: [],
  };
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

/** Whatever else is written, a period that opens or a notice, is written under locks that were held first. */
function isOnlyBalances(write: BatchWrite): boolean {
  const { accounts, closed, lots, notices, consumptions } = write;
  return (
    consumptions.length > 0 &&
    isAllAllowed(write) &&
    closed.length + notices.length === 0 &&
    lots.credits.length + lots.changed.length + lots.made.length === 0 &&
    accounts.every(
      ({ told, periodStart, before }) => told === before.told && periodStart === before.periodStart,
    )
  );
}

/** Else it would be over before the store came to it. */
function holdsForAWhile(until: Instant | null, now: Instant): boolean {
  return until === null || until - now >= SHORT_WHILE_MILLISECONDS;
}

const SHORT_WHILE_MILLISECONDS = 100;
