import type { Instant } from '@pennon/engine/model/customer';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Tables } from './tables.js';

/*
 * Reads the history of one account: its periods as they are or were closed, and the sums of its hours between given instants. Callers run
 * them in one transaction of one instant, so that a period and its hours fit together.
 */

export interface HistoryAccount {
  readonly customerId: string;
  readonly productId: string;
  readonly feature: string;
  readonly scope: string;
}

/** One period of an account. `start: null`: of a feature that never resets. */
export interface StoredPeriod {
  readonly start: Instant | null;
  readonly end: Instant | null;
  readonly used: number;
}

/** What happened between two cuts. */
export interface HourSum {
  /** 1: from the first cut to the second; 0: before the first. */
  readonly bucket: number;
  /** How the rows add up; that of the last of them. */
  readonly aggregation: string;
  readonly sum: number;
  readonly max: number;
  readonly latest: number;
  readonly events: number;
  /** The last decision in it about the account's current period; `null`: there was none. */
  readonly standing: Standing | null;
}

export interface Standing {
  readonly at: Instant;
  readonly used: number;
  /** `null`: none. */
  readonly limit: number | null;
}

export interface GroupSum {
  readonly bucket: number;
  /** Values of the attributes that were asked for, in their order. */
  readonly values: readonly (string | null)[];
  readonly aggregation: string;
  readonly sum: number;
  readonly max: number;
  readonly latest: number;
  readonly events: number;
}

const MILLISECONDS = (column: string) => sql.raw(`floor(extract(epoch from ${column}) * 1000)::bigint`);

export function instants(values: readonly Instant[]): RawBuilder<unknown> {
  return sql`${values.map((value) => new Date(value).toISOString())}::timestamptz[]`;
}

/** All reads of `read` see the same instant. Nothing is locked. */
export function atOneInstant<Found>(
  database: Kysely<Tables>,
  read: (database: Kysely<Tables>) => Promise<Found>,
): Promise<Found> {
  return database.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(read);
}

export async function readHistoryNow(
  database: Kysely<Tables>,
  environmentId: string,
  customerKey: string,
): Promise<{ readonly now: Instant; readonly customerId: string | null }> {
  const { rows } = await sql<{ readonly now: number; readonly id: string | null }>`
    select ${MILLISECONDS('now()')} as now,
      (select id from customer where environment_id = ${environmentId} and key = ${customerKey}) as id`.execute(
    database,
  );
  const [row] = rows;
  if (row === undefined) throw new Error('The database did not tell its time.');
  return { now: row.now, customerId: row.id };
}

/** The period that the account is in, as far as it knows; `null`: there is no account. */
export async function readCurrentPeriod(
  database: Kysely<Tables>,
  { customerId, productId, feature, scope }: HistoryAccount,
): Promise<StoredPeriod | null> {
  const { rows } = await sql<StoredPeriod>`
    select ${MILLISECONDS('period_start')} as start, ${MILLISECONDS('period_end')} as "end", used from account
    where customer_id = ${customerId} and product_id = ${productId} and scope = ${scope} and feature = ${feature}`.execute(
    database,
  );
  return rows[0] ?? null;
}

/** Of each instant the period that is over and began last before it. */
export async function readPeriodsBefore(
  database: Kysely<Tables>,
  { customerId, productId, feature, scope }: HistoryAccount,
  befores: readonly Instant[],
): Promise<readonly StoredPeriod[]> {
  const { rows } = await sql<StoredPeriod>`
    select distinct ${MILLISECONDS('p.period_start')} as start, ${MILLISECONDS('p.period_end')} as "end", p.used
    from unnest(${instants(befores)}) as asked (at)
    cross join lateral (select * from account_period p
      where p.customer_id = ${customerId} and p.product_id = ${productId} and p.feature = ${feature}
        and p.scope = ${scope} and p.period_start < asked.at
      order by p.period_start desc limit 1) p`.execute(database);
  return rows;
}

interface HoursQuestion {
  readonly account: HistoryAccount;
  /** Ascending. */
  readonly cuts: readonly Instant[];
  /** `null`: from the beginning. */
  readonly from: Instant | null;
}

/** What of the kept attributes has that name. A name is a parameter, so that none can be a piece of a statement. */
export function attributeValue(name: string): RawBuilder<unknown> {
  return sql`(case when h.dimensions = '' then null else h.dimensions::jsonb ->> ${name} end)`;
}

