import type { Kysely } from 'kysely';
import type { Tables } from '../../store/tables.js';
import type { ContractServices } from '../contracts/data-change.js';
import { notFound } from '../contracts/refusals.js';
import type { Credential } from '../credential.js';
import { isId } from '../new-id.js';
import type { Directory, EnvironmentRecord, ProductRecord, Snapshots } from '../ports.js';
import { productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import type { VoucherRow } from './voucher-record.js';

export interface VoucherServices extends ContractServices {
  readonly snapshots: Pick<Snapshots, 'current'>;
}
export interface VoucherName {
  readonly environment: string;
  readonly voucher: string;
}

/**
 * A voucher by key or id. INVARIANT (law 11): one of another environment, or of a product beyond the reach, does not exist.
 */
export async function findVoucher(
  database: Kysely<Tables>,
  directory: Directory,
  credential: Credential,
  environment: EnvironmentRecord,
  name: string,
  lock = false,
): Promise<{ readonly row: VoucherRow; readonly product: ProductRecord }> {
  let select = database
    .selectFrom('voucher')
    .selectAll()
    .where('environment_id', '=', environment.id)
    .where((where) =>
      isId(name) ? where.or([where('key', '=', name), where('id', '=', name)]) : where('key', '=', name),
    )
    .limit(2);
  if (credential.productId !== null) select = select.where('product_id', '=', credential.productId);
  const rows = await (lock ? select.forUpdate() : select).execute();
  const [row] = rows;
  if (row === undefined) {
    throw notFound('VOUCHER_NOT_FOUND', `The voucher \`${name}\``, 'GET …/vouchers lists those that exist.');
  }
  if (rows.length > 1) {
    throw new ServiceError(
      'conflict',
      'VOUCHER_AMBIGUOUS',
      `Vouchers of two products have the key \`${name}\`. Name the one that is meant by its id.`,
    );
  }
  return { row, product: productInReach(directory, credential, row.product_id) };
}

export function refuseArchived(row: VoucherRow): void {
  if (row.state !== 'archived') return;
  throw new ServiceError(
    'conflict',
    'VOUCHER_ARCHIVED',
    `The voucher \`${row.key}\` is archived and stays so. Make a new one.`,
  );
}
