import { ServiceError } from './service-error.js';

/** INVARIANT: of another environment or product it says exactly what it says of one that never was (law 11). */
export function reservationNotFound(id: string): ServiceError {
  return new ServiceError(
    'not-found',
    'RESERVATION_NOT_FOUND',
    `There is no reservation \`${id}\`. Name one by the \`id\` that it was answered with, with a key of the same environment and product.`,
  );
}
