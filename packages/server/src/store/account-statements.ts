import type { Instant } from '@pennon/engine/model/customer';
import type { BatchWrite, LockRequest } from './account-transaction.js';
import { numberArray, textArray } from './array-literal.js';
import { LOTS_OF } from './lot-statements.js';
import { HOLDS_OF } from './reservation-statements.js';
import type { GroupStatement } from './statement-group.js';
import { toldArrays } from './told-columns.js';

/* The statements of a consume transaction, and how a batch becomes their parameters. */

const AT = (milliseconds: string) => `to_timestamp(${milliseconds} / 1000.0)`;
const MILLISECONDS = (instant: string) => `floor(extract(epoch from ${instant}) * 1000)::bigint`;
const ACCOUNT_COLUMNS = `feature, scope, ${MILLISECONDS('period_start')}, ${MILLISECONDS('period_end')}, used, reserved,
  ${MILLISECONDS('next_hold_end')}, covered, has_lots, limit_known,
  told, ${MILLISECONDS('told_at')}, told_limit`;

export const INSERT_ACCOUNTS = `
insert into account (customer_id, product_id, feature, scope, environment_id, used, reserved, updated_at)
select $1::uuid, $2::uuid, n.feature, n.scope, $3::uuid, 0, 0, clock_timestamp()
from unnest($4::text[], $5::text[]) as n (feature, scope)
on conflict do nothing`;

// The customer's row is every writer's first lock: the sameness of an idempotency key is decided under it, also by calls
// that touch no account, and the version read here is the one in force until the commit.
export const LOCK_CUSTOMER = 'select version from customer where id = $1::uuid for no key update';

export const LOCK_ACCOUNTS = `
select ${ACCOUNT_COLUMNS} from account
where customer_id = $1::uuid and product_id = $2::uuid
  and (feature, scope) in (select n.feature, n.scope from unnest($3::text[], $4::text[]) as n (feature, scope))
order by feature, scope for update`;

export const READ_FRAME = `
select ${MILLISECONDS('clock_timestamp()')},
  (select revision from environment_revision where product_id = $1::uuid and environment_id = $2::uuid),
  subject_version, shared_version
from environment where id = $2::uuid`;

export const PEEK_FRAME = `
select ${MILLISECONDS('clock_timestamp()')},
  (select revision from environment_revision where product_id = $1::uuid and environment_id = $2::uuid),
  subject_version, shared_version, (select version from customer where environment_id = $2::uuid and key = $3::text)
from environment where id = $2::uuid`;

export const PEEK_ACCOUNTS = `
select ${ACCOUNT_COLUMNS}, ${HOLDS_OF('account')}, ${LOTS_OF('account')} from account
where customer_id = (select id from customer where environment_id = $1::uuid and key = $2::text) and product_id = $3::uuid`;

// INVARIANT: `offset 0` keeps the planner from turning the look-up around: it takes an empty partition for a small one, and would
// read all that a customer ever consumed. So each key is one descent of the only index. The upper bound spares the partitions
// that were made ahead.
const ofKey = (columns: string, more: string) => `cross join lateral (
  select ${columns} from consumption c
  where c.customer_id = $1::uuid and hashtextextended(c.idempotency_key, 0) = hashtextextended(n.key, 0)
    and c.idempotency_key = n.key and c.decided_at < now() + interval '1 day' and ${more}
  offset 0) c`;

const EARLIER_COLUMNS = `id, item, operation, idempotency_key, encode(request_hash, 'hex') as request_hash,
  ${MILLISECONDS('decided_at')} as decided_at, feature, scope,
  allowed, reason, enforcement, requested, consumed, used_after, reserved_after, limit_at_decision, revision, answer`;

export const FIND_EARLIER = `
select c.* from (select distinct k collate "C" as key from unnest($2::text[]) as k) n
${ofKey(EARLIER_COLUMNS, "c.decided_at > now() - interval '35 days'")}
order by c.id, c.item`;

