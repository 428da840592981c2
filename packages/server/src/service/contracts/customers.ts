import type { ApiCustomer, CustomerCreate, CustomerWrite } from '@pennon/protocol/management/customers';
import type { Selectable } from 'kysely';
import { fromInstant } from '../../store/instant.js';
import type { CustomerTable } from '../../store/tables.js';
import type { ChangeContext, Credential } from '../credential.js';
import { newId } from '../new-id.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import {
  type CustomerRow,
  customerEntry,
  customerNotFound,
  findCustomer,
  toApiCustomer,
} from './customer-record.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { attributesText, checkTimeZone } from './refusals.js';
import { customerWords, indexWords } from './search-index.js';

export interface CustomerName {
  readonly environment: string;
  readonly customer: string;
}

function currentOf(row: CustomerRow | null) {
  return row === null ? null : { tag: String(row.version), item: toApiCustomer(row) };
}

/** Creates the customer, or replaces what is said of it (members that are left out are then empty). */
export async function putCustomer(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: CustomerName,
  body: CustomerWrite,
  precondition: Precondition,
): Promise<Changed<ApiCustomer>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  checkTimeZone(body.timeZone);
  return changeData(services, context, environment.id, async (change) => {
    const existing = await change.lockCustomer(named.customer);
    checkPrecondition(precondition, currentOf(existing), `The customer \`${named.customer}\``);
    const whole = { externalId: null, name: null, email: null, timeZone: null, attributes: {}, ...body };
    if (existing !== null)
      return { item: await update(change, existing, whole, 'customer.replace'), created: false };
    return { item: await insert(change, named.customer, whole), created: true };
  });
}

/** Creates a customer and never changes one. */
export async function createCustomer(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: { readonly environment: string },
  body: CustomerCreate,
): Promise<Changed<ApiCustomer>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  checkTimeZone(body.timeZone);
  return changeData(services, context, environment.id, async (change) => {
    const existing = await change.lockCustomer(body.key);
    if (existing !== null) {
      throw new ServiceError(
        'conflict',
        'CUSTOMER_EXISTS',
        `The customer \`${body.key}\` exists already. Change it with PATCH …/customers/${encodeURIComponent(body.key)}.`,
      );
    }
    return { item: await insert(change, body.key, body), created: true };
  });
}

/** Changes the members that are named and leaves the others. */
export async function patchCustomer(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: CustomerName,
  body: CustomerWrite,
  precondition: Precondition,
): Promise<Changed<ApiCustomer>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  checkTimeZone(body.timeZone);
  return changeData(services, context, environment.id, async (change) => {
    const existing = await lockExisting(change, named.customer, precondition);
    return { item: await update(change, existing, body, 'customer.change'), created: false };
  });
}

/**
 * Takes a customer out of use, or back. Nothing of it is removed; while it is archived nothing that it has is in force, and
 * it is answered like a customer without a license.
 */
export async function archiveCustomer(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: CustomerName,
  archived: boolean,
  precondition: Precondition,
): Promise<Changed<ApiCustomer>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const condition: Precondition = precondition.kind === 'none' ? { kind: 'exists' } : precondition;
    const existing = await lockExisting(change, named.customer, condition);
    const archivedAt = archived ? (existing.archived_at ?? fromInstant(change.now)) : null;
    await change.transaction
      .updateTable('customer')
      .set({ archived_at: archivedAt })
      .where('id', '=', existing.id)
      .execute();
    const action = archived ? 'customer.archive' : 'customer.restore';
    return { item: await finish(change, existing.key, action), created: false };
  });
}

async function lockExisting(
  change: DataChange,
  key: string,
  precondition: Precondition,
): Promise<CustomerRow> {
  const existing = await change.lockCustomer(key);
  if (existing === null) throw customerNotFound(key);
  checkPrecondition(precondition, currentOf(existing), `The customer \`${key}\``);
  return existing;
}

type CustomerMembers = Omit<CustomerWrite, 'reason'>;

function columnsOf(body: CustomerMembers) {
  return {
    ...(body.externalId === undefined ? {} : { external_id: body.externalId }),
    ...(body.name === undefined ? {} : { name: body.name }),
    ...(body.email === undefined ? {} : { email: body.email }),
    ...(body.timeZone === undefined ? {} : { time_zone: body.timeZone }),
    ...(body.attributes === undefined ? {} : { attributes: attributesText(body.attributes, '/attributes') }),
  };
}

/** Registers a customer of whom only the key is known, as part of a change that needs it to exist. */
export async function registerInChange(change: DataChange, key: string): Promise<{ readonly id: string }> {
  return insert(change, key, {});
}

async function insert(change: DataChange, key: string, body: CustomerMembers): Promise<ApiCustomer> {
  const row = await change.transaction
    .insertInto('customer')
    .values({
      id: newId(),
      environment_id: change.environmentId,
      key,
      external_id: null,
      name: null,
      email: null,
      time_zone: null,
      attributes: '{}',
      ...columnsOf(body),
      version: 1,
      created_at: fromInstant(change.now),
      archived_at: null,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await indexWords(change, [customerWords(row)]);
  change.noteCreated(key, row.version);
  return record(change, row, 'customer.create');
}

async function update(
  change: DataChange,
  existing: CustomerRow,
  body: CustomerMembers,
  action: string,
): Promise<ApiCustomer> {
  const columns = columnsOf(body);
  if (Object.keys(columns).length > 0) {
    await change.transaction.updateTable('customer').set(columns).where('id', '=', existing.id).execute();
  }
  return finish(change, existing.key, action);
}

async function finish(change: DataChange, key: string, action: string): Promise<ApiCustomer> {
  await change.touchCustomer(key);
  const row = await findCustomer(change.transaction, change.environmentId, key);
  await indexWords(change, [customerWords(row)]);
  return record(change, row, action);
}

async function record(
  change: DataChange,
  row: Selectable<CustomerTable>,
  action: string,
): Promise<ApiCustomer> {
  const item = toApiCustomer(row);
  await change.record(customerEntry(item, action));
  return item;
}

export async function getCustomer(
  services: ContractServices,
  credential: Credential,
  named: CustomerName,
): Promise<ApiCustomer> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return toApiCustomer(await findCustomer(services.database, environment.id, named.customer));
}
