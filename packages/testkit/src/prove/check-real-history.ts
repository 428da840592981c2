import type pg from 'pg';
import { checkLots, type MadeLot, type StoredLot } from './check-lots.js';
import { NoticeJudge, type ToldNotice } from './check-notices.js';
import type { EventStatus, RealAnswer, RealCall, RealEvent } from './real-client.js';
import { CREDITS_ALLOWANCE } from './real-installation.js';

/* What the tables say against what clients were told, with arithmetic of its own. */

export interface Acknowledged {
  readonly call: RealCall;
  readonly answer: RealAnswer;
}

/** What was answered when an event was told, each time that it was. */
export interface Told {
  readonly event: RealEvent;
  readonly status: EventStatus;
}

/** From that instant of the database's clock on, every decision is under that limit, or under a later one. */
export interface LimitChange {
  readonly value: number;
  readonly knownAt: number;
}

/** What clients were told about one customer. */
export interface Heard {
  readonly acknowledged: readonly Acknowledged[];
  readonly told?: readonly Told[];
  readonly changes?: readonly LimitChange[];
  readonly lots?: readonly MadeLot[];
}

interface Row {
  readonly key: string;
  readonly operation: string;
  readonly feature: string;
  readonly allowed: boolean;
  readonly requested: number;
  readonly consumed: number;
  readonly usedAfter: number;
  readonly limit: number | null;
  readonly decidedAt: number;
}

interface Account {
  readonly used: number;
  readonly limit: number | null;
  readonly periodStart: number | null;
  readonly covered: number;
}

interface Hours {
  readonly amount: number;
  readonly changes: number;
}

interface EventRow {
  readonly id: string;
  readonly feature: string;
  readonly amount: number;
  readonly recordedAt: number;
}

export async function checkRealHistory(
  pool: pg.Pool,
  customer: string,
  { acknowledged, told = [], changes = [], lots = [] }: Heard,
): Promise<readonly string[]> {
  const rows = await readRows(pool, customer);
  const accounts = await readAccounts(pool, customer);
  const events = await readEvents(pool, customer);
  const holders = await readHolders(pool, customer);
  return [
    ...checkAcknowledged(rows, acknowledged),
    ...rows.flatMap(checkRow),
    ...checkSums(rows, events, accounts),
    ...checkChain(rows.filter((row) => row.feature === 'calls')),
    ...checkLimits(rows, changes),
    ...checkEvents(events, told),
    ...checkHours(rows, events, await readHours(pool, customer)),
    ...checkHolders(rows, acknowledged, holders),
    ...checkNotices(await readNotices(pool, customer), accounts),
    ...checkLots({
      allowance: CREDITS_ALLOWANCE,
      decisions: rows.filter((row) => row.feature === 'credits'),
      events: events.filter((event) => event.feature === 'credits'),
      stored: await readLots(pool, customer),
      made: acknowledged.length === 0 ? [] : lots,
      covered: accounts.get('credits')?.covered ?? 0,
    }),
  ].map((violation) => `${customer}: ${violation}`);
}

const MILLISECONDS = (column: string) => `floor(extract(epoch from ${column}) * 1000)::bigint`;

