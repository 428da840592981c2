import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { refuseConsumption } from '@pennon/engine/usage/decide-consumption';
import { refuseRelease } from '@pennon/engine/usage/decide-release';
import { answerInTime } from './answer-in-time.js';
import type { ConsumeDependencies, ConsumeInput } from './consume-input.js';
import { itemsOf } from './consume-items.js';
import type { Credential } from './credential.js';
import { entitlementFault } from './evaluate-entitlement.js';
import { type PreparedEvaluation, prepareEvaluation } from './evaluation-request.js';
import { ServiceError } from './service-error.js';
import { isStorableKey } from './storable-key.js';

/* Who consumes: known, registered by a first consumption, or nobody. */

const READ_MILLISECONDS = 500;
const READ_AGAIN_MILLISECONDS = 10;

export interface KnownCustomer {
  readonly scope: PreparedEvaluation;
  readonly evaluation: EvaluationRequest<Snapshot>;
  readonly customerKey: string;
  readonly customerId: string;
}

/** Registers the customer where the product has a default plan for it; else nobody is there to consume. */
export async function prepareKnown(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: ConsumeInput,
): Promise<KnownCustomer> {
  const scope = await prepareReadable(dependencies, credential, input);
  const remembered = knownCustomer(scope, input);
  if (remembered.customerId !== null) {
    return { ...remembered, customerId: remembered.customerId };
  }
  const known = await lookAgain(dependencies, credential, input, remembered);
  if (known.customerId !== null) {
    return { ...known, customerId: known.customerId };
  }
  const takes = input.operation === 'consume' || input.operation === 'reserve';
  if (takes && known.evaluation.snapshot.defaultPlan === null) {
    throw customerNotFound(known.customerKey);
  }
  refuseBeforeRegistering(known.evaluation, credential, input);
  if (!takes) {
    throw nothingToRelease(known.customerKey);
  }
  await dependencies.registerCustomer({
    credential,
    requestId: input.requestId,
    environmentId: scope.environmentId,
    customerKey: known.customerKey,
  });
  const again = await prepareReadable(dependencies, credential, input);
  const registered = knownCustomer(again, input);
  if (registered.customerId === null) {
    throw entitlementFault(
      'CUSTOMER_STATE_UNAVAILABLE',
      `The customer \`${known.customerKey}\` was registered but cannot be read yet. Ask again with the same key.`,
    );
  }
  return { ...registered, customerId: registered.customerId };
}

/** That nobody is there may be remembered from a moment ago; before anything rests on it, the store is asked. */
async function lookAgain(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: ConsumeInput,
  remembered: KnownOrNot,
): Promise<KnownOrNot> {
  const { customerKey, scope } = remembered;
  if (!isStorableKey(customerKey)) {
    return remembered;
  }
  const { environmentId, productId } = scope;
  const unreadable = (): never => {
    throw entitlementFault(
      'CUSTOMER_STATE_UNAVAILABLE',
      `Whether the customer \`${customerKey}\` exists could not be read. Ask again with the same key.`,
    );
  };
  const reading = dependencies.balances.read({ environmentId, productId, customerKey });
  const { customerVersion } = await answerInTime(reading).catch(unreadable);
  if (customerVersion === null) {
    return remembered;
  }
  await dependencies.customers.atLeast(environmentId, customerKey, customerVersion, READ_MILLISECONDS);
  return knownCustomer(await prepareReadable(dependencies, credential, input), input);
}

/** What is refused in any case, a typing error in a feature's key for example, leaves no customer behind. */
function refuseBeforeRegistering(
  evaluation: EvaluationRequest<Snapshot>,
  credential: Credential,
  input: ConsumeInput,
): void {
  for (const { key, amount } of itemsOf(evaluation, credential, input)) {
    const entitlement = resolveEntitlement(evaluation, key);
    if (entitlement.kind === 'error') {
      throw entitlementFault(entitlement.errorCode, entitlement.message);
    }
    const question = { entitlement, amount: amount ?? 1 };
    const refusal = input.operation === 'release' ? refuseRelease(question) : refuseConsumption(question);
    if (refusal !== null) {
      throw new ServiceError('invalid', refusal.errorCode, refusal.message);
    }
  }
}

/**
 * An evaluation gives a cold customer 50 ms; a consume has its own, longer deadline and asks again until then, because nothing
 * can be decided without the customer.
 */
async function prepareReadable(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: ConsumeInput,
): Promise<PreparedEvaluation> {
  const deadline = performance.now() + READ_MILLISECONDS;
  const question = { ...input, balancesUnderLock: true as const };
  for (;;) {
    const prepared = await prepareEvaluation(dependencies, credential, question);
    if (prepared.request?.customer !== 'unavailable' || performance.now() >= deadline) {
      return prepared;
    }
    await new Promise((resolve) => setTimeout(resolve, READ_AGAIN_MILLISECONDS));
  }
}

type KnownOrNot = Omit<KnownCustomer, 'customerId'> & { readonly customerId: string | null };

function knownCustomer(scope: PreparedEvaluation, input: ConsumeInput): KnownOrNot {
  const { request } = scope;
  if (request === null) {
    throw nothingPublished(input);
  }
  const { customer, subject } = request;
  if (customer === 'unavailable') {
    throw entitlementFault(
      'CUSTOMER_STATE_UNAVAILABLE',
      'What is stored of the customer could not be read. Ask again with the same key.',
    );
  }
  if (subject.customerKey === null) {
    throw new ServiceError(
      'invalid',
      'TARGETING_KEY_MISSING',
      'The context names no customer. Send `targetingKey`, `customer.key` or an `instance` of it.',
    );
  }
  return {
    scope,
    evaluation: request,
    customerKey: subject.customerKey,
    customerId: customer?.id ?? null,
  };
}

export function nothingPublished({ items }: ConsumeInput): ServiceError {
  return entitlementFault(
    'ENTITLEMENT_NOT_FOUND',
    `The feature \`${items[0]?.key ?? ''}\` does not exist: nothing was published here yet.`,
  );
}

function customerNotFound(key: string): ServiceError {
  return new ServiceError(
    'not-found',
    'CUSTOMER_NOT_FOUND',
    `The customer \`${key}\` does not exist, and the product has no default plan for new ones. Create it first.`,
  );
}

/**
 * A release makes no customers: who has consumed nothing has nothing to give back. An answer could not be stored without the customer
 * either, so that the same key would later release what was consumed meanwhile.
 */
function nothingToRelease(key: string): ServiceError {
  return new ServiceError(
    'not-found',
    'CUSTOMER_NOT_FOUND',
    `The customer \`${key}\` does not exist, so there is nothing to release. Name the customer that consumed it.`,
  );
}
