import { type Kysely, type RawBuilder, type Selectable, sql } from 'kysely';
import type { AccessGrantTable, Tables } from './tables.js';

type GrantRow = Selectable<AccessGrantTable>;

/** INVARIANT: written as in the indexes of migration 5, or none of them is walked. What never ends stands last. */
export const END = sql.raw(`coalesce(g.ends_at, 'infinity'::timestamptz)`);

/** Where a list that goes by the end went to; `endsAt: null` is among those that never end. */
export interface EndPosition {
  readonly endsAt: Date | null;
  readonly id: string;
}

export interface GrantFilter {
  readonly environmentId: string;
  readonly productId?: string | undefined;
  readonly kind?: string | undefined;
  readonly contractReference?: string | undefined;
  readonly target?: { readonly kind: string; readonly key: string } | undefined;
  readonly applicationId?: string | undefined;
  /** Made for that customer, its users and its instances. */
  readonly customerKey?: string | undefined;
  readonly endsBefore?: Date | undefined;
  /** Only those in force or to come at that instant. */
  readonly liveAt?: Date | undefined;
  readonly after?: EndPosition | undefined;
  readonly limit: number;
}

export interface ListedGrant extends GrantRow {
  readonly product_key: string;
}

export function endOf(endsAt: Date | null): RawBuilder<unknown> {
  return endsAt === null ? sql`'infinity'::timestamptz` : sql`${endsAt}::timestamptz`;
}

function conditionsOf(filter: Omit<GrantFilter, 'limit'>): RawBuilder<unknown> {
  const { environmentId, after } = filter;
  const conditions = [sql`g.environment_id = ${environmentId}`];
  if (filter.productId !== undefined) conditions.push(sql`g.product_id = ${filter.productId}`);
  if (filter.kind !== undefined) conditions.push(sql`g.kind = ${filter.kind}`);
  if (filter.contractReference !== undefined) {
    conditions.push(sql`g.contract_reference = ${filter.contractReference}`);
  }
  if (filter.target !== undefined) {
    conditions.push(sql`g.target_kind = ${filter.target.kind} and g.target_key = ${filter.target.key}`);
  }
  if (filter.applicationId !== undefined) conditions.push(sql`g.application_id = ${filter.applicationId}`);
  if (filter.customerKey !== undefined) conditions.push(madeFor(environmentId, filter.customerKey));
  if (filter.endsBefore !== undefined) conditions.push(sql`${END} < ${filter.endsBefore}::timestamptz`);
  if (filter.liveAt !== undefined) {
    conditions.push(sql`g.revoked_at is null and ${END} > ${filter.liveAt}::timestamptz`);
  }
  if (after !== undefined) conditions.push(sql`(${END}, g.id) > (${endOf(after.endsAt)}, ${after.id}::uuid)`);
  return sql.join(conditions, sql` and `);
}

function madeFor(environmentId: string, customerKey: string): RawBuilder<unknown> {
  return sql`(g.target_kind, g.target_key) in (
    select 'customer', ${customerKey}::text
    union all select 'user', u.key from customer c join customer_user u on u.customer_id = c.id
      where c.environment_id = ${environmentId} and c.key = ${customerKey}
    union all select 'instance', i.key from customer c join instance i on i.customer_id = c.id
      where c.environment_id = ${environmentId} and c.key = ${customerKey})`;
}

/** Grants by their end, those that end first first. */
export async function readGrants(
  database: Kysely<Tables>,
  filter: GrantFilter,
): Promise<readonly ListedGrant[]> {
  const { rows } = await sql<ListedGrant>`
    select g.*, p.key as product_key from access_grant g join product p on p.id = g.product_id
    where ${conditionsOf(filter)}
    order by ${END}, g.id
    limit ${filter.limit}`.execute(database);
  return rows;
}

/** Through whom or what a grant reaches a customer. */
export type Through = readonly [kind: string, key: string, endsAt: string | null];

export interface ReachingGrant extends ListedGrant {
  readonly through: readonly Through[];
}

/**
 * Every grant that reaches one customer: its own, those of its users and instances, and those of the groups and segments that it or
 * one of them is a stored member of, or that it meets by condition.
 */
export async function readGrantsReaching(
  database: Kysely<Tables>,
  filter: Omit<GrantFilter, 'target' | 'applicationId' | 'customerKey'> & {
    readonly customerKey: string;
    readonly now: Date;
    /** Segments, each of one product, whose condition the customer meets. */
    readonly met: readonly { readonly productId: string; readonly segment: string }[];
    /** How many ways are named of one grant. */
    readonly ways: number;
  },
): Promise<readonly ReachingGrant[]> {
  const { environmentId, customerKey, now, met, ways, limit, ...rest } = filter;
  const segments = met.map((one) => one.segment);
  const products = met.map((one) => one.productId);
  const { rows } = await sql<ReachingGrant>`
    with owner as materialized (
      select id from customer where environment_id = ${environmentId} and key = ${customerKey}
    ),
    subject (kind, key) as materialized (
      select 'customer', ${customerKey}::text
      union all select 'user', u.key from customer_user u where u.customer_id = (select id from owner)
      union all select 'instance', i.key from instance i where i.customer_id = (select id from owner)
    ),
    member (kind, key) as materialized (
      select kind, key from subject union all select 'team', ${customerKey}::text
    ),
    way (product_id, target_kind, target_key, kind, key, ends_at) as materialized (
      select null::uuid, kind, key, kind, key, null::timestamptz from subject
      union all
      select m.product_id, m.container_kind, m.container_key, m.member_kind, m.member_key, m.ends_at
      from member s join membership m
        on m.environment_id = ${environmentId} and m.member_kind = s.kind and m.member_key = s.key
      where m.starts_at <= ${now} and (m.ends_at is null or m.ends_at > ${now})
      union all
      select met.product_id, 'segment', met.segment, 'condition', met.segment, null
      from unnest(${products}::uuid[], ${segments}::text[]) as met (product_id, segment)
    ),
    reaching as materialized (
      select g.id, json_agg(json_build_array(w.kind, w.key, w.ends_at) order by w.kind, w.key) as through
      from (select w.*, row_number() over (partition by product_id, target_kind, target_key order by kind, key) as place
        from way w) w
      join access_grant g on g.environment_id = ${environmentId}
        and g.target_kind = w.target_kind and g.target_key = w.target_key
        and (w.product_id is null or g.product_id = w.product_id)
      where w.place <= ${ways} and ${conditionsOf({ ...rest, environmentId })}
      group by g.id
    )
    select g.*, p.key as product_key, r.through
    from reaching r join access_grant g on g.id = r.id join product p on p.id = g.product_id
    order by ${END}, g.id
    limit ${limit}`.execute(database);
  return rows;
}
