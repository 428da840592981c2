import type { Instant } from '@pennon/engine/model/customer';
import type pg from 'pg';
import type { BatchWrite, LockRequest } from './accounts.js';
import { booleanArray, numberArray, textArray } from './array-literal.js';

/* The statements of a consume transaction, and how a batch becomes their parameters. */

const AT = (milliseconds: string) => `to_timestamp(${milliseconds} / 1000.0)`;

export const INSERT_ACCOUNTS = `
insert into account (customer_id, product_id, feature, scope, environment_id, used, reserved, updated_at)
select $1::uuid, $2::uuid, n.feature, n.scope, $3::uuid, 0, 0, clock_timestamp()
from unnest($4::text[], $5::text[]) as n (feature, scope)
on conflict do nothing`;

// The customer's row is every writer's first lock: the sameness of an idempotency key is decided under it, also by calls
// that touch no account, and the version read here is the one in force until the commit.
export const LOCK_CUSTOMER = 'select version from customer where id = $1::uuid for no key update';

export const LOCK_ACCOUNTS = `
select feature, scope, period_start, period_end, used, reserved from account
where customer_id = $1::uuid and product_id = $2::uuid
  and (feature, scope) in (select n.feature, n.scope from unnest($3::text[], $4::text[]) as n (feature, scope))
order by feature, scope for update`;

export const READ_FRAME = `
select floor(extract(epoch from clock_timestamp()) * 1000)::bigint,
  (select revision from environment_revision where product_id = $1::uuid and environment_id = $2::uuid),
  subject_version, shared_version
from environment where id = $2::uuid`;

export const PEEK_FRAME = `
select floor(extract(epoch from clock_timestamp()) * 1000)::bigint,
  (select revision from environment_revision where product_id = $1::uuid and environment_id = $2::uuid),
  subject_version, shared_version, (select version from customer where id = $3::uuid)
from environment where id = $2::uuid`;

export const PEEK_ACCOUNTS = `
select feature, scope, period_start, period_end, used, reserved from account
where customer_id = $1::uuid and product_id = $2::uuid`;

// The upper bound spares the partitions that were made ahead.
export const FIND_EARLIER = `
select id, item, operation, idempotency_key, encode(request_hash, 'hex') as request_hash, decided_at, feature, scope,
  allowed, reason, enforcement, requested, consumed, used_after, reserved_after, limit_at_decision, revision, answer
from consumption
where customer_id = $1::uuid and idempotency_key = any ($2::text[])
  and decided_at > now() - interval '35 days' and decided_at < now() + interval '1 day'
order by id, item`;

export const FIND_ANSWERS = `
select c.id, c.item, c.answer from consumption c, unnest($2::uuid[], $3::integer[]) as n (id, item)
where c.customer_id = $1::uuid and c.id = n.id and c.item = n.item and c.decided_at > now() - interval '36 days'
  and c.decided_at < now() + interval '1 day'`;

const CLOSE_PERIODS = `
insert into account_period (customer_id, product_id, feature, scope, period_start, environment_id, period_end, used, closed_at)
select $1::uuid, $2::uuid, n.feature, n.scope, ${AT('n.period_start')}, $3::uuid, ${AT('n.period_end')}, n.used, ${AT('$4::bigint')}
from unnest($5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[]) as n (feature, scope, period_start, period_end, used)
on conflict do nothing`;

// A row that no longer stands as it was read divides by zero: the transaction is aborted and nothing of it remains.
const UPDATE_ACCOUNTS = `
with written as (
  update account a
  set used = n.used, reserved = n.reserved, period_start = ${AT('n.period_start')}, period_end = ${AT('n.period_end')},
    updated_at = ${AT('$3::bigint')}
  from unnest($4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
    as n (feature, scope, used_before, reserved_before, used, reserved, period_start, period_end)
  where a.customer_id = $1::uuid and a.product_id = $2::uuid and a.feature = n.feature and a.scope = n.scope
    and a.used = n.used_before and a.reserved = n.reserved_before
  returning 1
)
select 1 / (case when (select count(*) from written) = $12::integer then 1 else 0 end)`;

