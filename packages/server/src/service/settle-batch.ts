import type { ConsumptionDecision } from '@pennon/engine/model/decision';
import type { LockedFrame } from '../store/account-transaction.js';
import type { Evaluations } from './batch-request.js';
import type { ByCall } from './by-call.js';
import type { Settlement } from './consume-batcher.js';
import type { ConsumeAnswer, ConsumeRequest } from './consume-request.js';
import type { BatchDecider } from './decide-batch.js';
import { OutcomeUnknown } from './outcome-unknown.js';
import { ServiceError } from './service-error.js';

/* Every request of a batch gets its answer: the earlier one, a decision on what is locked, or a refusal. */

export type Settled = readonly Settlement<ConsumeAnswer>[];

export interface Stored {
  readonly requestHash: string;
  readonly answer: ConsumeAnswer;
}

/** In order of arrival; the same key is decided once, whether it was stored before or stands twice in the batch. */
export function settleAll(
  requests: readonly ConsumeRequest[],
  evaluations: Evaluations,
  stored: ByCall<Stored>,
  frame: LockedFrame,
  decide: BatchDecider['decide'],
): Settled {
  return requests.map((request, index): Settlement<ConsumeAnswer> => {
    const before = stored.get(request);
    if (before !== undefined) {
      return before.requestHash === request.requestHash
        ? { ok: true, answer: { ...before.answer, replayed: true } }
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
    stored.set(request, { requestHash: request.requestHash, answer });
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
