import type { Instant } from '@pennon/engine/model/customer';
import type { AccountKey, BatchWrite, LockRequest } from './account-transaction.js';
import { numberArray, textArray } from './array-literal.js';
import type { GroupStatement } from './statement-group.js';

/* Which thing holds how many units of what never resets: part of a consume transaction only where a request names a holder. */

const AT = (milliseconds: string) => `to_timestamp(${milliseconds} / 1000.0)`;

export interface HolderKey extends AccountKey {
  readonly holder: string;
}

export interface StoredHolder extends HolderKey {
  readonly amount: number;
}

// Each is one descent of the key, whatever plan was kept.
const FIND_HOLDERS = `
select n.feature, n.scope, n.holder, h.amount
from unnest($3::text[], $4::text[], $5::text[]) as n (feature, scope, holder)
cross join lateral (select amount from usage_holder h where h.customer_id = $1::uuid and h.product_id = $2::uuid
  and h.feature = n.feature and h.scope = n.scope and h.holder = n.holder offset 0) h`;

const PUT_HOLDERS = `
insert into usage_holder (customer_id, product_id, feature, scope, holder, environment_id, amount, since)
select $1::uuid, $2::uuid, n.feature, n.scope, n.holder, $3::uuid, n.amount, ${AT('$4::bigint')}
from unnest($5::text[], $6::text[], $7::text[], $8::bigint[]) as n (feature, scope, holder, amount)
on conflict (customer_id, product_id, feature, scope, holder) do update set amount = excluded.amount`;

const REMOVE_HOLDERS = `
delete from usage_holder h
using (select found.place from unnest($3::text[], $4::text[], $5::text[]) as n (feature, scope, holder)
  cross join lateral (select h.ctid as place from usage_holder h where h.customer_id = $1::uuid and h.product_id = $2::uuid
    and h.feature = n.feature and h.scope = n.scope and h.holder = n.holder offset 0) found) n
where h.ctid = n.place`;

function keyColumns(holders: readonly HolderKey[]): string[] {
  return [
    textArray(holders.map((one) => one.feature)),
    textArray(holders.map((one) => one.scope)),
    textArray(holders.map((one) => one.holder)),
  ];
}

export function findHoldersStatement({
  customerId,
  productId,
  holders,
}: LockRequest): readonly GroupStatement[] {
  if (holders.length === 0) return [];
  return [
    { name: 'holder-find', text: FIND_HOLDERS, values: [customerId, productId, ...keyColumns(holders)] },
  ];
}

export function toHolder(row: readonly (string | null)[]): StoredHolder {
  const [feature, scope, holder, amount] = row;
  return { feature: feature ?? '', scope: scope ?? '', holder: holder ?? '', amount: Number(amount) };
}

/** What a batch writes of holders, where it changed any: one that holds nothing any more is none. */
export function holderStatements(request: LockRequest, write: BatchWrite): readonly GroupStatement[] {
  const { customerId, productId } = request;
  const kept = write.holders.filter(({ amount }) => amount > 0);
  const gone = write.holders.filter(({ amount }) => amount === 0);
  const statements: GroupStatement[] = [];
  if (kept.length > 0) statements.push(putStatement(request, write.now, kept));
  if (gone.length > 0) {
    const values = [customerId, productId, ...keyColumns(gone)];
    statements.push({ name: 'holder-remove', text: REMOVE_HOLDERS, values });
  }
  return statements;
}

function putStatement(request: LockRequest, now: Instant, kept: readonly StoredHolder[]): GroupStatement {
  const { customerId, productId, environmentId } = request;
  const amounts = numberArray(kept.map((one) => one.amount));
  const values = [customerId, productId, environmentId, String(now), ...keyColumns(kept), amounts];
  return { name: 'holder-put', text: PUT_HOLDERS, values };
}
