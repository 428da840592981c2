import { createHash } from 'node:crypto';
import type { ConsumptionDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { answerInTime } from '../answer-in-time.js';
import type { ConsumeBatcher } from '../consume-batcher.js';
import type { ConsumeAnswer, ConsumeEvaluation, ConsumeItem, ConsumeRequest } from '../consume-request.js';
import type { Credential } from '../credential.js';
import { entitlementFault } from '../evaluate-entitlement.js';
import { type EvaluationDependencies, prepareEvaluation } from '../evaluation-request.js';
import type { EnvironmentVersions } from '../ports.js';
import { ServiceError } from '../service-error.js';
import type { FreshBalances } from '../strong-evaluation.js';
import { type JournalEntry, toldDecisions } from './journal-entry.js';

export interface CountDependencies extends EvaluationDependencies {
  readonly lanes: ConsumeBatcher<ConsumeRequest, ConsumeAnswer>;
  readonly balances: FreshBalances;
}

/** Of the key under which the rest of an answer counts, where the store knows another decision under the caller's own. */
const REST = 'fallback:';

/** One for each call, whichever processes answered it: a caller who was told the same thing twice has it once. */
function restKey({ idempotencyKey, requestHash }: JournalEntry): string {
  return REST + createHash('sha256').update(`${requestHash} ${idempotencyKey}`).digest('base64url');
}
const READ_MILLISECONDS = 500;

/**
 * Counts what was answered without the store, through the customer's lane, under the key of its caller: so it counts once, whoever counts it
 * and however often. INVARIANT: what a caller was told to have is counted. Where the store knows another decision under that key (a
 * denial before, the answer of another process, another body), what is missing to what was told counts under a key that the call has for that.
 * CUSTOMER_NOT_FOUND: the customer was erased; there is nobody any more for whom it could count.
 */
export async function countLater(dependencies: CountDependencies, entry: JournalEntry): Promise<void> {
  const told = toldDecisions(entry);
  const rest = restOf(told, await storedUnder(dependencies, entry, told));
  if (rest.some(({ consumed }) => consumed > 0)) {
    await submit(dependencies, entry, { idempotencyKey: restKey(entry), told: rest });
  }
}

async function storedUnder(
  dependencies: CountDependencies,
  entry: JournalEntry,
  told: readonly ConsumptionDecision[],
): Promise<readonly ConsumptionDecision[]> {
  try {
    const { idempotencyKey } = entry;
    return (await submit(dependencies, entry, { idempotencyKey, told })).decisions;
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'IDEMPOTENCY_MISMATCH') return [];
    throw error;
  }
}

function restOf(
  told: readonly ConsumptionDecision[],
  stored: readonly ConsumptionDecision[],
): readonly ConsumptionDecision[] {
  return told.map((decision, index) => {
    const other = stored[index];
    const counted = other?.key === decision.key ? other.consumed : 0;
    return { ...decision, consumed: Math.max(0, decision.consumed - counted) };
  });
}

interface Ask {
  readonly idempotencyKey: string;
  readonly told: readonly ConsumptionDecision[];
}

async function submit(
  dependencies: CountDependencies,
  entry: JournalEntry,
  { idempotencyKey, told }: Ask,
): Promise<ConsumeAnswer> {
  const { environmentId, productId, customerKey, customerId, requestHash, mode, actor } = entry;
  const items = entry.items.map(
    ({ columns, scope, attributes }): ConsumeItem => ({
      key: columns.feature,
      account: { feature: columns.feature, scope },
      amount: columns.consumed,
      attributes,
      holder: null,
    }),
  );
  const evaluate = (atLeast?: EnvironmentVersions) => evaluateEntry(dependencies, entry, items, atLeast);
  const evaluation = await evaluate();
  if (evaluation instanceof ServiceError) throw evaluation;
  if (isAnother(evaluation, customerId)) {
    await makeSure(dependencies, entry);
    const again = await evaluate();
    if (again instanceof ServiceError) throw again;
    if (isAnother(again, customerId)) throw gone();
  }
  return dependencies.lanes.submit(`${environmentId}/${customerKey}`, {
    operation: 'consume',
    environmentId,
    productId,
    customerKey,
    customerId,
    idempotencyKey,
    requestHash,
    mode,
    actor,
    happened: told,
    evaluation,
    evaluate,
  });
}

function isAnother({ request: { customer } }: ConsumeEvaluation, customerId: string): boolean {
  return customer !== 'unavailable' && customer?.id !== customerId;
}

/** What this process knows may be older than the customer; the store is asked, and what is newer is read. */
async function makeSure(
  { balances, customers }: CountDependencies,
  { environmentId, productId, customerKey }: JournalEntry,
): Promise<void> {
  const reading = balances.read({ environmentId, productId, customerKey });
  const { customerVersion } = await answerInTime(reading).catch(() => {
    throw entitlementFault('CUSTOMER_STATE_UNAVAILABLE', 'Whether the customer exists could not be read.');
  });
  if (customerVersion === null) throw gone();
  await customers.atLeast(environmentId, customerKey, customerVersion, READ_MILLISECONDS);
}

function gone(): ServiceError {
  return new ServiceError('not-found', 'CUSTOMER_NOT_FOUND', 'The customer does not exist any more.');
}

async function evaluateEntry(
  dependencies: CountDependencies,
  { environmentId, productId, customerKey, items: kept }: JournalEntry,
  items: readonly ConsumeItem[],
  atLeast: EnvironmentVersions | undefined,
): Promise<ConsumeEvaluation | ServiceError> {
  const credential: Credential = { kind: 'server', keyId: 'journal', environmentId, productId };
  const context = Object.assign({}, ...kept.map((item) => item.context), { customer: { key: customerKey } });
  const question = { context, product: productId, environment: environmentId, consistency: undefined };
  try {
    const { request, versions } = await prepareEvaluation(dependencies, credential, {
      ...question,
      ...(atLeast === undefined ? {} : { atLeast }),
    });
    return { request: published(request), versions, items };
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}

function published(request: EvaluationRequest<Snapshot> | null): EvaluationRequest<Snapshot> {
  if (request !== null) return request;
  throw entitlementFault('ENTITLEMENT_NOT_FOUND', 'Nothing is published there any more.');
}
