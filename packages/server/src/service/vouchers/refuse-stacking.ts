import { fromInstant } from '../../store/instant.js';
import type { CustomerRow } from '../contracts/customer-record.js';
import type { DataChange } from '../contracts/data-change.js';
import type { VoucherRow } from './voucher-record.js';
import type { VoucherRefusal } from './voucher-refusal.js';

type Stacking = Pick<VoucherRow, 'stacking' | 'stacking_group'>;

/** Whether one insists on being alone, and the other is among those that it does not suffer. */
function excludes(one: Stacking, other: Stacking): boolean {
  if (one.stacking !== 'exclusive') return false;
  return one.stacking_group === null || one.stacking_group === other.stacking_group;
}

/**
 * An exclusive voucher is never in force beside another one of the product; with a group, beside another one of that group. It holds
 * both ways: whichever was first stays, the second is refused until the first has ended.
 */
export async function refuseStacking(
  change: DataChange,
  customer: CustomerRow | null,
  voucher: VoucherRow,
): Promise<VoucherRefusal | null> {
  if (customer === null) return null;
  const held = await change.transaction
    .selectFrom('voucher_redemption')
    .innerJoin('voucher', 'voucher.id', 'voucher_redemption.voucher_id')
    .select([
      'voucher_redemption.id',
      'voucher_redemption.ends_at',
      'voucher.key',
      'voucher.stacking',
      'voucher.stacking_group',
    ])
    .where('voucher_redemption.customer_id', '=', customer.id)
    .where('voucher_redemption.product_id', '=', voucher.product_id)
    .where('voucher_redemption.revoked_at', 'is', null)
    .where((where) =>
      where.or([
        where('voucher_redemption.ends_at', 'is', null),
        where('voucher_redemption.ends_at', '>', fromInstant(change.now)),
      ]),
    )
    .orderBy('voucher_redemption.id')
    .execute();
  const other = held.find((one) => excludes(voucher, one) || excludes(one, voucher));
  if (other === undefined) return null;
  const until = other.ends_at === null ? '' : ` until ${other.ends_at.toISOString()}`;
  return {
    code: 'VOUCHER_NOT_STACKABLE',
    message: `It cannot be in force beside the voucher \`${other.key}\`, which this customer has${until}.`,
    details: { redemption: other.id },
  };
}
