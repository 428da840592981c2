import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import type {
  BillingCustomerTable,
  BillingLicenseTable,
  BillingSubscriptionTable,
} from './billing-tables.js';
import type { Tables } from './tables.js';

export type BillingSubscriptionRow = Selectable<BillingSubscriptionTable>;
export type BillingLicenseRow = Selectable<BillingLicenseTable>;

/**
 * What a provider tells of one of its customers is worked on one after the other, whichever customer of ours it is linked to, or none.
 * Taken before every other lock.
 */
export async function lockBillingCustomer(
  transaction: Transaction<Tables>,
  connectionId: string,
  customer: string,
): Promise<void> {
  const name = `billing ${connectionId} ${customer}`;
  await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(transaction);
}

/** A subscription that is told of as two customers' at once is nobody's whole record else. After the customer's. */
export async function lockBillingSubscription(
  transaction: Transaction<Tables>,
  connectionId: string,
  subscription: string,
): Promise<void> {
  const name = `billing-subscription ${connectionId} ${subscription}`;
  await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(transaction);
}

/** Of ours, by its key; not locked, and `null` where it was erased or never was. */
export async function findCustomerId(
  database: Kysely<Tables>,
  environmentId: string,
  key: string,
): Promise<string | null> {
  const row = await database
    .selectFrom('customer')
    .select('id')
    .where('environment_id', '=', environmentId)
    .where('key', '=', key)
    .where('erased_at', 'is', null)
    .executeTakeFirst();
  return row?.id ?? null;
}

export async function findBillingCustomer(
  database: Kysely<Tables>,
  connectionId: string,
  customer: string,
): Promise<(Selectable<BillingCustomerTable> & { readonly key: string }) | null> {
  const row = await database
    .selectFrom('billing_customer')
    .innerJoin('customer', 'customer.id', 'billing_customer.customer_id')
    .selectAll('billing_customer')
    .select('customer.key')
    .where('billing_customer.connection_id', '=', connectionId)
    .where('billing_customer.customer', '=', customer)
    .executeTakeFirst();
  return row ?? null;
}

/** Whose it is from now on. */
export async function writeBillingCustomer(
  transaction: Transaction<Tables>,
  row: Selectable<BillingCustomerTable>,
): Promise<void> {
  const { customer_id, linked_at } = row;
  await transaction
    .insertInto('billing_customer')
    .values(row)
    .onConflict((conflict) =>
      conflict.columns(['connection_id', 'customer']).doUpdateSet({ customer_id, linked_at }),
    )
    .execute();
}

/** The licenses that a subscription gives, with the keys of their products. */
export async function licensesOfSubscription(
  database: Kysely<Tables>,
  customerId: string,
  connectionId: string,
  subscription: string,
) {
  return database
    .selectFrom('billing_license')
    .innerJoin('license', (join) =>
      join
        .onRef('license.customer_id', '=', 'billing_license.customer_id')
        .onRef('license.id', '=', 'billing_license.license_id'),
    )
    .innerJoin('product', 'product.id', 'license.product_id')
    .selectAll('license')
    .select('product.key as product')
    .where('billing_license.customer_id', '=', customerId)
    .where('billing_license.connection_id', '=', connectionId)
    .where('billing_license.subscription', '=', subscription)
    .orderBy('product.key')
    .orderBy('billing_license.slot')
    .execute();
}

export async function findBillingSubscription(
  database: Kysely<Tables>,
  connectionId: string,
  subscription: string,
): Promise<BillingSubscriptionRow | null> {
  const row = await database
    .selectFrom('billing_subscription')
    .selectAll()
    .where('connection_id', '=', connectionId)
    .where('subscription', '=', subscription)
    .executeTakeFirst();
  return row ?? null;
}

export async function writeBillingSubscription(
  transaction: Transaction<Tables>,
  row: Omit<BillingSubscriptionRow, 'version' | 'again_at'>,
): Promise<void> {
  await transaction
    .insertInto('billing_subscription')
    .values({ ...row, again_at: null, version: 1 })
    .onConflict((conflict) =>
      conflict.columns(['connection_id', 'subscription']).doUpdateSet((expression) => ({
        customer: row.customer,
        record: row.record,
        updated_at: row.updated_at,
        version: expression('billing_subscription.version', '+', 1),
      })),
    )
    .execute();
}

