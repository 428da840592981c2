import type { Instant } from '@pennon/engine/model/customer';
import type { AccountWrite, CustomerAccountKey, LockedAccount, LockRequest } from './account-transaction.js';
import { numberArray, textArray } from './array-literal.js';
import { placeOf } from './consumption-place.js';
import { formOf, givenRows, type TextByForm } from './given-rows.js';
import { LOTS_OF } from './lot-statements.js';
import { HOLDS_OF } from './reservation-statements.js';
import type { GroupStatement } from './statement-group.js';
import { TOLD_COLUMNS } from './told-columns.js';
import { IT_STANDS, type Writing } from './writing.js';

/* The statements of a consume transaction, and how a batch becomes their parameters. */

export const AT = (milliseconds: string) => `to_timestamp(${milliseconds} / 1000.0)`;
export const MILLISECONDS = (instant: string) => `floor(extract(epoch from ${instant}) * 1000)::bigint`;
const ACCOUNT_COLUMNS = `feature, scope, ${MILLISECONDS('period_start')}, ${MILLISECONDS('period_end')}, used, reserved,
  ${MILLISECONDS('next_hold_end')}, covered, has_lots, limit_known,
  told, ${MILLISECONDS('told_at')}, told_limit`;

const CUSTOMERS = givenRows<LockRequest>(1, [
  { name: 'id', type: 'uuid', of: ({ customerId }) => customerId },
]);

const ACCOUNTS = givenRows<CustomerAccountKey>(2, [
  { name: 'customer_id', type: 'uuid', of: ({ customerId }) => customerId },
  { name: 'feature', type: 'text', of: ({ feature }) => feature },
  { name: 'scope', type: 'text', of: ({ scope }) => scope },
]);

const INSERT_ACCOUNTS = `
insert into account (customer_id, product_id, feature, scope, environment_id, used, reserved, updated_at)
select n.customer_id, $1::uuid, n.feature, n.scope, $2::uuid, 0, 0, clock_timestamp()
from unnest($3::uuid[], $4::text[], $5::text[]) as n (customer_id, feature, scope)
on conflict do nothing`;

/** Whether a row that somebody else has locked is waited for, or left out of the answer. */
export type Locking = 'wait' | 'skip';

const LOCKED: Record<Locking, string> = { wait: '', skip: ' skip locked' };

/*
 * INVARIANT: rows are locked one by one in the order in which they are named, by a lateral look-up that PostgreSQL does not take apart
 * (`offset 0`): that order is the one of all writers.
 */

// The customer's row is every writer's first lock: the sameness of an idempotency key is decided under it, also by calls
// that touch no account, and the version read here is the one in force until the commit.
const lockCustomers = (locking: Locking) =>
  CUSTOMERS.text(
    (named) => `
select c.id, c.version from ${named}
cross join lateral (
  select c.id, c.version from customer c where c.id = n.id for no key update${LOCKED[locking]} offset 0) c`,
  );

const lockAccounts = (locking: Locking) =>
  ACCOUNTS.text(
    (named) => `
select a.* from ${named}
cross join lateral (
  select ${ACCOUNT_COLUMNS}, a.customer_id from account a
  where a.customer_id = n.customer_id and a.product_id = $1::uuid and a.scope = n.scope and a.feature = n.feature
  for update${LOCKED[locking]} offset 0) a`,
  );

const LOCK_CUSTOMERS: Record<Locking, TextByForm> = {
  wait: lockCustomers('wait'),
  skip: lockCustomers('skip'),
};
const LOCK_ACCOUNTS: Record<Locking, TextByForm> = { wait: lockAccounts('wait'), skip: lockAccounts('skip') };

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

// INVARIANT: the index has one column, and no other index is there: there is no plan that reads all that a customer ever consumed. The upper
// bound spares the partitions that were made ahead.
const AT_PLACES = (places: string, days: number) => `
where ${placeOf('c.customer_id', 'c.idempotency_key')} = any(array(${places}))
  and c.decided_at > now() - interval '${days} days' and c.decided_at < now() + interval '1 day'`;

const EARLIER_COLUMNS = `id, item, operation, idempotency_key, encode(request_hash, 'hex') as request_hash,
  ${MILLISECONDS('decided_at')} as decided_at, feature, scope,
  allowed, reason, enforcement, requested, consumed, used_after, reserved_after, limit_at_decision, revision, answer, customer_id`;

