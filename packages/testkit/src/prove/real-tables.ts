import type pg from 'pg';
import type { StoredLot } from './check-lots.js';
import type { ToldNotice } from './check-notices.js';

/* What the tables hold of one customer, all of it of one instant. */

/** A decision, in the order in which they were made. */
export interface Row {
  readonly key: string;
  readonly operation: string;
  readonly feature: string;
  readonly allowed: boolean;
  readonly reason: string;
  readonly requested: number;
  readonly consumed: number;
  readonly usedAfter: number;
  readonly reservedAfter: number;
  readonly limit: number | null;
  /** JSON. */
  readonly attributes: string | null;
  readonly decidedAt: number;
}

export interface Account {
  readonly used: number;
  readonly reserved: number;
  readonly limit: number | null;
  readonly periodStart: number | null;
  readonly covered: number;
}

export interface Hours {
  readonly amount: number;
  readonly changes: number;
}

export interface EventRow {
  readonly id: string;
  readonly feature: string;
  readonly amount: number;
  readonly recordedAt: number;
}

export interface FeatureLot extends StoredLot {
  readonly feature: string;
}

export interface ReservationRow {
  readonly id: string;
  readonly amount: number;
  readonly state: string;
  readonly settled: number | null;
  readonly expiresAt: number;
}

export interface RealTables {
  readonly rows: readonly Row[];
  /** By feature. */
  readonly accounts: ReadonlyMap<string, Account>;
  readonly events: readonly EventRow[];
  readonly hours: ReadonlyMap<string, Hours>;
  readonly notices: readonly ToldNotice[];
  readonly holders: ReadonlyMap<string, number>;
  readonly lots: readonly FeatureLot[];
  readonly reservations: readonly ReservationRow[];
}

/** Sweepers and what is counted later go on meanwhile, so that all is read of one instant. */
export async function readTables(pool: pg.Pool, customer: string): Promise<RealTables> {
  const client = await pool.connect();
  try {
    await client.query('begin transaction isolation level repeatable read read only');
    const tables = {
      rows: await readRows(client, customer),
      accounts: await readAccounts(client, customer),
      events: await readEvents(client, customer),
      hours: await readHours(client, customer),
      notices: await readNotices(client, customer),
      holders: await readHolders(client, customer),
      lots: await readLots(client, customer),
      reservations: await readReservations(client, customer),
    };
    await client.query('commit');
    return tables;
  } finally {
    client.release();
  }
}

const MILLISECONDS = (column: string) => `floor(extract(epoch from ${column}) * 1000)::bigint`;

/** In the order in which they were decided. */
async function readRows(client: pg.ClientBase, customer: string): Promise<readonly Row[]> {
  const { rows } = await client.query(
    `select x.idempotency_key, x.operation, x.feature, x.allowed, x.reason, x.requested, x.consumed, x.used_after,
       x.reserved_after, x.limit_at_decision, x.attributes, ${MILLISECONDS('x.decided_at')} as decided_at
     from consumption x join customer c on c.id = x.customer_id where c.key = $1 order by x.decided_at, x.id, x.item`,
    [customer],
  );
  return rows.map((row) => ({
    key: String(row.idempotency_key),
    operation: String(row.operation),
    feature: String(row.feature),
    allowed: Boolean(row.allowed),
    requested: Number(row.requested),
    consumed: Number(row.consumed),
    reason: String(row.reason),
    usedAfter: Number(row.used_after),
    reservedAfter: Number(row.reserved_after),
    attributes: row.attributes === null ? null : String(row.attributes),
    limit: row.limit_at_decision === null ? null : Number(row.limit_at_decision),
    decidedAt: Number(row.decided_at),
  }));
}

