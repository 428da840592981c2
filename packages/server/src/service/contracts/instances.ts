import { LIMITS } from '@pennon/engine/model/limits';
import type { PageQuery } from '@pennon/protocol/management/common';
import type { ApiInstance, InstanceWrite } from '@pennon/protocol/management/customers';
import type { Kysely } from 'kysely';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { customerNotFound, findCustomer } from './customer-record.js';
import type { CustomerName } from './customers.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { type InstanceRow, instanceEntry, toApiInstance, touchInstance } from './instance-record.js';
import { attributesText, notFound } from './refusals.js';
import { indexWords, instanceWords, removeWords } from './search-index.js';

export interface InstanceName extends CustomerName {
  /** A key; for reading also an id. */
  readonly instance: string;
}

/** By key, else by id; keys are unique in an environment. */
async function findInstance(
  database: Kysely<Tables>,
  environmentId: string,
  keyOrId: string,
): Promise<InstanceRow | null> {
  const select = database.selectFrom('instance').selectAll().where('environment_id', '=', environmentId);
  const byKey = await select.where('key', '=', keyOrId).executeTakeFirst();
  if (byKey !== undefined || !isId(keyOrId)) return byKey ?? null;
  return (await select.where('id', '=', keyOrId).executeTakeFirst()) ?? null;
}

function currentOf(row: InstanceRow | null, customerKey: string) {
  return row === null ? null : { tag: String(row.version), item: toApiInstance(row, customerKey) };
}

/** Registers one deployment of the customer, or replaces what is said of it. */
export async function putInstance(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: InstanceName,
  body: InstanceWrite,
  precondition: Precondition,
): Promise<Changed<ApiInstance>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const customer = await change.lockCustomer(named.customer);
    if (customer === null) throw customerNotFound(named.customer);
    const existing = await findInstance(change.transaction, environment.id, named.instance);
    if (existing !== null && existing.customer_id !== customer.id) throw takenByAnother(named.instance);
    checkPrecondition(
      precondition,
      currentOf(existing, customer.key),
      `The instance \`${named.instance}\` of \`${customer.key}\``,
    );
    const members = {
      name: body.name ?? null,
      metadata: attributesText(body.metadata ?? {}, '/metadata'),
    };
    if (existing === null) {
      await checkCount(change, customer);
      await change.transaction
        .insertInto('instance')
        .values({
          customer_id: customer.id,
          id: newId(),
          environment_id: environment.id,
          key: named.instance,
          ...members,
          version: 1,
          created_at: fromInstant(change.now),
        })
        .execute();
    } else {
      await change.transaction
        .updateTable('instance')
        .set({ ...members, version: existing.version + 1 })
        .where('customer_id', '=', customer.id)
        .where('id', '=', existing.id)
        .execute();
    }
    const row = await findInstance(change.transaction, environment.id, named.instance);
    if (row === null) throw new Error('The instance vanished inside its own transaction.');
    const item = toApiInstance(row, customer.key);
    await indexWords(change, [instanceWords(row)]);
    await finish(change, customer, item, existing === null ? 'instance.create' : 'instance.replace');
    return { item, created: existing === null };
  });
}

function takenByAnother(key: string): ServiceError {
  return new ServiceError(
    'conflict',
    'INSTANCE_KEY_TAKEN',
    `The instance \`${key}\` belongs to another customer of this environment. Choose another key, or remove it there first.`,
  );
}

async function checkCount(
  change: DataChange,
  customer: { readonly id: string; readonly key: string },
): Promise<void> {
  const { count } = await change.transaction
    .selectFrom('instance')
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .where('customer_id', '=', customer.id)
    .executeTakeFirstOrThrow();
  if (count >= LIMITS.instancesPerCustomer.value) {
    throw new ServiceError(
      'unprocessable',
      'TOO_MANY_INSTANCES',
      `The customer \`${customer.key}\` has ${count} instances, which is the limit. Remove those that run no more.`,
    );
  }
}

async function finish(
  change: DataChange,
  customer: { readonly id: string },
  instance: ApiInstance,
  action: string,
): Promise<void> {
  await change.touchCustomer(instance.customer);
  touchInstance(change, instance);
  await change.record(instanceEntry(customer.id, instance, action));
}

export async function removeInstance(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: InstanceName,
  precondition: Precondition,
): Promise<Changed<null>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const customer = await change.lockCustomer(named.customer);
    if (customer === null) throw customerNotFound(named.customer);
    const existing = await findInstance(change.transaction, environment.id, named.instance);
    if (existing === null || existing.customer_id !== customer.id) throw instanceNotFound(named);
    checkPrecondition(precondition, currentOf(existing, customer.key), `The instance \`${named.instance}\``);
    await change.transaction
      .deleteFrom('instance')
      .where('customer_id', '=', customer.id)
      .where('id', '=', existing.id)
      .execute();
    await removeWords(change, [{ customerId: customer.id, kind: 'instance', key: existing.key }]);
    await finish(change, customer, toApiInstance(existing, customer.key), 'instance.remove');
    return { item: null, created: false };
  });
}

function instanceNotFound(named: InstanceName): ServiceError {
  return notFound(
    'INSTANCE_NOT_FOUND',
    `The instance \`${named.instance}\` of the customer \`${named.customer}\``,
    'Create it with PUT …/instances/{key}, or list those that exist.',
  );
}

export async function getInstance(
  services: ContractServices,
  credential: Credential,
  named: InstanceName,
): Promise<ApiInstance> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const row = await findInstance(services.database, environment.id, named.instance);
  if (row === null || row.customer_id !== customer.id) throw instanceNotFound(named);
  return toApiInstance(row, customer.key);
}

export async function listInstances(
  services: ContractServices,
  credential: Credential,
  named: CustomerName,
  query: PageQuery,
): Promise<Page<ApiInstance>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let select = services.database
    .selectFrom('instance')
    .selectAll()
    .where('customer_id', '=', customer.id)
    .orderBy('id')
    .limit(limit + 1);
  if (after !== undefined && isId(after)) select = select.where('id', '>', after);
  return toPage(
    await select.execute(),
    limit,
    (row) => toApiInstance(row, customer.key),
    (row) => [row.id],
  );
}
