import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.js';

/** An account whose period is over by the database's clock, and of which something was told or that stands in the list of who is near. */
export interface EndedPeriod {
  readonly environmentId: string;
  readonly productId: string;
  readonly customerId: string;
  readonly customerKey: string;
  readonly feature: string;
  readonly scope: string;
}

interface EndedRow {
  readonly environment_id: string;
  readonly product_id: string;
  readonly customer_id: string;
  readonly key: string;
  readonly feature: string;
  readonly scope: string;
}

// now() and not clock_timestamp(): what may change within a statement bounds no walk over an index.
/** Those that ended first. Nothing is locked: whoever opens the next period looks again under the customer's lock. */
export async function readEndedPeriods(
  database: Kysely<Tables>,
  limit: number,
): Promise<readonly EndedPeriod[]> {
  const { rows } = await sql<EndedRow>`
    select a.environment_id, a.product_id, a.customer_id, c.key, a.feature, a.scope
    from (select * from account where period_end <= now() and (percent is not null or told_at is not null)
      order by period_end limit ${limit}) a
    join customer c on c.id = a.customer_id`.execute(database);
  return rows.map((row) => ({
    environmentId: row.environment_id,
    productId: row.product_id,
    customerId: row.customer_id,
    customerKey: row.key,
    feature: row.feature,
    scope: row.scope,
  }));
}

/**
 * For a period that nothing follows, because the feature has left the catalog or the person is not there any more: nobody is near a
 * limit that is none, and nothing is told of it.
 */
export async function forgetTold(database: Kysely<Tables>, ended: EndedPeriod): Promise<void> {
  await database.transaction().execute(async (transaction) => {
    // INVARIANT: the customer's row is every writer's first lock.
    await sql`select 1 from customer where id = ${ended.customerId} for no key update`.execute(transaction);
    await sql`update account set told = null, told_at = null, told_limit = null, percent = null
      where customer_id = ${ended.customerId} and product_id = ${ended.productId} and scope = ${ended.scope}
        and feature = ${ended.feature} and period_end <= clock_timestamp()`.execute(transaction);
  });
}
