import { ServiceError } from './service-error.js';

/** So long is what a call reads before it can be decided waited for: a store that says nothing at all has no time-out of its own. */
const READ_MILLISECONDS = 800;

/** Rejects with UNAVAILABLE when the store is silent for too long; what it says after that is not looked at. */
export async function answerInTime<Value>(reading: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(silent()), READ_MILLISECONDS);
  });
  try {
    return await Promise.race([reading, late]);
  } finally {
    clearTimeout(timer);
  }
}

function silent(): ServiceError {
  return new ServiceError(
    'unavailable',
    'UNAVAILABLE',
    'The store did not answer in time, and nothing was tried. Ask again; with the same `Idempotency-Key`, where the call has one.',
    { retryAfterSeconds: 1 },
  );
}