const AMOUNTS = `(array_agg(h.aggregation order by h.hour desc, h.last_at desc))[1] as aggregation,
  least(sum(h.amount), 9007199254740991)::bigint as sum, max(h.amount) as max,
  (array_agg(h.amount order by h.hour desc, h.last_at desc))[1] as latest, sum(h.events)::bigint as events`;

const LAST_STANDING = (column: string) =>
  sql.raw(
    `(array_agg(${column} order by h.hour desc, h.last_at desc) filter (where h.used_after is not null))[1]`,
  );

function ofAccount({ account, from }: HoursQuestion): RawBuilder<unknown> {
  const { customerId, productId, feature, scope } = account;
  const since = from === null ? sql`` : sql`and h.hour >= ${new Date(from)}`;
  return sql`h.customer_id = ${customerId} and h.product_id = ${productId} and h.feature = ${feature}
    and h.scope = ${scope} ${since}`;
}

/** The sums of the hours between cuts; where nothing happened there is no row. */
export async function readHourSums(
  database: Kysely<Tables>,
  question: HoursQuestion,
): Promise<readonly HourSum[]> {
  const { rows } = await sql<
    Omit<HourSum, 'standing'> & {
      readonly at: Instant | null;
      readonly used: number;
      readonly limit: number | null;
    }
  >`
    select width_bucket(h.hour::timestamptz(3), ${instants(question.cuts)}) as bucket, ${sql.raw(AMOUNTS)},
      max(${MILLISECONDS('h.last_at')}) filter (where h.used_after is not null) as at,
      ${LAST_STANDING('h.used_after')} as used, ${LAST_STANDING('h.limit_after')} as limit
    from usage_hour h where ${ofAccount(question)} group by 1 order by 1`.execute(database);
  return rows.map(({ at, used, limit, ...row }) => ({
    ...row,
    standing: at === null ? null : { at, used, limit },
  }));
}

/** The same taken apart by attributes, of what has the values asked for. At most `most + 1` rows. */
export async function readGroupSums(
  database: Kysely<Tables>,
  question: HoursQuestion & {
    readonly by: readonly string[];
    readonly where: readonly AttributeFilter[];
    readonly most: number;
  },
): Promise<readonly GroupSum[]> {
  const { by, where } = question;
  const values = by.length === 0 ? sql`'{}'::text[]` : sql`array[${sql.join(by.map(attributeValue))}]`;
  const { rows } = await sql<GroupSum>`
    select width_bucket(h.hour::timestamptz(3), ${instants(question.cuts)}) as bucket, ${values} as values, ${sql.raw(AMOUNTS)}
    from usage_hour h where ${ofAccount(question)} and ${matches(where)}
    group by 1, 2 order by 1, 2 limit ${question.most + 1}`.execute(database);
  return rows;
}

export interface AttributeFilter {
  readonly name: string;
  readonly value: string;
}

export function matches(where: readonly AttributeFilter[]): RawBuilder<unknown> {
  if (where.length === 0) return sql`true`;
  return sql.join(
    where.map(({ name, value }) => sql`${attributeValue(name)} = ${value}`),
    sql` and `,
  );
}

/** What of an hour fell before and after an instant within it can only be told by its last decision. */
export async function readSharedHours(
  database: Kysely<Tables>,
  { customerId, productId, feature, scope }: HistoryAccount,
  hours: readonly Instant[],
): Promise<readonly { readonly hour: Instant; readonly sum: number; readonly standing: Standing | null }[]> {
  const { rows } = await sql<{
    readonly hour: Instant;
    readonly sum: number;
    readonly at: Instant | null;
    readonly used: number;
    readonly limit: number | null;
  }>`
    select ${MILLISECONDS('h.hour')} as hour, least(sum(h.amount), 9007199254740991)::bigint as sum,
      max(${MILLISECONDS('h.last_at')}) filter (where h.used_after is not null) as at,
      ${LAST_STANDING('h.used_after')} as used, ${LAST_STANDING('h.limit_after')} as limit
    from usage_hour h where h.customer_id = ${customerId} and h.product_id = ${productId} and h.feature = ${feature}
      and h.scope = ${scope} and h.hour = any(${instants(hours)})
    group by h.hour`.execute(database);
  return rows.map(({ at, used, limit, hour, sum }) => ({
    hour,
    sum,
    standing: at === null ? null : { at, used, limit },
  }));
}
