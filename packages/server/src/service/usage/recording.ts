import { LIMITS } from '@pennon/engine/model/limits';
import { ServiceError } from '../service-error.js';
import { outcomeUnknown, runUsageChunk, type UsageChunkDependencies } from './usage-chunk.js';
import type { UsageItem, UsageResult } from './usage-item.js';
import { createUsageRecorder, type UsageRecorder } from './usage-recorder.js';

/** A caller is answered within this, or told that the outcome is unknown. */
const DEADLINE_MILLISECONDS = 5000;
/** While the store writes one chunk, the next is read and locked, and the one after is put together. */
const CHUNKS_UNDER_WAY = 3;

/** The recorder of all that this process is told, over the store. */
export function createRecording(dependencies: UsageChunkDependencies): UsageRecorder<UsageItem, UsageResult> {
  return createUsageRecorder<UsageItem, UsageResult>({
    run: (items, deadline) => runUsageChunk(dependencies, items, deadline),
    maximumChunk: LIMITS.usageChunk.value,
    maximumQueue: LIMITS.usageQueue.value,
    maximumUnderWay: CHUNKS_UNDER_WAY,
    deadlineMilliseconds: DEADLINE_MILLISECONDS,
    refuse: (why) => {
      switch (why) {
        case 'queue-full':
          return notNow('Too many events are waiting in this process.');
        case 'closed':
          return notNow('This process is shutting down.');
        case 'deadline':
          return outcomeUnknown(null);
      }
    },
  });
}

/** Nothing was tried. */
function notNow(what: string): ServiceError {
  return new ServiceError(
    'unavailable',
    'UNAVAILABLE',
    `${what} Send the same events again: each counts once.`,
    { retryAfterSeconds: 1 },
  );
}