/** Of the customer and the keys of these parameters. */
export const earlierOf = (customerId: string, keys: string) =>
  `consumption c ${AT_PLACES(`select ${placeOf(customerId, 'k')} from unnest(${keys}) as k`, 35)}
  and c.customer_id = ${customerId} and c.idempotency_key = any(${keys})`;

/** By customers: the keys of one, or those of several, each beside its customer. */
export const FIND_EARLIER: TextByForm = {
  one: `
select ${EARLIER_COLUMNS} from ${earlierOf('$1::uuid', '$2::text[]')}
order by c.id, c.item`,
  many: `
select ${EARLIER_COLUMNS} from consumption c
${AT_PLACES(`select ${placeOf('i', 'k')} from unnest($1::uuid[], $2::text[]) as a (i, k)`, 35)}
  and exists (select from unnest($1::uuid[], $2::text[]) as n (customer_id, key)
    where n.customer_id = c.customer_id and n.key = c.idempotency_key)
order by c.id, c.item`,
};

// Rows of one batch were decided at one instant.
export const FIND_ANSWERS = `
select distinct c.item, c.operation, c.idempotency_key, c.answer from consumption c
${AT_PLACES(`select ${placeOf('$1::uuid', 'k')} from unnest($2::text[]) as k`, 36)}
  and c.customer_id = $1::uuid
  and exists (select from unnest($2::text[], $3::text[], $4::integer[], $5::bigint[]) as n (key, operation, item, decided_at)
    where n.key = c.idempotency_key and n.operation = c.operation and n.item = c.item and c.decided_at = ${AT('n.decided_at')})`;

const CLOSE_PERIODS = `
insert into account_period (customer_id, product_id, feature, scope, period_start, environment_id, period_end, used, covered,
  closed_at, latest_at)
select n.customer_id, $1::uuid, n.feature, n.scope, ${AT('n.period_start')}, $2::uuid, ${AT('n.period_end')}, n.used, n.covered,
  ${AT('$3::bigint')}, (select a.latest_at from account a where a.customer_id = n.customer_id and a.product_id = $1::uuid
    and a.scope = n.scope and a.feature = n.feature)
from unnest($4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
  as n (customer_id, feature, scope, period_start, period_end, used, covered)
on conflict do nothing`;

type NamedWrite = AccountWrite & CustomerAccountKey;

const WRITTEN = givenRows<NamedWrite>(3, [
  { name: 'customer_id', type: 'uuid', of: ({ customerId }) => customerId },
  { name: 'feature', type: 'text', of: ({ feature }) => feature },
  { name: 'scope', type: 'text', of: ({ scope }) => scope },
  { name: 'used_before', type: 'bigint', of: ({ before }) => before.used },
  { name: 'reserved_before', type: 'bigint', of: ({ before }) => before.reserved },
  { name: 'used', type: 'bigint', of: ({ used }) => used },
  { name: 'reserved', type: 'bigint', of: ({ reserved }) => reserved },
  { name: 'period_start', type: 'bigint', of: ({ periodStart }) => periodStart },
  { name: 'period_end', type: 'bigint', of: ({ periodEnd }) => periodEnd },
  { name: 'next_hold_end', type: 'bigint', of: ({ nextHoldEnd }) => nextHoldEnd },
  { name: 'limit_known', type: 'bigint', of: ({ limitKnown }) => limitKnown },
  { name: 'percent', type: 'integer', of: ({ percent }) => percent },
  ...TOLD_COLUMNS,
]);

