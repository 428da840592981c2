import type { Instant } from '@pennon/engine/model/customer';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isOfCustomer } from './consumption-place.js';
import { milliseconds } from './customer-facts.js';
import type { Tables } from './tables.js';
import { type AttributeFilter, attributeValue, instants, matches } from './usage-history.js';

/* Usage by the hour, added up into windows, of one customer or of many; and what was decided and recorded, one by one. */

export interface WindowRow {
  readonly customerKey: string;
  readonly feature: string;
  readonly scope: string;
  /** 1: the first. */
  readonly window: number;
  readonly values: readonly (string | null)[];
  readonly aggregation: string;
  readonly amount: number;
  readonly events: number;
}

export interface WindowsQuestion {
  readonly productId: string;
  /** Ascending; at least two. */
  readonly edges: readonly Instant[];
  readonly by: readonly string[];
  readonly where: readonly AttributeFilter[];
  readonly feature: string | null;
  readonly scope: string | null;
  /** In the order of their keys. */
  readonly customers: readonly { readonly id: string; readonly key: string }[];
  readonly after: WindowCursor | null;
  readonly limit: number;
}

export interface WindowCursor {
  readonly customerKey: string;
  readonly feature: string;
  readonly scope: string;
  readonly window: number;
  readonly values: readonly (string | null)[];
}

/**
 * How many rows of one customer are added up at once, or those of one account where that has more: a page costs what it shows, however
 * much there is behind it.
 */
const ROWS_AHEAD = 10_000;

/**
 * At most `limit` windows; fewer only at the end. Where nothing happened there is no row. Rows are reached through the key: the planner
 * takes a comparison of rows for one that nearly all pass, and would read the whole table for each page.
 */
export function readWindows(
  database: Kysely<Tables>,
  question: WindowsQuestion,
): Promise<readonly WindowRow[]> {
  return database
    .transaction()
    .setAccessMode('read only')
    .execute(async (transaction) => {
      await sql`select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config('jit', 'off', true)`.execute(transaction);
      return readSlices(transaction, question);
    });
}

async function readSlices(
  database: Kysely<Tables>,
  question: WindowsQuestion,
): Promise<readonly WindowRow[]> {
  const { customers, edges, limit } = question;
  const [customer] = customers;
  if (customer === undefined) return [];
  if (customers.length > 1) return readSlice(database, question, null);
  const rows: WindowRow[] = [];
  let { after } = question;
  for (;;) {
    const through = await readAccountAhead(database, { ...question, after });
    rows.push(...(await readSlice(database, { ...question, after, limit: limit - rows.length }, through)));
    if (through === null || rows.length === limit) return rows;
    after = { customerKey: customer.key, ...through, window: edges.length, values: [] };
  }
}

interface AccountName {
  readonly feature: string;
  readonly scope: string;
}

/** The account that the row `ROWS_AHEAD` from here belongs to, in the order of the key; `null`: there are fewer. */
async function readAccountAhead(
  database: Kysely<Tables>,
  question: WindowsQuestion,
): Promise<AccountName | null> {
  const { rows } = await sql<AccountName>`
    select h.feature, h.scope from usage_hour h
    where h.customer_id = ${question.customers[0]?.id} and ${rowsOf(question)}
    order by h.feature, h.scope offset ${ROWS_AHEAD} limit 1`.execute(database);
  return rows[0] ?? null;
}

