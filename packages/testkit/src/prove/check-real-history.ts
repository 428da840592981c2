import type pg from 'pg';
import type { RealAnswer, RealCall } from './real-client.js';

/* What the tables say against what clients were told, with arithmetic of its own. */

export interface Acknowledged {
  readonly call: RealCall;
  readonly answer: RealAnswer;
}

/** From that instant of the database's clock on, every decision is under that limit, or under a later one. */
export interface LimitChange {
  readonly value: number;
  readonly knownAt: number;
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

export async function checkRealHistory(
  pool: pg.Pool,
  customer: string,
  acknowledged: readonly Acknowledged[],
  changes: readonly LimitChange[],
): Promise<readonly string[]> {
  const rows = await readRows(pool, customer);
  const used = await readUsed(pool, customer);
  return [
    ...checkAcknowledged(rows, acknowledged),
    ...rows.flatMap(checkRow),
    ...checkSums(rows, used),
    ...checkChain(rows.filter((row) => row.feature === 'calls')),
    ...checkLimits(rows, changes),
  ].map((violation) => `${customer}: ${violation}`);
}

async function readRows(pool: pg.Pool, customer: string): Promise<readonly Row[]> {
  const { rows } = await pool.query(
    `select x.idempotency_key, x.operation, x.feature, x.allowed, x.requested, x.consumed, x.used_after,
       x.limit_at_decision, floor(extract(epoch from x.decided_at) * 1000)::bigint as decided_at
     from consumption x join customer c on c.id = x.customer_id where c.key = $1`,
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

async function readUsed(pool: pg.Pool, customer: string): Promise<ReadonlyMap<string, number>> {
  const { rows } = await pool.query(
    'select a.feature, a.used from account a join customer c on c.id = a.customer_id where c.key = $1',
    [customer],
  );
  return new Map(rows.map((row) => [String(row.feature), Number(row.used)]));
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

function checkSums(rows: readonly Row[], used: ReadonlyMap<string, number>): readonly string[] {
  const sums = new Map<string, number>();
  for (const { feature, operation, consumed } of rows) {
    const sign = operation === 'release' ? -1 : 1;
    sums.set(feature, (sums.get(feature) ?? 0) + sign * consumed);
  }
  return [...sums]
    .filter(([feature, sum]) => (used.get(feature) ?? 0) !== sum)
    .map(([feature, sum]) => `${feature} holds ${used.get(feature)}, and its rows sum to ${sum}.`);
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
