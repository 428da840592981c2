import type { CreditLot, Hold } from '@pennon/engine/model/customer';
import type { ConsumptionDecision } from '@pennon/engine/model/decision';
import type {
  AccountKey,
  AccountTransaction,
  BatchWrite,
  CommitReport,
  EarlierConsumption,
  LockedFrame,
  LockRequest,
} from '../store/account-transaction.js';
import type { Accounts } from '../store/accounts.js';
import type { HolderKey } from '../store/holder-statements.js';
import { type EndedHolds, heldAccountName, NOTHING_ENDED } from '../store/reservation-statements.js';
import { nameOf } from './batch-accounts.js';
import { holderKey } from './batch-holders.js';
import type { BatchCourse, Settlement } from './consume-batcher.js';
import type { ConsumeAnswer, ConsumeEvaluation, ConsumeRequest } from './consume-request.js';
import { decodeAnswer, referenceOf, rowText } from './consumption-record.js';
import { createBatchDecider } from './decide-batch.js';
import { OutcomeUnknown } from './outcome-unknown.js';
import type { CustomerStates, EnvironmentVersions, Snapshots } from './ports.js';
import { ServiceError } from './service-error.js';
import type { TurnClock } from './turn-clock.js';

/*
 * One consume transaction (DESIGN: consume): lock; read time, versions and earlier answers; decide; write; commit; and only
 * then tell each caller. What the store says is newer than this process knows is loaded first: a revision and a customer with
 * the locks given back; what changes for a whole environment under them, so that no stream of such changes holds a batch up.
 */

export interface ConsumeBatchDependencies {
  readonly accounts: Accounts;
  readonly snapshots: Snapshots;
  readonly customers: CustomerStates;
  /** Whether a lost race (a deadlock, a serialization failure) may simply be run again. */
  readonly isLostRace: (error: unknown) => boolean;
  readonly clock: Pick<TurnClock, 'now'>;
}

type Settled = readonly Settlement<ConsumeAnswer>[];
/** A call that cannot be evaluated any more is refused alone, and only where it has no earlier answer. */
type Evaluations = readonly (ConsumeEvaluation | ServiceError)[];

const ANY_VERSION: EnvironmentVersions = { subjects: 0, shared: 0 };