// A row that no longer stands as it was read divides by zero: the transaction is aborted and nothing of it remains.
const updateAccounts = (condition: string) =>
  WRITTEN.text(
    (written) => `
with written as (
  update account a
  set used = n.used, reserved = n.reserved, period_start = ${AT('n.period_start')}, period_end = ${AT('n.period_end')},
    next_hold_end = ${AT('n.next_hold_end')},
    latest_at = case when a.period_start is distinct from ${AT('n.period_start')} then null else a.latest_at end,
    updated_at = ${AT('$2::bigint')}, limit_known = n.limit_known, percent = n.percent,
    told = n.told, told_at = ${AT('n.told_at')}, told_limit = n.told_limit
  from (select found.place, n.*
    from ${written}
    cross join lateral (select a.ctid as place from account a
      where a.customer_id = n.customer_id and a.product_id = $1::uuid and a.scope = n.scope and a.feature = n.feature
        and a.used = n.used_before and a.reserved = n.reserved_before and ${condition} offset 0) found) n
  where a.ctid = n.place
  returning 1
)
select 1 / (case when (select count(*) from written) = $${WRITTEN.next}::integer or not (${condition}) then 1 else 0 end)`,
  );

const UPDATE_ACCOUNTS: Record<Writing, TextByForm> = {
  always: updateAccounts('true'),
  standing: updateAccounts(IT_STANDS),
};

function instants(values: readonly (Instant | null)[]): string {
  return numberArray(values);
}

type OfProduct = Pick<LockRequest, 'productId' | 'environmentId'>;

export function insertStatement(
  { productId, environmentId }: OfProduct,
  missing: readonly CustomerAccountKey[],
): GroupStatement {
  return {
    name: 'account-insert',
    text: INSERT_ACCOUNTS,
    values: [productId, environmentId, ...namesOf(missing)],
  };
}

/** What is locked and read at the beginning, in this order: customers, accounts, the frame, earlier decisions. */
export function lockStatements(
  { productId, environmentId }: OfProduct,
  requests: readonly LockRequest[],
  locking: Locking,
): readonly GroupStatement[] {
  const accounts = requests.flatMap((one) =>
    one.accounts.map(({ feature, scope }) => ({ customerId: one.customerId, feature, scope })),
  );
  const customerForm = formOf(requests);
  const accountForm = formOf(accounts);
  return [
    {
      name: `customer-lock-${locking}-${customerForm}`,
      text: LOCK_CUSTOMERS[locking][customerForm],
      values: CUSTOMERS.values(requests, customerForm),
    },
    {
      name: `account-lock-${locking}-${accountForm}`,
      text: LOCK_ACCOUNTS[locking][accountForm],
      values: [productId, ...ACCOUNTS.values(accounts, accountForm)],
    },
    { name: 'frame-read', text: READ_FRAME, values: [productId, environmentId] },
    {
      name: `consumption-find-${customerForm}`,
      text: FIND_EARLIER[customerForm],
      values: keysOf(requests),
    },
  ];
}

function keysOf(requests: readonly LockRequest[]): readonly [customers: string, keys: string] {
  const [only, another] = requests;
  if (only !== undefined && another === undefined) {
    return [only.customerId, textArray(only.idempotencyKeys)];
  }
  return [
    textArray(requests.flatMap(({ customerId, idempotencyKeys }) => idempotencyKeys.map(() => customerId))),
    textArray(requests.flatMap(({ idempotencyKeys }) => idempotencyKeys)),
  ];
}

export function closeStatement(
  { productId, environmentId }: OfProduct,
  now: Instant,
  closed: readonly (LockedAccount & CustomerAccountKey)[],
): GroupStatement {
  return {
    name: 'period-close',
    text: CLOSE_PERIODS,
    values: [
      productId,
      environmentId,
      String(now),
      ...namesOf(closed),
      instants(closed.map((account) => account.periodStart)),
      instants(closed.map((account) => account.periodEnd ?? now)),
      numberArray(closed.map((account) => account.used)),
      numberArray(closed.map((account) => account.covered)),
    ],
  };
}

export function updateStatement(
  { productId }: OfProduct,
  now: Instant,
  accounts: readonly NamedWrite[],
  writing: Writing,
): GroupStatement {
  const form = formOf(accounts);
  return {
    name: `account-update-${writing}-${form}`,
    text: UPDATE_ACCOUNTS[writing][form],
    values: [productId, String(now), ...WRITTEN.values(accounts, form), String(accounts.length)],
  };
}

function namesOf(
  accounts: readonly CustomerAccountKey[],
): readonly [customers: string, features: string, scopes: string] {
  return [
    textArray(accounts.map((account) => account.customerId)),
    textArray(accounts.map((account) => account.feature)),
    textArray(accounts.map((account) => account.scope)),
  ];
}