/** Every subscription of a customer of ours, over all connections of its environment. */
export async function billingSubscriptionsOf(
  database: Kysely<Tables>,
  customerId: string,
): Promise<(BillingSubscriptionRow & { readonly mapping: string })[]> {
  return database
    .selectFrom('billing_customer')
    .innerJoin('billing_connection', 'billing_connection.id', 'billing_customer.connection_id')
    .innerJoin('billing_subscription', (join) =>
      join
        .onRef('billing_subscription.connection_id', '=', 'billing_customer.connection_id')
        .onRef('billing_subscription.customer', '=', 'billing_customer.customer'),
    )
    .selectAll('billing_subscription')
    .select('billing_connection.mapping')
    .where('billing_customer.customer_id', '=', customerId)
    .execute();
}

export async function billingLicensesOf(
  database: Kysely<Tables>,
  customerId: string,
): Promise<BillingLicenseRow[]> {
  return database.selectFrom('billing_license').selectAll().where('customer_id', '=', customerId).execute();
}

export async function setAgainAt(
  transaction: Transaction<Tables>,
  subscription: Pick<BillingSubscriptionRow, 'connection_id' | 'subscription'>,
  againAt: Date | null,
): Promise<void> {
  await transaction
    .updateTable('billing_subscription')
    .set({ again_at: againAt })
    .where('connection_id', '=', subscription.connection_id)
    .where('subscription', '=', subscription.subscription)
    .where('again_at', 'is distinct from', againAt)
    .execute();
}

export interface ProblemRow {
  readonly code: string;
  readonly product: string | null;
  readonly name: string | null;
  readonly item: string | null;
  readonly isHeld: boolean;
}

/** What is to be resolved of a subscription, as it is now; since when is kept of what was there before. */
export async function replaceProblems(
  transaction: Transaction<Tables>,
  subscription: Pick<BillingSubscriptionRow, 'connection_id' | 'subscription' | 'environment_id'>,
  problems: readonly ProblemRow[],
  now: Date,
): Promise<void> {
  const { connection_id, environment_id } = subscription;
  const before = await transaction
    .deleteFrom('billing_problem')
    .where('connection_id', '=', connection_id)
    .where('subscription', '=', subscription.subscription)
    .returningAll()
    .execute();
  if (problems.length === 0) return;
  const since = new Map(before.map((row) => [textOf(row), row.since]));
  await transaction
    .insertInto('billing_problem')
    .values(
      problems.map(({ isHeld, ...problem }, number) => ({
        connection_id,
        subscription: subscription.subscription,
        number,
        environment_id,
        ...problem,
        is_held: isHeld,
        since: since.get(textOf(problem)) ?? now,
      })),
    )
    .execute();
}

function textOf({
  code,
  product,
  name,
  item,
}: Pick<ProblemRow, 'code' | 'product' | 'name' | 'item'>): string {
  return JSON.stringify([code, product, name, item]);
}

/** Those that were not over when they were last told of, in the order of their ids. */
export async function openSubscriptions(
  database: Kysely<Tables>,
  connectionId: string,
  after: string,
  limit: number,
): Promise<string[]> {
  const { rows } = await sql<{ subscription: string }>`
    select subscription from billing_subscription
    where connection_id = ${connectionId} and subscription > ${after}
      and record::json #>> '{latest,subscription,status}' not in ('canceled', 'incomplete_expired')
    order by subscription limit ${limit}`.execute(database);
  return rows.map(({ subscription }) => subscription);
}

/** Licenses of a connection that are in force or to come. */
export async function countHeldLicenses(
  database: Kysely<Tables>,
  connectionId: string,
  now: Date,
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from billing_license b
    join license l on l.customer_id = b.customer_id and l.id = b.license_id
    where b.connection_id = ${connectionId} and l.status <> 'ended' and (l.ends_at is null or l.ends_at > ${now})`.execute(
    database,
  );
  return rows[0]?.count ?? 0;
}

/** Deliveries that were worked on go by their age. */
export async function removeConnectionRows(
  transaction: Transaction<Tables>,
  connectionId: string,
): Promise<void> {
  for (const table of [
    'billing_problem',
    'billing_license',
    'billing_subscription',
    'billing_customer',
  ] as const) {
    await transaction.deleteFrom(table).where('connection_id', '=', connectionId).execute();
  }
  await transaction
    .deleteFrom('webhook_inbox')
    .where('connection_id', '=', connectionId)
    .where('state', 'in', ['waiting', 'dead'])
    .execute();
  await transaction.deleteFrom('billing_connection').where('id', '=', connectionId).execute();
}
