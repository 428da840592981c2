import type { Instant } from '@pennon/engine/model/customer';
import { numberArray, textArray } from './array-literal.js';
import type { GroupStatement } from './statement-group.js';
import { toldArrays } from './told-columns.js';
import type { PeriodWrite, UsageLockRequest, UsageWrite } from './usage-transaction.js';

/*
 * The statements of a transaction that records usage of many customers. INVARIANT: rows are reached one by one, through an index and in
 * the order in which they are named: by a lateral look-up that PostgreSQL does not take apart (`offset 0`), or by `on conflict`. So
 * locks are taken in the order of all writers, and no plan that is kept can be a wrong one, whatever the sizes of tables were.
 */

const AT = (milliseconds: string) => `to_timestamp(${milliseconds} / 1000.0)`;
const MILLISECONDS = (instant: string) => `floor(extract(epoch from ${instant}) * 1000)::bigint`;

// Around the turn of a month two partitions take events, and the unique index of neither sees the other: writers take turns. No
// transaction of theirs lasts as long as the time on either side.
const TAKE_TURNS = `
select pg_advisory_xact_lock(hashtext('pennon usage events'))
where date_trunc('month', now() at time zone 'UTC' + interval '20 seconds')
  <> date_trunc('month', now() at time zone 'UTC' - interval '20 seconds')`;

// Whoever is erased meanwhile is waited for, or waits; who consumes meanwhile is not in the way.
const LOCK_CUSTOMERS = `
select c.id, c.version from unnest($1::uuid[]) with ordinality as n (id, place)
cross join lateral (select c.id, c.version from customer c where c.id = n.id for key share offset 0) c`;

const LOCK_METERS = `
select a.* from unnest($2::uuid[], $3::text[], $4::text[]) with ordinality as n (customer_id, feature, scope, place)
cross join lateral (
  select a.customer_id, a.feature, a.scope, ${MILLISECONDS('a.period_start')}, ${MILLISECONDS('a.period_end')}, a.used, a.reserved,
    ${MILLISECONDS('a.latest_at')}, a.covered, a.has_lots,
    a.told, ${MILLISECONDS('a.told_at')}, a.told_limit
  from account a
  where a.customer_id = n.customer_id and a.product_id = $1::uuid and a.scope = n.scope and a.feature = n.feature
  for update offset 0) a`;

// The bounds spare the partitions that were made ahead, and those of which nothing is remembered any more.
const FIND_EVENTS = `
select e.* from unnest($1::uuid[]) as n (key)
cross join lateral (
  select e.event_key, e.customer_id, e.product_id, e.feature, e.scope, e.amount, ${MILLISECONDS('e.occurred_at')},
    ${MILLISECONDS('e.counted_at')}, ${MILLISECONDS('e.period_start')}, e.corrects, e.attributes
  from usage_event e
  where e.event_key = n.key and e.received_at > now() - $2::interval and e.received_at < now() + interval '1 day'
  offset 0) e`;

const SUM_CORRECTIONS = `
select n.key, coalesce(sum(e.amount), 0)::bigint from unnest($1::uuid[]) as n (key)
cross join lateral (select e.amount from usage_event e where e.corrects = n.key offset 0) e
group by n.key`;

const FIND_PERIODS = `
select p.* from unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[]) as n (customer_id, feature, scope, at)
cross join lateral (
  select n.at, p.customer_id, p.feature, p.scope, ${MILLISECONDS('p.period_start')}, ${MILLISECONDS('p.period_end')}, p.used,
    ${MILLISECONDS('p.latest_at')}
  from account_period p
  where p.customer_id = n.customer_id and p.product_id = $1::uuid and p.feature = n.feature and p.scope = n.scope
    and p.period_start <= ${AT('n.at')} order by p.period_start desc limit 1) p`;

const ADD_VALUES = `
insert into usage_value (customer_id, product_id, feature, scope, period_start, value, environment_id)
select n.customer_id, $1::uuid, n.feature, n.scope, ${AT('n.period_start')}, n.value, $2::uuid
from unnest($3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::uuid[]) as n (customer_id, feature, scope, period_start, value)
on conflict do nothing
returning customer_id, feature, scope, ${MILLISECONDS('period_start')}, value`;

const REMOVE_VALUES = `
delete from usage_value v
using unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::uuid[]) as n (customer_id, feature, scope, period_start, value)
where v.customer_id = n.customer_id and v.product_id = $1::uuid and v.feature = n.feature and v.scope = n.scope
  and v.period_start = ${AT('n.period_start')} and v.value = n.value`;

const WRITE_PERIODS = `
insert into account_period
  (customer_id, product_id, feature, scope, period_start, environment_id, period_end, used, closed_at, latest_at, covered)
select n.customer_id, $1::uuid, n.feature, n.scope, ${AT('n.period_start')}, $2::uuid, ${AT('n.period_end')}, n.used,
  ${AT('$3::bigint')}, ${AT('n.latest_at')},
  coalesce((select a.covered from account a where a.customer_id = n.customer_id and a.product_id = $1::uuid
    and a.scope = n.scope and a.feature = n.feature and a.period_start = ${AT('n.period_start')}), 0)
from unnest($4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
  as n (customer_id, feature, scope, period_start, period_end, used, latest_at)
on conflict (customer_id, product_id, feature, scope, period_start)
do update set used = excluded.used, latest_at = excluded.latest_at`;

