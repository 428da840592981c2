import type { ApiRedemption, RedemptionListQuery } from '@pennon/protocol/management/vouchers';
import type { Kysely } from 'kysely';
import type { Tables } from '../../store/tables.js';
import { notFound } from '../contracts/refusals.js';
import type { Credential } from '../credential.js';
import { isId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import type { EnvironmentRecord } from '../ports.js';
import { environmentInReach } from '../scope.js';
import { findVoucher, type VoucherServices } from './find-voucher.js';
import { type RedemptionNames, type RedemptionRow, toApiRedemption } from './voucher-record.js';

export interface RedemptionName {
  readonly environment: string;
  readonly redemption: string;
}

const NAMES = [
  'voucher.key as voucher_key',
  'product.key as product_key',
  'customer.key as customer_key',
] as const;

interface NamedRow extends RedemptionRow {
  readonly voucher_key: string;
  readonly product_key: string;
  readonly customer_key: string;
}

function named(database: Kysely<Tables>) {
  return database
    .selectFrom('voucher_redemption')
    .innerJoin('voucher', 'voucher.id', 'voucher_redemption.voucher_id')
    .innerJoin('product', 'product.id', 'voucher_redemption.product_id')
    .innerJoin('customer', 'customer.id', 'voucher_redemption.customer_id')
    .selectAll('voucher_redemption')
    .select(NAMES);
}

function toItem(row: NamedRow): ApiRedemption {
  return toApiRedemption(row, {
    voucher: row.voucher_key,
    product: row.product_key,
    customer: row.customer_key,
  });
}

/** The latest first. */
export async function listRedemptions(
  services: VoucherServices,
  credential: Credential,
  scope: { readonly environment: string },
  query: RedemptionListQuery,
): Promise<Page<ApiRedemption>> {
  const { directory, database } = services;
  const environment = environmentInReach(directory, credential, scope.environment);
  const limit = query.limit ?? 50;
  let select = named(database)
    .where('voucher_redemption.environment_id', '=', environment.id)
    .orderBy('voucher_redemption.id', 'desc')
    .limit(limit + 1);
  if (credential.productId !== null) {
    select = select.where('voucher_redemption.product_id', '=', credential.productId);
  }
  if (query.voucher !== undefined) {
    const { row } = await findVoucher(database, directory, credential, environment, query.voucher);
    select = select.where('voucher_redemption.voucher_id', '=', row.id);
  }
  if (query.customer !== undefined) select = select.where('customer.key', '=', query.customer);
  if (query.revoked !== undefined) {
    select = select.where('voucher_redemption.revoked_at', query.revoked ? 'is not' : 'is', null);
  }
  const [before] = fromCursor(query.cursor, 1) ?? [];
  if (before !== undefined && isId(before)) select = select.where('voucher_redemption.id', '<', before);
  return toPage(await select.execute(), limit, toItem, (row) => [row.id]);
}

/** INVARIANT (law 11): one of another environment, or of a product beyond the reach, does not exist. */
export async function findRedemption(
  database: Kysely<Tables>,
  credential: Credential,
  environment: EnvironmentRecord,
  id: string,
): Promise<{ readonly row: RedemptionRow; readonly names: RedemptionNames }> {
  const found = isId(id)
    ? await named(database)
        .where('voucher_redemption.id', '=', id)
        .where('voucher_redemption.environment_id', '=', environment.id)
        .executeTakeFirst()
    : undefined;
  if (found === undefined || (credential.productId !== null && credential.productId !== found.product_id)) {
    throw notFound(
      'REDEMPTION_NOT_FOUND',
      `The redemption \`${id}\``,
      'GET …/redemptions lists those that exist.',
    );
  }
  const { voucher_key: voucher, product_key: product, customer_key: customer, ...row } = found;
  return { row, names: { voucher, product, customer } };
}

export async function getRedemption(
  services: VoucherServices,
  credential: Credential,
  name: RedemptionName,
): Promise<ApiRedemption> {
  const environment = environmentInReach(services.directory, credential, name.environment);
  const { row, names } = await findRedemption(services.database, credential, environment, name.redemption);
  return toApiRedemption(row, names);
}
