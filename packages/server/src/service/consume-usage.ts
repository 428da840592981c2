import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { LIMITS } from '@pennon/engine/model/limits';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { type CanonicalCall, canonicalCall, requestHash } from './canonical-request.js';
import type { ConsumeDependencies, ConsumeInput } from './consume-input.js';
import { itemsOf } from './consume-items.js';
import type { ConsumeAnswer, ConsumeEvaluation } from './consume-request.js';
import type { Credential } from './credential.js';
import { prepareEvaluation } from './evaluation-request.js';
import { type KnownCustomer, nothingPublished, prepareKnown } from './known-customer.js';
import type { EnvironmentVersions } from './ports.js';
import { evaluationScopeOf } from './scope.js';
import { ServiceError } from './service-error.js';

/**
 * Takes an amount, or gives it back, exactly once for each idempotency key. A denial is an answer; a ServiceError of kind
 * `unavailable` means that the outcome is unknown and the same key asks again. For who was asked about a moment ago there is no promise
 * on the way into the batch.
 */
export function consumeUsage(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: ConsumeInput,
): Promise<ConsumeAnswer> {
  try {
    const idempotencyKey = readIdempotencyKey(input.idempotencyKey);
    const call = input.call ?? canonicalCall(input.body);
    const recent = dependencies.recent.find(credential, input, call.contextText);
    if (recent === undefined) {
      return prepareAndSubmit(dependencies, credential, input, idempotencyKey, call);
    }
    return submit(dependencies, credential, input, idempotencyKey, call.text, recent).catch(
      (error: unknown) => {
        if (!(error instanceof ServiceError) || error.code !== 'CUSTOMER_NOT_FOUND') {
          throw error;
        }
        // Erased, and perhaps made anew with another id under the same key: who it is now is not what was remembered.
        dependencies.recent.forget();
        return prepareAndSubmit(dependencies, credential, input, idempotencyKey, call);
      },
    );
  } catch (error) {
    return Promise.reject(error);
  }
}

async function prepareAndSubmit(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: ConsumeInput,
  idempotencyKey: string,
  call: CanonicalCall,
): Promise<ConsumeAnswer> {
  let known: KnownCustomer;
  try {
    known = await prepareKnown(dependencies, credential, input);
  } catch (error) {
    const told = toldBefore(dependencies, credential, input, { idempotencyKey, text: call.text, error });
    if (told !== null) return told;
    throw error;
  }
  dependencies.recent.keep(credential, input, call.contextText, known);
  return submit(dependencies, credential, input, idempotencyKey, call.text, known);
}

/** The customer cannot be read; but what was answered without the store is answered again, also by whoever read that from a journal. */
function toldBefore(
  { batcher, directory }: ConsumeDependencies,
  credential: Credential,
  input: ConsumeInput,
  { idempotencyKey, text, error }: { idempotencyKey: string; text: string; error: unknown },
): Promise<ConsumeAnswer> | null {
  if (!(error instanceof ServiceError) || error.kind !== 'unavailable') return null;
  const { environment, product } = evaluationScopeOf(directory, credential, input);
  const hash = requestHash(input.operation, product.id, text);
  return batcher.toldBefore({ environmentId: environment.id, idempotencyKey, requestHash: hash });
}

function submit(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: ConsumeInput,
  idempotencyKey: string,
  canonicalText: string,
  { scope, evaluation, customerKey, customerId }: KnownCustomer,
): Promise<ConsumeAnswer> {
  const { environmentId, productId } = scope;
  return dependencies.batcher.submit(`${environmentId}/${customerKey}`, {
    operation: input.operation,
    environmentId,
    productId,
    customerKey,
    customerId,
    idempotencyKey,
    requestHash: requestHash(input.operation, productId, canonicalText),
    mode: input.mode,
    ...(input.reservation === undefined ? {} : { reservation: input.reservation }),
    actor:
      credential.kind === 'customer-token' ? 'customer-token' : `${credential.kind}-key:${credential.keyId}`,
    evaluation: evaluationOf(evaluation, scope.versions, credential, input),
    evaluate: (atLeast) => evaluateAgain(dependencies, credential, input, atLeast),
  });
}

async function evaluateAgain(
  dependencies: ConsumeDependencies,
  credential: Credential,
  input: ConsumeInput,
  atLeast: EnvironmentVersions,
): Promise<ConsumeEvaluation | ServiceError> {
  dependencies.recent.forget();
  try {
    const question = { ...input, consistency: undefined, atLeast, balancesUnderLock: true as const };
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
