import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiLicense } from '@pennon/protocol/management/licenses';
import type { ChangeContext, Credential } from '../credential.js';
import { isId } from '../new-id.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, productInReach } from '../scope.js';
import { customerNotFound } from './customer-record.js';
import type { CustomerName } from './customers.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { columnsOf, historyOf, type LicenseRow, settledAt, termsOf, toApiLicense } from './license-record.js';
import { PublishedItems } from './published-items.js';
import { notFound } from './refusals.js';

/* What every change of one license shares: find it under its customer's lock, compare, write, record, tell. */

export interface LicenseName extends CustomerName {
  readonly license: string;
}

/** A license under its customer's lock, as the clock sees it. */
export interface HeldLicense {
  readonly change: DataChange;
  readonly row: LicenseRow;
  readonly product: ProductRecord;
  readonly environment: EnvironmentRecord;
  readonly items: PublishedItems;
}

/** `null` from `work`: there is nothing to change, and nothing is written. */
export async function changeLicense(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: LicenseName,
  precondition: Precondition,
  action: string,
  work: (held: HeldLicense) => Promise<LicenseRow | null>,
): Promise<Changed<ApiLicense>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const customer = await change.lockCustomer(named.customer);
    if (customer === null) throw customerNotFound(named.customer);
    const found = await findLicense(services, credential, change.transaction, customer.id, named);
    const { product } = found;
    const row = settledAt(found.row, change.now);
    const item = toApiLicense(row, customer.key, product.key, change.now);
    checkPrecondition(precondition, { tag: String(row.version), item }, `The license \`${row.id}\``);
    const items = await PublishedItems.open(change.transaction, product, environment);
    const changed = await work({ change, row, product, environment, items });
    if (changed === null) return { item, created: false };
    const written = await writeLicense(change, changed);
    return { item: await finishLicense(change, written, customer.key, product, action), created: false };
  });
}

export async function writeLicense(change: DataChange, row: LicenseRow): Promise<LicenseRow> {
  return change.transaction
    .updateTable('license')
    .set({ ...columnsOf(termsOf(row)), ...historyOf(row), version: row.version + 1 })
    .where('customer_id', '=', row.customer_id)
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function finishLicense(
  change: DataChange,
  row: LicenseRow,
  customerKey: string,
  product: ProductRecord,
  action: string,
): Promise<ApiLicense> {
  await change.touchCustomer(customerKey);
  const item = toApiLicense(row, customerKey, product.key, change.now);
  await change.record({
    action,
    productId: product.id,
    objectKind: 'license',
    objectId: row.id,
    objectVersion: row.version,
    after: item as unknown as JsonObject,
  });
  return item;
}

/** INVARIANT (law 11): a license of another customer, or of a product beyond the credential's reach, does not exist. */
export async function findLicense(
  services: ContractServices,
  credential: Credential,
  database: ContractServices['database'],
  customerId: string,
  named: LicenseName,
): Promise<{ readonly row: LicenseRow; readonly product: ProductRecord }> {
  const row = isId(named.license)
    ? await database
        .selectFrom('license')
        .selectAll()
        .where('customer_id', '=', customerId)
        .where('id', '=', named.license)
        .executeTakeFirst()
    : undefined;
  const inReach =
    row !== undefined && (credential.productId === null || credential.productId === row.product_id);
  if (row === undefined || !inReach) {
    throw notFound(
      'LICENSE_NOT_FOUND',
      `The license \`${named.license}\` of the customer \`${named.customer}\``,
      'GET …/licenses lists those that exist.',
    );
  }
  return { row, product: productInReach(services.directory, credential, row.product_id) };
}
