import { ServiceError } from './service-error.js';

/** The store was asked to take or to give back, and did not say in time whether it did. `cause` is `null` where it said nothing at all. */
export class OutcomeUnknown extends ServiceError {
  constructor(cause: unknown) {
    super(
      'unavailable',
      'UNAVAILABLE',
      'The store did not answer in time, so the outcome is not known. Ask again with the same `Idempotency-Key`.',
      { retryAfterSeconds: 1, cause },
    );
  }
}
