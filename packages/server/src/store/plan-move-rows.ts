import type { Instant } from '@pennon/engine/model/customer';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { LicenseRow } from '../service/contracts/license-record.js';
import type { PlanMoveItemRow, PlanMoveRow } from '../service/contracts/plan-move-record.js';
import { fromInstant } from './instant.js';
import type { PlanMoveItemState, Tables } from './tables.js';

/* The statements of plan moves: what a process works on, pages over licenses and items, and counts that move with them. */

export interface LicenseOfMove extends LicenseRow {
  readonly customer_key: string;
}

/** A process that does not renew its lease for so long has died, and another one goes on. */
const LEASE = sql`interval '15 seconds'`;

/** Takes the oldest move that has work and no living process at it. */
export async function claimMove(database: Kysely<Tables>, holder: string): Promise<PlanMoveRow | null> {
  const { rows } = await sql<PlanMoveRow>`
    update plan_move set lease_holder = ${holder}, lease_until = now() + ${LEASE}
    where id = (select id from plan_move
      where status in ('previewing', 'running', 'undoing') and (lease_until is null or lease_until < now())
      order by created_at limit 1 for update skip locked)
    returning *`.execute(database);
  return rows[0] ?? null;
}

/**
 * INVARIANT: every transaction of the work begins with this. Who has lost the lease, or was told to stop, writes nothing.
 * `null`: lost, or no longer of that status.
 */
export async function holdMove(
  transaction: Transaction<Tables>,
  holder: string,
  move: Pick<PlanMoveRow, 'id' | 'status'>,
): Promise<PlanMoveRow | null> {
  const { rows } = await sql<PlanMoveRow>`
    update plan_move set lease_until = now() + ${LEASE}
    where id = ${move.id} and lease_holder = ${holder} and status = ${move.status}
    returning *`.execute(transaction);
  return rows[0] ?? null;
}

export async function releaseMove(database: Kysely<Tables>, holder: string, id: string): Promise<void> {
  await sql`update plan_move set lease_holder = null, lease_until = null
    where id = ${id} and lease_holder = ${holder}`.execute(database);
}

/** It cannot go on as things are; it is tried again later, and says why meanwhile. Until then those behind it have their turn. */
export async function noteFault(database: Kysely<Tables>, id: string, fault: string): Promise<void> {
  await sql`update plan_move set fault = ${fault}, lease_until = now() + interval '5 seconds'
    where id = ${id} and lease_holder is null`.execute(database);
}

/** The next page of licenses that are to the move's plan version now, in the order of (customer, license). */
export async function licensesToMove(
  database: Kysely<Tables>,
  move: PlanMoveRow,
  now: Instant,
  limit: number,
): Promise<readonly LicenseOfMove[]> {
  const at = fromInstant(now);
  const conditions = [
    sql`l.environment_id = ${move.environment_id} and l.product_id = ${move.product_id}`,
    sql`l.status <> 'ended' and (l.ends_at is null or l.ends_at > ${at})`,
    sql`c.archived_at is null`,
  ];
  if (move.cursor_customer_id !== null && move.cursor_license_id !== null) {
    conditions.push(
      sql`(l.customer_id, l.id) > (${move.cursor_customer_id}::uuid, ${move.cursor_license_id}::uuid)`,
    );
  }
  if (move.customers !== null) {
    conditions.push(sql`c.key = any(${move.customers as unknown as string[]}::text[])`);
  }
  const where = sql.join(conditions, sql` and `);
  const one = (plan: ReturnType<typeof sql>) => sql`(select l.*, c.key as customer_key
      from license l join customer c on c.id = l.customer_id
      where ${plan} and ${where} order by l.customer_id, l.id limit ${limit})`;
  const present = sql`l.plan_key = ${move.from_plan} and l.plan_version = ${move.from_version}
      and (l.next_plan_at is null or l.next_plan_at > ${at})`;
  const byClock = sql`l.next_plan_key = ${move.from_plan} and l.next_plan_version = ${move.from_version}
      and l.next_plan_at <= ${at}`;
  const { rows } = await sql<LicenseOfMove>`
    select * from (${one(present)} union all ${one(byClock)}) found
    order by customer_id, id limit ${limit}`.execute(database);
  return rows;
}

export interface SelectedItem {
  readonly customerId: string;
  readonly licenseId: string;
  readonly customerKey: string;
  readonly gains: boolean;
  readonly loses: boolean;
  readonly over: boolean;
  readonly effect: string;
}

export async function insertItems(
  transaction: Transaction<Tables>,
  move: PlanMoveRow,
  items: readonly SelectedItem[],
): Promise<void> {
  if (items.length === 0) return;
  const column = (read: (item: SelectedItem) => unknown) => items.map(read);
  await sql`
    insert into plan_move_item (move_id, customer_id, license_id, environment_id, customer_key, state, gains, loses,
      over, effect)
    select ${move.id}::uuid, i.customer_id, i.license_id, ${move.environment_id}::uuid, i.customer_key, 'selected',
      i.gains, i.loses, i.over, i.effect
    from unnest(${column((item) => item.customerId)}::uuid[], ${column((item) => item.licenseId)}::uuid[],
      ${column((item) => item.customerKey)}::text[], ${column((item) => item.gains)}::boolean[],
      ${column((item) => item.loses)}::boolean[], ${column((item) => item.over)}::boolean[],
      ${column((item) => item.effect)}::text[])
      as i (customer_id, license_id, customer_key, gains, loses, over, effect)`.execute(transaction);
}

