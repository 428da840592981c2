import type { Instant } from '@pennon/engine/model/customer';
import type { AccountKey, LockRequest } from './account-transaction.js';
import { numberArray, textArray } from './array-literal.js';
import type { GroupStatement } from './statement-group.js';

/* Which thing holds how many units of what never resets: part of a transaction only where somebody names a holder. */

const AT = (milliseconds: string) => `to_timestamp(${milliseconds} / 1000.0)`;

export interface HolderKey extends AccountKey {
  readonly holder: string;
}

export interface StoredHolder extends HolderKey {
  readonly amount: number;
}

// Each is one descent of the key, whatever plan was kept.
const FIND_HOLDERS = `
select n.customer_id, n.feature, n.scope, n.holder, h.amount
from unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) as n (customer_id, feature, scope, holder)
cross join lateral (select amount from usage_holder h where h.customer_id = n.customer_id and h.product_id = $1::uuid
  and h.feature = n.feature and h.scope = n.scope and h.holder = n.holder offset 0) h`;

const PUT_HOLDERS = `
insert into usage_holder (customer_id, product_id, feature, scope, holder, environment_id, amount, since)
select n.customer_id, $1::uuid, n.feature, n.scope, n.holder, $2::uuid, n.amount, ${AT('$3::bigint')}
from unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::bigint[]) as n (customer_id, feature, scope, holder, amount)
on conflict (customer_id, product_id, feature, scope, holder) do update set amount = excluded.amount`;

const REMOVE_HOLDERS = `
delete from usage_holder h
using (select found.place from unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) as n (customer_id, feature, scope, holder)
  cross join lateral (select h.ctid as place from usage_holder h where h.customer_id = n.customer_id and h.product_id = $1::uuid
    and h.feature = n.feature and h.scope = n.scope and h.holder = n.holder offset 0) found) n
where h.ctid = n.place`;

/** A holder of one of several customers. */
export type CustomerHolderKey = HolderKey & { readonly customerId: string };
export type CustomerHolder = StoredHolder & { readonly customerId: string };

type OfProduct = Pick<LockRequest, 'productId' | 'environmentId'>;

function keyColumns(holders: readonly CustomerHolderKey[]): string[] {
  return [
    textArray(holders.map((one) => one.customerId)),
    textArray(holders.map((one) => one.feature)),
    textArray(holders.map((one) => one.scope)),
    textArray(holders.map((one) => one.holder)),
  ];
}

/** Nothing where none is named, as nearly always. */
export function findHoldersStatement(
  productId: string,
  holders: readonly CustomerHolderKey[],
): readonly GroupStatement[] {
  if (holders.length === 0) return [];
  return [{ name: 'holder-find', text: FIND_HOLDERS, values: [productId, ...keyColumns(holders)] }];
}

export function toHolder(row: readonly (string | null)[]): CustomerHolder {
  const [customerId, feature, scope, holder, amount] = row;
  return {
    customerId: customerId ?? '',
    feature: feature ?? '',
    scope: scope ?? '',
    holder: holder ?? '',
    amount: Number(amount),
  };
}

/** What is written of holders, where any changed: one that holds nothing any more is none. */
export function holderStatements(
  request: OfProduct,
  now: Instant,
  holders: readonly CustomerHolder[],
): readonly GroupStatement[] {
  if (holders.length === 0) return [];
  const kept = holders.filter(({ amount }) => amount > 0);
  const gone = holders.filter(({ amount }) => amount === 0);
  const statements: GroupStatement[] = [];
  if (kept.length > 0) statements.push(putStatement(request, now, kept));
  if (gone.length > 0) {
    const values = [request.productId, ...keyColumns(gone)];
    statements.push({ name: 'holder-remove', text: REMOVE_HOLDERS, values });
  }
  return statements;
}

function putStatement(
  { productId, environmentId }: OfProduct,
  now: Instant,
  kept: readonly CustomerHolder[],
): GroupStatement {
  const amounts = numberArray(kept.map((one) => one.amount));
  const values = [productId, environmentId, String(now), ...keyColumns(kept), amounts];
  return { name: 'holder-put', text: PUT_HOLDERS, values };
}
