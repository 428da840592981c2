import type { Instant } from '@pennon/engine/model/customer';
import { AT, earlierOf, MILLISECONDS } from './account-statements.js';
import type {
  AccountKey,
  BatchWrite,
  LockedAccount,
  LockedFrame,
  LockRequest,
} from './account-transaction.js';
import { balanceStatements } from './account-writes.js';
import { textArray } from './array-literal.js';
import type { ConsumptionCopier } from './consumption-copy.js';
import { formOf, givenRows, type TextByForm } from './given-rows.js';
import { BEGIN } from './open-transaction.js';
import type { GroupResult, GroupStatement } from './statement-group.js';
import { TOLD_COLUMNS } from './told-columns.js';
import { sayThatItStands } from './writing.js';

/*
 * A consume transaction whole, in one round trip (ADR 31): locks, the question whether everything stands as it was expected, and the rows.
 */

/** A batch that was decided before its locks were held. */
export interface AheadWrite {
  /** What it was decided on, at its `now`: with neither holds nor lots. */
  readonly expected: LockedFrame;
  /** By time alone it holds until then; `null`: for ever. */
  readonly validUntil: Instant | null;
  /** Balances and consumptions alone. */
  readonly write: BatchWrite;
}

/** `stood`: it is written; else nothing is. `now` is the database's clock, under the locks. */
export interface AheadOutcome {
  readonly stood: boolean;
  readonly now: Instant;
}

const ACCOUNTS = givenRows<AccountKey>(3, [
  { name: 'feature', type: 'text', of: ({ feature }) => feature },
  { name: 'scope', type: 'text', of: ({ scope }) => scope },
]);

/*
 * INVARIANT: the order of all writers: the customer, then the accounts as they are named. Each is looked up by what stands before it in the
 * join, and PostgreSQL takes no look-up apart (`offset 0`). What is locked is read by the next statement, which sees all that was waited for.
 */
const LOCK: TextByForm = ACCOUNTS.text(
  (named) => `
select from (select id from customer where id = $1::uuid for no key update offset 0) c
cross join lateral (select c.id as customer_id, n.* from ${named} offset 0) n
cross join lateral (select from account a
  where a.customer_id = n.customer_id and a.product_id = $2::uuid and a.scope = n.scope and a.feature = n.feature
  for update offset 0) a`,
);

const EXPECTED = givenRows<LockedAccount>(10, [
  { name: 'feature', type: 'text', of: ({ feature }) => feature },
  { name: 'scope', type: 'text', of: ({ scope }) => scope },
  { name: 'used', type: 'bigint', of: ({ used }) => used },
  { name: 'reserved', type: 'bigint', of: ({ reserved }) => reserved },
  { name: 'period_start', type: 'bigint', of: ({ periodStart }) => periodStart },
  { name: 'period_end', type: 'bigint', of: ({ periodEnd }) => periodEnd },
  { name: 'covered', type: 'bigint', of: ({ covered }) => covered },
  { name: 'limit_known', type: 'bigint', of: ({ limitKnown }) => limitKnown },
  ...TOLD_COLUMNS,
]);

/*
 * INVARIANT: it stands only if a decision under these locks would read the same: all that `LockedFrame` has of customer, environment, catalog
 * and accounts; no earlier row of any of the keys; and an instant of the database's own clock that is neither before the one that was decided
 * at nor beyond the one until which the decisions hold (laws 2 and 9). Each account is looked up by its whole name (`offset 0`): a join would
 * read all accounts of the customer, of whom there may be one for each user.
 */
const ASK_WHETHER_IT_STANDS: TextByForm = EXPECTED.text(
  (expected) => `
select ${sayThatItStands(`
    at.now >= $5::bigint and at.now < $6::bigint
    and exists (select from customer where id = $3::uuid and version = $4::bigint)
    and exists (select from environment where id = $2::uuid and subject_version = $7::bigint and shared_version = $8::bigint)
    and (select revision from environment_revision where product_id = $1::uuid and environment_id = $2::uuid)
      is not distinct from $9::bigint
    and not exists (select from ${expected} where not exists (select from account a
      where a.customer_id = $3::uuid and a.product_id = $1::uuid and a.scope = n.scope and a.feature = n.feature
        and a.used = n.used and a.reserved = n.reserved and a.next_hold_end is null and a.covered = n.covered and not a.has_lots
        and a.period_start is not distinct from ${AT('n.period_start')}
        and a.period_end is not distinct from ${AT('n.period_end')}
        and a.limit_known is not distinct from n.limit_known
        and a.told is not distinct from n.told and a.told_at is not distinct from ${AT('n.told_at')}
        and a.told_limit is not distinct from n.told_limit offset 0))
    and not exists (select from ${earlierOf('$3::uuid', `$${EXPECTED.next}::text[]`)})`)}, at.now
from (select ${MILLISECONDS('clock_timestamp()')} as now) as at`,
);

/** No instant is beyond it. */
const FOR_EVER = String(Number.MAX_SAFE_INTEGER);

/** The place of the question among the statements, and of its answer among the results. */
const QUESTION = 2;

export function aheadStatements(
  copier: ConsumptionCopier,
  request: LockRequest,
  ahead: AheadWrite,
): readonly GroupStatement[] {
  const {
    expected: { now },
    write,
  } = ahead;
  return [
    BEGIN,
    locksOf(request),
    questionOf(request, ahead),
    ...balanceStatements(copier, now, [{ request, write }], 'standing'),
  ];
}

export function toAheadOutcome(results: readonly GroupResult[]): AheadOutcome {
  const [stands, now] = results[QUESTION]?.rows[0] ?? [];
  return { stood: stands === 'yes', now: Number(now) };
}

function locksOf({ customerId, productId, accounts }: LockRequest): GroupStatement {
  const form = formOf(accounts);
  return {
    name: `lock-${form}`,
    text: LOCK[form],
    values: [customerId, productId, ...ACCOUNTS.values(accounts, form)],
  };
}

function questionOf(
  { productId, environmentId, customerId, idempotencyKeys }: LockRequest,
  { expected, validUntil }: AheadWrite,
): GroupStatement {
  const { now, customer, versions, revision, accounts } = expected;
  const form = formOf(accounts);
  return {
    name: `stands-${form}`,
    text: ASK_WHETHER_IT_STANDS[form],
    values: [
      productId,
      environmentId,
      customerId,
      text(customer?.version ?? null),
      text(now),
      validUntil === null ? FOR_EVER : text(validUntil),
      text(versions.subjects),
      text(versions.shared),
      text(revision),
      ...EXPECTED.values(accounts, form),
      textArray(idempotencyKeys),
    ],
  };
}

function text(value: number | null): string | null {
  return value === null ? null : String(value);
}
