import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiErasure } from '@pennon/protocol/management/customers';
import { scrubRecorded } from '../../store/erase-recorded.js';
import {
  type Renames,
  removeBilling,
  removeNotices,
  renameInPlanMoves,
  renameScopes,
  renameTargets,
  scopesOf,
  scrubHeld,
  scrubUsage,
} from '../../store/erase-traces.js';
import { forgetState } from '../../store/hook-states.js';
import { fromInstant } from '../../store/instant.js';
import { erasePersonalKeys } from '../../store/personal-keys.js';
import { eraseSubjectNames } from '../../store/subject-names.js';
import type { ChangeContext, Credential } from '../credential.js';
import { newId } from '../new-id.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach } from '../scope.js';
import { toTime } from '../times.js';
import { type CustomerRow, customerNotFound, findCustomer, toApiCustomer } from './customer-record.js';
import type { CustomerName } from './customers.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { removeWords } from './search-index.js';
import { toApiUser, type UserRow } from './user-record.js';
import { findUser, type UserName, userNotFound } from './users.js';

/** What stands where a key stood. The id says nothing about anybody. */
function tombstone(id: string): string {
  return `erased-${id}`;
}

/**
 * Erases a customer: everything that says who it is, its users and its instances. What stays is what others need: that
 * there was a customer with this id, its licenses, grants and usage as numbers and dates, and an audit trail whose bytes did not
 * change and whose personal members nobody can read any more. Its key is free again, for somebody else.
 */
export async function eraseCustomer(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: CustomerName,
  precondition: Precondition,
): Promise<Changed<ApiErasure>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const before = await findCustomer(services.database, environment.id, named.customer);
  const scopes: Renames = new Map(
    (await scopesOf(services.database, before.id)).map((scope) => [scope, tombstone(newId())]),
  );
  // First, so that an erasure that was cut short is simply asked for again; and last, for what was recorded meanwhile.
  await scrubUsage(services.database, before.id, scopes, true);
  await scrubRecorded(services.database, before.id, scopes, true);
  const erased = await changeData(services, context, environment.id, async (change) => {
    const row = await change.lockCustomer(named.customer);
    if (row === null || row.id !== before.id) throw customerNotFound(named.customer);
    const condition: Precondition = precondition.kind === 'none' ? { kind: 'exists' } : precondition;
    const current = { tag: String(row.version), item: toApiCustomer(row) };
    checkPrecondition(condition, current, `The customer \`${named.customer}\``);
    await renameScopes(change.transaction, row.id, scopes);
    await scrubHeld(change.transaction, row.id);
    await removeBilling(change.transaction, row.id);
    return { item: await eraseRows(change, row), created: false };
  });
  await scrubUsage(services.database, before.id, scopes, true);
  await scrubRecorded(services.database, before.id, scopes, true);
  return erased;
}

async function eraseRows(change: DataChange, row: CustomerRow): Promise<ApiErasure> {
  const { transaction, environmentId } = change;
  const users = await transaction
    .deleteFrom('customer_user')
    .where('customer_id', '=', row.id)
    .returning(['id', 'key'])
    .execute();
  const instances = await transaction
    .deleteFrom('instance')
    .where('customer_id', '=', row.id)
    .returning(['id', 'key'])
    .execute();
  await transaction.deleteFrom('search_word').where('customer_id', '=', row.id).execute();
  const key = tombstone(row.id);
  const persons = await forgetPersons(change, users);
  const own = new Map([[row.key, key]]);
  const counts = [
    persons,
    await renameTargets(transaction, environmentId, 'customer', own),
    await renameTargets(transaction, environmentId, 'team', own),
    await renameTargets(transaction, environmentId, 'instance', namesOf(instances)),
  ];
  await renameInPlanMoves(transaction, environmentId, row, key);
  for (const instance of instances) {
    change.touchSubject('instance', instance.key);
    change.touchSubject('instance', instance.id);
  }
  change.touchSubject('team', row.key);
  await eraseSubjectNames(transaction, environmentId, ['customer', 'team'], [row.key]);
  await removeNotices(transaction, environmentId, 'customer', [row.key]);
  await removeNotices(transaction, environmentId, 'team', [row.key]);
  await removeNotices(
    transaction,
    environmentId,
    'instance',
    instances.flatMap((instance) => [instance.key, instance.id]),
  );
  await eraseSubjectNames(
    transaction,
    environmentId,
    ['instance'],
    instances.map((instance) => instance.key),
  );
  await erasePersonalKeys(transaction, environmentId, 'customer', [row.id]);
  await forgetState(transaction, environmentId, row);
  const version = await change.touchCustomer(row.key);
  change.noteErased(row.key);
  const erasedAt = fromInstant(change.now);
  await transaction
    .updateTable('customer')
    .set({
      key,
      external_id: null,
      name: null,
      email: null,
      time_zone: null,
      attributes: '{}',
      archived_at: row.archived_at ?? erasedAt,
      erased_at: erasedAt,
    })
    .where('id', '=', row.id)
    .execute();
  return record(change, { kind: 'customer', id: row.id, key, version }, counts, {
    users: users.length,
    instances: instances.length,
  });
}

