import { type RawBuilder, sql } from 'kysely';

/*
 * The one index of consumptions (migration 0017): a number of 24 bits of the customer's hash, so that what one customer consumed lies
 * together, and 40 of the key's. Two keys of a customer may share a number, and so may two customers: whoever looks up by it compares the
 * customer and the key as well.
 */

const OF_KEY = `${2 ** 40 - 1}::bigint`;
const OF_CUSTOMER = `${-(2 ** 40)}::bigint`;

/** @param customerId and `key` are expressions of SQL. The text of the index: a look-up uses it only if it says the same. */
export function placeOf(customerId: string, key: string): string {
  return `((uuid_hash_extended(${customerId}, 0) & ${OF_CUSTOMER}) | (hashtextextended(${key}, 0) & ${OF_KEY}))`;
}

/** Of a consumption: it is one of this customer. Without it, whatever was consumed by anybody is read. */
export function isOfCustomer(alias: string, customerId: string): RawBuilder<boolean> {
  const place = sql.raw(placeOf(`${alias}.customer_id`, `${alias}.idempotency_key`));
  const first = sql`(uuid_hash_extended(${customerId}::uuid, 0) & ${sql.raw(OF_CUSTOMER)})`;
  return sql<boolean>`${sql.ref(`${alias}.customer_id`)} = ${customerId}::uuid
    and ${place} between ${first} and ${first} | ${sql.raw(OF_KEY)}`;
}
