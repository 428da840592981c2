import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiCustomer } from '@pennon/protocol/management/customers';
import type { Kysely, Selectable } from 'kysely';
import type { CustomerTable, Tables } from '../../store/tables.js';
import { toTime, toTimeOrNull } from '../times.js';
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
  };
}

/** The object as the audit trail keeps it: what is personal stands apart, encrypted. */
export function customerAfter(customer: ApiCustomer): {
  readonly after: JsonObject;
  readonly personal: {
    readonly subjectKind: string;
    readonly subjectId: string;
    readonly members: JsonObject;
  };
} {
  const { name, email, attributes, ...rest } = customer;
  return {
    after: { ...rest, attributes: attributes as JsonObject },
    personal: { subjectKind: 'customer', subjectId: customer.id, members: { name, email } },
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

const MAX_WORDS = 40;
const MAX_WORD_CHARACTERS = 128;

/** What a customer is found by, each as a prefix: key, external id, mail, the name and every word of it. */
export function searchWords(row: Pick<CustomerRow, 'key' | 'external_id' | 'email' | 'name'>): string[] {
  const texts = [row.key, row.external_id, row.email, row.name, ...(row.name ?? '').split(/[^\p{L}\p{N}]+/u)];
  const words = texts.flatMap((text) => {
    const word = searchable(text ?? '');
    return word === '' ? [] : [word];
  });
  return [...new Set(words)].slice(0, MAX_WORDS);
}

export function searchable(text: string): string {
  return [...text.normalize('NFKC').toLowerCase().trim()].slice(0, MAX_WORD_CHARACTERS).join('');
}
