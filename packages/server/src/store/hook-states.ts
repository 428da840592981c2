import { type Kysely, sql, type Transaction } from 'kysely';
import { newId } from '../service/new-id.js';
import type { Tables } from './tables.js';

/*
 * Whose state is to be looked at again, and what was told of it last. INVARIANT: nothing is written where no webhook wants to know.
 */

/** Types for which states are worked out. */
const WANTED = ['entitlement.changed', 'customer.state_changed'] as const;

/** One product of an environment, and which of its customers' states somebody wants. */
export interface StateScope {
  readonly environmentId: string;
  readonly productId: string;
  readonly wantsEntitlements: boolean;
  readonly wantsStates: boolean;
}

/** A webhook's list of types is a JSON text; `null` wants all. */
function wants(type: (typeof WANTED)[number]) {
  return sql<boolean>`(w.types is null or position(${JSON.stringify(type)} in w.types) > 0)`;
}

/** What is published and wanted by a webhook that is there, enabled or not: what is told meanwhile can be replayed. */
export async function readStateScopes(database: Kysely<Tables>): Promise<readonly StateScope[]> {
  const { rows } = await sql<StateScope>`
    select e.environment_id as "environmentId", e.product_id as "productId",
      bool_or(${wants('entitlement.changed')}) as "wantsEntitlements",
      bool_or(${wants('customer.state_changed')}) as "wantsStates"
    from webhook w join environment_revision e on e.environment_id = w.environment_id
      and (w.product_id is null or w.product_id = e.product_id)
    where w.state <> 'removed' and (${wants('entitlement.changed')} or ${wants('customer.state_changed')})
    group by e.environment_id, e.product_id
    order by 1, 2`.execute(database);
  return rows;
}

/** Of the catalog that its environment stands at. Read after what is to be looked at, or what was published just then would be missed. */
export async function readRevision(
  database: Kysely<Tables>,
  { environmentId, productId }: Pick<StateScope, 'environmentId' | 'productId'>,
): Promise<number> {
  const { revision } = await database
    .selectFrom('environment_revision')
    .select('revision')
    .where('environment_id', '=', environmentId)
    .where('product_id', '=', productId)
    .executeTakeFirstOrThrow();
  return revision;
}

/** Of some environments those in which somebody wants states. */
async function wantingStates(
  transaction: Transaction<Tables>,
  environmentIds: readonly string[],
): Promise<readonly string[]> {
  const { rows } = await sql<{ readonly environment_id: string }>`
    select distinct w.environment_id from webhook w
    where w.environment_id = any(${[...environmentIds]}::uuid[]) and w.state <> 'removed'
      and (${wants('entitlement.changed')} or ${wants('customer.state_changed')})`.execute(transaction);
  return rows.map((row) => row.environment_id);
}

/** In the transaction of the change: of those customers, and where it may concern anybody of all. */
export async function markChanged(
  transaction: Transaction<Tables>,
  environmentId: string,
  { customerKeys, everybody }: { readonly customerKeys: readonly string[]; readonly everybody: boolean },
): Promise<void> {
  if (customerKeys.length === 0 && !everybody) return;
  if ((await wantingStates(transaction, [environmentId])).length === 0) return;
  if (customerKeys.length > 0) {
    const ids = customerKeys.map(() => newId());
    await sql`
      insert into state_due (id, environment_id, customer_id)
      select n.id, ${environmentId}::uuid, c.id
      from unnest(${ids}::uuid[], ${[...customerKeys]}::text[]) as n (id, key)
      join customer c on c.environment_id = ${environmentId}::uuid and c.key = n.key`.execute(transaction);
  }
  if (everybody) await walkAgain(transaction, environmentId, null);
}

/** After what may concern every customer. What goes through them already does so once more. */
export async function walkAgain(
  transaction: Transaction<Tables>,
  environmentId: string,
  productId: string | null,
): Promise<void> {
  await sql`
    update state_walk set again = is_walking, is_walking = true
    where environment_id = ${environmentId} and (${productId}::uuid is null or product_id = ${productId}::uuid)`.execute(
    transaction,
  );
}

