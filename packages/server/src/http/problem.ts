import type { FaultItem, FaultKind, ServiceError } from '../service/service-error.js';

/** INVARIANT: the one table from kinds of faults to statuses. */
export const STATUS_OF_FAULT: Readonly<Record<FaultKind, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  gone: 410,
  'precondition-failed': 412,
  'precondition-required': 428,
  unprocessable: 422,
  'too-many-requests': 429,
  unavailable: 503,
};

const TITLE_OF_STATUS: Readonly<Record<number, string>> = {
  400: 'The request is not valid',
  401: 'Not authenticated',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  410: 'Gone',
  412: 'Changed in the meantime',
  413: 'Too large',
  415: 'Media type not accepted',
  422: 'Cannot be processed',
  428: 'If-Match is required',
  429: 'Too many requests',
  431: 'Header too large',
  500: 'Internal error',
  503: 'Not available at the moment',
};

/** RFC 9457. `type` names the page of the documentation that explains `code`. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly requestId: string;
  readonly errors?: readonly FaultItem[];
  readonly [member: string]: unknown;
}

/** A fault of any origin, ready to be written in any of the three shapes. */
export interface HttpFault {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly items: readonly FaultItem[];
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds: number | null;
}

export function toHttpFault(error: ServiceError): HttpFault {
  return {
    status: STATUS_OF_FAULT[error.kind],
    code: error.code,
    message: error.message,
    items: error.items,
    details: error.details,
    retryAfterSeconds: error.retryAfterSeconds,
  };
}

export function toProblem(fault: HttpFault, requestId: string): Problem {
  return {
    ...fault.details,
    type: `https://pennon.dev/problems/${fault.code.toLowerCase().replaceAll('_', '-')}`,
    title: TITLE_OF_STATUS[fault.status] ?? 'The request could not be answered',
    status: fault.status,
    code: fault.code,
    detail: fault.message,
    requestId,
    ...(fault.items.length > 0 ? { errors: fault.items } : {}),
  };
}

/** The words that clients of OFREP know. Whatever else we say stands in `metadata.cause`, and in the status. */
const OFREP_CODES: ReadonlySet<string> = new Set([
  'PARSE_ERROR',
  'TARGETING_KEY_MISSING',
  'INVALID_CONTEXT',
  'FLAG_NOT_FOUND',
  'GENERAL',
]);

/** What OEP adds to them. */
const OEP_CODES: ReadonlySet<string> = new Set([
  'ENTITLEMENT_NOT_FOUND',
  'CUSTOMER_NOT_FOUND',
  'TYPE_MISMATCH',
  'RESERVATION_NOT_FOUND',
  'RESERVATION_FINAL',
  'RESERVATION_EXPIRED',
  'IDEMPOTENCY_MISMATCH',
  'RATE_LIMITED',
  'UNAVAILABLE',
]);

/**
 * The body of an error below `/ofrep`: every known client finds what it needs (`key` where the path names one, `errorCode`,
 * `errorDetails`, `metadata`), whatever the status.
 */
export function toOfrepError(fault: HttpFault, flagKey: string | null): Record<string, unknown> {
  const known = OFREP_CODES.has(fault.code);
  return protocolError(fault, flagKey, known ? fault.code : toSharedCode(fault));
}

/** The body of an error below `/oep` (OEP: error body). */
export function toOepError(fault: HttpFault, key: string | null): Record<string, unknown> {
  const { code, status } = fault;
  if (OFREP_CODES.has(code) || OEP_CODES.has(code)) {
    return protocolError(fault, key, code);
  }
  const code429 = status === 429 ? 'RATE_LIMITED' : null;
  return protocolError(fault, key, status === 503 ? 'UNAVAILABLE' : (code429 ?? toSharedCode(fault)));
}

/** A body that could not be read is a parse error; a context of the wrong shape is an invalid one. */
function toSharedCode(fault: HttpFault): string {
  if (fault.code.startsWith('BODY_') && fault.status === 400) {
    return 'PARSE_ERROR';
  }
  const pointer = fault.items[0]?.pointer ?? '';
  return fault.status === 400 && /^\/context(\/|$)/.test(pointer) ? 'INVALID_CONTEXT' : 'GENERAL';
}

function protocolError(fault: HttpFault, key: string | null, errorCode: string): Record<string, unknown> {
  return {
    ...(key === null ? {} : { key }),
    errorCode,
    errorDetails: fault.message,
    metadata: errorCode === fault.code ? {} : { cause: fault.code },
  };
}