/** In the order in which they were decided. */
async function readRows(pool: pg.Pool, customer: string): Promise<readonly Row[]> {
  const { rows } = await pool.query(
    `select x.idempotency_key, x.operation, x.feature, x.allowed, x.requested, x.consumed, x.used_after,
       x.limit_at_decision, ${MILLISECONDS('x.decided_at')} as decided_at
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
    usedAfter: Number(row.used_after),
    limit: row.limit_at_decision === null ? null : Number(row.limit_at_decision),
    decidedAt: Number(row.decided_at),
  }));
}

async function readAccounts(pool: pg.Pool, customer: string): Promise<ReadonlyMap<string, Account>> {
  const { rows } = await pool.query(
    `select a.feature, a.used, a.covered, a.limit_known, ${MILLISECONDS('a.period_start')} as period_start
     from account a join customer c on c.id = a.customer_id where c.key = $1`,
    [customer],
  );
  return new Map(
    rows.map((row) => [
      String(row.feature),
      {
        used: Number(row.used),
        limit: row.limit_known === null ? null : Number(row.limit_known),
        periodStart: row.period_start === null ? null : Number(row.period_start),
        covered: Number(row.covered),
      },
    ]),
  );
}

async function readEvents(pool: pg.Pool, customer: string): Promise<readonly EventRow[]> {
  const { rows } = await pool.query(
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
async function readHours(pool: pg.Pool, customer: string): Promise<ReadonlyMap<string, Hours>> {
  const { rows } = await pool.query(
    `select h.feature, sum(h.amount) as amount, sum(h.events) as changes
     from usage_hour h join customer c on c.id = h.customer_id where c.key = $1 group by h.feature`,
    [customer],
  );
  return new Map(
    rows.map((row) => [String(row.feature), { amount: Number(row.amount), changes: Number(row.changes) }]),
  );
}

async function readNotices(pool: pg.Pool, customer: string): Promise<readonly ToldNotice[]> {
  const { rows } = await pool.query(
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

async function readHolders(pool: pg.Pool, customer: string): Promise<ReadonlyMap<string, number>> {
  const { rows } = await pool.query(
    `select h.holder, h.amount from usage_holder h join customer c on c.id = h.customer_id
     where c.key = $1 and h.feature = 'members'`,
    [customer],
  );
  return new Map(rows.map((row) => [String(row.holder), Number(row.amount)]));
}

async function readLots(pool: pg.Pool, customer: string): Promise<readonly StoredLot[]> {
  const { rows } = await pool.query(
    `select l.id, l.kind, l.amount, l.remaining, ${MILLISECONDS('l.starts_at')} as starts_at,
       ${MILLISECONDS('l.ends_at')} as ends_at
     from credit_lot l join customer c on c.id = l.customer_id where c.key = $1`,
    [customer],
  );
  return rows.map((row) => ({
    id: String(row.id),
    kind: row.kind === 'promotional' ? 'promotional' : 'topup',
    amount: Number(row.amount),
    remaining: Number(row.remaining),
    startsAt: Number(row.starts_at),
    endsAt: row.ends_at === null ? null : Number(row.ends_at),
  }));
}

/** INVARIANT: no acknowledged unit is lost, nothing is taken twice, and nobody took what nobody asked for. */
function checkAcknowledged(rows: readonly Row[], acknowledged: readonly Acknowledged[]): readonly string[] {
  const violations: string[] = [];
  const byKey = new Map<string, Row>();
  for (const row of rows) {
    if (byKey.has(row.key)) violations.push(`\`${row.key}\` was decided twice.`);
    byKey.set(row.key, row);
  }
  for (const { call, answer } of acknowledged) {
    const row = byKey.get(call.idempotencyKey);
    if (row === undefined) violations.push(`\`${call.idempotencyKey}\` was acknowledged and is lost.`);
    else if (row.allowed !== answer.allowed || row.consumed !== answer.taken) {
      violations.push(`\`${call.idempotencyKey}\` was answered otherwise than it stands.`);
    }
  }
  if (byKey.size !== acknowledged.length) {
    violations.push(`${byKey.size} calls stand for ${acknowledged.length} that were made.`);
  }
  return violations;
}

function checkRow(row: Row): readonly string[] {
  if (row.operation !== 'consume' || row.limit === null) return [];
  if (row.allowed && row.consumed > 0 && row.usedAfter > row.limit) {
    return [`\`${row.key}\` overshoots: ${row.usedAfter} of ${row.limit}.`];
  }
  // A denial is right only where there was no room: all that was asked, or with \`upTo\` one.
  const least = row.key.endsWith('-up-to') ? 1 : row.requested;
  return !row.allowed && row.usedAfter + least <= row.limit
    ? [`\`${row.key}\` was denied ${row.requested} at ${row.usedAfter} of ${row.limit}.`]
    : [];
}

function checkSums(
  rows: readonly Row[],
  events: readonly EventRow[],
  accounts: ReadonlyMap<string, Account>,
): readonly string[] {
  const sums = new Map<string, number>();
  const add = (feature: string, amount: number) => sums.set(feature, (sums.get(feature) ?? 0) + amount);
  for (const { feature, operation, consumed } of rows) {
    add(feature, operation === 'release' ? -consumed : consumed);
  }
  for (const { feature, amount } of events) add(feature, amount);
  const found = (feature: string) => accounts.get(feature)?.used ?? 0;
  return [...new Set([...sums.keys(), ...accounts.keys()])]
    .filter((feature) => found(feature) !== (sums.get(feature) ?? 0))
    .map((feature) => `${feature} holds ${found(feature)}, and its rows sum to ${sums.get(feature)}.`);
}

/** INVARIANT: every event counts once, however often it was told; whoever was told so first was told \`accepted\`, or nobody was. */
function checkEvents(events: readonly EventRow[], told: readonly Told[]): readonly string[] {
  const violations: string[] = [];
  const stored = new Map<string, EventRow>();
  for (const event of events) {
    if (stored.has(event.id)) violations.push(`The event \`${event.id}\` is recorded twice.`);
    stored.set(event.id, event);
  }
  const accepted = new Set<string>();
  for (const { event, status } of told) {
    const row = stored.get(event.id);
    if (row === undefined) violations.push(`The event \`${event.id}\` was acknowledged and is lost.`);
    else if (row.amount !== event.amount || row.feature !== event.key) {
      violations.push(`The event \`${event.id}\` is recorded otherwise than it was told.`);
    }
    if (status !== 'accepted') continue;
    if (accepted.has(event.id)) violations.push(`The event \`${event.id}\` was accepted twice.`);
    accepted.add(event.id);
  }
  const names = new Set(told.map(({ event }) => event.id));
  if (stored.size !== names.size) {
    violations.push(`${stored.size} events stand for ${names.size} that were told.`);
  }
  return violations;
}

