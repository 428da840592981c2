import { LIMITS } from '@pennon/engine/model/limits';
import type { AccountTransaction } from '../store/account-transaction.js';
import { type ConsumeBatchDependencies, outcomeUnknown, runConsumeBatch } from './consume-batch.js';
import { type ConsumeBatcher, createConsumeBatcher } from './consume-batcher.js';
import type { ConsumeAnswer, ConsumeRequest } from './consume-request.js';
import { ServiceError } from './service-error.js';
import { PROCESS_CLOCK, type TurnClock } from './turn-clock.js';

/** A caller is answered within this, or told that the outcome is unknown. */
const DEADLINE_MILLISECONDS = 1000;

/** The lanes of all customers of this process, over the store's accounts. */
export function createConsumption(
  given: Omit<ConsumeBatchDependencies, 'clock'> & { readonly clock?: TurnClock },
): ConsumeBatcher<ConsumeRequest, ConsumeAnswer> {
  const clock = given.clock ?? PROCESS_CLOCK;
  const dependencies: ConsumeBatchDependencies = { ...given, clock };
  return createConsumeBatcher<ConsumeRequest, ConsumeAnswer, AccountTransaction>({
    run: (requests, deadline, course) => runConsumeBatch(dependencies, requests, deadline, course),
    together: (first, other) => first.productId === other.productId,
    maximumBatch: LIMITS.consumeBatch.value,
    maximumQueue: LIMITS.consumeQueue.value,
    deadlineMilliseconds: DEADLINE_MILLISECONDS,
    clock,
    refuse: (why) => {
      switch (why) {
        case 'queue-full':
          return notNow('Too many requests for this customer are waiting.');
        case 'closed':
          return notNow('This process is shutting down.');
        case 'deadline':
        case 'lost':
          return outcomeUnknown(null);
      }
    },
  });
}

/** Nothing was tried: the same key asks again. */
function notNow(what: string): ServiceError {
  return new ServiceError(
    'unavailable',
    'UNAVAILABLE',
    `${what} Nothing was consumed; ask again with the same \`Idempotency-Key\`.`,
    { retryAfterSeconds: 1 },
  );
}