// Rows of one batch were decided at one instant.
export const FIND_ANSWERS = `
select distinct c.* from unnest($2::text[], $3::text[], $4::integer[], $5::bigint[]) as n (key, operation, item, decided_at)
${ofKey(
  'item, operation, idempotency_key, answer',
  `c.decided_at > now() - interval '36 days' and c.operation = n.operation and c.item = n.item
    and c.decided_at = ${AT('n.decided_at')}`,
)}`;

const CLOSE_PERIODS = `
insert into account_period (customer_id, product_id, feature, scope, period_start, environment_id, period_end, used, covered,
  closed_at, latest_at)
select $1::uuid, $2::uuid, n.feature, n.scope, ${AT('n.period_start')}, $3::uuid, ${AT('n.period_end')}, n.used, n.covered,
  ${AT('$4::bigint')}, (select a.latest_at from account a where a.customer_id = $1::uuid and a.product_id = $2::uuid
    and a.scope = n.scope and a.feature = n.feature)
from unnest($5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
  as n (feature, scope, period_start, period_end, used, covered)
on conflict do nothing`;

// A row that no longer stands as it was read divides by zero: the transaction is aborted and nothing of it remains.
const UPDATE_ACCOUNTS = `
with written as (
  update account a
  set used = n.used, reserved = n.reserved, period_start = ${AT('n.period_start')}, period_end = ${AT('n.period_end')},
    next_hold_end = ${AT('n.next_hold_end')},
    latest_at = case when a.period_start is distinct from ${AT('n.period_start')} then null else a.latest_at end,
    updated_at = ${AT('$3::bigint')}, limit_known = n.limit_known, percent = n.percent,
    told = n.told, told_at = ${AT('n.told_at')}, told_limit = n.told_limit
  from unnest($4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
    $12::bigint[], $14::bigint[], $15::integer[], $16::integer[], $17::bigint[], $18::bigint[]) as n (feature, scope,
    used_before, reserved_before, used, reserved, period_start, period_end, next_hold_end, limit_known, percent, told, told_at, told_limit)
  where a.customer_id = $1::uuid and a.product_id = $2::uuid and a.feature = n.feature and a.scope = n.scope
    and a.used = n.used_before and a.reserved = n.reserved_before
  returning 1
)
select 1 / (case when (select count(*) from written) = $13::integer then 1 else 0 end)`;

function instants(values: readonly (Instant | null)[]): string {
  return numberArray(values);
}

export function closeStatement(request: LockRequest, write: BatchWrite): GroupStatement {
  const { closed } = write;
  return {
    name: 'period-close',
    text: CLOSE_PERIODS,
    values: [
      request.customerId,
      request.productId,
      request.environmentId,
      String(write.now),
      textArray(closed.map((account) => account.feature)),
      textArray(closed.map((account) => account.scope)),
      instants(closed.map((account) => account.periodStart)),
      instants(closed.map((account) => account.periodEnd ?? write.now)),
      numberArray(closed.map((account) => account.used)),
      numberArray(closed.map((account) => account.covered)),
    ],
  };
}

export function updateStatement(request: LockRequest, write: BatchWrite): GroupStatement {
  const { accounts } = write;
  return {
    name: 'account-update',
    text: UPDATE_ACCOUNTS,
    values: [
      request.customerId,
      request.productId,
      String(write.now),
      textArray(accounts.map((account) => account.feature)),
      textArray(accounts.map((account) => account.scope)),
      numberArray(accounts.map((account) => account.before.used)),
      numberArray(accounts.map((account) => account.before.reserved)),
      numberArray(accounts.map((account) => account.used)),
      numberArray(accounts.map((account) => account.reserved)),
      instants(accounts.map((account) => account.periodStart)),
      instants(accounts.map((account) => account.periodEnd)),
      instants(accounts.map((account) => account.nextHoldEnd)),
      String(accounts.length),
      numberArray(accounts.map((account) => account.limitKnown)),
      numberArray(accounts.map((account) => account.percent)),
      ...toldArrays(accounts),
    ],
  };
}
