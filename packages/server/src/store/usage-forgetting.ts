import type { Instant } from '@pennon/engine/model/customer';
import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.js';

/* What of usage stands in no partition is forgotten a batch at a time: others write the same tables meanwhile. */

/** Deletes periods that ended before an instant, at most `limit`. Returns how many. */
export async function forgetPeriods(
  database: Kysely<Tables>,
  before: Instant,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from account_period p using (
      select customer_id, product_id, feature, scope, period_start from account_period
      where period_end < ${new Date(before)} order by period_end limit ${limit} for update skip locked) old
    where p.customer_id = old.customer_id and p.product_id = old.product_id and p.feature = old.feature
      and p.scope = old.scope and p.period_start = old.period_start`.execute(database);
  return Number(numAffectedRows ?? 0);
}

/** One period of an account, of which distinct values are known. */
export interface ValuedPeriod {
  readonly customerId: string;
  readonly productId: string;
  readonly feature: string;
  readonly scope: string;
  readonly periodStart: string;
}

/**
 * Walks the periods of which values are known from one to the next, without reading the values, and deletes those of periods that ended
 * before an instant. Returns the last period of the walk; `null`: it came to the end.
 */
export async function forgetValues(
  database: Kysely<Tables>,
  before: Instant,
  after: ValuedPeriod | null,
  limit: number,
): Promise<ValuedPeriod | null> {
  const names = sql.raw('v.customer_id, v.product_id, v.feature, v.scope, v.period_start');
  const onward =
    after === null
      ? sql`true`
      : sql`(${names}) > (${after.customerId}::uuid, ${after.productId}::uuid, ${after.feature}::text,
          ${after.scope}::text, ${after.periodStart}::timestamptz)`;
  const { rows } = await sql<ValuedPeriod & { readonly isOver: boolean }>`
    with recursive step as (
      (select ${names} from usage_value v where ${onward} order by ${names} limit 1)
      union all
      select n.* from step s cross join lateral (
        select ${names} from usage_value v
        where (${names}) > (s.customer_id, s.product_id, s.feature, s.scope, s.period_start)
        order by ${names} limit 1) n)
    select v.customer_id as "customerId", v.product_id as "productId", v.feature, v.scope,
      v.period_start::text as "periodStart",
      exists (select from account_period p where p.customer_id = v.customer_id and p.product_id = v.product_id
        and p.feature = v.feature and p.scope = v.scope and p.period_start = v.period_start
        and p.period_end < ${new Date(before)}) as "isOver"
    from (select * from step limit ${limit}) v`.execute(database);
  for (const { customerId, productId, feature, scope, periodStart } of rows.filter(({ isOver }) => isOver)) {
    await sql`
      delete from usage_value where customer_id = ${customerId} and product_id = ${productId} and feature = ${feature}
        and scope = ${scope} and period_start = ${periodStart}::timestamptz`.execute(database);
  }
  const last = rows.at(-1);
  return last === undefined || rows.length < limit ? null : last;
}
