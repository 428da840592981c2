import { type Kysely, type Selectable, sql } from 'kysely';
import { END, type EndPosition, endOf } from './grant-lists.js';
import type { BundleApplicationTable, Tables } from './tables.js';

export interface ApplicationFilter {
  readonly environmentId: string;
  readonly productId?: string | undefined;
  readonly bundleKey?: string | undefined;
  readonly kind?: string | undefined;
  readonly target?: { readonly kind: string; readonly key: string } | undefined;
  /** Only those in force or to come at that instant. */
  readonly liveAt?: Date | undefined;
  readonly after?: EndPosition | undefined;
  readonly limit: number;
}

export interface ListedApplication extends Selectable<BundleApplicationTable> {
  readonly product_key: string;
}

/** Applications of bundles by their end, those that end first first. */
export async function readApplications(
  database: Kysely<Tables>,
  filter: ApplicationFilter,
): Promise<readonly ListedApplication[]> {
  const { after } = filter;
  const conditions = [sql`g.environment_id = ${filter.environmentId}`];
  if (filter.productId !== undefined) conditions.push(sql`g.product_id = ${filter.productId}`);
  if (filter.bundleKey !== undefined) conditions.push(sql`g.bundle_key = ${filter.bundleKey}`);
  if (filter.kind !== undefined) conditions.push(sql`g.kind = ${filter.kind}`);
  if (filter.target !== undefined) {
    conditions.push(sql`g.target_kind = ${filter.target.kind} and g.target_key = ${filter.target.key}`);
  }
  if (filter.liveAt !== undefined) {
    conditions.push(sql`g.revoked_at is null and ${END} > ${filter.liveAt}::timestamptz`);
  }
  if (after !== undefined) conditions.push(sql`(${END}, g.id) > (${endOf(after.endsAt)}, ${after.id}::uuid)`);
  const { rows } = await sql<ListedApplication>`
    select g.*, p.key as product_key from bundle_application g join product p on p.id = g.product_id
    where ${sql.join(conditions, sql` and `)}
    order by ${END}, g.id
    limit ${filter.limit}`.execute(database);
  return rows;
}
