import { type FaultItem, type FaultKind, ServiceError } from '../service-error.js';

/**
 * Why a code is not redeemed: each has its own code (K-8). INVARIANT: in the order in which they are looked at, so that the same
 * request always gets the same one; the reference lists them in this order.
 */
export const VOUCHER_REFUSALS = [
  'VOUCHER_THROTTLED',
  'VOUCHER_NOT_FOUND',
  'VOUCHER_CODE_AMBIGUOUS',
  'VOUCHER_ARCHIVED',
  'VOUCHER_NOT_ACTIVE',
  'VOUCHER_NOT_STARTED',
  'VOUCHER_EXPIRED',
  'VOUCHER_CUSTOMER_UNKNOWN',
  'VOUCHER_CUSTOMER_ARCHIVED',
  'VOUCHER_CODE_WITHDRAWN',
  'VOUCHER_CUSTOMER_LIMIT',
  'VOUCHER_CODE_USED',
  'VOUCHER_EXHAUSTED',
  'VOUCHER_TARGET_REQUIRED',
  'VOUCHER_TARGET_REFUSED',
  'VOUCHER_PLAN_NOT_ELIGIBLE',
  'VOUCHER_NOT_FIRST_TIME',
  'VOUCHER_NOT_ELIGIBLE',
  'VOUCHER_NOT_STACKABLE',
  'VOUCHER_OUTDATED',
] as const;
export type VoucherRefusalCode = (typeof VOUCHER_REFUSALS)[number];

/** The state of the voucher is a conflict, what the customer lacks is unprocessable. */
const KIND_OF_REFUSAL: Readonly<Record<VoucherRefusalCode, FaultKind>> = {
  VOUCHER_THROTTLED: 'too-many-requests',
  VOUCHER_NOT_FOUND: 'not-found',
  VOUCHER_CODE_AMBIGUOUS: 'conflict',
  VOUCHER_ARCHIVED: 'conflict',
  VOUCHER_NOT_ACTIVE: 'conflict',
  VOUCHER_NOT_STARTED: 'conflict',
  VOUCHER_EXPIRED: 'conflict',
  VOUCHER_CUSTOMER_UNKNOWN: 'not-found',
  VOUCHER_CUSTOMER_ARCHIVED: 'conflict',
  VOUCHER_CUSTOMER_LIMIT: 'conflict',
  VOUCHER_CODE_WITHDRAWN: 'conflict',
  VOUCHER_CODE_USED: 'conflict',
  VOUCHER_EXHAUSTED: 'conflict',
  VOUCHER_TARGET_REQUIRED: 'unprocessable',
  VOUCHER_TARGET_REFUSED: 'unprocessable',
  VOUCHER_PLAN_NOT_ELIGIBLE: 'unprocessable',
  VOUCHER_NOT_FIRST_TIME: 'unprocessable',
  VOUCHER_NOT_ELIGIBLE: 'unprocessable',
  VOUCHER_NOT_STACKABLE: 'conflict',
  VOUCHER_OUTDATED: 'conflict',
};

/** "No" is a value: a redemption that is refused changes nothing but the count of wrong codes. */
export interface VoucherRefusal {
  readonly code: VoucherRefusalCode;
  readonly message: string;
  readonly pointer?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds?: number;
}

export function toServiceError(refusal: VoucherRefusal): ServiceError {
  const { code, message, pointer, details, retryAfterSeconds } = refusal;
  const items: FaultItem[] = pointer === undefined ? [] : [{ code, message, pointer }];
  return new ServiceError(KIND_OF_REFUSAL[code], code, message, {
    items,
    ...(details === undefined ? {} : { details }),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}
