import type { Hold, Instant } from '@pennon/engine/model/customer';
import { RESERVATION_STATES, type ReservationState } from '@pennon/engine/model/decision';
import { LIMITS } from '@pennon/engine/model/limits';
import { numberOrNull } from './account-rows.js';
import type { AccountKey, BatchWrite, LockRequest } from './account-transaction.js';
import { numberArray, textArray } from './array-literal.js';
import type { GroupResult, GroupStatement } from './statement-group.js';

/* The statements about what is held: part of a consume transaction only where a request or an account's row says so. */

const AT = (milliseconds: string) => `to_timestamp(${milliseconds} / 1000.0)`;
const MILLISECONDS = (instant: string) => `floor(extract(epoch from ${instant}) * 1000)::bigint`;

/** A reservation as it stands under the customer's lock. */
export interface StoredReservation extends AccountKey {
  readonly id: string;
  readonly amount: number;
  readonly state: ReservationState;
  readonly settled: number | null;
  readonly expiresAt: Instant;
  readonly attributes: string | null;
}

export interface NewReservation extends AccountKey {
  readonly id: string;
  readonly amount: number;
  readonly expiresAt: Instant;
  /** JSON: whom it was made for. */
  readonly context: string;
  readonly attributes: string | null;
  readonly actor: string;
}

export interface FinishedReservation {
  readonly id: string;
  readonly before: ReservationState;
  readonly state: Exclude<ReservationState, 'held'>;
  readonly settled: number | null;
}

/** Holds of some accounts whose end has come. */
export interface EndedHolds {
  readonly ended: readonly StoredReservation[];
  /** There are more: nothing may be decided before they are taken off too. */
  readonly more: boolean;
  /** No hold of an account that is left ends before it, by `heldAccountName`; absent: nothing more is held. */
  readonly nextEnds: ReadonlyMap<string, Instant>;
}

export const NOTHING_ENDED: EndedHolds = { ended: [], more: false, nextEnds: new Map() };

export function heldAccountName({ feature, scope }: AccountKey): string {
  return `${feature}|${scope}`;
}

const RESERVATION_COLUMNS = `r.id, r.feature, r.scope, r.amount, r.state, r.settled, ${MILLISECONDS('r.expires_at')}, r.attributes`;
const OF_ACCOUNT = (account: string) =>
  `r.customer_id = ${account}.customer_id and r.product_id = ${account}.product_id
    and r.feature = ${account}.feature and r.scope = ${account}.scope and r.state = 'held'`;

/** Of an account in a query, as JSON: the holds that end first. Only where something is held is anything looked for. */
export const HOLDS_OF = (account: string) => `case when ${account}.reserved > 0 then (
  select json_agg(json_build_array(${MILLISECONDS('h.expires_at')}, h.amount) order by h.expires_at)
  from (select r.expires_at, r.amount from reservation r where ${OF_ACCOUNT(account)}
    order by r.expires_at limit ${LIMITS.holdsKnown.value}) h) end`;

/** As `HOLDS_OF` answers it, whether the driver has read it already or not. */
export function toHolds(json: unknown): readonly Hold[] {
  const pairs = (typeof json === 'string' ? JSON.parse(json) : json) as
    | readonly (readonly [number, number])[]
    | null;
  return (pairs ?? []).map(([endsAt, amount]) => ({ endsAt, amount }));
}

const FIND_RESERVATIONS = `
select ${RESERVATION_COLUMNS} from reservation r
where r.customer_id = $1::uuid and r.product_id = $2::uuid and r.id = any ($3::uuid[])`;

const ACCOUNTS = `(select $1::uuid as customer_id, $2::uuid as product_id, n.feature, n.scope
  from unnest($3::text[], $4::text[]) as n (feature, scope)) a`;

// INVARIANT: a hold is in force in [made, expires_at): at that very instant it has ended.
const FIND_ENDED = `
select ${RESERVATION_COLUMNS} from ${ACCOUNTS} cross join lateral (
  select * from reservation r where ${OF_ACCOUNT('a')} and r.expires_at <= ${AT('$5::bigint')}
  order by r.expires_at limit ${LIMITS.holdsEndedAtOnce.value + 1}) r
order by r.expires_at limit ${LIMITS.holdsEndedAtOnce.value + 1}`;

const NEXT_ENDS = `
select a.feature, a.scope, ${MILLISECONDS('h.expires_at')} from ${ACCOUNTS} cross join lateral (
  select r.expires_at from reservation r where ${OF_ACCOUNT('a')} and r.expires_at > ${AT('$5::bigint')}
  order by r.expires_at limit 1) h`;

const READ_HOLDS = `
select a.feature, a.scope, ${HOLDS_OF('b')} from ${ACCOUNTS} join account b
  on b.customer_id = a.customer_id and b.product_id = a.product_id and b.feature = a.feature and b.scope = a.scope`;

const INSERT_RESERVATIONS = `
insert into reservation (customer_id, id, environment_id, product_id, feature, scope, amount, state, created_at, expires_at, context,
  attributes, actor)
select $1::uuid, n.id, $3::uuid, $2::uuid, n.feature, n.scope, n.amount, 'held', ${AT('$4::bigint')}, ${AT('n.expires_at')}, n.context,
  n.attributes, n.actor
from unnest($5::uuid[], $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[])
  as n (id, feature, scope, amount, expires_at, context, attributes, actor)`;