const WRITE_METERS = `
insert into account as a (customer_id, product_id, feature, scope, environment_id, used, reserved, period_start, period_end,
  updated_at, latest_at, limit_known, percent, covered, has_lots, told, told_at, told_limit)
select n.customer_id, $1::uuid, n.feature, n.scope, $2::uuid, n.used, n.reserved, ${AT('n.period_start')}, ${AT('n.period_end')},
  ${AT('$3::bigint')}, ${AT('n.latest_at')}, n.limit_known, n.percent, n.covered, n.lots = 1,
  n.told, ${AT('n.told_at')}, n.told_limit
from unnest($4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
  $12::bigint[], $13::integer[], $14::bigint[], $15::integer[], $16::integer[],
  $17::bigint[], $18::bigint[])
  as n (customer_id, feature, scope, used, reserved, period_start, period_end, latest_at, limit_known, percent, covered, lots, told,
    told_at, told_limit)
on conflict (customer_id, product_id, scope, feature) do update set used = excluded.used,
  covered = excluded.covered, has_lots = excluded.has_lots, period_start = excluded.period_start,
  period_end = excluded.period_end, updated_at = excluded.updated_at, latest_at = excluded.latest_at,
  limit_known = excluded.limit_known, percent = excluded.percent, told = excluded.told, told_at = excluded.told_at,
  told_limit = excluded.told_limit`;

export function lockStatements(request: UsageLockRequest): readonly GroupStatement[] {
  const customers = [...new Set(request.meters.map((meter) => meter.customerId))];
  return [
    { name: 'usage-turns', text: TAKE_TURNS, values: [] },
    { name: 'usage-customer-lock', text: LOCK_CUSTOMERS, values: [textArray(customers)] },
    {
      name: 'usage-meter-lock',
      text: LOCK_METERS,
      values: [request.productId, ...namesOf(request.meters)],
    },
    {
      name: 'usage-event-find',
      text: FIND_EVENTS,
      values: [textArray(request.eventKeys), `${request.rememberedDays} days`],
    },
  ];
}

export function correctionsStatement(keys: readonly string[]): GroupStatement {
  return { name: 'usage-corrections', text: SUM_CORRECTIONS, values: [textArray(keys)] };
}

export function periodsStatement(
  productId: string,
  asked: readonly (MeterName & { readonly at: Instant })[],
): GroupStatement {
  return {
    name: 'usage-period-find',
    text: FIND_PERIODS,
    values: [productId, ...namesOf(asked), numberArray(asked.map((one) => one.at))],
  };
}

type ValueName = MeterName & { readonly periodStart: Instant; readonly value: string };

export function valuesStatement(
  { productId, environmentId }: UsageLockRequest,
  values: readonly ValueName[],
): GroupStatement {
  return {
    name: 'usage-value-add',
    text: ADD_VALUES,
    values: [productId, environmentId, ...valueNames(values)],
  };
}

export function removeValuesStatement(
  { productId }: UsageLockRequest,
  values: readonly ValueName[],
): GroupStatement {
  return { name: 'usage-value-remove', text: REMOVE_VALUES, values: [productId, ...valueNames(values)] };
}

function valueNames(values: readonly ValueName[]): readonly string[] {
  return [
    ...namesOf(values),
    numberArray(values.map((one) => one.periodStart)),
    textArray(values.map((one) => one.value)),
  ];
}

export function writePeriods(
  { productId, environmentId }: UsageLockRequest,
  now: Instant,
  periods: readonly PeriodWrite[],
): GroupStatement {
  return {
    name: 'usage-period-write',
    text: WRITE_PERIODS,
    values: [
      productId,
      environmentId,
      String(now),
      ...namesOf(periods),
      numberArray(periods.map((one) => one.periodStart)),
      numberArray(periods.map((one) => one.periodEnd)),
      numberArray(periods.map((one) => one.used)),
      numberArray(periods.map((one) => one.latestAt)),
    ],
  };
}

export function writeMeters(
  { productId, environmentId }: UsageLockRequest,
  { now, meters }: UsageWrite,
): GroupStatement {
  return {
    name: 'usage-meter-write',
    text: WRITE_METERS,
    values: [
      productId,
      environmentId,
      String(now),
      ...namesOf(meters),
      numberArray(meters.map((one) => one.used)),
      numberArray(meters.map((one) => one.reserved)),
      numberArray(meters.map((one) => one.periodStart)),
      numberArray(meters.map((one) => one.periodEnd)),
      numberArray(meters.map((one) => one.latestAt)),
      numberArray(meters.map((one) => one.limit)),
      numberArray(meters.map((one) => one.percent)),
      numberArray(meters.map((one) => one.covered)),
      numberArray(meters.map((one) => (one.hasLots ? 1 : 0))),
      ...toldArrays(meters),
    ],
  };
}

interface MeterName {
  readonly customerId: string;
  readonly feature: string;
  readonly scope: string;
}

function namesOf(meters: readonly MeterName[]): [string, string, string] {
  return [
    textArray(meters.map((meter) => meter.customerId)),
    textArray(meters.map((meter) => meter.feature)),
    textArray(meters.map((meter) => meter.scope)),
  ];
}
