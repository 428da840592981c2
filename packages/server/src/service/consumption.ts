import { LIMITS } from '@pennon/engine/model/limits';
import { type ConsumeBatchDependencies, runConsumeBatch } from './consume-batch.js';
import { type BatchCourse, type ConsumeBatcher, createConsumeBatcher } from './consume-batcher.js';
import type { ConsumeAnswer, ConsumeRequest } from './consume-request.js';
import { type CustomerBatch, mayBeTogether, runTogether, type TogetherResult } from './consume-together.js';
import type { SentBatch } from './decide-ahead.js';
import { createJointRunner } from './joint-runner.js';
import { createAheadRunner } from './run-ahead.js';
import { ServiceError } from './service-error.js';
import { outcomeUnknown, type Settled } from './settle-batch.js';
import { PROCESS_CLOCK, type TurnClock } from './turn-clock.js';

/** A caller is answered within this, or told that the outcome is unknown. */
const DEADLINE_MILLISECONDS = 1000;

/** A batch with more requests has a transaction of its own: there is enough to share it, and others are not to wait for it. */
const MOST_REQUESTS_TOGETHER = 8;
const CONTENDED_MILLISECONDS = 1000;
const CONTENDED_KNOWN = 10_000;

/** The lanes of all customers of this process, over the store's accounts. */
export function createConsumption(
  given: Omit<ConsumeBatchDependencies, 'clock' | 'ahead'> & { readonly clock?: TurnClock },
): ConsumeBatcher<ConsumeRequest, ConsumeAnswer> {
  const clock = given.clock ?? PROCESS_CLOCK;
  const ahead = createAheadRunner({ ...given, clock });
  const dependencies: ConsumeBatchDependencies = { ...given, clock, ahead };
  return createConsumeBatcher<ConsumeRequest, ConsumeAnswer, SentBatch>({
    run: createBatchRunner(dependencies),
    together: (first, other) => first.productId === other.productId,
    isAwaited: ({ place }) => given.accounts.isAwaited(place),
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

type RunBatch = (
  requests: readonly ConsumeRequest[],
  deadline: number,
  course: BatchCourse<SentBatch>,
) => Promise<Settled>;

/**
 * Small batches of different customers share a transaction. A large one pays for its own and may be followed without a pause; so does one
 * of a customer at whom somebody else is, because a transaction of many waits for nobody.
 */
function createBatchRunner(dependencies: ConsumeBatchDependencies): RunBatch {
  const { clock } = dependencies;
  const contended = createContendedCustomers(clock);
  const together = createJointRunner<CustomerBatch, TogetherResult>({
    places: LIMITS.transactionsTogether.value,
    maximumTogether: LIMITS.consumeTogether.value,
    run: (batches) => runTogether(dependencies, batches),
    deadlineOf: ({ deadline }) => deadline,
    refuseLate: () => outcomeUnknown(null),
    clock,
  });

  return async (requests, deadline, course) => {
    const [first] = requests;
    if (
      first !== undefined &&
      !course.isUnderWay &&
      requests.length <= MOST_REQUESTS_TOGETHER &&
      !contended.has(first.customerId) &&
      mayBeTogether(requests)
    ) {
      const groupKey = `${first.environmentId} ${first.productId}`;
      const result = await together.submit(groupKey, { requests, deadline });
      if (result.kind === 'settled') return result.settled;
      if (result.contended) contended.add(first.customerId);
    }
    return runConsumeBatch(dependencies, requests, deadline, course);
  };
}

/** Of whom another process, or a transaction that is longer, held the locks a moment ago. */
function createContendedCustomers(clock: Pick<TurnClock, 'now'>): {
  has(customerId: string): boolean;
  add(customerId: string): void;
} {
  const until = new Map<string, number>();
  return {
    has(customerId) {
      const end = until.get(customerId);
      if (end === undefined) return false;
      if (end > clock.now()) return true;
      until.delete(customerId);
      return false;
    },
    add(customerId) {
      if (until.size >= CONTENDED_KNOWN) until.clear();
      until.set(customerId, clock.now() + CONTENDED_MILLISECONDS);
    },
  };
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
