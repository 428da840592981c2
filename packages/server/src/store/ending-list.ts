import { type Kysely, type RawBuilder, sql } from 'kysely';
import { END } from './grant-lists.js';
import type { Tables } from './tables.js';

/** In the order in which what ends at the same instant is listed. */
export const ENDING_ORDER = ['application', 'grace', 'grant', 'license', 'membership', 'voucher'] as const;
type EndingKind = (typeof ENDING_ORDER)[number];

export interface EndingFilter {
  readonly environmentId: string;
  readonly productId?: string | undefined;
  readonly types: readonly EndingKind[];
  readonly kind?: string | undefined;
  readonly from: Date;
  readonly until: Date;
  readonly after?: { readonly endsAt: Date; readonly type: string; readonly id: string } | undefined;
  readonly limit: number;
}

export interface EndingRow {
  readonly type: EndingKind;
  readonly id: string;
  readonly product_key: string;
  readonly ends_at: Date;
  readonly target_kind: string;
  readonly target_key: string;
  readonly kind: string;
  /** The effect of a grant as JSON; of others what a person calls it. */
  readonly what: string;
  readonly reason: string | null;
  readonly owner: string | null;
  readonly contract_reference: string | null;
}

/** One table's part of the list: the alias of its rows is always `g`. */
interface Branch {
  /** As its index has it. */
  readonly end: RawBuilder<unknown>;
  /** Where it is not the row's own `ends_at`. */
  readonly shown?: RawBuilder<unknown>;
  readonly kind: RawBuilder<unknown>;
  readonly columns: RawBuilder<unknown>;
  readonly from: RawBuilder<unknown>;
  readonly where: RawBuilder<unknown>;
}

const LICENSE_COLUMNS = sql`'customer' as target_kind, c.key as target_key, g.kind,
  g.plan_key || '@' || g.plan_version as what, null as reason, null as owner, g.contract_reference`;

const BRANCHES: Record<EndingKind, Branch> = {
  application: {
    end: END,
    kind: sql`g.kind`,
    columns: sql`g.target_kind, g.target_key, g.kind, g.bundle_key as what, g.reason, g.owner, g.contract_reference`,
    from: sql`bundle_application g`,
    where: sql`g.revoked_at is null`,
  },
  // Until then a payment that is due leaves the rights; the license itself may end later, or never.
  grace: {
    end: sql`g.grace_ends_at`,
    shown: sql`g.grace_ends_at as ends_at`,
    kind: sql`g.kind`,
    columns: LICENSE_COLUMNS,
    from: sql`license g join customer c on c.id = g.customer_id`,
    where: sql`g.grace_ends_at is not null and g.status = 'past_due' and c.archived_at is null`,
  },
  grant: {
    end: END,
    kind: sql`g.kind`,
    columns: sql`g.target_kind, g.target_key, g.kind, g.effect as what, g.reason, g.owner, g.contract_reference`,
    from: sql`access_grant g`,
    // What ends with the application that made it is told by that one.
    where: sql`g.revoked_at is null and not exists (
      select from bundle_application a where a.id = g.application_id and a.ends_at = g.ends_at)`,
  },
  license: {
    end: sql`g.ends_at`,
    kind: sql`g.kind`,
    columns: LICENSE_COLUMNS,
    from: sql`license g join customer c on c.id = g.customer_id`,
    where: sql`g.ends_at is not null and g.status <> 'ended' and c.archived_at is null`,
  },
  membership: {
    end: sql`g.ends_at`,
    kind: sql`g.container_kind`,
    columns: sql`g.member_kind as target_kind, g.member_key as target_key, g.container_kind as kind,
      g.container_key as what, g.reason, null as owner, null as contract_reference`,
    from: sql`membership g`,
    where: sql`g.ends_at is not null`,
  },
  // When its codes can be redeemed no more; what was redeemed is listed as grants.
  voucher: {
    end: sql`g.ends_at`,
    kind: sql`g.kind`,
    columns: sql`'voucher' as target_kind, g.key as target_key, g.kind, g.key as what, null as reason,
      null as owner, g.contract_reference`,
    from: sql`voucher g`,
    where: sql`g.ends_at is not null and g.state <> 'archived'`,
  },
};

function selectOf(type: EndingKind, filter: EndingFilter): RawBuilder<unknown> {
  const { end, shown = sql`g.ends_at`, kind, columns, from, where } = BRANCHES[type];
  const { after } = filter;
  const conditions = [
    sql`g.environment_id = ${filter.environmentId}`,
    sql`${end} > ${filter.from}::timestamptz and ${end} <= ${filter.until}::timestamptz`,
    where,
  ];
  if (filter.productId !== undefined) conditions.push(sql`g.product_id = ${filter.productId}`);
  if (filter.kind !== undefined) conditions.push(sql`${kind} = ${filter.kind}`);
  if (after !== undefined) conditions.push(afterOf(type, end, after));
  return sql`(select ${sql.lit(type)}::text as type, g.id, g.product_id, ${shown}, ${columns}
    from ${from} where ${sql.join(conditions, sql` and `)} order by ${end}, g.id limit ${filter.limit})`;
}

function afterOf(
  type: EndingKind,
  end: RawBuilder<unknown>,
  after: NonNullable<EndingFilter['after']>,
): RawBuilder<unknown> {
  if (type === after.type) return sql`(${end}, g.id) > (${after.endsAt}::timestamptz, ${after.id}::uuid)`;
  return type < after.type
    ? sql`${end} > ${after.endsAt}::timestamptz`
    : sql`${end} >= ${after.endsAt}::timestamptz`;
}

/**
 * Everything temporary of an environment that ends in a span, what ends first first. Each table gives at most a page, by its own
 * index; the pages are merged.
 */
export async function readEnding(
  database: Kysely<Tables>,
  filter: EndingFilter,
): Promise<readonly EndingRow[]> {
  const parts = filter.types.map((type) => selectOf(type, filter));
  const { rows } = await sql<EndingRow>`
    select g.*, p.key as product_key from (${sql.join(parts, sql` union all `)}) g
    join product p on p.id = g.product_id
    order by g.ends_at, g.type collate "C", g.id
    limit ${filter.limit}`.execute(database);
  return rows;
}