/** @param deadline in milliseconds of the clock. All requests are of one customer and one product. */
export async function runConsumeBatch(
  dependencies: ConsumeBatchDependencies,
  requests: readonly ConsumeRequest[],
  deadline: number,
  course: BatchCourse<AccountTransaction>,
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

function evaluateAll(
  requests: readonly ConsumeRequest[],
  atLeast: EnvironmentVersions,
): Promise<Evaluations> {
  return Promise.all(requests.map((request) => request.evaluate(atLeast)));
}

/** `null`: something newer was loaded meanwhile; run again. */
async function runOnce(
  dependencies: ConsumeBatchDependencies,
  requests: readonly ConsumeRequest[],
  known: Evaluations,
  deadline: number,
  { behind, onSent }: BatchCourse<AccountTransaction>,
): Promise<Settled | null> {
  const first = requests[0];
  if (first === undefined) {
    return [];
  }
  const transaction = await dependencies.accounts.begin(lockRequestOf(first, requests, known), behind);
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
    const replays = await replaysOf(transaction, requests);
    const ended = await endedHolds(transaction);
    const decider = createBatchDecider(frame, ended, await openLots(transaction));
    // With more to take off than one transaction does, nothing is decided on what is not free yet.
    const settled = ended.more ? null : settleAll(requests, evaluations, replays, frame, decider.decide);
    const write = decider.write();
    open = false;
    if (write.consumptions.length > 0 || (write.accounts.length > 0 && requests.some(isTouch))) {
      const committed = transaction.commit(write);
      onSent(transaction);
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

function lockRequestOf(
  { environmentId, productId, customerId }: ConsumeRequest,
  requests: readonly ConsumeRequest[],
  known: Evaluations,
): LockRequest {
  return {
    environmentId,
    productId,
    customerId,
    accounts: lockOrder(known),
    idempotencyKeys: requests.map((request) => request.idempotencyKey),
    reservationIds: requests.flatMap(({ reservation }) =>
      reservation?.kind === 'end' ? [reservation.id] : [],
    ),
    holders: holdersOf(known),
  };
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

/** INVARIANT: every writer of accounts locks them in (feature, scope) order. */
function lockOrder(evaluations: Evaluations): readonly AccountKey[] {
  const accounts = new Map<string, AccountKey>();
  for (const evaluation of evaluations) {
    if (evaluation instanceof ServiceError || evaluation.items instanceof ServiceError) {
      continue;
    }
    for (const { account } of evaluation.items) {
      accounts.set(nameOf(account), account);
    }
  }
  return [...accounts.values()].sort(
    (left, right) => compare(left.feature, right.feature) || compare(left.scope, right.scope),
  );
}

function holdersOf(evaluations: Evaluations): readonly HolderKey[] {
  return evaluations.flatMap((evaluation) =>
    evaluation instanceof ServiceError || evaluation.items instanceof ServiceError
      ? []
      : evaluation.items.flatMap((item) => holderKey(item) ?? []),
  );
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

interface Newer {
  readonly revision: number | null;
  readonly customerVersion: number | null;
}

/** Of revision and customer: what the store holds that a decision of this process would not know (law 2). */
function whatIsNewer(frame: LockedFrame, evaluations: Evaluations): Newer | null {
  if (frame.customer === null) {
    throw new ServiceError(
      'not-found',
      'CUSTOMER_NOT_FOUND',
      'The customer does not exist any more, so nothing can be consumed.',
    );
  }
  let revision: number | null = null;
  let customerVersion: number | null = null;
  for (const evaluation of evaluations) {
    if (evaluation instanceof ServiceError) {
      continue;
    }
    const { snapshot, customer } = evaluation.request;
    if (frame.revision !== null && frame.revision > snapshot.revision) {
      revision = frame.revision;
    }
    const known = customer === null || customer === 'unavailable' ? -1 : customer.version;
    if (frame.customer.version > known) {
      customerVersion = frame.customer.version;
    }
  }
  return revision === null && customerVersion === null ? null : { revision, customerVersion };
}

/** The same of users, teams, instances and the grants of groups and segments. */
function isEnvironmentNewer({ versions }: LockedFrame, evaluations: Evaluations): boolean {
  return evaluations.some(
    (evaluation) =>
      !(evaluation instanceof ServiceError) &&
      (versions.subjects > evaluation.versions.subjects || versions.shared > evaluation.versions.shared),
  );
}

async function catchUp(
  { snapshots, customers, clock }: ConsumeBatchDependencies,
  { productId, environmentId, customerKey }: ConsumeRequest,
  newer: Newer | null,
  deadline: number,
): Promise<void> {
  if (newer === null) {
    return;
  }
  const left = Math.max(1, deadline - clock.now());
  if (newer.revision !== null) {
    await snapshots.atLeast(productId, environmentId, newer.revision, left);
  }
  if (newer.customerVersion !== null) {
    await customers.atLeast(environmentId, customerKey, newer.customerVersion, left);
  }
}

interface Stored {
  readonly requestHash: string;
  readonly answer: ConsumeAnswer;
}

/** Earlier answers by operation and key, decoded. */
async function replaysOf(
  transaction: AccountTransaction,
  requests: readonly ConsumeRequest[],
): Promise<Map<string, Stored>> {
  const stored = new Map<string, Stored>();
  const { earlier } = transaction.frame;
  if (earlier.length === 0) {
    return stored;
  }
  const asked = new Set(requests.map(callName));
  const rows = earlier.filter((row) => asked.has(callName(row)));
  const framed = await framesOf(transaction, rows);
  for (const row of rows) {
    const decision = decodeAnswer(row, row.answer, framed.get(row) ?? row.answer);
    const before = stored.get(callName(row));
    stored.set(callName(row), {
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

function callName(call: { readonly operation: string; readonly idempotencyKey: string }): string {
  return `${call.operation} ${call.idempotencyKey}`;
}

type Decide = ReturnType<typeof createBatchDecider>['decide'];

/** In order of arrival; the same key is decided once, whether it was stored before or stands twice in the batch. */
function settleAll(
  requests: readonly ConsumeRequest[],
  evaluations: Evaluations,
  stored: Map<string, Stored>,
  frame: LockedFrame,
  decide: Decide,
): Settled {
  return requests.map((request, index): Settlement<ConsumeAnswer> => {
    const before = stored.get(callName(request));
    if (before !== undefined) {
      return before.requestHash === request.requestHash
        ? { ok: true, answer: before.answer }
        : { ok: false, error: mismatch(request.idempotencyKey) };
    }
    const evaluation = evaluations[index];
    if (evaluation === undefined) {
      return { ok: false, error: outcomeUnknown(null) };
    }
    if (evaluation instanceof ServiceError) {
      return { ok: false, error: evaluation };
    }
    if (evaluation.request.subject.customerKey !== request.customerKey) {
      return { ok: false, error: anotherCustomer(request) };
    }
    const { items } = evaluation;
    if (items instanceof ServiceError) {
      return { ok: false, error: items };
    }
    const decided = decide(request, evaluation.request, items);
    if (decided.kind === 'refused') {
      return { ok: false, error: decided.error };
    }
    const answer = answerOf(decided.decisions, frame.now);
    stored.set(callName(request), {
      requestHash: request.requestHash,
      answer: { ...answer, replayed: true },
    });
    return { ok: true, answer };
  });
}

/** A user or an instance went to another customer while the call waited; the accounts that are locked are not the ones. */
function anotherCustomer({ customerKey }: ConsumeRequest): ServiceError {
  return new ServiceError(
    'unavailable',
    'UNAVAILABLE',
    `What the context names does not belong to \`${customerKey}\` any more. Nothing was consumed; ask again with the same key.`,
    { retryAfterSeconds: 1 },
  );
}

function answerOf(decisions: readonly ConsumptionDecision[], decidedAt: number): ConsumeAnswer {
  return { decisions, decidedAt, replayed: false };
}

export function mismatch(idempotencyKey: string): ServiceError {
  return new ServiceError(
    'unprocessable',
    'IDEMPOTENCY_MISMATCH',
    `The key \`${idempotencyKey}\` was used with another request. Send the same body again, or a new key for a new request.`,
  );
}

export function outcomeUnknown(cause: unknown): ServiceError {
  return new OutcomeUnknown(cause);
}

/** Balances that this process wrote show in its own evaluations at once. */
function noteBalances(
  customers: CustomerStates,
  first: ConsumeRequest,
  write: BatchWrite,
  { holds }: CommitReport,
): void {
  for (const { feature, scope, periodStart, periodEnd, used, reserved, covered, lots } of write.accounts) {
    customers.noteBalance(first.environmentId, first.customerKey, {
      productId: first.productId,
      feature,
      scope,
      periodStart,
      used,
      reserved,
      periodEnd,
      covered,
      lots,
      ...heldNow(holds.get(heldAccountName({ feature, scope }))),
    });
  }
}

function heldNow(holds: readonly Hold[] | undefined): { readonly holds?: readonly Hold[] } {
  return holds === undefined ? {} : { holds };
}
