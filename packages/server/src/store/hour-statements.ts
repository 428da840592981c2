import { numberArray, textArray } from './array-literal.js';
import type { GroupStatement } from './statement-group.js';
import type { HourWrite } from './usage-transaction.js';

/* The history of usage by the hour: one statement for whoever consumes and whoever records. */

const AT = (milliseconds: string) => `to_timestamp(${milliseconds} / 1000.0)`;

const WRITE_HOURS = `
insert into usage_hour as h (customer_id, product_id, feature, scope, hour, dimensions, environment_id, aggregation, amount, events,
  last_at, used_after, limit_after)
select n.customer_id, $1::uuid, n.feature, n.scope, ${AT('n.hour')}, n.dimensions, $2::uuid, n.aggregation, n.amount, n.events,
  ${AT('n.last_at')}, n.used_after, n.limit_after
from unnest($3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[],
  $12::bigint[], $13::bigint[])
  as n (customer_id, feature, scope, hour, dimensions, aggregation, amount, events, last_at, used_after, limit_after)
on conflict (customer_id, product_id, feature, scope, hour, dimensions) do update set
  amount = case excluded.aggregation
    when 'max' then greatest(h.amount, excluded.amount)
    when 'latest' then case when excluded.last_at >= h.last_at then excluded.amount else h.amount end
    else h.amount + excluded.amount end,
  events = h.events + excluded.events, last_at = greatest(h.last_at, excluded.last_at),
  used_after = coalesce(excluded.used_after, h.used_after),
  limit_after = case when excluded.used_after is null then h.limit_after else excluded.limit_after end`;

/** INVARIANT: asked under the locks of the accounts that the rows belong to, so that nobody else is at them. */
export function hoursStatement(
  { productId, environmentId }: { readonly productId: string; readonly environmentId: string },
  hours: readonly HourWrite[],
): GroupStatement {
  return {
    name: 'usage-hour-write',
    text: WRITE_HOURS,
    values: [
      productId,
      environmentId,
      textArray(hours.map((one) => one.customerId)),
      textArray(hours.map((one) => one.feature)),
      textArray(hours.map((one) => one.scope)),
      numberArray(hours.map((one) => one.hour)),
      textArray(hours.map((one) => one.dimensions)),
      textArray(hours.map((one) => one.aggregation)),
      numberArray(hours.map((one) => one.amount)),
      numberArray(hours.map((one) => one.events)),
      numberArray(hours.map((one) => one.lastAt)),
      numberArray(hours.map((one) => one.usedAfter)),
      numberArray(hours.map((one) => one.limitAfter)),
    ],
  };
}
