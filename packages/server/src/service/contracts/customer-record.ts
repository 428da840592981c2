import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiCustomer } from '@pennon/protocol/management/customers';
import type { Kysely, Selectable } from 'kysely';
import type { CustomerTable, Tables } from '../../store/tables.js';
import { toTime, toTimeOrNull } from '../times.js';
import type { DataEntry } from './data-change.js';
import { notFound } from './refusals.js';

export type CustomerRow = Selectable<CustomerTable>;

export function toApiCustomer(row: CustomerRow): ApiCustomer {
  return {
    id: row.id,
    key: row.key,
    externalId: row.external_id,
    name: row.name,
    email: row.email,
    timeZone: row.time_zone,
    attributes: row.attributes,
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
    archivedAt: toTimeOrNull(row.archived_at?.getTime() ?? null),
    erasedAt: toTimeOrNull(row.erased_at?.getTime() ?? null),
  };
}

/** The object as the audit trail keeps it: whatever could say who it is stands apart, encrypted under the customer's key. */
export function customerEntry(customer: ApiCustomer, action: string): DataEntry {
  const { key, externalId, name, email, attributes, ...rest } = customer;
  const members = { key, externalId, name, email, attributes: attributes as JsonObject };
  return {
    action,
    productId: null,
    objectKind: 'customer',
    objectId: customer.id,
    objectVersion: customer.version,
    after: rest,
    personal: { subjectKind: 'customer', subjectId: customer.id, members },
  };
}

export function customerNotFound(key: string) {
  return notFound(
    'CUSTOMER_NOT_FOUND',
    `The customer \`${key}\``,
    'Create it with PUT …/customers/{key}, or list those that exist.',
  );
}

export async function findCustomer(
  database: Kysely<Tables>,
  environmentId: string,
  key: string,
): Promise<CustomerRow> {
  const row = await database
    .selectFrom('customer')
    .selectAll()
    .where('environment_id', '=', environmentId)
    .where('key', '=', key)
    .executeTakeFirst();
  if (row === undefined) throw customerNotFound(key);
  return row;
}
