import type { CustomerImport } from '@pennon/protocol/management/customer-files';
import { ServiceError } from '../service-error.js';
import type { CustomerRow } from './customer-record.js';
import type { DataChange } from './data-change.js';
import type { InstanceRow } from './instance-record.js';
import type { UserRow } from './user-record.js';

/** What stands in the store of whatever a batch names. */
export interface Known {
  readonly customers: ReadonlyMap<string, CustomerRow>;
  /** By customer id and key. */
  readonly users: ReadonlyMap<string, UserRow>;
  readonly instances: ReadonlyMap<string, InstanceRow>;
  readonly ownersOfUser: ReadonlyMap<string, number>;
  readonly instancesOfCustomer: ReadonlyMap<string, number>;
}

/** Locks the customers, in the order of their keys as every change of several does. */
export async function knownOf(change: DataChange, batch: readonly CustomerImport[]): Promise<Known> {
  const { transaction, environmentId } = change;
  const keys = batch.map(({ key }) => key);
  const customers =
    keys.length === 0
      ? []
      : await transaction
          .selectFrom('customer')
          .selectAll()
          .where('environment_id', '=', environmentId)
          .where('key', 'in', keys)
          .orderBy('key')
          .forUpdate()
          .execute();
  const erased = customers.find((row) => row.erased_at !== null);
  if (erased !== undefined) {
    throw new ServiceError('conflict', 'CUSTOMER_ERASED', `The customer \`${erased.key}\` was erased.`);
  }
  const ids = customers.map(({ id }) => id);
  const userKeys = [...new Set(batch.flatMap(({ users }) => (users ?? []).map(({ key }) => key)))];
  const instanceKeys = batch.flatMap(({ instances }) => (instances ?? []).map(({ key }) => key));
  const owners = userKeys.length === 0 ? [] : await ownersOf(change, userKeys);
  const users =
    userKeys.length === 0 || ids.length === 0
      ? []
      : await transaction
          .selectFrom('customer_user')
          .selectAll()
          .where('customer_id', 'in', ids)
          .where('key', 'in', userKeys)
          .execute();
  const instances =
    instanceKeys.length === 0
      ? []
      : await transaction
          .selectFrom('instance')
          .selectAll()
          .where('environment_id', '=', environmentId)
          .where('key', 'in', instanceKeys)
          .execute();
  const counts = instanceKeys.length === 0 || ids.length === 0 ? [] : await instanceCounts(change, ids);
  return {
    customers: new Map(customers.map((row) => [row.key, row])),
    users: new Map(users.map((row) => [`${row.customer_id}/${row.key}`, row])),
    instances: new Map(instances.map((row) => [row.key, row])),
    ownersOfUser: new Map(owners.map(({ key, count }) => [key, count])),
    instancesOfCustomer: new Map(counts.map(({ customer_id, count }) => [customer_id, count])),
  };
}

function ownersOf({ transaction, environmentId }: DataChange, keys: readonly string[]) {
  return transaction
    .selectFrom('customer_user')
    .select((expression) => ['key', expression.fn.countAll<number>().as('count')])
    .where('environment_id', '=', environmentId)
    .where('key', 'in', keys)
    .groupBy('key')
    .execute();
}

function instanceCounts({ transaction }: DataChange, ids: readonly string[]) {
  return transaction
    .selectFrom('instance')
    .select((expression) => ['customer_id', expression.fn.countAll<number>().as('count')])
    .where('customer_id', 'in', ids)
    .groupBy('customer_id')
    .execute();
}