/** Of customers whose use came to a level. */
export async function markUsed(
  transaction: Transaction<Tables>,
  used: readonly { readonly environmentId: string; readonly customerId: string }[],
): Promise<void> {
  if (used.length === 0) return;
  const wanting = new Set(
    await wantingStates(transaction, [...new Set(used.map(({ environmentId }) => environmentId))]),
  );
  const customers = new Map(
    used.flatMap(({ environmentId, customerId }) =>
      wanting.has(environmentId) ? [[customerId, environmentId] as const] : [],
    ),
  );
  if (customers.size === 0) return;
  await sql`
    insert into state_due (id, environment_id, customer_id)
    select * from unnest(${[...customers].map(() => newId())}::uuid[], ${[...customers.values()]}::uuid[],
      ${[...customers.keys()]}::uuid[])`.execute(transaction);
}

export interface DueState {
  readonly id: string;
  readonly customer_id: string;
}

/** The longest due first. Of one customer there may be several. */
export async function readDue(
  database: Kysely<Tables>,
  environmentId: string,
  limit: number,
): Promise<readonly DueState[]> {
  const { rows } = await sql<DueState>`
    select id, customer_id from state_due where environment_id = ${environmentId} order by id limit ${limit}`.execute(
    database,
  );
  return rows;
}

export async function forgetDue(transaction: Transaction<Tables>, ids: readonly string[]): Promise<void> {
  await sql`delete from state_due where id = any(${[...ids]}::uuid[])`.execute(transaction);
}

export interface NamedCustomer {
  readonly id: string;
  readonly key: string;
}

/** Those that were not erased. */
export async function readCustomers(
  database: Kysely<Tables>,
  ids: readonly string[],
): Promise<readonly NamedCustomer[]> {
  const { rows } = await sql<NamedCustomer>`
    select id, key from customer where id = any(${[...ids]}::uuid[]) and erased_at is null`.execute(database);
  return rows;
}

/** Those that time alone may have changed. */
export async function readTimely(
  database: Kysely<Tables>,
  { environmentId, productId }: Pick<StateScope, 'environmentId' | 'productId'>,
  now: Date,
  limit: number,
): Promise<readonly NamedCustomer[]> {
  const { rows } = await sql<NamedCustomer>`
    select c.id, c.key from (
      select customer_id, next_at from state_told
      where environment_id = ${environmentId} and product_id = ${productId} and next_at <= ${now}::timestamptz
      order by next_at limit ${limit}) t
    join customer c on c.id = t.customer_id`.execute(database);
  return rows;
}

export interface StateWalk {
  readonly is_first: boolean;
  readonly is_walking: boolean;
  readonly after_key: string | null;
}

/** Where the walk is; one that was not there begins. */
export async function readWalk(
  database: Kysely<Tables>,
  { environmentId, productId }: Pick<StateScope, 'environmentId' | 'productId'>,
): Promise<StateWalk> {
  const find = () =>
    database
      .selectFrom('state_walk')
      .select(['is_first', 'is_walking', 'after_key'])
      .where('environment_id', '=', environmentId)
      .where('product_id', '=', productId)
      .executeTakeFirst();
  const known = await find();
  if (known !== undefined) return known;
  const walk = { is_first: true, is_walking: true, again: false, after_key: null };
  await database
    .insertInto('state_walk')
    .values({ environment_id: environmentId, product_id: productId, ...walk })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return (await find()) ?? walk;
}

/** The next customers of an environment, in the order of their keys. */
export async function readCustomersAfter(
  database: Kysely<Tables>,
  environmentId: string,
  afterKey: string | null,
  limit: number,
): Promise<readonly NamedCustomer[]> {
  const { rows } = await sql<NamedCustomer>`
    select id, key from customer
    where environment_id = ${environmentId} and (${afterKey}::text is null or key > ${afterKey}::text) and erased_at is null
    order by key limit ${limit}`.execute(database);
  return rows;
}