/** Erases one person at one customer; where it was the last, also what grants and memberships of the environment say of them. */
export async function eraseUser(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: UserName,
  precondition: Precondition,
): Promise<Changed<ApiErasure>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const before = await findUser(services.database, customer.id, named.user);
  if (before === null) throw userNotFound(named);
  const scopes: Renames = namesOf([before]);
  await scrubUsage(services.database, customer.id, scopes, false);
  await scrubRecorded(services.database, customer.id, scopes, false);
  const erased = await changeData(services, context, environment.id, async (change) => {
    const locked = await change.lockCustomer(named.customer);
    if (locked === null) throw customerNotFound(named.customer);
    const row = await findUser(change.transaction, locked.id, named.user);
    if (row === null || row.id !== before.id) throw userNotFound(named);
    const condition: Precondition = precondition.kind === 'none' ? { kind: 'exists' } : precondition;
    const current = { tag: String(row.version), item: toApiUser(row, locked.key) };
    checkPrecondition(condition, current, `The user \`${named.user}\``);
    await change.transaction
      .deleteFrom('customer_user')
      .where('customer_id', '=', locked.id)
      .where('key', '=', row.key)
      .execute();
    await removeWords(change, [{ customerId: locked.id, kind: 'user', key: row.key }]);
    await renameScopes(change.transaction, locked.id, scopes);
    await change.touchCustomer(locked.key);
    const counts = await forgetPersons(change, [row]);
    const subject = { kind: 'user', id: row.id, key: tombstone(row.id), version: row.version + 1 } as const;
    return { item: await record(change, subject, [counts], { customer: locked.key }), created: false };
  });
  await scrubUsage(services.database, customer.id, scopes, false);
  await scrubRecorded(services.database, customer.id, scopes, false);
  return erased;
}

function namesOf(rows: readonly Pick<UserRow, 'id' | 'key'>[]): Renames {
  return new Map(rows.map(({ id, key }) => [key, tombstone(id)]));
}

/** Rows of users are gone already. A person who is a user of another customer too stays known by the same key there. */
async function forgetPersons(
  change: DataChange,
  users: readonly Pick<UserRow, 'id' | 'key'>[],
): Promise<{ readonly grants: number; readonly memberships: number }> {
  const { transaction, environmentId } = change;
  if (users.length === 0) return { grants: 0, memberships: 0 };
  for (const { key } of users) change.touchSubject('user', key);
  await erasePersonalKeys(
    transaction,
    environmentId,
    'user',
    users.map(({ id }) => id),
  );
  const elsewhere = await transaction
    .selectFrom('customer_user')
    .select('key')
    .where('environment_id', '=', environmentId)
    .where(
      'key',
      'in',
      users.map(({ key }) => key),
    )
    .execute();
  const staying = new Set(elsewhere.map(({ key }) => key));
  const gone = namesOf(users.filter(({ key }) => !staying.has(key)));
  await eraseSubjectNames(transaction, environmentId, ['user'], [...gone.keys()]);
  await removeNotices(transaction, environmentId, 'user', [...gone.keys()]);
  return renameTargets(transaction, environmentId, 'user', gone);
}

async function record(
  change: DataChange,
  subject: {
    readonly kind: 'customer' | 'user';
    readonly id: string;
    readonly key: string;
    readonly version: number;
  },
  counts: readonly { readonly grants: number; readonly memberships: number }[],
  more: JsonObject,
): Promise<ApiErasure> {
  const { kind, id, key, version } = subject;
  const erasedAt = toTime(change.now);
  const grants = counts.reduce((sum, one) => sum + one.grants, 0);
  const memberships = counts.reduce((sum, one) => sum + one.memberships, 0);
  await change.record({
    action: `${kind}.erase`,
    productId: null,
    objectKind: kind,
    objectId: id,
    objectVersion: version,
    after: { id, key, erasedAt, version, grants, memberships, ...more },
  });
  return { objectKind: kind, objectId: id, key, version, erasedAt };
}