/** The next items of a state, locked; those that another process has are passed over. */
export async function takeItems(
  transaction: Transaction<Tables>,
  moveId: string,
  state: PlanMoveItemState,
  limit: number,
  dueAfter: Instant | null = null,
): Promise<readonly PlanMoveItemRow[]> {
  let select = transaction
    .selectFrom('plan_move_item')
    .selectAll()
    .where('move_id', '=', moveId)
    .where('state', '=', state)
    .orderBy('customer_id')
    .orderBy('license_id')
    .limit(limit)
    .forUpdate()
    .skipLocked();
  if (dueAfter !== null) select = select.where('due_at', '>', fromInstant(dueAfter));
  return select.execute();
}

/** Their licenses, with the customers locked in the order of their keys, as every change of many customers does. */
export async function lockLicenses(
  transaction: Transaction<Tables>,
  items: readonly PlanMoveItemRow[],
): Promise<ReadonlyMap<string, LicenseRow>> {
  const customers = [...new Set(items.map((item) => item.customer_id))];
  await sql`select 1 from customer where id = any(${customers}::uuid[]) order by key for update`.execute(
    transaction,
  );
  const { rows } = await sql<LicenseRow>`
    select l.* from license l
    join unnest(${items.map((item) => item.customer_id)}::uuid[], ${items.map((item) => item.license_id)}::uuid[])
      as asked (customer_id, id) on l.customer_id = asked.customer_id and l.id = asked.id`.execute(
    transaction,
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** Writes what their plans are and will be, all in one statement, and raises their versions. */
export async function writePlans(
  transaction: Transaction<Tables>,
  licenses: readonly LicenseRow[],
): Promise<readonly LicenseRow[]> {
  if (licenses.length === 0) return [];
  const column = (read: (license: LicenseRow) => unknown) => licenses.map(read);
  const { rows } = await sql<LicenseRow>`
    update license set plan_key = n.plan_key, plan_version = n.plan_version, anchor = n.anchor, sku = n.sku,
      earlier_plans = n.earlier_plans::jsonb, next_plan_key = n.next_plan_key,
      next_plan_version = n.next_plan_version, next_plan_at = n.next_plan_at, next_anchor = n.next_anchor,
      next_move_id = n.next_move_id, version = license.version + 1
    from unnest(${column((one) => one.customer_id)}::uuid[], ${column((one) => one.id)}::uuid[],
      ${column((one) => one.plan_key)}::text[], ${column((one) => one.plan_version)}::integer[],
      ${column((one) => one.anchor)}::text[], ${column((one) => one.sku)}::text[],
      ${column((one) => JSON.stringify(one.earlier_plans))}::text[],
      ${column((one) => one.next_plan_key)}::text[], ${column((one) => one.next_plan_version)}::integer[],
      ${column((one) => one.next_plan_at)}::timestamptz[], ${column((one) => one.next_anchor)}::text[],
      ${column((one) => one.next_move_id)}::uuid[])
      as n (customer_id, id, plan_key, plan_version, anchor, sku, earlier_plans, next_plan_key, next_plan_version,
        next_plan_at, next_anchor, next_move_id)
    where license.customer_id = n.customer_id and license.id = n.id
    returning license.*`.execute(transaction);
  return rows;
}

export interface ItemOutcome {
  readonly licenseId: string;
  readonly customerId: string;
  readonly from: PlanMoveItemState;
  readonly state: PlanMoveItemState;
  readonly code: string | null;
  readonly message: string | null;
  readonly dueAt: Instant | null;
}

/** Writes what became of items, and moves the counts with them: not the version, which is of what a person changes. */
export async function settleItems(
  transaction: Transaction<Tables>,
  moveId: string,
  outcomes: readonly ItemOutcome[],
): Promise<void> {
  if (outcomes.length === 0) return;
  const column = (read: (outcome: ItemOutcome) => unknown) => outcomes.map(read);
  await sql`
    update plan_move_item set state = o.state, code = o.code, message = o.message, due_at = o.due_at
    from unnest(${column((one) => one.customerId)}::uuid[], ${column((one) => one.licenseId)}::uuid[],
      ${column((one) => one.state)}::text[], ${column((one) => one.code)}::text[],
      ${column((one) => one.message)}::text[],
      ${column((one) => (one.dueAt === null ? null : fromInstant(one.dueAt)))}::timestamptz[])
      as o (customer_id, license_id, state, code, message, due_at)
    where plan_move_item.move_id = ${moveId} and plan_move_item.customer_id = o.customer_id
      and plan_move_item.license_id = o.license_id`.execute(transaction);
  const of = (state: PlanMoveItemState) =>
    outcomes.filter((one) => one.state === state).length -
    outcomes.filter((one) => one.from === state).length;
  await sql`
    update plan_move set applied = applied + ${of('applied')}, failed = failed + ${of('failed')},
      skipped = skipped + ${of('skipped')}, undone = undone + ${of('undone')}
    where id = ${moveId}`.execute(transaction);
}