/** @param afterKey `null`: it has come to the end, and begins again where something happened meanwhile */
export async function moveWalk(
  transaction: Transaction<Tables>,
  { environmentId, productId }: Pick<StateScope, 'environmentId' | 'productId'>,
  afterKey: string | null,
): Promise<void> {
  const atEnd = afterKey === null;
  await sql`
    update state_walk set after_key = ${afterKey}, is_walking = again or not ${atEnd}::boolean,
      is_first = is_first and not ${atEnd}::boolean, again = again and not ${atEnd}::boolean
    where environment_id = ${environmentId} and product_id = ${productId}`.execute(transaction);
}

export interface ToldState {
  readonly customerId: string;
  readonly entitlements: string;
  readonly digest: string;
  readonly nextAt: Date | null;
}

/** By customer id. */
export async function readToldStates(
  database: Kysely<Tables>,
  productId: string,
  customerIds: readonly string[],
): Promise<ReadonlyMap<string, ToldState>> {
  const { rows } = await sql<ToldState>`
    select t.customer_id as "customerId", t.entitlements, t.digest, t.next_at as "nextAt"
    from unnest(${[...customerIds]}::uuid[]) as asked (id)
    cross join lateral (select * from state_told t where t.customer_id = asked.id and t.product_id = ${productId} offset 0) t`.execute(
    database,
  );
  return new Map(rows.map((row) => [row.customerId, row]));
}

export async function writeToldStates(
  transaction: Transaction<Tables>,
  { environmentId, productId }: Pick<StateScope, 'environmentId' | 'productId'>,
  states: readonly ToldState[],
): Promise<void> {
  if (states.length === 0) return;
  await sql`
    insert into state_told (customer_id, product_id, environment_id, entitlements, digest, next_at)
    select n.customer_id, ${productId}::uuid, ${environmentId}::uuid, n.entitlements, n.digest, n.next_at
    from unnest(${states.map((one) => one.customerId)}::uuid[], ${states.map((one) => one.entitlements)}::text[],
      ${states.map((one) => one.digest)}::text[], ${states.map((one) => one.nextAt?.toISOString() ?? null)}::timestamptz[])
      as n (customer_id, entitlements, digest, next_at)
    on conflict (customer_id, product_id) do update set entitlements = excluded.entitlements, digest = excluded.digest,
      next_at = excluded.next_at`.execute(transaction);
}

/** What was told of customers of products that nobody wants to hear of any more. Answers whether there is more. */
export async function forgetStates(
  database: Kysely<Tables>,
  wanted: readonly StateScope[],
  limit: number,
): Promise<boolean> {
  const walks = await database.selectFrom('state_walk').select(['environment_id', 'product_id']).execute();
  const unwanted = walks.find(
    (walk) =>
      !wanted.some(
        ({ environmentId, productId }) =>
          environmentId === walk.environment_id && productId === walk.product_id,
      ),
  );
  if (unwanted === undefined) return false;
  const { environment_id: environmentId, product_id: productId } = unwanted;
  const { rows } = await sql`
    delete from state_told where (customer_id, product_id) in (
      select customer_id, product_id from state_told
      where environment_id = ${environmentId} and product_id = ${productId} limit ${limit})
    returning 1`.execute(database);
  if (rows.length === limit) return true;
  await sql`delete from state_walk where environment_id = ${environmentId} and product_id = ${productId}`.execute(
    database,
  );
  if (!wanted.some((scope) => scope.environmentId === environmentId)) {
    await sql`delete from state_due where environment_id = ${environmentId}`.execute(database);
  }
  return true;
}

/** Of a customer that is erased nothing is told any more, and no walk stands at its name. */
export async function forgetState(
  transaction: Transaction<Tables>,
  environmentId: string,
  customer: NamedCustomer,
): Promise<void> {
  await sql`delete from state_told where customer_id = ${customer.id}`.execute(transaction);
  await sql`delete from state_due where customer_id = ${customer.id}`.execute(transaction);
  await sql`
    update state_walk set after_key = null where environment_id = ${environmentId} and after_key = ${customer.key}`.execute(
    transaction,
  );
}