/** INVARIANT: the history by hours has every change once: what was taken, given back and told. */
function checkHours(
  rows: readonly Row[],
  events: readonly EventRow[],
  hours: ReadonlyMap<string, Hours>,
): readonly string[] {
  const changes = [
    ...rows.map(({ feature, operation, consumed }) => ({
      feature,
      amount: operation === 'release' ? -consumed : consumed,
    })),
    ...events,
  ].filter(({ amount }) => amount !== 0);
  return [...new Set([...changes.map(({ feature }) => feature), ...hours.keys()])].flatMap((name) => {
    const own = changes.filter(({ feature }) => feature === name);
    const sum = own.reduce((total, { amount }) => total + amount, 0);
    const found = hours.get(name) ?? { amount: 0, changes: 0 };
    return sum === found.amount && own.length === found.changes
      ? []
      : [
          `The hours of ${name} hold ${found.amount} in ${found.changes} changes, not ${sum} in ${own.length}.`,
        ];
  });
}

/** INVARIANT: each crossing of a level is told once. */
function checkNotices(
  notices: readonly ToldNotice[],
  accounts: ReadonlyMap<string, Account>,
): readonly string[] {
  const judge = new NoticeJudge(['calls', 'credits']);
  return [
    ...notices.flatMap((notice) => judge.hear(notice)),
    ...[...accounts].flatMap(([account, { periodStart, used, limit }]) =>
      judge.see({ account, periodStart, used, limit }),
    ),
  ];
}

/** INVARIANT: a holder takes once. At every instant each holds nothing or one, and in the end those who do stand in the table. */
function checkHolders(
  rows: readonly Row[],
  acknowledged: readonly Acknowledged[],
  stored: ReadonlyMap<string, number>,
): readonly string[] {
  const violations: string[] = [];
  const holderOf = new Map(acknowledged.map(({ call }) => [call.idempotencyKey, call.body.holder]));
  const held = new Map<string, number>();
  for (const { key, feature, operation, consumed, allowed } of rows) {
    const holder = holderOf.get(key);
    if (feature !== 'members' || holder === undefined) continue;
    const before = held.get(holder) ?? 0;
    const after = before + (operation === 'release' ? -consumed : consumed);
    held.set(holder, after);
    if (after < 0 || after > 1) violations.push(`\`${holder}\` held ${after} after \`${key}\`.`);
    if (operation === 'release' && consumed !== before) {
      violations.push(`\`${key}\` gave back ${consumed} of ${before} that \`${holder}\` held.`);
    }
    if (operation === 'consume' && before === 1 && !allowed) {
      violations.push(`\`${holder}\` held one and was refused by \`${key}\`.`);
    }
  }
  for (const holder of new Set([...held.keys(), ...stored.keys()])) {
    if ((held.get(holder) ?? 0) !== (stored.get(holder) ?? 0)) {
      violations.push(`\`${holder}\` holds ${stored.get(holder)}, and ${held.get(holder)} by its rows.`);
    }
  }
  return violations;
}

/** Where nothing is given back, each allowed row begins where another one ended: one clerk with one book. */
function checkChain(rows: readonly Row[]): readonly string[] {
  const allowed = rows
    .filter((row) => row.consumed > 0)
    .sort((one, other) => one.usedAfter - other.usedAfter);
  let standing = 0;
  for (const row of allowed) {
    if (row.usedAfter !== standing + row.consumed) {
      return [`\`${row.key}\` took ${row.consumed} at ${standing} and left ${row.usedAfter}.`];
    }
    standing = row.usedAfter;
  }
  return [];
}

/** A limit counts from its commit on; it may count a little before its caller heard of it. */
function checkLimits(rows: readonly Row[], changes: readonly LimitChange[]): readonly string[] {
  return changes.flatMap(({ knownAt }, index) => {
    const standing = changes.slice(index).map((change) => change.value);
    return rows
      .filter((row) => row.feature === 'calls' && row.operation === 'consume' && row.decidedAt > knownAt)
      .filter((row) => !standing.includes(row.limit ?? 0))
      .map(
        (row) => `\`${row.key}\` was decided under ${row.limit} after the limit had become ${standing[0]}.`,
      );
  });
}
