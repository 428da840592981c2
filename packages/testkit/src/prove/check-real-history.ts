import type pg from 'pg';
import { NoticeJudge, type ToldNotice } from './check-notices.js';
import { checkAway, isRest } from './check-real-away.js';
import { checkCredits, isOfMonthBefore } from './check-real-credits.js';
import { checkHolds } from './check-real-holds.js';
import { AWAY_FEATURES } from './real-catalog.js';
import type { RealAnswer } from './real-client.js';
import type { Acknowledged, Heard, LimitChange, Told } from './real-heard.js';
import { type Account, type EventRow, type Hours, type Row, readTables } from './real-tables.js';

/* What the tables say against what clients were told, with arithmetic of its own. */

export async function checkRealHistory(
  pool: pg.Pool,
  customer: string,
  heard: Heard,
): Promise<readonly string[]> {
  const { acknowledged, told = [], changes = [] } = heard;
  const tables = await readTables(pool, customer);
  const { rows, accounts, events } = tables;
  return [
    ...checkAcknowledged(rows, acknowledged),
    ...rows.flatMap(checkRow),
    ...checkSums(rows, events, accounts),
    ...checkChain(rows.filter((row) => row.feature === 'calls')),
    ...checkLimits(rows, changes),
    ...checkEvents(events, told),
    ...checkHours(rows, events, tables.hours),
    ...checkHolders(rows, acknowledged, tables.holders),
    ...checkNotices(tables.notices, accounts),
    ...checkCredits(tables, heard),
    ...checkHolds(tables, acknowledged),
    ...checkAway(rows, acknowledged),
  ].map((violation) => `${customer}: ${violation}`);
}

/** What an account has more, or less, after a decision. */
function changeOf({ operation, consumed }: Row): number {
  switch (operation) {
    case 'consume':
    case 'settle':
      return consumed;
    case 'release':
      return -consumed;
    default:
      return 0;
  }
}

/** INVARIANT: no acknowledged unit is lost, nothing is taken twice, and nobody took what nobody asked for. */
function checkAcknowledged(rows: readonly Row[], acknowledged: readonly Acknowledged[]): readonly string[] {
  const violations: string[] = [];
  const byKey = new Map<string, Row>();
  // What ends by the clock, and what is missing to an answer without the store, nobody called for.
  for (const row of rows.filter(({ operation, key }) => operation !== 'expire' && !isRest(key))) {
    if (byKey.has(row.key)) violations.push(`\`${row.key}\` was decided twice.`);
    byKey.set(row.key, row);
  }
  const answered = acknowledged.filter(({ answer }) => answer.refusal === null);
  for (const { call, answer } of answered) {
    const row = byKey.get(call.idempotencyKey);
    if (row === undefined) violations.push(`\`${call.idempotencyKey}\` was acknowledged and is lost.`);
    else if (!answer.isFallback && isOther(row, answer)) {
      violations.push(`\`${call.idempotencyKey}\` was answered otherwise than it stands.`);
    }
  }
  if (byKey.size !== answered.length) {
    violations.push(`${byKey.size} calls stand for ${answered.length} that were made.`);
  }
  return violations;
}

function isOther(row: Row, { allowed, taken }: RealAnswer): boolean {
  return row.allowed !== allowed || (taken !== null && row.consumed !== taken);
}

/** Of hard limits. What is held counts as used. */
function checkRow(row: Row): readonly string[] {
  if (row.operation !== 'consume' && row.operation !== 'reserve') return [];
  if (row.limit === null || AWAY_FEATURES.has(row.feature)) return [];
  const standing = row.usedAfter + row.reservedAfter;
  if (row.allowed && row.consumed > 0 && standing > row.limit) {
    return [`\`${row.key}\` overshoots: ${standing} of ${row.limit}.`];
  }
  // A denial is right only where there was no room: all that was asked, or with \`upTo\` one.
  const least = row.key.endsWith('-up-to') ? 1 : row.requested;
  return !row.allowed && standing + least <= row.limit
    ? [`\`${row.key}\` was denied ${row.requested} at ${standing} of ${row.limit}.`]
    : [];
}

function checkSums(
  rows: readonly Row[],
  events: readonly EventRow[],
  accounts: ReadonlyMap<string, Account>,
): readonly string[] {
  const sums = new Map<string, number>();
  const add = (feature: string, amount: number) => sums.set(feature, (sums.get(feature) ?? 0) + amount);
  for (const row of rows) if (!isOfMonthBefore(row)) add(row.feature, changeOf(row));
  for (const { feature, amount } of events) add(feature, amount);
  // Where nobody came since, the month before may stand there still, or be closed by whoever looks for periods that ended.
  const untouched = new Set(rows.filter(isOfMonthBefore).map(({ feature }) => feature));
  for (const row of rows) if (!isOfMonthBefore(row)) untouched.delete(row.feature);
  const found = (feature: string) => accounts.get(feature)?.used ?? 0;
  return [...new Set([...sums.keys(), ...accounts.keys()])]
    .filter((feature) => !untouched.has(feature) && found(feature) !== (sums.get(feature) ?? 0))
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
  const changes = [...rows.map((row) => ({ feature: row.feature, amount: changeOf(row) })), ...events].filter(
    ({ amount }) => amount !== 0,
  );
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
  const judge = new NoticeJudge(['calls', 'credits', 'rolled']);
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
