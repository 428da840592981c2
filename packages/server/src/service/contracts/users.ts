import { LIMITS } from '@pennon/engine/model/limits';
import type { PageQuery } from '@pennon/protocol/management/common';
import type { ApiUser, UserWrite } from '@pennon/protocol/management/customers';
import type { Kysely } from 'kysely';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import type { ChangeContext, Credential } from '../credential.js';
import { newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { customerNotFound, findCustomer } from './customer-record.js';
import type { CustomerName } from './customers.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { attributesText, notFound } from './refusals.js';
import { indexWords, removeWords, userWords } from './search-index.js';
import { toApiUser, type UserRow, userEntry } from './user-record.js';

export interface UserName extends CustomerName {
  readonly user: string;
}

export async function findUser(
  database: Kysely<Tables>,
  customerId: string,
  key: string,
): Promise<UserRow | null> {
  const row = await database
    .selectFrom('customer_user')
    .selectAll()
    .where('customer_id', '=', customerId)
    .where('key', '=', key)
    .executeTakeFirst();
  return row ?? null;
}

function currentOf(row: UserRow | null, customerKey: string) {
  return row === null ? null : { tag: String(row.version), item: toApiUser(row, customerKey) };
}

/** Makes a user one of the customer's, or replaces what is said of it. The same user may belong to several customers. */
export async function putUser(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: UserName,
  body: UserWrite,
  precondition: Precondition,
): Promise<Changed<ApiUser>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const customer = await change.lockCustomer(named.customer);
    if (customer === null) throw customerNotFound(named.customer);
    const existing = await findUser(change.transaction, customer.id, named.user);
    const current = currentOf(existing, customer.key);
    checkPrecondition(precondition, current, `The user \`${named.user}\` of \`${customer.key}\``);
    const members = {
      name: body.name ?? null,
      email: body.email ?? null,
      attributes: attributesText(body.attributes ?? {}, '/attributes'),
    };
    if (existing === null) {
      await checkOwners(change, named.user);
      await change.transaction
        .insertInto('customer_user')
        .values({
          customer_id: customer.id,
          id: newId(),
          key: named.user,
          environment_id: environment.id,
          ...members,
          version: 1,
          created_at: fromInstant(change.now),
        })
        .execute();
    } else {
      await change.transaction
        .updateTable('customer_user')
        .set({ ...members, version: existing.version + 1 })
        .where('customer_id', '=', customer.id)
        .where('key', '=', named.user)
        .execute();
    }
    const row = await readBack(change, customer, named.user);
    const item = toApiUser(row, customer.key);
    await indexWords(change, [userWords(row)]);
    await finish(change, customer, item, existing === null ? 'user.create' : 'user.replace');
    return { item, created: existing === null };
  });
}

async function checkOwners(change: DataChange, userKey: string): Promise<void> {
  const { count } = await change.transaction
    .selectFrom('customer_user')
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .where('environment_id', '=', change.environmentId)
    .where('key', '=', userKey)
    .executeTakeFirstOrThrow();
  if (count >= LIMITS.customersPerUser.value) {
    throw new ServiceError(
      'unprocessable',
      'USER_OF_TOO_MANY_CUSTOMERS',
      `The user \`${userKey}\` belongs to ${count} customers already, which is the limit. Take it from one first.`,
    );
  }
}

async function readBack(
  change: DataChange,
  customer: { readonly id: string },
  userKey: string,
): Promise<UserRow> {
  const row = await findUser(change.transaction, customer.id, userKey);
  if (row === null) throw new Error('The user vanished inside its own transaction.');
  return row;
}

async function finish(
  change: DataChange,
  customer: { readonly key: string },
  user: ApiUser,
  action: string,
): Promise<void> {
  await change.touchCustomer(customer.key);
  change.touchSubject('user', user.key);
  await change.record(userEntry(user, action));
}

export async function removeUser(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: UserName,
  precondition: Precondition,
): Promise<Changed<null>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const customer = await change.lockCustomer(named.customer);
    if (customer === null) throw customerNotFound(named.customer);
    const existing = await findUser(change.transaction, customer.id, named.user);
    if (existing === null) throw userNotFound(named);
    checkPrecondition(precondition, currentOf(existing, customer.key), `The user \`${named.user}\``);
    await change.transaction
      .deleteFrom('customer_user')
      .where('customer_id', '=', customer.id)
      .where('key', '=', named.user)
      .execute();
    await removeWords(change, [{ customerId: customer.id, kind: 'user', key: named.user }]);
    await finish(change, customer, toApiUser(existing, customer.key), 'user.remove');
    return { item: null, created: false };
  });
}

export function userNotFound(named: UserName) {
  return notFound(
    'USER_NOT_FOUND',
    `The user \`${named.user}\` of the customer \`${named.customer}\``,
    'Create it with PUT …/users/{key}, or list those that exist.',
  );
}

export async function getUser(
  services: ContractServices,
  credential: Credential,
  named: UserName,
): Promise<ApiUser> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const row = await findUser(services.database, customer.id, named.user);
  if (row === null) throw userNotFound(named);
  return toApiUser(row, customer.key);
}

export async function listUsers(
  services: ContractServices,
  credential: Credential,
  named: CustomerName,
  query: PageQuery,
): Promise<Page<ApiUser>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let select = services.database
    .selectFrom('customer_user')
    .selectAll()
    .where('customer_id', '=', customer.id)
    .orderBy('key')
    .limit(limit + 1);
  if (after !== undefined) select = select.where('key', '>', after);
  return toPage(
    await select.execute(),
    limit,
    (row) => toApiUser(row, customer.key),
    (row) => [row.key],
  );
}