const INSERT_CONSUMPTIONS = `
insert into consumption (customer_id, product_id, environment_id, decided_at, id, item, operation, idempotency_key,
  request_hash, feature, scope, allowed, reason, enforcement, requested, consumed, used_after, reserved_after,
  limit_at_decision, period_start, revision, attributes, answer, actor)
select $1::uuid, $2::uuid, $3::uuid, ${AT('$4::bigint')}, n.id, n.item, n.operation, n.idempotency_key,
  decode(n.request_hash, 'hex'), n.feature, n.scope, n.allowed, n.reason, n.enforcement, n.requested, n.consumed,
  n.used_after, n.reserved_after, n.limit_at_decision, ${AT('n.period_start')}, n.revision, n.attributes, n.answer, n.actor
from unnest($5::uuid[], $6::integer[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::boolean[],
  $13::text[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[],
  $21::bigint[], $22::text[], $23::text[], $24::text[])
  as n (id, item, operation, idempotency_key, request_hash, feature, scope, allowed, reason, enforcement, requested,
    consumed, used_after, reserved_after, limit_at_decision, period_start, revision, attributes, answer, actor)`;

function instants(values: readonly (Instant | null)[]): string {
  return numberArray(values);
}

export function closeStatement(request: LockRequest, write: BatchWrite): pg.QueryConfig {
  const { closed } = write;
  return {
    name: 'period-close',
    text: CLOSE_PERIODS,
    values: [
      request.customerId,
      request.productId,
      request.environmentId,
      write.now,
      textArray(closed.map((account) => account.feature)),
      textArray(closed.map((account) => account.scope)),
      instants(closed.map((account) => account.periodStart)),
      instants(closed.map((account) => account.periodEnd ?? write.now)),
      numberArray(closed.map((account) => account.used)),
    ],
  };
}

export function updateStatement(request: LockRequest, write: BatchWrite): pg.QueryConfig {
  const { accounts } = write;
  return {
    name: 'account-update',
    text: UPDATE_ACCOUNTS,
    values: [
      request.customerId,
      request.productId,
      write.now,
      textArray(accounts.map((account) => account.feature)),
      textArray(accounts.map((account) => account.scope)),
      numberArray(accounts.map((account) => account.before.used)),
      numberArray(accounts.map((account) => account.before.reserved)),
      numberArray(accounts.map((account) => account.used)),
      numberArray(accounts.map((account) => account.reserved)),
      instants(accounts.map((account) => account.periodStart)),
      instants(accounts.map((account) => account.periodEnd)),
      accounts.length,
    ],
  };
}

export function insertStatement(request: LockRequest, write: BatchWrite): pg.QueryConfig {
  const rows = write.consumptions;
  return {
    name: 'consumption-insert',
    text: INSERT_CONSUMPTIONS,
    values: [
      request.customerId,
      request.productId,
      request.environmentId,
      write.now,
      `{${rows.map((row) => row.id).join(',')}}`,
      numberArray(rows.map((row) => row.item)),
      textArray(rows.map((row) => row.operation)),
      textArray(rows.map((row) => row.idempotencyKey)),
      `{${rows.map((row) => row.requestHash).join(',')}}`,
      textArray(rows.map((row) => row.feature)),
      textArray(rows.map((row) => row.scope)),
      booleanArray(rows.map((row) => row.allowed)),
      textArray(rows.map((row) => row.reason)),
      textArray(rows.map((row) => row.enforcement)),
      numberArray(rows.map((row) => row.requested)),
      numberArray(rows.map((row) => row.consumed)),
      numberArray(rows.map((row) => row.usedAfter)),
      numberArray(rows.map((row) => row.reservedAfter)),
      numberArray(rows.map((row) => row.limitAtDecision)),
      instants(rows.map((row) => row.periodStart)),
      numberArray(rows.map((row) => row.revision)),
      textArray(rows.map((row) => row.attributes)),
      textArray(rows.map((row) => row.answer)),
      textArray(rows.map((row) => row.actor)),
    ],
  };
}
