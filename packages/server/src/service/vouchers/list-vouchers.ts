import type { Instant } from '@pennon/engine/model/customer';
import type { ApiVoucher, VoucherListQuery, VoucherState } from '@pennon/protocol/management/vouchers';
import { type RawBuilder, sql } from 'kysely';
import { fromInstant } from '../../store/instant.js';
import type { Credential } from '../credential.js';
import { isId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { environmentInReach, productInReach } from '../scope.js';
import type { VoucherServices } from './find-voucher.js';
import { toApiVoucher, type VoucherRow } from './voucher-record.js';

/** The latest first. */
export async function listVouchers(
  services: VoucherServices,
  credential: Credential,
  scope: { readonly environment: string },
  query: VoucherListQuery,
): Promise<Page<ApiVoucher>> {
  const { directory, database, clock } = services;
  const environment = environmentInReach(directory, credential, scope.environment);
  const product = query.product === undefined ? null : productInReach(directory, credential, query.product);
  const limit = query.limit ?? 50;
  const now = clock.now();
  const conditions = [sql`v.environment_id = ${environment.id}`];
  const productId = product?.id ?? credential.productId;
  if (productId !== null) conditions.push(sql`v.product_id = ${productId}`);
  if (query.state !== undefined) conditions.push(inState(query.state, now));
  const [before] = fromCursor(query.cursor, 1) ?? [];
  if (before !== undefined && isId(before)) conditions.push(sql`v.id < ${before}::uuid`);
  const { rows } = await sql<VoucherRow & { readonly product_key: string }>`
    select v.*, p.key as product_key from voucher v join product p on p.id = v.product_id
    where ${sql.join(conditions, sql` and `)}
    order by v.id desc limit ${limit + 1}`.execute(database);
  return toPage(
    rows,
    limit,
    (row) => toApiVoucher(row, row.product_key, now),
    (row) => [row.id],
  );
}

/** The words of `stateOf`, asked of the rows. */
function inState(state: VoucherState, now: Instant): RawBuilder<unknown> {
  const at = fromInstant(now);
  const expired = sql`(coalesce(v.ends_at <= ${at}, false) or coalesce(v.lasts_until <= ${at}, false))`;
  const exhausted = sql`coalesce(v.redeemed >= v.max_redemptions, false)`;
  switch (state) {
    case 'draft':
    case 'archived':
      return sql`v.state = ${state}`;
    case 'expired':
      return sql`v.state = 'active' and ${expired}`;
    case 'exhausted':
      return sql`v.state = 'active' and not ${expired} and ${exhausted}`;
    case 'active':
      return sql`v.state = 'active' and not ${expired} and not ${exhausted}`;
  }
}
