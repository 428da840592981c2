import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { Subject } from '@pennon/engine/model/context';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import type { CompiledFeature, Snapshot } from '@pennon/engine/snapshot/snapshot';
import { refuseConsumption } from '@pennon/engine/usage/decide-consumption';
import { refuseRelease } from '@pennon/engine/usage/decide-release';
import { requestHash } from './canonical-request.js';
import type { ConsumeBatcher } from './consume-batcher.js';
import type { ConsumeAnswer, ConsumeEvaluation, ConsumeItem, ConsumeRequest } from './consume-request.js';
import type { Credential } from './credential.js';
import { type EntitlementDependencies, entitlementFault, visibleRequest } from './evaluate-entitlement.js';
import { type EvaluationInput, type PreparedEvaluation, prepareEvaluation } from './evaluation-request.js';
import type { EnvironmentVersions } from './ports.js';
import { ServiceError } from './service-error.js';
import { isStorableKey } from './storable-key.js';

export interface ConsumeDependencies extends EntitlementDependencies {
  readonly batcher: ConsumeBatcher<ConsumeRequest, ConsumeAnswer>;
  /** Registers a customer that a server key named and nobody knew, and makes it known to this process. */
  readonly registerCustomer: (who: CustomerRegistration) => Promise<void>;
}

export interface CustomerRegistration {
  readonly credential: Credential;
  readonly requestId: string;
  readonly environmentId: string;
  readonly customerKey: string;
}

export interface ConsumeInput extends EvaluationInput {
  readonly operation: 'consume' | 'release';
  readonly requestId: string;
  /** The header `Idempotency-Key` as sent. */
  readonly idempotencyKey: string | undefined;
  /** The whole body: what two calls with one key are compared by. */
  readonly body: unknown;
  readonly items: readonly {
    readonly key: string;
    readonly amount: number | null;
    readonly attributes: JsonObject;
  }[];
  readonly mode: 'all' | 'upTo';
}

/**
 * Takes an amount, or gives it back, exactly once for each idempotency key. A denial is an answer; a ServiceError of kind
 * `unavailable` means that the outcome is unknown and the same key asks again.
 */
export async function consumeUsage(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: ConsumeInput,
): Promise<ConsumeAnswer> {
  const idempotencyKey = readIdempotencyKey(input.idempotencyKey);
  const prepared = await prepareKnown(dependencies, credential, input);
  const { customerId, customerKey, evaluation } = prepared;
  const { environmentId, productId } = prepared.scope;
  return dependencies.batcher.submit(`${environmentId}/${customerKey}`, {
    operation: input.operation,
    environmentId,
    productId,
    customerKey,
    customerId,
    idempotencyKey,
    requestHash: requestHash(input.operation, productId, input.body),
    mode: input.mode,
    actor:
      credential.kind === 'customer-token' ? 'customer-token' : `${credential.kind}-key:${credential.keyId}`,
    evaluation: evaluationOf(evaluation, prepared.scope.versions, credential, input),
    evaluate: (atLeast) => evaluateAgain(dependencies, credential, input, atLeast),
  });
}

async function evaluateAgain(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: ConsumeInput,
  atLeast: EnvironmentVersions,
): Promise<ConsumeEvaluation | ServiceError> {
  try {
    const question = { ...input, consistency: undefined, atLeast };
    const { request, versions } = await prepareEvaluation(dependencies, credential, question);
    return request === null ? nothingPublished(input) : evaluationOf(request, versions, credential, input);
  } catch (error) {
    if (error instanceof ServiceError) {
      return error;
    }
    throw error;
  }
}

/**
 * INVARIANT: what was decided before is answered again, whatever has left the catalog since; so what cannot be consumed now is a value
 * here, and is thrown only after the look-up of earlier answers (DESIGN: idempotency).
 */
function evaluationOf(
  request: EvaluationRequest<Snapshot>,
  versions: EnvironmentVersions,
  credential: Credential,
  input: ConsumeInput,
): ConsumeEvaluation {
  try {
    return { request, versions, items: itemsOf(request, credential, input) };
  } catch (error) {
    if (error instanceof ServiceError) {
      return { request, versions, items: error };
    }
    throw error;
  }
}

const READ_MILLISECONDS = 500;
const READ_AGAIN_MILLISECONDS = 10;

const IDEMPOTENCY_KEY = /^[\x21-\x7e]+$/;

function readIdempotencyKey(header: string | undefined): string {
  const maximum = LIMITS.idempotencyKeyLength.value;
  if (header === undefined || header === '') {
    throw new ServiceError(
      'invalid',
      'IDEMPOTENCY_KEY_REQUIRED',
      'Send the header `Idempotency-Key` with a new value for each thing to be done; repeats of it get the same answer.',
    );
  }
  if (header.length > maximum || !IDEMPOTENCY_KEY.test(header)) {
    throw new ServiceError(
      'invalid',
      'IDEMPOTENCY_KEY_INVALID',
      `\`Idempotency-Key\` must be 1 to ${maximum} visible ASCII characters without spaces.`,
    );
  }
  return header;
}

interface KnownCustomer {
  readonly scope: PreparedEvaluation;
  readonly evaluation: EvaluationRequest<Snapshot>;
  readonly customerKey: string;
  readonly customerId: string;
}

/** Registers the customer where the product has a default plan for it; else nobody is there to consume. */
async function prepareKnown(
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
  if (input.operation === 'consume' && known.evaluation.snapshot.defaultPlan === null) {
    throw customerNotFound(known.customerKey);
  }
  refuseBeforeRegistering(known.evaluation, credential, input);
  if (input.operation === 'release') {
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
  const { customerVersion } = await dependencies.balances
    .read({ environmentId, productId, customerKey })
    .catch(unreadable);
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
  for (;;) {
    const prepared = await prepareEvaluation(dependencies, credential, input);
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

function nothingPublished({ items }: ConsumeInput): ServiceError {
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

function itemsOf(
  evaluation: EvaluationRequest<Snapshot>,
  credential: Credential,
  input: ConsumeInput,
): readonly ConsumeItem[] {
  return input.items.map((item) => {
    const { features } = visibleRequest(evaluation, credential, item.key).snapshot;
    const feature = features.get(item.key);
    if (feature === undefined) {
      throw new ServiceError(
        'invalid',
        'TYPE_MISMATCH',
        `\`${item.key}\` is a flag, and nothing of it can be consumed. Evaluate it over OFREP.`,
      );
    }
    return {
      key: item.key,
      amount: item.amount,
      attributes: item.attributes,
      account: { feature: feature.key, scope: accountScope(feature, evaluation.subject) },
    };
  });
}

/** Whose account counts; known before the decision, because it is locked before. */
function accountScope(feature: CompiledFeature, subject: Subject): string {
  const scope =
    feature.per === 'customer'
      ? ''
      : feature.per === 'user'
        ? subject.userKey
        : (subject.instance?.key ?? null);
  if (scope === null) {
    throw entitlementFault(
      'TARGETING_KEY_MISSING',
      `\`${feature.key}\` counts per ${feature.per}; name the ${feature.per} in the context.`,
    );
  }
  return scope;
}
