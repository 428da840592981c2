import type { Kysely } from 'kysely';
import type { Tables } from '../../store/tables.js';
import { hashCode, isMistyped } from './code-text.js';
import type { RedemptionAsk } from './redemption-ask.js';
import type { VoucherCodeRow, VoucherRow } from './voucher-record.js';
import type { VoucherRefusal } from './voucher-refusal.js';

export interface FoundCode {
  readonly voucher: VoucherRow;
  readonly code: VoucherCodeRow;
}

export type CodeLookup =
  | { readonly kind: 'found'; readonly found: FoundCode }
  | { readonly kind: 'refused'; readonly refusal: VoucherRefusal }
  /** No such code: whoever tried may be guessing. */
  | { readonly kind: 'missed'; readonly refusal: VoucherRefusal };

/**
 * INVARIANT (law 11): a code of another environment, or of a product beyond the reach, is answered exactly as one that nobody ever
 * made.
 */
const NOT_FOUND: VoucherRefusal = {
  code: 'VOUCHER_NOT_FOUND',
  message: 'This code is not one of ours. Compare it with the code as it was given to you, and try again.',
};

/** By the hash, which is one look-up whatever was typed. What can only be a slip is no guess. */
export async function lookUpCode(database: Kysely<Tables>, ask: RedemptionAsk): Promise<CodeLookup> {
  if (ask.code === '' || isMistyped(ask.code)) return { kind: 'refused', refusal: NOT_FOUND };
  let select = database
    .selectFrom('voucher_code')
    .selectAll()
    .where('environment_id', '=', ask.environment.id)
    .where('hash', '=', hashCode(ask.environment.id, ask.code))
    .limit(2);
  if (ask.product !== null) select = select.where('product_id', '=', ask.product.id);
  const codes = await select.execute();
  const [code] = codes;
  if (code === undefined) return { kind: 'missed', refusal: NOT_FOUND };
  if (codes.length > 1) {
    const message = 'Two products have this code. Say which is meant by `product`.';
    return { kind: 'refused', refusal: { code: 'VOUCHER_CODE_AMBIGUOUS', message, pointer: '/product' } };
  }
  const voucher = await database
    .selectFrom('voucher')
    .selectAll()
    .where('id', '=', code.voucher_id)
    .executeTakeFirstOrThrow();
  return { kind: 'found', found: { voucher, code } };
}
