import type { CreditLot } from '@pennon/engine/model/customer';
import type {
  BatchWrite,
  CommitReport,
  CustomerAccountKey,
  LockedFrame,
} from '../store/account-transaction.js';
import type { JointTransaction } from '../store/joint-transaction.js';
import { NOTHING_ENDED } from '../store/reservation-statements.js';
import { type Evaluations, evaluateAll, lockRequestOf } from './batch-request.js';
import { ByCall, ofCalls } from './by-call.js';
import { ANY_VERSION, type ConsumeBatchDependencies } from './consume-batch.js';
import type { ConsumeRequest } from './consume-request.js';
import { createBatchDecider } from './decide-batch.js';
import { catchUp, isEnvironmentNewer, whatIsNewer } from './newer-facts.js';
import { noteBalances } from './note-balances.js';
import { ServiceError } from './service-error.js';
import { outcomeUnknown, type Settled, settleAll } from './settle-batch.js';

/*
 * One consume transaction for the batches of several customers: what each costs the store and this process is shared by all of them. It
 * decides what is plain; a batch for which more must be read, loaded or waited for is left to a transaction of its own, and then nothing
 * of it is written here.
 */

/** Requests of one customer and one product. */
export interface CustomerBatch {
  readonly requests: readonly ConsumeRequest[];
  /** In milliseconds of the clock. */
  readonly deadline: number;
}

/** `contended`: somebody else is at the customer now. */
export type TogetherResult =
  | { readonly kind: 'settled'; readonly settled: Settled }
  | { readonly kind: 'alone'; readonly contended: boolean };

const ALONE: TogetherResult = { kind: 'alone', contended: false };
const CONTENDED: TogetherResult = { kind: 'alone', contended: true };

/** Whether nothing of these has to be looked for beside accounts, lots and earlier answers. */
export function mayBeTogether(requests: readonly ConsumeRequest[]): boolean {
  return requests.every(
    ({ operation, reservation, touches, happened, evaluation: { items } }) =>
      (operation === 'consume' || operation === 'release') &&
      reservation === undefined &&
      touches === undefined &&
      happened === undefined &&
      !(items instanceof ServiceError) &&
      items.every(({ holder }) => holder === null),
  );
}

/** One batch with what is known of it while it is decided. */
interface Candidate {
  readonly place: number;
  readonly first: ConsumeRequest;
  readonly requests: readonly ConsumeRequest[];
  readonly evaluations: Evaluations;
}

/** @param batches of different customers of one product */
export async function runTogether(
  dependencies: ConsumeBatchDependencies,
  batches: readonly CustomerBatch[],
): Promise<readonly TogetherResult[]> {
  const results: TogetherResult[] = batches.map(() => ALONE);
  const deadline = Math.min(...batches.map((batch) => batch.deadline));
  try {
    const candidates = candidatesOf(batches, ({ requests }) => requests.map((request) => request.evaluation));
    if (!(await decideTogether(dependencies, candidates, deadline, results))) {
      // One publish concerns all of them: it was loaded, and they are asked about once more.
      const evaluations = await Promise.all(
        batches.map(({ requests }) => evaluateAll(requests, ANY_VERSION)),
      );
      await decideTogether(
        dependencies,
        candidatesOf(batches, (_, place) => evaluations[place] ?? []),
        deadline,
        results,
      );
    }
  } catch (error) {
    if (!isRefusedWhole(error) && !dependencies.isLostRace(error)) {
      throw error instanceof ServiceError ? error : outcomeUnknown(error);
    }
    return batches.map(() => ALONE);
  }
  return results;
}

/** The store answered, and with an error: nothing of the transaction remains. What ends connections leaves it open. */
function isRefusedWhole(error: unknown): boolean {
  return error instanceof Error && 'severity' in error && error.severity === 'ERROR';
}

/** INVARIANT: every writer locks customers in the order of their ids. */
function candidatesOf(
  batches: readonly CustomerBatch[],
  evaluationsOf: (batch: CustomerBatch, place: number) => Evaluations,
): readonly Candidate[] {
  return batches
    .flatMap((batch, place): Candidate[] => {
      const [first] = batch.requests;
      return first === undefined
        ? []
        : [{ place, first, requests: batch.requests, evaluations: evaluationsOf(batch, place) }];
    })
    .sort((left, right) => (left.first.customerId < right.first.customerId ? -1 : 1));
}

