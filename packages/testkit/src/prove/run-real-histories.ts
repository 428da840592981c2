import pg from 'pg';
import { type Acknowledged, checkRealHistory, type LimitChange } from './check-real-history.js';
import type { OwnDatabase } from './own-database.js';
import type { ProofLine } from './proof-line.js';
import { callSurely, type RealCall } from './real-client.js';
import { CALLS_LIMIT, installCatalog, setLimit } from './real-installation.js';
import { ProcessPool } from './real-processes.js';
import { type Seeded, seeded } from './seeded.js';

/*
 * Part (b): 3 to 5 server processes over one PostgreSQL that forces every commit to disk. Clients call, somebody kills, and in the end
 * every answer that a client has must stand in the tables, every repetition must be answered alike, and no limit may be exceeded.
 */

export interface RealHistoriesOptions {
  readonly count: number;
  readonly firstSeed: number;
  readonly database: OwnDatabase;
  readonly processes: number;
  /** `kill -9` of processes in each history. */
  readonly killsEach: number;
  /** Every so many histories the database itself is killed too. */
  readonly databaseKillEvery: number;
  readonly onViolation?: (seed: number, violations: readonly string[]) => void;
  readonly onProgress?: (line: ProofLine) => void;
}

const REPLAYS = 10;

interface Totals {
  calls: number;
  replays: number;
  violated: number;
  databaseKills: number;
}

export async function runRealHistories(options: RealHistoriesOptions): Promise<ProofLine> {
  const { database, firstSeed, count } = options;
  const processes = new ProcessPool(database.url);
  const tables = new pg.Pool({ connectionString: database.url, max: 2 });
  tables.on('error', () => undefined);
  const totals: Totals = { calls: 0, replays: 0, violated: 0, databaseKills: 0 };
  const line = (cases: number): ProofLine => ({
    name: 'real-histories',
    cases,
    kills: processes.kills,
    violations: totals.violated,
    seed: firstSeed,
    more: { 'database-kills': totals.databaseKills, calls: totals.calls, replays: totals.replays },
  });
  try {
    // One first: two of them would migrate and seed an empty database at once.
    await processes.grow(1);
    await installCatalog(processes, seeded(firstSeed));
    await processes.grow(options.processes);
    for (let done = 0; done < count; done += 1) {
      const seed = firstSeed + done;
      const violations = await runOne(seed, options, processes, tables, totals);
      if (violations.length > 0) {
        totals.violated += 1;
        options.onViolation?.(seed, violations);
      }
      if ((done + 1) % 10 === 0) options.onProgress?.(line(done + 1));
    }
    return line(count);
  } finally {
    await processes.close();
    await tables.end();
  }
}

async function runOne(
  seed: number,
  options: RealHistoriesOptions,
  processes: ProcessPool,
  tables: pg.Pool,
  totals: Totals,
): Promise<readonly string[]> {
  const chance = seeded(seed);
  const customer = `customer-${seed}-${Date.now().toString(36)}`;
  const changes: LimitChange[] = [];
  const violations: string[] = [];
  // The first consumption registers the customer; nobody can give back or be granted anything before.
  const first: RealCall = {
    operation: 'consume',
    customer,
    idempotencyKey: `${customer}-first`,
    body: { key: 'calls', amount: 1, mode: 'all' },
  };
  const registered = { call: first, answer: await callSurely(processes, chance, first) };
  let troubled = true;
  const trouble = Promise.all([
    killProcesses(processes, chance, options.killsEach),
    changeLimits(processes, tables, chance, customer, changes),
    ...(seed % options.databaseKillEvery === 0 ? [killDatabase(options.database, chance, totals)] : []),
  ]).finally(() => {
    troubled = false;
  });
  const draw = callsOf(chance, customer, () => troubled);
  const acknowledged = [registered, ...(await callAll(processes, chance, draw, violations))];
  await trouble;
  totals.calls += acknowledged.length;
  const asked = acknowledged.filter(() => chance.chance(0.3)).slice(0, REPLAYS);
  totals.replays += asked.length;
  for (const { call, answer } of asked) {
    const again = await callSurely(processes, chance, call);
    if (again.text !== answer.text) {
      violations.push(`\`${call.idempotencyKey}\` was answered ${again.text} after ${answer.text}.`);
    }
  }
  violations.push(...(await checkRealHistory(tables, customer, acknowledged, changes)));
  return violations;
}

const FEWEST_CALLS = 60;
const MOST_CALLS = 2000;

/** The next call, as long as there is trouble; `null` when it is enough. */
function callsOf(chance: Seeded, customer: string, troubled: () => boolean): () => RealCall | null {
  let index = 0;
  return () => {
    if (index >= MOST_CALLS || (index >= FEWEST_CALLS && !troubled())) return null;
    index += 1;
    const seats = chance.chance(0.3);
    const release = seats && chance.chance(0.4);
    const mode = !release && chance.chance(0.1) ? 'upTo' : 'all';
    return {
      operation: release ? 'release' : 'consume',
      customer,
      idempotencyKey: `${customer}-${index}${mode === 'upTo' ? '-up-to' : ''}`,
      body: { key: seats ? 'seats' : 'calls', amount: 1 + chance.below(3), mode },
    };
  };
}

/** So many callers, each with one call at a time; some calls are made by two at once, under one key. */
async function callAll(
  processes: ProcessPool,
  chance: Seeded,
  draw: () => RealCall | null,
  violations: string[],
): Promise<readonly Acknowledged[]> {
  const acknowledged: Acknowledged[] = [];
  const caller = async (): Promise<void> => {
    for (let call = draw(); call !== null; call = draw()) {
      const twice = chance.chance(0.1);
      const [answer, other] = await Promise.all([
        callSurely(processes, chance, call),
        twice ? callSurely(processes, chance, call) : null,
      ]);
      if (other !== null && other.text !== answer.text) {
        violations.push(`\`${call.idempotencyKey}\` was answered in two ways at once.`);
      }
      acknowledged.push({ call, answer });
      await new Promise((resolve) => setTimeout(resolve, chance.draw() * 200));
    }
  };
  await Promise.all(Array.from({ length: 12 + chance.below(9) }, caller));
  return acknowledged;
}

/** Somebody must be left to be asked. */
async function killProcesses(processes: ProcessPool, chance: Seeded, count: number): Promise<void> {
  for (let killed = 0; killed < count; ) {
    await new Promise((resolve) => setTimeout(resolve, 120 + chance.below(250)));
    if (processes.alive.length >= 2) {
      await processes.kill(chance.pick(processes.alive));
      killed += 1;
    }
  }
}

async function changeLimits(
  processes: ProcessPool,
  tables: pg.Pool,
  chance: Seeded,
  customer: string,
  changes: LimitChange[],
): Promise<void> {
  const count = chance.below(3);
  for (let index = 0; index < count; index += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100 + chance.below(600)));
    const value = CALLS_LIMIT - 100 + chance.below(200);
    await setLimit(processes, chance, customer, { value, number: index });
    changes.push({ value, knownAt: await databaseTime(tables) });
  }
}

async function databaseTime(tables: pg.Pool): Promise<number> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const { rows } = await tables.query(
        'select ceil(extract(epoch from clock_timestamp()) * 1000)::bigint as now',
      );
      return Number(rows[0]?.now);
    } catch (error) {
      if (attempt === 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function killDatabase(database: OwnDatabase, chance: Seeded, totals: Totals): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 50 + chance.below(500)));
  await database.killAndRestart();
  totals.databaseKills += 1;
}
