import type { ScopedHolding } from '@pennon/engine/impact/compare-plan-change';
import type { MemberKind } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import { type Kysely, sql } from 'kysely';
import { GRANT_COLUMNS, milliseconds } from './customer-facts.js';
import { type GrantRow, toGrant } from './customer-facts-rows.js';
import type { Tables } from './tables.js';

/** One feature of one customer whose users or instances have accounts of their own. */
export interface AskedAccounts {
  readonly customerId: string;
  readonly feature: string;
  readonly per: 'user' | 'instance';
}

export interface AccountPageQuestion {
  readonly environmentId: string;
  readonly productId: string;
  readonly productKey: string;
  readonly asked: readonly AskedAccounts[];
  readonly after: AccountCursor | null;
  readonly limit: number;
}

export interface AccountCursor {
  readonly customerId: string;
  readonly scope: string;
  readonly feature: string;
}

/** The account of a user or an instance, with what that one was given of its own. */
export interface HeldAccount extends AccountCursor, ScopedHolding {}

interface Row {
  readonly customer_id: string;
  readonly feature: string;
  readonly scope: string;
  readonly period_start: number | null;
  readonly used: number;
  readonly reserved: number;
  readonly metadata: JsonObject | null;
  readonly memberships: readonly (readonly [string, number, number | null])[] | null;
  readonly grants: readonly GrantRow[] | null;
  readonly per: 'user' | 'instance';
}

/** The next accounts in the order of (customer, scope, feature), those that nothing is counted on left out: one statement. */
export async function readAccountPage(
  database: Kysely<Tables>,
  question: AccountPageQuestion,
): Promise<readonly HeldAccount[]> {
  const { asked, after, environmentId, productId, productKey } = question;
  const onward =
    after === null
      ? sql`true`
      : sql`(a.customer_id, a.scope, a.feature) > (${after.customerId}::uuid, ${after.scope}::text, ${after.feature}::text)`;
  const { rows } = await sql<Row>`
    with page as materialized (
      select a.customer_id, a.scope, a.feature, a.period_start, a.used, a.reserved, asked.per
      from unnest(${asked.map((one) => one.customerId)}::uuid[], ${asked.map((one) => one.feature)}::text[],
        ${asked.map((one) => one.per)}::text[]) as asked (customer_id, feature, per)
      join account a on a.customer_id = asked.customer_id and a.product_id = ${productId}
        and a.feature = asked.feature and a.scope <> ''
      where a.used + a.reserved > 0 and ${onward}
      order by a.customer_id, a.scope, a.feature limit ${question.limit})
    select page.customer_id, page.feature, page.scope, ${sql.raw(milliseconds('page.period_start'))} as period_start,
      page.used, page.reserved, page.per,
      (select i.metadata from instance i where page.per = 'instance'
        and i.environment_id = ${environmentId} and i.key = page.scope) as metadata,
      (select json_agg(json_build_array(m.container_key, ${sql.raw(milliseconds('m.starts_at'))},
          ${sql.raw(milliseconds('m.ends_at'))}))
        from membership m where m.environment_id = ${environmentId} and m.product_id = ${productId}
          and m.container_kind = 'segment' and m.member_kind = page.per and m.member_key = page.scope
          and (m.ends_at is null or m.ends_at > now())) as memberships,
      (select json_agg(${sql.raw(GRANT_COLUMNS)}) from access_grant g
        where g.environment_id = ${environmentId} and g.product_id = ${productId}
          and g.target_kind = page.per and g.target_key = page.scope
          and g.revoked_at is null and (g.ends_at is null or g.ends_at > now())) as grants
    from page order by page.customer_id, page.scope, page.feature`.execute(database);
  return rows.map((row) => fromRow(productKey, row));
}

function fromRow(product: string, row: Row): HeldAccount {
  const { feature, scope, used, reserved } = row;
  const member = { kind: row.per as MemberKind, key: scope };
  return {
    customerId: row.customer_id,
    scope,
    feature,
    account: { product, feature, scope, periodStart: row.period_start, used, reserved },
    metadata: row.metadata ?? {},
    memberships: (row.memberships ?? []).map(([segment, startsAt, endsAt]) => ({
      segment,
      member,
      startsAt,
      endsAt,
    })),
    grants: (row.grants ?? []).map((grant) => toGrant(product, grant)),
  };
}
