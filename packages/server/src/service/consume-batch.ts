import type { CreditLot } from '@pennon/engine/model/customer';
import type { AccountTransaction, BatchWrite, EarlierConsumption } from '../store/account-transaction.js';
import type { Accounts } from '../store/accounts.js';
import { type EndedHolds, NOTHING_ENDED } from '../store/reservation-statements.js';
import { type Evaluations, evaluateAll, lockRequestOf } from './batch-request.js';
import { ByCall, ofCalls } from './by-call.js';
import type { BatchCourse } from './consume-batcher.js';
import type { ConsumeRequest } from './consume-request.js';
import { decodeAnswer, referenceOf, rowText } from './consumption-record.js';
import type { SentBatch } from './decide-ahead.js';
import { createBatchDecider } from './decide-batch.js';
import { catchUp, isEnvironmentNewer, type NewerFactsDependencies, whatIsNewer } from './newer-facts.js';
import { noteBalances } from './note-balances.js';
import type { EnvironmentVersions } from './ports.js';
import type { AheadRunner } from './run-ahead.js';
import { ServiceError } from './service-error.js';
import { outcomeUnknown, type Settled, type Stored, settleAll } from './settle-batch.js';

/*
 * One consume transaction (DESIGN: consume): lock; read time, versions and earlier answers; decide; write; commit; and only
 * then tell each caller. What the store says is newer than this process knows is loaded first: a revision and a customer with
 * the locks given back; what changes for a whole environment under them, so that no stream of such changes holds a batch up.
 */

export interface ConsumeBatchDependencies extends NewerFactsDependencies {
  readonly accounts: Accounts;
  readonly ahead: AheadRunner;
  /** Whether a lost race (a deadlock, a serialization failure) may simply be run again. */
  readonly isLostRace: (error: unknown) => boolean;
}

export const ANY_VERSION: EnvironmentVersions = { subjects: 0, shared: 0 };

/** @param deadline in milliseconds of the clock. All requests are of one customer and one product. */
export async function runConsumeBatch(
  dependencies: ConsumeBatchDependencies,
  requests: readonly ConsumeRequest[],
  deadline: number,
  course: BatchCourse<SentBatch>,
): Promise<Settled> {
  let evaluations: Evaluations = requests.map((request) => request.evaluation);
  let { behind } = course;
  for (;;) {
    try {
      const settled = await runOnce(dependencies, requests, evaluations, deadline, { ...course, behind });
      if (settled !== null) {
        return settled;
      }
      evaluations = await evaluateAll(requests, ANY_VERSION);
    } catch (error) {
      if (!dependencies.isLostRace(error)) {
        throw error instanceof ServiceError ? error : outcomeUnknown(error);
      }
    }
    if (dependencies.clock.now() >= deadline) {
      throw outcomeUnknown(null);
    }
    behind = null;
  }
}

function isTouch({ touches }: ConsumeRequest): boolean {
  return touches === true;
}

/** `null`: something newer was loaded meanwhile; run again. */
async function runOnce(
  dependencies: ConsumeBatchDependencies,
  requests: readonly ConsumeRequest[],
  known: Evaluations,
  deadline: number,
  { behind, onSent }: BatchCourse<SentBatch>,
): Promise<Settled | null> {
  const first = requests[0];
  if (first === undefined) {
    return [];
  }
  const lockRequest = lockRequestOf(first, requests, known);
  if (behind !== null) {
    const settled = await dependencies.ahead.run(requests, known, lockRequest, behind, onSent);
    if (settled !== null) return settled;
  }
  const transaction = await dependencies.accounts.begin(lockRequest, behind?.place);
  dependencies.ahead.hear(transaction.frame.now);
  let open = true;
  try {
    const { frame } = transaction;
    let evaluations = known;
    if (whatIsNewer(frame, evaluations) === null && isEnvironmentNewer(frame, evaluations)) {
      evaluations = await evaluateAll(requests, frame.versions);
    }
    const newer = whatIsNewer(frame, evaluations);
    if (newer !== null || isEnvironmentNewer(frame, evaluations)) {
      open = false;
      await transaction.rollback();
      await catchUp(dependencies, first, newer, deadline);
      return null;
    }
    const { settled, write } = await decideUnderLock(transaction, requests, evaluations);
    open = false;
    if (write.consumptions.length > 0 || (write.accounts.length > 0 && requests.some(isTouch))) {
      const committed = transaction.commit(write);
      onSent({ place: transaction.place, productId: first.productId, frame, write });
      const report = await committed;
      noteBalances(dependencies.customers, first, write, report);
    } else {
      await transaction.rollback();
    }
    return settled;
  } catch (error) {
    if (open) {
      await transaction.rollback().catch(() => undefined);
    }
    throw error;
  }
}

