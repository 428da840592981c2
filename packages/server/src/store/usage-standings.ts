import type { ScopedHolding } from '@pennon/engine/impact/compare-plan-change';
import type { Instant, MemberKind } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { GRANT_COLUMNS, milliseconds } from './customer-facts.js';
import { type GrantRow, toGrant } from './customer-facts-rows.js';
import { LOTS_OF, toLots } from './lot-statements.js';
import { HOLDS_OF, toHolds } from './reservation-statements.js';
import type { Tables } from './tables.js';

/*
 * Pages of accounts, each with what its user or instance was given of its own, so that the engine can say what holds of them now. One
 * statement a page.
 */

export interface StandingQuestion {
  readonly environmentId: string;
  readonly productId: string;
  readonly productKey: string;
  readonly limit: number;
}

export interface StoredStanding extends ScopedHolding {
  readonly customerId: string;
  readonly customerKey: string;
  readonly feature: string;
  readonly scope: string;
  readonly periodEnd: Instant | null;
  readonly covered: number;
  /** What the last decision knew: the limit (`null`: none, or nothing was decided yet), and how much of it was taken. */
  readonly limitKnown: number | null;
  readonly percentKnown: number | null;
}

interface Row {
  readonly customer_id: string;
  readonly customer_key: string;
  readonly feature: string;
  readonly scope: string;
  readonly period_start: Instant | null;
  readonly period_end: Instant | null;
  readonly used: number;
  readonly reserved: number;
  readonly covered: number;
  readonly limit_known: number | null;
  readonly percent: number | null;
  readonly holds: unknown;
  readonly lots: unknown;
  readonly metadata: JsonObject | null;
  readonly memberships: readonly (readonly [MemberKind, string, number, number | null])[] | null;
  readonly grants: readonly GrantRow[] | null;
}

export interface NearQuestion extends StandingQuestion {
  readonly feature: string | null;
  readonly percent: number;
  readonly after: NearCursor | null;
}

export interface NearCursor {
  readonly percent: number;
  readonly customerId: string;
  readonly scope: string;
  readonly feature: string;
}

/** Whose last decision left the most of a limit taken, first; what belongs to a period that ended is left out. */
export function readNear(
  database: Kysely<Tables>,
  question: NearQuestion,
): Promise<readonly StoredStanding[]> {
  const { after, feature, environmentId, productId } = question;
  const onward =
    after === null
      ? sql`true`
      : sql`(a.percent, a.customer_id, a.scope, a.feature)
          < (${after.percent}::integer, ${after.customerId}::uuid, ${after.scope}::text, ${after.feature}::text)`;
  const page = sql`
    select a.* from account a
    where a.environment_id = ${environmentId} and a.product_id = ${productId} and a.percent >= ${question.percent}
      and ${feature === null ? sql`true` : sql`a.feature = ${feature}`} and ${onward}
      and (a.period_end is null or a.period_end > now())
    order by a.percent desc, a.customer_id desc, a.scope desc, a.feature desc limit ${question.limit}`;
  return readPage(
    database,
    question,
    page,
    sql`a.percent desc, a.customer_id desc, a.scope desc, a.feature desc`,
  );
}

/** The accounts of one customer that belong to its users and instances (`after` its last), or all that are shared. */
export function readAccountsOf(
  database: Kysely<Tables>,
  question: StandingQuestion & {
    readonly customerId: string;
    readonly feature: string | null;
    readonly scoped: { readonly after: { readonly scope: string; readonly feature: string } | null } | null;
  },
): Promise<readonly StoredStanding[]> {
  const { customerId, productId, feature, scoped, limit } = question;
  const onward =
    scoped === null
      ? sql`a.scope = ''`
      : sql`(a.scope, a.feature) > (${scoped.after?.scope ?? ''}::text, ${scoped.after?.feature ?? '\u{10ffff}'}::text)`;
  const page = sql`
    select a.* from account a where a.customer_id = ${customerId} and a.product_id = ${productId} and ${onward}
      and ${feature === null ? sql`true` : sql`a.feature = ${feature}`}
    order by a.scope, a.feature limit ${limit}`;
  return readPage(database, question, page, sql`a.scope, a.feature`);
}

async function readPage(
  database: Kysely<Tables>,
  { environmentId, productId, productKey }: StandingQuestion,
  page: RawBuilder<unknown>,
  order: RawBuilder<unknown>,
): Promise<readonly StoredStanding[]> {
  const { rows } = await sql<Row>`
    with a as materialized (${page})
    select a.customer_id, c.key as customer_key, a.feature, a.scope,
      ${sql.raw(milliseconds('a.period_start'))} as period_start, ${sql.raw(milliseconds('a.period_end'))} as period_end,
      a.used, a.reserved, a.covered, a.limit_known, a.percent,
      ${sql.raw(HOLDS_OF('a'))} as holds, ${sql.raw(LOTS_OF('a'))} as lots,
      case when a.scope <> '' then (select i.metadata from instance i
        where i.environment_id = ${environmentId} and i.key = a.scope) end as metadata,
      case when a.scope <> '' then (select json_agg(json_build_array(m.member_kind, m.container_key,
          ${sql.raw(milliseconds('m.starts_at'))}, ${sql.raw(milliseconds('m.ends_at'))}))
        from membership m where m.environment_id = ${environmentId} and m.product_id = ${productId}
          and m.container_kind = 'segment' and m.member_kind in ('user', 'instance') and m.member_key = a.scope
          and (m.ends_at is null or m.ends_at > now())) end as memberships,
      case when a.scope <> '' then (select json_agg(${sql.raw(GRANT_COLUMNS)}) from access_grant g
        where g.environment_id = ${environmentId} and g.product_id = ${productId}
          and g.target_kind in ('user', 'instance') and g.target_key = a.scope
          and g.revoked_at is null and (g.ends_at is null or g.ends_at > now())) end as grants
    from a cross join lateral (select c.key from customer c where c.id = a.customer_id offset 0) c
    order by ${order}`.execute(database);
  return rows.map((row) => fromRow(productKey, row));
}

function fromRow(product: string, row: Row): StoredStanding {
  const { feature, scope, used, reserved, covered, period_start: periodStart, period_end: periodEnd } = row;
  return {
    customerId: row.customer_id,
    customerKey: row.customer_key,
    feature,
    scope,
    periodEnd,
    covered,
    limitKnown: row.limit_known,
    percentKnown: row.percent,
    account: {
      product,
      feature,
      scope,
      periodStart,
      used,
      reserved,
      periodEnd,
      covered,
      holds: toHolds(row.holds),
      lots: toLots(row.lots),
    },
    metadata: row.metadata ?? {},
    memberships: (row.memberships ?? []).map(([kind, segment, startsAt, endsAt]) => ({
      segment,
      member: { kind, key: scope },
      startsAt,
      endsAt,
    })),
    grants: (row.grants ?? []).map((grant) => toGrant(product, grant)),
  };
}