/** Puts what was settled and committed into `results`. `false`: a newer revision was loaded instead. */
async function decideTogether(
  dependencies: ConsumeBatchDependencies,
  candidates: readonly Candidate[],
  deadline: number,
  results: TogetherResult[],
): Promise<boolean> {
  const transaction = await dependencies.accounts.beginTogether(
    candidates.map(({ first, requests, evaluations }) => lockRequestOf(first, requests, evaluations)),
  );
  let open = true;
  try {
    const newer = newerRevision(transaction, candidates);
    if (newer !== null) {
      open = false;
      await transaction.rollback();
      await catchUp(dependencies, newer.first, { revision: newer.revision, customerVersion: null }, deadline);
      return false;
    }
    const lots = await openLots(transaction, candidates);
    const decided = candidates.map((candidate, index) => {
      const frame = transaction.frames[index] ?? null;
      return frame === null ? null : decideOne(candidate, frame, lots.get(candidate.first.customerId));
    });
    const writes = decided.map((one) =>
      one === null || one.write.consumptions.length === 0 ? null : one.write,
    );
    open = false;
    if (writes.some((write) => write !== null)) {
      await transaction.commit(writes);
    } else {
      await transaction.rollback();
    }
    for (const [index, { place, first }] of candidates.entries()) {
      const one = decided[index] ?? null;
      const write = writes[index] ?? null;
      if (one !== null) results[place] = { kind: 'settled', settled: one.settled };
      else if (transaction.frames[index] === null) results[place] = CONTENDED;
      if (write !== null) noteBalances(dependencies.customers, first, write, NO_HOLDS);
    }
    return true;
  } catch (error) {
    if (open) {
      await transaction.rollback().catch(() => undefined);
    }
    throw error;
  }
}

function newerRevision(
  { frames }: JointTransaction,
  candidates: readonly Candidate[],
): { readonly first: ConsumeRequest; readonly revision: number } | null {
  for (const [index, { first, evaluations }] of candidates.entries()) {
    const frame = frames[index] ?? null;
    const revision = frame === null ? null : (whatIsNewer(frame, evaluations)?.revision ?? null);
    if (revision !== null) return { first, revision };
  }
  return null;
}

type Lots = ReadonlyMap<string, readonly CreditLot[]>;

/** Only of accounts whose row says that they have some; by customer, then by `accountText`. */
async function openLots(
  transaction: JointTransaction,
  candidates: readonly Candidate[],
): Promise<ReadonlyMap<string, Lots>> {
  const asked = candidates.flatMap(({ first: { customerId } }, index): CustomerAccountKey[] =>
    (transaction.frames[index]?.accounts ?? []).flatMap(({ hasLots, feature, scope }) =>
      hasLots ? [{ customerId, feature, scope }] : [],
    ),
  );
  return asked.length === 0 ? new Map() : transaction.lotsOf(asked);
}

/** `null`: more must be loaded or read first, or what was told before is to be told again. */
function decideOne(
  { requests, evaluations }: Candidate,
  frame: LockedFrame,
  lots: Lots | undefined,
): { readonly settled: Settled; readonly write: BatchWrite } | null {
  if (
    whatIsNewer(frame, evaluations) !== null ||
    isEnvironmentNewer(frame, evaluations) ||
    ofCalls(frame.earlier, requests).length > 0 ||
    frame.accounts.some(({ nextHoldEnd }) => nextHoldEnd !== null && nextHoldEnd <= frame.now)
  ) {
    return null;
  }
  try {
    const decider = createBatchDecider(frame, NOTHING_ENDED, lots ?? NO_LOTS);
    const settled = settleAll(requests, evaluations, new ByCall(), frame, decider.decide);
    return { settled, write: decider.write() };
  } catch {
    // Whatever it was happens again in a transaction of its own, and is told there; the others are not in it.
    return null;
  }
}

const NO_LOTS: Lots = new Map();
const NO_HOLDS: CommitReport = { holds: new Map() };
