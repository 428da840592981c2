import type { GrantEffect, Instant } from '@pennon/engine/model/customer';
import type { ApiGrant, GrantListQuery } from '@pennon/protocol/management/grants';
import { sql } from 'kysely';
import { fromInstant } from '../../store/instant.js';
import type { Credential } from '../credential.js';
import { isId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { environmentInReach, productInReach } from '../scope.js';
import { fromTime } from '../times.js';
import { alsoGrantedBy, type GrantRow, toApiGrant } from './grant-record.js';
import type { GrantServices } from './grants.js';
import { refuse } from './refusals.js';

/** `infinity` sorts after every end, as a grant without one does. */
const NEVER = 'infinity';

/**
 * Grants that are in force or to come, those that end first first (X-12). `customer` gives every exception that is made for one
 * customer, its users and its instances (C-6).
 */
export async function listGrants(
  services: GrantServices,
  credential: Credential,
  named: { readonly environment: string },
  query: GrantListQuery,
): Promise<Page<ApiGrant>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product =
    query.product === undefined ? null : productInReach(services.directory, credential, query.product);
  if ((query.targetKind === undefined) !== (query.targetKey === undefined)) {
    throw refuse('invalid', 'QUERY_INVALID', 'Send `targetKind` and `targetKey` together.', 'targetKind');
  }
  const limit = query.limit ?? 50;
  const conditions = [sql`g.environment_id = ${environment.id}`];
  const productId = product?.id ?? credential.productId;
  if (productId !== null) conditions.push(sql`g.product_id = ${productId}`);
  if (query.revoked !== true) {
    const now = fromInstant(services.clock.now());
    conditions.push(sql`g.revoked_at is null and (g.ends_at is null or g.ends_at > ${now})`);
  }
  if (query.targetKind !== undefined) {
    conditions.push(sql`g.target_kind = ${query.targetKind} and g.target_key = ${query.targetKey}`);
  }
  if (query.customer !== undefined) conditions.push(ofCustomer(environment.id, query.customer));
  if (query.endsBefore !== undefined) {
    const endsBefore: Instant = fromTime(query.endsBefore, 'endsBefore');
    conditions.push(sql`g.ends_at < ${fromInstant(endsBefore)}`);
  }
  const [end, id] = fromCursor(query.cursor, 2) ?? [];
  if (end !== undefined && id !== undefined && isId(id)) {
    const from =
      end === NEVER
        ? sql`'infinity'::timestamptz`
        : sql`${fromInstant(fromTime(end, 'cursor'))}::timestamptz`;
    conditions.push(sql`(coalesce(g.ends_at, 'infinity'), g.id) > (${from}, ${id}::uuid)`);
  }
  const { rows } = await sql<GrantRow & { readonly product_key: string }>`
    select g.*, p.key as product_key from access_grant g join product p on p.id = g.product_id
    where ${sql.join(conditions, sql` and `)}
    order by coalesce(g.ends_at, 'infinity'), g.id
    limit ${limit + 1}`.execute(services.database);
  return toPage(
    rows,
    limit,
    (row) => {
      const snapshot = services.snapshots.current(row.product_id, environment.id);
      const effect = JSON.parse(row.effect) as GrantEffect;
      return toApiGrant(row, row.product_key, alsoGrantedBy(effect, snapshot));
    },
    (row) => [row.ends_at === null ? NEVER : row.ends_at.toISOString(), row.id],
  );
}

function ofCustomer(environmentId: string, customerKey: string) {
  return sql`(g.target_kind, g.target_key) in (
    select 'customer', ${customerKey}::text
    union all select 'user', u.key from customer c join customer_user u on u.customer_id = c.id
      where c.environment_id = ${environmentId} and c.key = ${customerKey}
    union all select 'instance', i.key from customer c join instance i on i.customer_id = c.id
      where c.environment_id = ${environmentId} and c.key = ${customerKey})`;
}
