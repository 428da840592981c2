import type { OfrepFault } from './schemas.js';

/** The error codes that every known client reads. `GENERAL` is what is left. */
export type OfrepErrorCode =
  | 'PARSE_ERROR'
  | 'TARGETING_KEY_MISSING'
  | 'INVALID_CONTEXT'
  | 'FLAG_NOT_FOUND'
  | 'GENERAL';

/**
 * The body of a fault. `metadata` always stands, because the Java client fails on answers without it; `cause` in it carries
 * our own, finer code where OFREP has none.
 */
export function toOfrepFault(
  key: string | null,
  errorCode: OfrepErrorCode,
  errorDetails: string,
  code?: string,
): OfrepFault {
  return {
    ...(key === null ? {} : { key }),
    errorCode,
    errorDetails,
    metadata: code === undefined ? {} : { cause: code },
  };
}
