import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import type { BillingConnectionTable, WebhookInboxTable } from './billing-tables.js';
import type { Tables } from './tables.js';

export type BillingConnectionRow = Selectable<BillingConnectionTable>;
export type InboxRow = Selectable<WebhookInboxTable>;

/** Whether it is still there; it is not removed before the transaction ends. */
export async function holdBillingConnection(transaction: Transaction<Tables>, id: string): Promise<boolean> {
  const row = await transaction
    .selectFrom('billing_connection')
    .select('id')
    .where('id', '=', id)
    .forKeyShare()
    .executeTakeFirst();
  return row !== undefined;
}

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

/** What was told to the endpoint itself, by the provider's id. */
export async function findDelivery(
  database: Kysely<Tables>,
  connectionId: string,
  eventId: string,
): Promise<InboxRow | null> {
  const row = await database
    .selectFrom('webhook_inbox')
    .selectAll()
    .where('connection_id', '=', connectionId)
    .where('account', '=', '')
    .where('event_id', '=', eventId)
    .executeTakeFirst();
  return row ?? null;
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
    select w.waiting, w.oldest_at, d.dead
    from (select count(*) as waiting, min(occurred_at) as oldest_at from webhook_inbox where state = 'waiting') w,
      (select count(*) as dead from webhook_inbox where state = 'dead') d`.execute(database);
  const [row] = rows;
  return { waiting: row?.waiting ?? 0, oldestAt: row?.oldest_at ?? null, dead: row?.dead ?? 0 };
}

/** Deliveries that nobody repeats any more; what waits, or is dead, stays as long as its connection does. */
export async function forgetDeliveries(
  database: Kysely<Tables>,
  before: Date,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from webhook_inbox where ctid = any(array(
      select ctid from webhook_inbox i
      where received_at < ${before} and (state in ('done', 'ignored')
        or not exists (select from billing_connection c where c.id = i.connection_id)) limit ${limit}))`.execute(
    database,
  );
  return Number(numAffectedRows ?? 0);
}

/** Customers whose rights by billing the clock alone changes; those that are due for longest first. */
export async function customersToDecideAgain(
  database: Kysely<Tables>,
  now: Date,
  limit: number,
): Promise<{ readonly environmentId: string; readonly key: string; readonly id: string }[]> {
  return database
    .selectFrom('billing_subscription')
    .innerJoin('billing_customer', (join) =>
      join
        .onRef('billing_customer.connection_id', '=', 'billing_subscription.connection_id')
        .onRef('billing_customer.customer', '=', 'billing_subscription.customer'),
    )
    .innerJoin('customer', 'customer.id', 'billing_customer.customer_id')
    .select(['customer.environment_id as environmentId', 'customer.key', 'customer.id'])
    .where('billing_subscription.again_at', '<=', now)
    .groupBy(['customer.environment_id', 'customer.key', 'customer.id'])
    .orderBy(({ fn }) => fn.min('billing_subscription.again_at'))
    .limit(limit)
    .execute();
}

/** Of a customer of whom nothing could be decided: others come first. */
export async function postponeDeciding(
  database: Kysely<Tables>,
  customerId: string,
  now: Date,
  until: Date,
): Promise<void> {
  await sql`
    update billing_subscription s set again_at = ${until} from billing_customer b
    where b.customer_id = ${customerId} and s.connection_id = b.connection_id and s.customer = b.customer
      and s.again_at <= ${now}`.execute(database);
}

export interface Linkable {
  readonly connectionId: string;
  readonly environmentId: string;
  /** The provider's customer. */
  readonly customer: string;
  /** Ours. */
  readonly key: string;
}

/** What waits for a customer that is there now. */
export async function findLinkable(database: Kysely<Tables>, limit: number): Promise<readonly Linkable[]> {
  const { rows } = await sql<Linkable>`
    select distinct s.connection_id as "connectionId", s.environment_id as "environmentId", s.customer, c.key
    from billing_problem p
    join billing_subscription s on s.connection_id = p.connection_id and s.subscription = p.subscription
    join customer c on c.environment_id = s.environment_id and c.erased_at is null
      and c.key = s.record::json #>> '{latest,subscription,customerKey}'
    where p.code = 'CUSTOMER_NOT_LINKED' limit ${limit}`.execute(database);
  return rows;
}

/** Connections that can be asked for everything, and were not since; those that waited longest first. */
export async function dueForReconciling(
  database: Kysely<Tables>,
  before: Date,
): Promise<BillingConnectionRow[]> {
  return database
    .selectFrom('billing_connection')
    .selectAll()
    .where('provider', '=', 'stripe')
    .where('api_key', 'is not', null)
    .where((where) => where.or([where('reconciled_at', 'is', null), where('reconciled_at', '<', before)]))
    .orderBy(sql`reconciled_at nulls first`)
    .orderBy('id')
    .execute();
}

/** `null`: it is to be asked again soon. */
export async function noteReconciled(database: Kysely<Tables>, id: string, at: Date | null): Promise<void> {
  await database.updateTable('billing_connection').set({ reconciled_at: at }).where('id', '=', id).execute();
}
