import type { LicenseAddon, LicenseKind, LicenseStatus } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import type { PageQuery } from '@pennon/protocol/management/common';
import type { ApiLicense, LicenseCreate, LicensePatch } from '@pennon/protocol/management/licenses';
import type { Selectable } from 'kysely';
import { fromInstant, fromInstantOrNull, toInstantOrNull } from '../../store/instant.js';
import type { LicenseTable } from '../../store/tables.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import type { ProductRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { toTime, toTimeOrNull } from '../times.js';
import { customerNotFound, findCustomer } from './customer-record.js';
import type { CustomerName } from './customers.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { type LicenseTerms, readAnchor, readTerms } from './license-terms.js';
import { productNamed } from './named-product.js';
import { PublishedItems } from './published-items.js';
import { notFound } from './refusals.js';

export interface LicenseName extends CustomerName {
  readonly license: string;
}
type LicenseRow = Selectable<LicenseTable>;

function toApiLicense(row: LicenseRow, customerKey: string, productKey: string): ApiLicense {
  return {
    id: row.id,
    customer: customerKey,
    product: productKey,
    plan: row.plan_key,
    planVersion: row.plan_version,
    quantity: row.quantity,
    kind: row.kind as LicenseKind,
    status: row.status as LicenseStatus,
    startsAt: toTime(row.starts_at.getTime()),
    endsAt: toTimeOrNull(toInstantOrNull(row.ends_at)),
    graceEndsAt: toTimeOrNull(toInstantOrNull(row.grace_ends_at)),
    anchor: row.anchor,
    timeZone: row.time_zone,
    sku: row.sku,
    contractReference: row.contract_reference,
    addons: row.addons as unknown as LicenseAddon[],
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}

function termsOf(row: LicenseRow): LicenseTerms {
  return {
    plan: row.plan_key,
    planVersion: row.plan_version,
    quantity: row.quantity,
    kind: row.kind as LicenseKind,
    status: row.status as LicenseStatus,
    startsAt: row.starts_at.getTime(),
    endsAt: toInstantOrNull(row.ends_at),
    graceEndsAt: toInstantOrNull(row.grace_ends_at),
    timeZone: row.time_zone,
    sku: row.sku,
    contractReference: row.contract_reference,
    addons: row.addons as unknown as LicenseAddon[],
  };
}

function columnsOf(terms: LicenseTerms) {
  return {
    plan_key: terms.plan,
    plan_version: terms.planVersion,
    quantity: terms.quantity,
    kind: terms.kind,
    status: terms.status,
    starts_at: fromInstant(terms.startsAt),
    ends_at: fromInstantOrNull(terms.endsAt),
    grace_ends_at: fromInstantOrNull(terms.graceEndsAt),
    time_zone: terms.timeZone,
    sku: terms.sku,
    contract_reference: terms.contractReference,
    addons: JSON.stringify(terms.addons),
  };
}

/** Gives a customer a plan version of a product. */
export async function createLicense(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: CustomerName,
  body: LicenseCreate,
): Promise<Changed<ApiLicense>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product = productNamed(services.directory, credential, body.product);
  return changeData(services, context, environment.id, async (change) => {
    const customer = await change.lockCustomer(named.customer);
    if (customer === null) throw customerNotFound(named.customer);
    const items = await PublishedItems.open(change.transaction, product, environment);
    const terms = await readTerms(items, body, null, change.now);
    await checkCount(change, customer, product);
    const zone = terms.timeZone ?? customer.time_zone ?? (await items.product())?.timeZone ?? 'UTC';
    const row = await change.transaction
      .insertInto('license')
      .values({
        customer_id: customer.id,
        id: newId(),
        environment_id: environment.id,
        product_id: product.id,
        ...columnsOf(terms),
        anchor: readAnchor(body.anchor, terms.startsAt, zone),
        version: 1,
        created_at: fromInstant(change.now),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    return { item: await finish(change, row, customer.key, product, 'license.create'), created: true };
  });
}

async function checkCount(
  change: DataChange,
  customer: { readonly id: string; readonly key: string },
  product: ProductRecord,
): Promise<void> {
  const { count } = await change.transaction
    .selectFrom('license')
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .where('customer_id', '=', customer.id)
    .where('product_id', '=', product.id)
    .where((where) =>
      where.or([where('ends_at', 'is', null), where('ends_at', '>', fromInstant(change.now))]),
    )
    .executeTakeFirstOrThrow();
  if (count >= LIMITS.licensesPerCustomer.value) {
    throw new ServiceError(
      'unprocessable',
      'TOO_MANY_LICENSES',
      `The customer \`${customer.key}\` has ${count} licenses of \`${product.key}\` in force or to come, which is the limit. End those that are over.`,
    );
  }
}

async function finish(
  change: DataChange,
  row: LicenseRow,
  customerKey: string,
  product: ProductRecord,
  action: string,
): Promise<ApiLicense> {
  await change.touchCustomer(customerKey);
  const item = toApiLicense(row, customerKey, product.key);
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

/** Changes what is named: another plan (an upgrade or a downgrade), an end, a status, add-ons. The anchor never moves. */
export async function patchLicense(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: LicenseName,
  body: LicensePatch,
  precondition: Precondition,
): Promise<Changed<ApiLicense>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const customer = await change.lockCustomer(named.customer);
    if (customer === null) throw customerNotFound(named.customer);
    const { row, product } = await findLicense(services, credential, change.transaction, customer.id, named);
    const current = { tag: String(row.version), item: toApiLicense(row, customer.key, product.key) };
    checkPrecondition(precondition, current, `The license \`${row.id}\``);
    const items = await PublishedItems.open(change.transaction, product, environment);
    const terms = await readTerms(items, body, termsOf(row), change.now);
    const changed = await change.transaction
      .updateTable('license')
      .set({ ...columnsOf(terms), version: row.version + 1 })
      .where('customer_id', '=', customer.id)
      .where('id', '=', row.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    return { item: await finish(change, changed, customer.key, product, 'license.change'), created: false };
  });
}

/** INVARIANT (law 11): a license of another customer, or of a product beyond the credential's reach, does not exist. */
async function findLicense(
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

export async function getLicense(
  services: ContractServices,
  credential: Credential,
  named: LicenseName,
): Promise<ApiLicense> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const found = await findLicense(services, credential, services.database, customer.id, named);
  return toApiLicense(found.row, customer.key, found.product.key);
}

export async function listLicenses(
  services: ContractServices,
  credential: Credential,
  named: CustomerName,
  query: PageQuery,
): Promise<Page<ApiLicense>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let select = services.database
    .selectFrom('license')
    .innerJoin('product', 'product.id', 'license.product_id')
    .selectAll('license')
    .select('product.key as product_key')
    .where('license.customer_id', '=', customer.id)
    .orderBy('license.id')
    .limit(limit + 1);
  if (credential.productId !== null) select = select.where('license.product_id', '=', credential.productId);
  if (after !== undefined && isId(after)) select = select.where('license.id', '>', after);
  return toPage(
    await select.execute(),
    limit,
    (row) => toApiLicense(row, customer.key, row.product_key),
    (row) => [row.id],
  );
}
