import type { GrantEffect, TargetKind } from '@pennon/engine/model/customer';
import { DEFAULT_LOT_PRIORITY } from '@pennon/engine/model/limits';
import { sql } from 'kysely';
import { toInstantOrNull } from '../../store/instant.js';
import type { ProductRecord } from '../ports.js';
import type { DataChange } from './data-change.js';
import type { GrantRow } from './grant-record.js';
import { type LotNames, type LotRow, lotEntry, toApiTopUp } from './lot-record.js';
import { type LotOwner, lockLot, makeLot, voidLot } from './make-lots.js';
import { refuse } from './refusals.js';

/* A grant whose effect is `topUp` makes one balance, which begins, ends and is taken back with it. */

interface GrantTarget {
  readonly kind: TargetKind;
  readonly key: string;
}

function topUpOf(row: GrantRow): Extract<GrantEffect, { type: 'topUp' }> | null {
  const effect = JSON.parse(row.effect) as GrantEffect;
  return effect.type === 'topUp' ? effect : null;
}

/** A balance is a row of one customer's account: unlike other grants it cannot wait for somebody who is not there yet. */
async function ownerOf(change: DataChange, target: GrantTarget): Promise<LotOwner> {
  const keys = await customersOf(change, target);
  const [key] = keys;
  const customer = key === undefined || keys.length > 1 ? null : await change.lockCustomer(key);
  if (customer !== null) return { customer, target: { kind: target.kind, key: target.key } };
  const what =
    keys.length > 1
      ? `The user \`${target.key}\` belongs to ${keys.length} customers, so that a balance would be of nobody knows which. Make it with POST …/customers/{customer}/top-ups.`
      : `The ${target.kind} \`${target.key}\` is not known, and a balance needs somebody whose it is. Create it first.`;
  throw refuse('unprocessable', 'TOP_UP_TARGET_UNKNOWN', what, '/target/key');
}

async function customersOf(change: DataChange, target: GrantTarget): Promise<readonly string[]> {
  if (target.kind === 'customer') return [target.key];
  const table = target.kind === 'user' ? 'customer_user' : 'instance';
  const rows = await change.transaction
    .selectFrom(table)
    .innerJoin('customer', 'customer.id', `${table}.customer_id`)
    .select('customer.key')
    .where(`${table}.environment_id`, '=', change.environmentId)
    .where(`${table}.key`, '=', target.key)
    .limit(2)
    .execute();
  return rows.map((row) => row.key);
}

/** @param rows as they were just made. */
export async function makeGrantedLots(
  change: DataChange,
  product: ProductRecord,
  rows: readonly GrantRow[],
): Promise<void> {
  for (const row of rows) {
    const effect = topUpOf(row);
    if (effect === null) continue;
    const owner = await ownerOf(change, { kind: row.target_kind, key: row.target_key });
    await makeLot(change, {
      ...owner,
      product,
      feature: effect.feature,
      kind: effect.lot ?? (row.kind === 'voucher' ? 'promotional' : 'topup'),
      priority: effect.priority ?? DEFAULT_LOT_PRIORITY,
      amount: effect.amount,
      startsAt: row.starts_at.getTime(),
      endsAt: toInstantOrNull(row.ends_at),
      source: row.source,
      reason: row.reason,
      grantId: row.id,
    });
  }
}

async function lockedLots(
  change: DataChange,
  row: GrantRow,
): Promise<readonly (LotRow & { readonly customer_key: string })[]> {
  const lots = change.transaction
    .selectFrom('credit_lot')
    .innerJoin('customer', 'customer.id', 'credit_lot.customer_id')
    .selectAll('credit_lot')
    .select('customer.key as customer_key')
    .where('grant_id', '=', row.id);
  const [found] = await lots.execute();
  if (found === undefined) return [];
  await change.lockCustomer(found.customer_key);
  return lots.execute();
}

/** After grants were changed alike: their balances end when they do, and what is left of those that were taken back is gone. */
export async function changeGrantedLots(
  change: DataChange,
  product: ProductRecord,
  rows: readonly GrantRow[],
  action: 'grant.extend' | 'grant.change' | 'grant.revoke',
): Promise<void> {
  if (action === 'grant.change') return;
  for (const row of rows) {
    if (topUpOf(row) === null) continue;
    for (const { customer_key: customer, ...found } of await lockedLots(change, row)) {
      const lot = await lockLot(change, found);
      const target = { kind: row.target_kind, key: row.target_key };
      const names: LotNames = { customer, product: product.key, target };
      if (action === 'grant.extend') await extendLot(change, row, lot, names);
      else if (lot.voided_at === null) await voidLot(change, lot, names, row.revoke_reason ?? row.reason);
    }
  }
}

/** One that had ended goes on with what was left of it. */
async function extendLot(change: DataChange, row: GrantRow, lot: LotRow, names: LotNames): Promise<void> {
  if (lot.voided_at !== null) return;
  const saved = await change.transaction
    .updateTable('credit_lot')
    .set({ ends_at: row.ends_at, closed_at: null, version: lot.version + 1 })
    .where('customer_id', '=', lot.customer_id)
    .where('id', '=', lot.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  await sql`
    update account set has_lots = true
    where customer_id = ${lot.customer_id} and product_id = ${lot.product_id} and feature = ${lot.feature}
      and scope = ${lot.scope}`.execute(change.transaction);
  await change.record(lotEntry(saved, toApiTopUp(saved, names, change.now), 'top-up.extend'));
}
