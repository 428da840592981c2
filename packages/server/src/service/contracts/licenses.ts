import type { Instant } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import { parseAnchor } from '@pennon/engine/period/anchor';
import type { PageQuery } from '@pennon/protocol/management/common';
import type { ApiLicense, LicenseCreate, LicensePatch } from '@pennon/protocol/management/licenses';
import { fromInstant } from '../../store/instant.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import type { ProductRecord } from '../ports.js';
import type { Precondition } from '../precondition.js';
import { environmentInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { toTimeOrNull } from '../times.js';
import { changeLicense, findLicense, finishLicense, type LicenseName } from './change-license.js';
import { countLicenses } from './count-licenses.js';
import { customerNotFound, findCustomer } from './customer-record.js';
import type { CustomerName } from './customers.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import {
  type BeforeCancel,
  columnsOf,
  type LicenseRow,
  moveAnchor,
  termsOf,
  toApiLicense,
  withEarlier,
  withoutNext,
} from './license-record.js';
import { checkTransition, withPastDueGrace } from './license-status.js';
import { type LicenseTerms, readAnchor, readTerms } from './license-terms.js';
import { productNamed } from './named-product.js';
import { PublishedItems } from './published-items.js';

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
    const read = await readTerms(items, body, null, change.now);
    const terms = await withPastDueGrace(read, null, body.graceEndsAt !== undefined, items, change.now);
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
    return { item: await finishLicense(change, row, customer.key, product, 'license.create'), created: true };
  });
}

async function checkCount(
  change: DataChange,
  customer: { readonly id: string; readonly key: string },
  product: ProductRecord,
): Promise<void> {
  const count = await countLicenses(change.transaction, customer.id, product.id, change.now);
  if (count >= LIMITS.licensesPerCustomer.value) {
    throw new ServiceError(
      'unprocessable',
      'TOO_MANY_LICENSES',
      `The customer \`${customer.key}\` has ${count} licenses of \`${product.key}\` in force or to come, which is the limit. End those that are over.`,
    );
  }
}

/**
 * Changes what is named: another plan (an upgrade or a downgrade), an end, a status, add-ons, an anchor that a provider moved. Another plan
 * takes a planned change back: it was planned for the plan before.
 */
export function patchLicense(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: LicenseName,
  body: LicensePatch,
  precondition: Precondition,
): Promise<Changed<ApiLicense>> {
  return changeLicense(services, credential, context, named, precondition, 'license.change', async (held) => {
    const { row, items, change } = held;
    const before = termsOf(row);
    const read = await readTerms(items, body, before, change.now);
    checkTransition(before.status, read.status);
    const isSaid = body.graceEndsAt !== undefined;
    const terms = await withPastDueGrace(read, before, isSaid, items, change.now);
    const samePlan = terms.plan === before.plan && terms.planVersion === before.planVersion;
    return {
      ...row,
      ...(columnsOf(terms) as object),
      addons: terms.addons as never,
      ...(body.anchor === undefined ? {} : moved(row, body.anchor, terms, change.now)),
      ...(samePlan ? {} : { ...withoutNext, earlier_plans: withEarlier(row, change.now) as never }),
      ...(before.status === terms.status ? {} : { before_cancel: canceledFrom(before, terms) as never }),
    };
  });
}

function moved(row: LicenseRow, anchor: string, terms: LicenseTerms, now: Instant) {
  const zone = terms.timeZone ?? parseAnchor(row.anchor)?.timeZone ?? 'UTC';
  return moveAnchor(row, readAnchor(anchor, terms.startsAt, zone), now);
}

function canceledFrom(before: LicenseTerms, after: LicenseTerms): BeforeCancel | null {
  if (after.status !== 'canceled') return null;
  return { status: before.status, endsAt: toTimeOrNull(before.endsAt) };
}

export async function getLicense(
  services: ContractServices,
  credential: Credential,
  named: LicenseName,
): Promise<ApiLicense> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const found = await findLicense(services, credential, services.database, customer.id, named);
  return toApiLicense(found.row, customer.key, found.product.key, services.clock.now());
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
  const now = services.clock.now();
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
    (row) => toApiLicense(row, customer.key, row.product_key, now),
    (row) => [row.id],
  );
}
