import { type Kysely, type Selectable, sql } from 'kysely';
import type { BillingConnectionTable, WebhookInboxTable } from './billing-tables.js';
import type { Tables } from './tables.js';

export type BillingConnectionRow = Selectable<BillingConnectionTable>;
export type InboxRow = Selectable<WebhookInboxTable>;

export async function findBillingConnection(
  database: Kysely<Tables>,
  id: string,
): Promise<BillingConnectionRow | null> {
  const row = await database
    .selectFrom('billing_connection')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
  return row ?? null;
}

/** Answers whether it was not there before. */
export async function insertDelivery(
  database: Kysely<Tables>,
  row: Omit<InboxRow, 'attempts'>,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await database
    .insertInto('webhook_inbox')
    .values(row)
    .onConflict((conflict) => conflict.columns(['connection_id', 'account', 'event_id']).doNothing())
    .executeTakeFirstOrThrow();
  return (numInsertedOrUpdatedRows ?? 0n) > 0n;
}

/** What is to be worked on, the oldest first. */
export async function dueDeliveries(database: Kysely<Tables>, now: Date, limit: number): Promise<InboxRow[]> {
  return database
    .selectFrom('webhook_inbox')
    .selectAll()
    .where('state', '=', 'waiting')
    .where('due_at', '<=', now)
    .orderBy('due_at')
    .orderBy('id')
    .limit(limit)
    .execute();
}

type DeliveryName = Pick<InboxRow, 'connection_id' | 'account' | 'event_id'>;

/** What became of it; nothing where somebody else was first. */
export async function settleDelivery(
  database: Kysely<Tables>,
  name: DeliveryName,
  change: Partial<Pick<InboxRow, 'state' | 'attempts' | 'due_at' | 'problem'>>,
): Promise<void> {
  await database
    .updateTable('webhook_inbox')
    .set(change)
    .where('connection_id', '=', name.connection_id)
    .where('account', '=', name.account)
    .where('event_id', '=', name.event_id)
    .where('state', '=', 'waiting')
    .execute();
}

/** Dead letters of a connection wait again, all or those named. Answers how many. */
export async function reviveDeliveries(
  database: Kysely<Tables>,
  connectionId: string,
  ids: readonly string[] | null,
  now: Date,
): Promise<number> {
  const { numUpdatedRows } = await database
    .updateTable('webhook_inbox')
    .set({ state: 'waiting', attempts: 0, due_at: now })
    .where('connection_id', '=', connectionId)
    .where('state', '=', 'dead')
    .$if(ids !== null, (update) => update.where('id', '=', sql<string>`any(${[...(ids ?? [])]}::uuid[])`))
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows);
}

/** How many wait, how long ago the oldest of them happened, and how many are dead. */
export interface InboxStanding {
  readonly waiting: number;
  readonly oldestAt: Date | null;
  readonly dead: number;
}

export async function readInboxStanding(database: Kysely<Tables>): Promise<InboxStanding> {
  const { rows } = await sql<{ waiting: number; oldest_at: Date | null; dead: number }>`
    select count(*) filter (where state = 'waiting') as waiting,
      min(occurred_at) filter (where state = 'waiting') as oldest_at,
      count(*) filter (where state = 'dead') as dead
    from webhook_inbox where state in ('waiting', 'dead')`.execute(database);
  const [row] = rows;
  return { waiting: row?.waiting ?? 0, oldestAt: row?.oldest_at ?? null, dead: row?.dead ?? 0 };
}

/** Deliveries that nobody repeats any more; what waits, or is dead, stays. */
export async function forgetDeliveries(
  database: Kysely<Tables>,
  before: Date,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from webhook_inbox where ctid = any(array(
      select ctid from webhook_inbox
      where received_at < ${before} and state in ('done', 'ignored') limit ${limit}))`.execute(database);
  return Number(numAffectedRows ?? 0);
}

/** Customers whose rights by billing the clock alone changes. */
export async function customersToDecideAgain(
  database: Kysely<Tables>,
  now: Date,
  limit: number,
): Promise<{ readonly environmentId: string; readonly key: string }[]> {
  return database
    .selectFrom('billing_subscription')
    .innerJoin('billing_customer', (join) =>
      join
        .onRef('billing_customer.connection_id', '=', 'billing_subscription.connection_id')
        .onRef('billing_customer.customer', '=', 'billing_subscription.customer'),
    )
    .innerJoin('customer', 'customer.id', 'billing_customer.customer_id')
    .select(['customer.environment_id as environmentId', 'customer.key'])
    .distinct()
    .where('billing_subscription.again_at', '<=', now)
    .limit(limit)
    .execute();
}
