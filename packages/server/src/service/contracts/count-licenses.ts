import type { Instant } from '@pennon/engine/model/customer';
import type { Kysely } from 'kysely';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';

/** Of a product, in force or to come: what `LIMITS.licensesPerCustomer` is about. */
export async function countLicenses(
  database: Kysely<Tables>,
  customerId: string,
  productId: string,
  now: Instant,
): Promise<number> {
  const { count } = await database
    .selectFrom('license')
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .where('customer_id', '=', customerId)
    .where('product_id', '=', productId)
    .where((where) => where.or([where('ends_at', 'is', null), where('ends_at', '>', fromInstant(now))]))
    .executeTakeFirstOrThrow();
  return count;
}