// INVARIANT: each is one descent of the key (`offset 0` keeps it one) and one row by its place: joined plainly, a plan that was kept from
// when there were few compares every reservation of the customer with every one that ends.
// As with accounts: one that does not stand as it was read divides by zero, and nothing of the transaction remains.
const FINISH_RESERVATIONS = `
with written as (
  update reservation r set state = n.state, settled = n.settled, finished_at = ${AT('$3::bigint')}
  from (select found.place, n.state, n.settled
    from unnest($4::uuid[], $5::text[], $6::text[], $7::bigint[]) as n (id, before, state, settled)
    cross join lateral (select r.ctid as place from reservation r
      where r.customer_id = $1::uuid and r.id = n.id and r.product_id = $2::uuid and r.state = n.before offset 0) found) n
  where r.ctid = n.place
  returning 1
)
select 1 / (case when (select count(*) from written) = $8::integer then 1 else 0 end)`;

export function findReservationsStatement(request: LockRequest, ids: readonly string[]): GroupStatement {
  return {
    name: 'reservation-find',
    text: FIND_RESERVATIONS,
    values: [request.customerId, request.productId, textArray(ids)],
  };
}

export function endedStatements(
  request: LockRequest,
  accounts: readonly AccountKey[],
  now: Instant,
): readonly GroupStatement[] {
  const values = [...accountValues(request, accounts), String(now)];
  return [
    { name: 'reservation-ended', text: FIND_ENDED, values },
    { name: 'reservation-next', text: NEXT_ENDS, values },
  ];
}

/** @param accounts that were asked about */
export function toEndedHolds(
  accounts: readonly AccountKey[],
  ended: GroupResult | undefined,
  next: GroupResult | undefined,
): EndedHolds {
  const rows = (ended?.rows ?? []).map(toReservation);
  const most = LIMITS.holdsEndedAtOnce.value;
  const nextEnds = new Map<string, Instant>();
  for (const [feature, scope, endsAt] of next?.rows ?? []) {
    nextEnds.set(heldAccountName({ feature: feature ?? '', scope: scope ?? '' }), Number(endsAt));
  }
  const left = rows[most];
  // Those that are left have ended too, and each account may have some: they are the next to be taken off.
  if (left !== undefined) {
    for (const account of accounts) nextEnds.set(heldAccountName(account), left.expiresAt);
  }
  return { ended: rows.slice(0, most), more: left !== undefined, nextEnds };
}

export function holdsStatement(request: LockRequest, accounts: readonly AccountKey[]): GroupStatement {
  return { name: 'reservation-holds', text: READ_HOLDS, values: accountValues(request, accounts) };
}

/** By `heldAccountName`. */
export function toHoldsByAccount(result: GroupResult | undefined): ReadonlyMap<string, readonly Hold[]> {
  return new Map(
    (result?.rows ?? []).map(([feature, scope, holds]) => [
      heldAccountName({ feature: feature ?? '', scope: scope ?? '' }),
      toHolds(holds),
    ]),
  );
}

function accountValues(request: LockRequest, accounts: readonly AccountKey[]): (string | null)[] {
  return [
    request.customerId,
    request.productId,
    textArray(accounts.map((account) => account.feature)),
    textArray(accounts.map((account) => account.scope)),
  ];
}

/** What a batch writes of reservations; most batches write none. */
export function reservationStatements(request: LockRequest, write: BatchWrite): readonly GroupStatement[] {
  const { made, finished } = write.reservations;
  const statements: GroupStatement[] = [];
  if (made.length > 0) {
    statements.push(insertStatement(request, write.now, made));
  }
  if (finished.length > 0) {
    statements.push(finishStatement(request, write.now, finished));
  }
  return statements;
}

function insertStatement(
  request: LockRequest,
  now: Instant,
  made: readonly NewReservation[],
): GroupStatement {
  return {
    name: 'reservation-insert',
    text: INSERT_RESERVATIONS,
    values: [
      request.customerId,
      request.productId,
      request.environmentId,
      String(now),
      textArray(made.map((one) => one.id)),
      textArray(made.map((one) => one.feature)),
      textArray(made.map((one) => one.scope)),
      numberArray(made.map((one) => one.amount)),
      numberArray(made.map((one) => one.expiresAt)),
      textArray(made.map((one) => one.context)),
      textArray(made.map((one) => one.attributes)),
      textArray(made.map((one) => one.actor)),
    ],
  };
}

function finishStatement(
  request: LockRequest,
  now: Instant,
  finished: readonly FinishedReservation[],
): GroupStatement {
  return {
    name: 'reservation-finish',
    text: FINISH_RESERVATIONS,
    values: [
      request.customerId,
      request.productId,
      String(now),
      textArray(finished.map((one) => one.id)),
      textArray(finished.map((one) => one.before)),
      textArray(finished.map((one) => one.state)),
      numberArray(finished.map((one) => one.settled)),
      String(finished.length),
    ],
  };
}

export function toReservation(row: readonly (string | null)[]): StoredReservation {
  const [id, feature, scope, amount, state, settled, expiresAt, attributes] = row;
  return {
    id: id ?? '',
    feature: feature ?? '',
    scope: scope ?? '',
    amount: Number(amount),
    state: toState(state),
    settled: numberOrNull(settled),
    expiresAt: Number(expiresAt),
    attributes: attributes ?? null,
  };
}

function toState(text: string | null | undefined): ReservationState {
  const state = RESERVATION_STATES.find((one) => one === text);
  if (state === undefined) {
    throw new TypeError(`A reservation has the state \`${text}\`, which is none.`);
  }
  return state;
}