async function readSlice(
  database: Kysely<Tables>,
  question: WindowsQuestion,
  through: AccountName | null,
): Promise<readonly WindowRow[]> {
  const { edges, by, customers } = question;
  const values = by.length === 0 ? sql`'{}'::text[]` : sql`array[${sql.join(by.map(attributeValue))}]`;
  const bound =
    through === null
      ? sql`true`
      : sql`(h.feature, h.scope) <= (${through.feature}::text, ${through.scope}::text)`;
  const { rows } = await sql<WindowRow>`
    with w as (
      select c.key collate "C" as "customerKey", h.feature, h.scope, h."window", h."values",
        (array_agg(h.aggregation order by h.hour desc, h.last_at desc))[1] as aggregation,
        least(sum(h.amount), 9007199254740991)::bigint as sum, max(h.amount) as max,
        (array_agg(h.amount order by h.hour desc, h.last_at desc))[1] as latest, sum(h.events)::bigint as events
      from unnest(${customers.map(({ id }) => id)}::uuid[], ${customers.map(({ key }) => key)}::text[]) as c (id, key)
      cross join lateral (
        select h.*, width_bucket(h.hour::timestamptz(3), ${instants(edges)}) as "window", ${values} as "values"
        from usage_hour h
        where h.customer_id = c.id and ${rowsOf(question)} and ${bound} and ${matches(question.where)}
        offset 0) h
      group by 1, 2, 3, 4, 5)
    select "customerKey", feature, scope, "window", "values", aggregation, events,
      case aggregation when 'max' then max when 'latest' then latest else sum end as amount
    from w where ${onwardFrom(question.after)}
    order by "customerKey", feature, scope, "window", "values" limit ${question.limit}`.execute(database);
  return rows;
}

/** Of the span, and of one customer alone from its cursor on. */
function rowsOf({
  productId,
  edges,
  feature,
  scope,
  customers,
  after,
}: WindowsQuestion): RawBuilder<unknown> {
  const last = edges.at(-1) ?? 0;
  const parts = [
    sql`h.product_id = ${productId} and h.hour >= ${new Date(edges[0] ?? 0)} and h.hour < ${new Date(last)}`,
    ...(feature === null ? [] : [sql`h.feature = ${feature}`]),
    ...(scope === null ? [] : [sql`h.scope = ${scope}`]),
    ...(after === null || customers.length > 1
      ? []
      : [
          sql`(h.feature, h.scope, h.hour)
            >= (${after.feature}::text, ${after.scope}::text, ${new Date(edges[after.window - 1] ?? last)}::timestamptz)`,
        ]),
  ];
  return sql.join(parts, sql` and `);
}

function onwardFrom(after: WindowCursor | null): RawBuilder<unknown> {
  if (after === null) return sql`true`;
  const { customerKey, feature, scope, window, values } = after;
  return sql`("customerKey", feature, scope, "window", "values")
    > (${customerKey}::text, ${feature}::text, ${scope}::text, ${window}::integer, ${values}::text[])`;
}

/** Customers of an environment in the order of their keys; erased ones have a new one. */
export async function readCustomersAfter(
  database: Kysely<Tables>,
  environmentId: string,
  after: string | null,
  limit: number,
): Promise<readonly { readonly id: string; readonly key: string }[]> {
  let select = database
    .selectFrom('customer')
    .select(['id', 'key'])
    .where('environment_id', '=', environmentId)
    .orderBy('key')
    .limit(limit);
  if (after !== null) select = select.where('key', '>', after);
  return select.execute();
}

export interface RecordsQuestion {
  readonly customerId: string;
  readonly productId: string;
  readonly feature: string | null;
  readonly scope: string | null;
  readonly from: Instant | null;
  readonly to: Instant | null;
  readonly kind: 'consumption' | 'event' | null;
  readonly after: { readonly at: Instant; readonly id: string; readonly item: number } | null;
  readonly limit: number;
}

export interface StoredRecord {
  readonly at: Instant;
  readonly id: string;
  readonly item: number;
  readonly operation: string;
  readonly feature: string;
  readonly scope: string;
  readonly actor: string;
  readonly attributes: string | null;
  readonly period_start: Instant | null;
  /** Of a decision. */
  readonly allowed: boolean | null;
  readonly reason: string | null;
  readonly enforcement: string | null;
  readonly requested: number | null;
  readonly amount: number;
  readonly used_after: number | null;
  readonly reserved_after: number | null;
  readonly limit_at_decision: number | null;
  readonly idempotency_key: string | null;
  readonly revision: number | null;
  /** Of an event. */
  readonly source: string | null;
  readonly event_id: string | null;
  readonly type: string | null;
  readonly counted: number | null;
  readonly occurred_at: Instant | null;
  readonly counted_at: Instant | null;
  readonly corrects: string | null;
}

