import type { CustomerRow } from '../contracts/customer-record.js';
import type { DataChange } from '../contracts/data-change.js';
import { isId } from '../new-id.js';
import type { RedemptionAsk } from './redemption-ask.js';
import type { VoucherRow } from './voucher-record.js';
import type { VoucherRefusal } from './voucher-refusal.js';

export interface RedemptionTarget {
  readonly kind: 'customer' | 'instance' | 'user';
  readonly key: string;
}

export type TargetResult =
  | { readonly kind: 'target'; readonly target: RedemptionTarget }
  | { readonly kind: 'refused'; readonly refusal: VoucherRefusal };

/**
 * Exactly whom the grants are for (K-8). Whoever is named along with a customer must be that customer's: else a redemption of one would
 * give to another.
 */
export async function resolveTarget(
  change: DataChange,
  ask: RedemptionAsk,
  customer: CustomerRow | null,
  voucher: VoucherRow,
): Promise<TargetResult> {
  const instance = await instanceKey(change, ask, customer);
  if (instance === 'foreign') return foreign('instance', ask.instanceRef);
  if (await isForeignUser(change, ask, customer)) return foreign('user', ask.userKey);
  switch (voucher.target_kind) {
    case 'customer':
      return { kind: 'target', target: { kind: 'customer', key: ask.customerKey } };
    case 'instance':
      return instance === null ? missing('instance') : target('instance', instance.key);
    case 'user':
      return ask.userKey === null ? missing('user') : target('user', ask.userKey);
  }
}

function target(kind: RedemptionTarget['kind'], key: string): TargetResult {
  return { kind: 'target', target: { kind, key } };
}

function missing(kind: 'instance' | 'user'): TargetResult {
  const message = `This code is for one ${kind} of the customer: name the \`${kind}\` as well.`;
  return { kind: 'refused', refusal: { code: 'VOUCHER_TARGET_REQUIRED', message, pointer: `/${kind}` } };
}

function foreign(kind: 'instance' | 'user', key: string | null): TargetResult {
  const message = `The customer has no ${kind} \`${key ?? ''}\`. Register it with PUT …/customers/{customer}/${kind}s/{key}, or name another.`;
  return { kind: 'refused', refusal: { code: 'VOUCHER_TARGET_REFUSED', message, pointer: `/${kind}` } };
}

async function instanceKey(
  change: DataChange,
  { environment, instanceRef }: RedemptionAsk,
  customer: CustomerRow | null,
): Promise<{ readonly key: string } | 'foreign' | null> {
  if (instanceRef === null) return null;
  if (customer === null) return 'foreign';
  const row = await change.transaction
    .selectFrom('instance')
    .select('key')
    .where('environment_id', '=', environment.id)
    .where('customer_id', '=', customer.id)
    .where((where) =>
      isId(instanceRef)
        ? where.or([where('key', '=', instanceRef), where('id', '=', instanceRef)])
        : where('key', '=', instanceRef),
    )
    .limit(1)
    .executeTakeFirst();
  return row ?? 'foreign';
}

/** Users that nobody registered yet are welcome; one who belongs to others only is not this customer's. */
async function isForeignUser(
  change: DataChange,
  { environment, userKey, userProven }: RedemptionAsk,
  customer: CustomerRow | null,
): Promise<boolean> {
  if (userKey === null || userProven) return false;
  const rows = await change.transaction
    .selectFrom('customer_user')
    .select('customer_id')
    .where('environment_id', '=', environment.id)
    .where('key', '=', userKey)
    .execute();
  return rows.length > 0 && !rows.some((row) => row.customer_id === customer?.id);
}
