import { formOf, givenRows, type TextByForm } from './given-rows.js';
import type { GroupStatement } from './statement-group.js';
import type { HourWrite } from './usage-transaction.js';
import { IT_STANDS, type Writing } from './writing.js';

/* The history of usage by the hour: one statement for whoever consumes and whoever records. */

const AT = (milliseconds: string) => `to_timestamp(${milliseconds} / 1000.0)`;

const HOURS = givenRows<HourWrite>(3, [
  { name: 'customer_id', type: 'uuid', of: ({ customerId }) => customerId },
  { name: 'feature', type: 'text', of: ({ feature }) => feature },
  { name: 'scope', type: 'text', of: ({ scope }) => scope },
  { name: 'hour', type: 'bigint', of: ({ hour }) => hour },
  { name: 'dimensions', type: 'text', of: ({ dimensions }) => dimensions },
  { name: 'aggregation', type: 'text', of: ({ aggregation }) => aggregation },
  { name: 'amount', type: 'bigint', of: ({ amount }) => amount },
  { name: 'events', type: 'bigint', of: ({ events }) => events },
  { name: 'last_at', type: 'bigint', of: ({ lastAt }) => lastAt },
  { name: 'used_after', type: 'bigint', of: ({ usedAfter }) => usedAfter },
  { name: 'limit_after', type: 'bigint', of: ({ limitAfter }) => limitAfter },
]);

const writeHours = (condition: string) =>
  HOURS.text(
    (hours) => `
insert into usage_hour as h (customer_id, product_id, feature, scope, hour, dimensions, environment_id, aggregation, amount, events,
  last_at, used_after, limit_after)
select n.customer_id, $1::uuid, n.feature, n.scope, ${AT('n.hour')}, n.dimensions, $2::uuid, n.aggregation, n.amount, n.events,
  ${AT('n.last_at')}, n.used_after, n.limit_after
from ${hours} where ${condition}
on conflict (customer_id, product_id, feature, scope, hour, dimensions) do update set
  amount = case excluded.aggregation
    when 'max' then greatest(h.amount, excluded.amount)
    when 'latest' then case when excluded.last_at >= h.last_at then excluded.amount else h.amount end
    else h.amount + excluded.amount end,
  events = h.events + excluded.events, last_at = greatest(h.last_at, excluded.last_at),
  used_after = coalesce(excluded.used_after, h.used_after),
  limit_after = case when excluded.used_after is null then h.limit_after else excluded.limit_after end`,
  );
const WRITE_HOURS: Record<Writing, TextByForm> = {
  always: writeHours('true'),
  standing: writeHours(IT_STANDS),
};

/** INVARIANT: asked under the locks of the accounts that the rows belong to, so that nobody else is at them. */
export function hoursStatement(
  { productId, environmentId }: { readonly productId: string; readonly environmentId: string },
  hours: readonly HourWrite[],
  writing: Writing = 'always',
): GroupStatement {
  const form = formOf(hours);
  return {
    name: `usage-hour-write-${writing}-${form}`,
    text: WRITE_HOURS[writing][form],
    values: [productId, environmentId, ...HOURS.values(hours, form)],
  };
}
