import type { Instant } from '@pennon/engine/model/customer';
import type pg from 'pg';
import type { BatchWrite, ConsumptionRow, LockRequest } from './accounts.js';
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
  subject_version, shared_version, (select version from customer where environment_id = $2::uuid and key = $3::text)
from environment where id = $2::uuid`;

export const PEEK_ACCOUNTS = `
select feature, scope, period_start, period_end, used, reserved from account
where customer_id = (select id from customer where environment_id = $1::uuid and key = $2::text) and product_id = $3::uuid`;

// INVARIANT: `offset 0` keeps the planner from turning the look-up around: it takes an empty partition for a small one, and would
// read all that a customer ever consumed. So each key is one descent of the only index. The upper bound spares the partitions
// that were made ahead.
const ofKey = (columns: string, more: string) => `cross join lateral (
  select ${columns} from consumption c
  where c.customer_id = $1::uuid and hashtextextended(c.idempotency_key, 0) = hashtextextended(n.key, 0)
    and c.idempotency_key = n.key and c.decided_at < now() + interval '1 day' and ${more}
  offset 0) c`;

const EARLIER_COLUMNS = `id, item, operation, idempotency_key, encode(request_hash, 'hex') as request_hash, decided_at, feature, scope,
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

/*
 * A set of columns out of two dozen arrays is two dozen tables to PostgreSQL; one series of numbers that looks into the arrays
 * costs half. What most rows of a batch have in common is sent once, as profiles that rows refer to.
 */
const OWN = (parameter: string) => `(${parameter})[n.i]`;
const COMMON = (parameter: string) => `(${parameter})[n.profile]`;
const INSERT_CONSUMPTIONS = `
insert into consumption (customer_id, product_id, environment_id, decided_at, id, item, idempotency_key, request_hash,
  allowed, requested, consumed, used_after, reserved_after, attributes, answer,
  operation, feature, scope, reason, enforcement, limit_at_decision, period_start, revision, actor)
select $1::uuid, $2::uuid, $3::uuid, $4::timestamptz, ${OWN('$6::uuid[]')}, ${OWN('$7::integer[]')},
  ${OWN('$8::text[]')}, ${OWN('$9::bytea[]')}, ${OWN('$10::boolean[]')}, ${OWN('$11::bigint[]')}, ${OWN('$12::bigint[]')},
  ${OWN('$13::bigint[]')}, ${OWN('$14::bigint[]')}, ${OWN('$15::text[]')}, ${OWN('$16::text[]')},
  ${COMMON('$17::text[]')}, ${COMMON('$18::text[]')}, ${COMMON('$19::text[]')}, ${COMMON('$20::text[]')},
  ${COMMON('$21::text[]')}, ${COMMON('$22::bigint[]')}, ${COMMON('$23::timestamptz[]')}, ${COMMON('$24::bigint[]')},
  ${COMMON('$25::text[]')}
from unnest($5::integer[]) with ordinality as n (profile, i)`;

/** Looking into an array of texts takes as long as what stands before: so many rows go into one statement. */
const ROWS_TOGETHER = 256;

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

export function insertStatements(request: LockRequest, write: BatchWrite): pg.QueryConfig[] {
  const statements: pg.QueryConfig[] = [];
  for (let from = 0; from < write.consumptions.length; from += ROWS_TOGETHER) {
    const rows = write.consumptions.slice(from, from + ROWS_TOGETHER);
    statements.push(insertStatement(request, write.now, rows));
  }
  return statements;
}

function insertStatement(
  request: LockRequest,
  now: Instant,
  rows: readonly ConsumptionRow[],
): pg.QueryConfig {
  const { profiles, numbers } = profilesOf(rows);
  return {
    name: 'consumption-insert',
    text: INSERT_CONSUMPTIONS,
    values: [
      request.customerId,
      request.productId,
      request.environmentId,
      new Date(now).toISOString(),
      numberArray(numbers),
      `{${rows.map((row) => row.id).join(',')}}`,
      numberArray(rows.map((row) => row.item)),
      textArray(rows.map((row) => row.idempotencyKey)),
      `{${rows.map((row) => `"\\\\x${row.requestHash}"`).join(',')}}`,
      booleanArray(rows.map((row) => row.allowed)),
      numberArray(rows.map((row) => row.requested)),
      numberArray(rows.map((row) => row.consumed)),
      numberArray(rows.map((row) => row.usedAfter)),
      numberArray(rows.map((row) => row.reservedAfter)),
      rows.some((row) => row.attributes !== null) ? textArray(rows.map((row) => row.attributes)) : null,
      textArray(rows.map((row) => row.answer)),
      textArray(profiles.map((row) => row.operation)),
      textArray(profiles.map((row) => row.feature)),
      textArray(profiles.map((row) => row.scope)),
      textArray(profiles.map((row) => row.reason)),
      textArray(profiles.map((row) => row.enforcement)),
      numberArray(profiles.map((row) => row.limitAtDecision)),
      textArray(
        profiles.map(({ periodStart }) =>
          periodStart === null ? null : new Date(periodStart).toISOString(),
        ),
      ),
      numberArray(profiles.map((row) => row.revision)),
      textArray(profiles.map((row) => row.actor)),
    ],
  };
}

/** One row of each kind, and for every row the number (from 1) of its kind. */
function profilesOf(rows: readonly ConsumptionRow[]): {
  readonly profiles: readonly ConsumptionRow[];
  readonly numbers: readonly number[];
} {
  const profiles: ConsumptionRow[] = [];
  let last = 0;
  const numbers = rows.map((row) => {
    const known = profiles[last];
    if (known === undefined || !sameProfile(known, row)) {
      const found = profiles.findIndex((profile) => sameProfile(profile, row));
      last = found === -1 ? profiles.push(row) - 1 : found;
    }
    return last + 1;
  });
  return { profiles, numbers };
}

function sameProfile(left: ConsumptionRow, right: ConsumptionRow): boolean {
  return (
    left.feature === right.feature &&
    left.scope === right.scope &&
    left.operation === right.operation &&
    left.reason === right.reason &&
    left.enforcement === right.enforcement &&
    left.limitAtDecision === right.limitAtDecision &&
    left.periodStart === right.periodStart &&
    left.revision === right.revision &&
    left.actor === right.actor
  );
}