/** Decisions and events of one customer, the newest first. */
export async function readRecords(
  database: Kysely<Tables>,
  question: RecordsQuestion,
): Promise<readonly StoredRecord[]> {
  const ms = (column: string) => sql.raw(milliseconds(column));
  const ofCustomer = isOfCustomer('r', question.customerId);
  // What is shown is worked out of the rows of the page alone, not of all that are sorted for it.
  const decisions = sql`(
    select ${ms('r.decided_at')} as at, r.id, r.item, r.operation, r.feature, r.scope, r.actor, r.attributes,
      ${ms('r.period_start')} as period_start, r.allowed, r.reason, r.enforcement, r.requested, r.consumed as amount,
      r.used_after, r.reserved_after, r.limit_at_decision, r.idempotency_key, r.revision,
      null::text as source, null::text as event_id, null::text as type, null::bigint as counted,
      null::bigint as occurred_at, null::bigint as counted_at, null::text as corrects
    from (
      select decided_at, id, item, operation, feature, scope, actor, attributes, period_start, allowed, reason, enforcement,
        requested, consumed, used_after, reserved_after, limit_at_decision, idempotency_key, revision
      from consumption r where ${filterOf(question, 'decided_at', 'r.id', 'r.item')} and ${ofCustomer}
      order by r.decided_at desc, r.id desc, r.item desc limit ${question.limit}) r)`;
  const events = sql`(
    select ${ms('r.received_at')} as at, r.event_key as id, 0 as item, 'record' as operation, r.feature, r.scope, r.actor,
      r.attributes, ${ms('r.period_start')} as period_start, null::boolean as allowed, null::text as reason,
      null::text as enforcement, null::bigint as requested, r.amount, null::bigint as used_after, null::bigint as reserved_after,
      null::bigint as limit_at_decision, null::text as idempotency_key, null::bigint as revision, r.source, r.event_id, r.type,
      r.counted, ${ms('r.occurred_at')} as occurred_at, ${ms('r.counted_at')} as counted_at,
      (select o.event_id from usage_event o where o.event_key = r.corrects limit 1) as corrects
    from (
      select * from usage_event r where ${filterOf(question, 'received_at', 'r.event_key', '0')}
      order by r.received_at desc, r.event_key desc limit ${question.limit}) r)`;
  const asked =
    question.kind === null
      ? sql`${decisions} union all ${events}`
      : question.kind === 'event'
        ? events
        : decisions;
  const { rows } = await sql<StoredRecord>`
    select * from (${asked}) r order by at desc, id desc, item desc limit ${question.limit}`.execute(
    database,
  );
  return rows;
}

function filterOf(
  { customerId, productId, feature, scope, from, to, after }: RecordsQuestion,
  time: 'decided_at' | 'received_at',
  id: string,
  item: string,
): RawBuilder<unknown> {
  const at = sql.raw(`r.${time}`);
  const parts = [
    sql`r.customer_id = ${customerId} and r.product_id = ${productId}`,
    ...(feature === null ? [] : [sql`r.feature = ${feature}`]),
    ...(scope === null ? [] : [sql`r.scope = ${scope}`]),
    ...(from === null ? [] : [sql`${at} >= ${new Date(from)}`]),
    ...(to === null ? [] : [sql`${at} < ${new Date(to)}`]),
    ...(after === null
      ? []
      : [
          // The bound alone spares later partitions; the whole comparison is over what is left.
          sql`${at} <= ${new Date(after.at)}`,
          sql`(${at}, ${sql.raw(id)}, ${sql.raw(item)}) < (${new Date(after.at)}, ${after.id}::uuid, ${after.item}::integer)`,
        ]),
  ];
  return sql.join(parts, sql` and `);
}