interface Decided {
  /** `null`: more holds have ended than one transaction takes off. */
  readonly settled: Settled | null;
  readonly write: BatchWrite;
}

async function decideUnderLock(
  transaction: AccountTransaction,
  requests: readonly ConsumeRequest[],
  evaluations: Evaluations,
): Promise<Decided> {
  const { frame } = transaction;
  const replays = await replaysOf(transaction, requests);
  const ended = await endedHolds(transaction);
  const decider = createBatchDecider(frame, ended, await openLots(transaction));
  // With more to take off than one transaction does, nothing is decided on what is not free yet.
  const settled = ended.more ? null : settleAll(requests, evaluations, replays, frame, decider.decide);
  return { settled, write: decider.write() };
}

/** Only where an account's row says that a hold may have ended, and then in the same transaction. */
async function endedHolds(transaction: AccountTransaction): Promise<EndedHolds> {
  const { now, accounts } = transaction.frame;
  const due = accounts.filter(({ nextHoldEnd }) => nextHoldEnd !== null && nextHoldEnd <= now);
  return due.length === 0 ? NOTHING_ENDED : transaction.endedHolds(due);
}

/** Only of accounts whose row says that they have some. */
async function openLots(transaction: AccountTransaction): Promise<ReadonlyMap<string, readonly CreditLot[]>> {
  const accounts = transaction.frame.accounts.filter(({ hasLots }) => hasLots);
  return accounts.length === 0 ? NO_LOTS : transaction.lotsOf(accounts);
}

const NO_LOTS: ReadonlyMap<string, readonly CreditLot[]> = new Map();

/** Earlier answers by operation and key, decoded. */
async function replaysOf(
  transaction: AccountTransaction,
  requests: readonly ConsumeRequest[],
): Promise<ByCall<Stored>> {
  const stored = new ByCall<Stored>();
  const { earlier } = transaction.frame;
  if (earlier.length === 0) {
    return stored;
  }
  const rows = ofCalls(earlier, requests);
  const framed = await framesOf(transaction, rows);
  for (const row of rows) {
    const decision = decodeAnswer(row, row.answer, framed.get(row) ?? row.answer);
    const before = stored.get(row);
    stored.set(row, {
      requestHash: row.requestHash,
      answer: {
        decisions: [...(before?.answer.decisions ?? []), decision],
        decidedAt: row.decidedAt,
        replayed: true,
      },
    });
  }
  return stored;
}

async function framesOf(
  transaction: AccountTransaction,
  rows: readonly EarlierConsumption[],
): Promise<Map<EarlierConsumption, string>> {
  const framed = new Map<EarlierConsumption, string>();
  const references = rows.flatMap((row) => {
    const reference = referenceOf(row.answer);
    return reference === null ? [] : [{ ...reference, decidedAt: row.decidedAt }];
  });
  if (references.length === 0) {
    return framed;
  }
  const answers = await transaction.answersOf(references);
  for (const row of rows) {
    const reference = referenceOf(row.answer);
    const answer = reference === null ? undefined : answers.get(rowText(reference));
    if (answer !== undefined) {
      framed.set(row, answer);
    }
  }
  return framed;
}