async function readAccounts(client: pg.ClientBase, customer: string): Promise<ReadonlyMap<string, Account>> {
  const { rows } = await client.query(
    `select a.feature, a.used, a.reserved, a.covered, a.limit_known, ${MILLISECONDS('a.period_start')} as period_start
     from account a join customer c on c.id = a.customer_id where c.key = $1`,
    [customer],
  );
  return new Map(
    rows.map((row) => [
      String(row.feature),
      {
        used: Number(row.used),
        reserved: Number(row.reserved),
        limit: row.limit_known === null ? null : Number(row.limit_known),
        periodStart: row.period_start === null ? null : Number(row.period_start),
        covered: Number(row.covered),
      },
    ]),
  );
}

async function readEvents(client: pg.ClientBase, customer: string): Promise<readonly EventRow[]> {
  const { rows } = await client.query(
    `select e.event_id, e.feature, e.amount, ${MILLISECONDS('e.received_at')} as recorded_at
     from usage_event e join customer c on c.id = e.customer_id where c.key = $1 order by e.received_at`,
    [customer],
  );
  return rows.map((row) => ({
    id: String(row.event_id),
    feature: String(row.feature),
    amount: Number(row.amount),
    recordedAt: Number(row.recorded_at),
  }));
}

/** What the history by hours says of each feature. */
async function readHours(client: pg.ClientBase, customer: string): Promise<ReadonlyMap<string, Hours>> {
  const { rows } = await client.query(
    `select h.feature, sum(h.amount) as amount, sum(h.events) as changes
     from usage_hour h join customer c on c.id = h.customer_id where c.key = $1 group by h.feature`,
    [customer],
  );
  return new Map(
    rows.map((row) => [String(row.feature), { amount: Number(row.amount), changes: Number(row.changes) }]),
  );
}

async function readNotices(client: pg.ClientBase, customer: string): Promise<readonly ToldNotice[]> {
  const { rows } = await client.query(
    `select o.type, o.subject, o.data, ${MILLISECONDS('o.occurred_at')} as at from outbox_event o join customer c on c.id = o.customer_id
     where c.key = $1 and o.type like 'limit.%' order by o.occurred_at, o.id`,
    [customer],
  );
  return rows.map(({ type, subject, data, at }) => ({
    type: String(type),
    account: String(subject),
    data: String(data),
    at: Number(at),
  }));
}

async function readHolders(client: pg.ClientBase, customer: string): Promise<ReadonlyMap<string, number>> {
  const { rows } = await client.query(
    `select h.holder, h.amount from usage_holder h join customer c on c.id = h.customer_id
     where c.key = $1 and h.feature = 'members'`,
    [customer],
  );
  return new Map(rows.map((row) => [String(row.holder), Number(row.amount)]));
}

async function readLots(client: pg.ClientBase, customer: string): Promise<readonly FeatureLot[]> {
  const { rows } = await client.query(
    `select l.id, l.feature, l.kind, l.amount, l.remaining, ${MILLISECONDS('l.starts_at')} as starts_at,
       ${MILLISECONDS('l.ends_at')} as ends_at, ${MILLISECONDS('l.voided_at')} as voided_at
     from credit_lot l join customer c on c.id = l.customer_id where c.key = $1`,
    [customer],
  );
  return rows.map((row) => ({
    id: String(row.id),
    feature: String(row.feature),
    kind: row.kind === 'promotional' || row.kind === 'rollover' ? row.kind : 'topup',
    amount: Number(row.amount),
    remaining: Number(row.remaining),
    startsAt: Number(row.starts_at),
    endsAt: row.ends_at === null ? null : Number(row.ends_at),
    voidedAt: row.voided_at === null ? null : Number(row.voided_at),
  }));
}

async function readReservations(client: pg.ClientBase, customer: string): Promise<readonly ReservationRow[]> {
  const { rows } = await client.query(
    `select r.id, r.amount, r.state, r.settled, ${MILLISECONDS('r.expires_at')} as expires_at
     from reservation r join customer c on c.id = r.customer_id where c.key = $1`,
    [customer],
  );
  return rows.map((row) => ({
    id: String(row.id),
    amount: Number(row.amount),
    state: String(row.state),
    settled: row.settled === null ? null : Number(row.settled),
    expiresAt: Number(row.expires_at),
  }));
}
