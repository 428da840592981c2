import pg from 'pg';
import { checkRealHistory } from './check-real-history.js';
import type { OwnDatabase } from './own-database.js';
import type { ProofLine } from './proof-line.js';
import { callSurely, type RealAnswer, type RealCall, tryCall } from './real-client.js';
import type { Acknowledged } from './real-heard.js';
import { installCatalog } from './real-installation.js';
import { ProcessPool, type RealProcess } from './real-processes.js';
import { type Seeded, seeded } from './seeded.js';

/*
 * Part (c): a process is stopped (SIGSTOP) in the middle of its work, so that it may hold the locks of a customer. Others must get through
 * within a second, and when it goes on it must not add to what was decided meanwhile.
 */

export interface PausesOptions {
  readonly count: number;
  readonly firstSeed: number;
  readonly database: OwnDatabase;
  readonly onViolation?: (seed: number, violations: readonly string[]) => void;
}

const LONGEST_BLOCK_MILLISECONDS = 1000;
const CALLERS = 48;
const MOST_CALLS = 1500;
/** How often a process is stopped until it is caught with locks in its hands. */
const STOPS = 40;

interface Totals {
  violated: number;
  /** Pauses in which the stopped process held locks. */
  holding: number;
  longestBlock: number;
}

export async function runPauses(options: PausesOptions): Promise<ProofLine> {
  const { database, firstSeed, count } = options;
  const processes = new ProcessPool(database.url);
  const tables = new pg.Pool({ connectionString: database.url, max: 2 });
  tables.on('error', () => undefined);
  const totals: Totals = { violated: 0, holding: 0, longestBlock: 0 };
  try {
    await processes.grow(1);
    await installCatalog(processes, seeded(firstSeed));
    await processes.grow(2);
    for (let done = 0; done < count; done += 1) {
      const violations = await runOne(firstSeed + done, processes, tables, totals);
      if (violations.length > 0) {
        totals.violated += 1;
        options.onViolation?.(firstSeed + done, violations);
      }
    }
  } finally {
    await processes.close();
    await tables.end();
  }
  return {
    name: 'paused-processes',
    cases: count,
    kills: 0,
    violations: totals.violated,
    seed: firstSeed,
    more: { holding: totals.holding, 'longest-block-ms': Math.round(totals.longestBlock) },
  };
}

async function runOne(
  seed: number,
  processes: ProcessPool,
  tables: pg.Pool,
  totals: Totals,
): Promise<readonly string[]> {
  const chance = seeded(seed);
  const customer = `paused-${seed}-${Date.now().toString(36)}`;
  const [stopped, other] = processes.alive;
  if (stopped === undefined || other === undefined) throw new Error('Two processes are needed.');
  const acknowledged: Acknowledged[] = [];
  // What an answer takes here and now, without anybody in the way.
  const usual = await longestOf(other, customer, 'before', acknowledged);

  const load = startLoad(stopped, customer);
  const held = await stopWhileHolding(stopped, tables, chance);
  const block = await longestOf(other, customer, 'meanwhile', acknowledged);
  await new Promise((resolve) => setTimeout(resolve, chance.below(1500)));
  stopped.signal('SIGCONT');
  const calls = await load.end();
  // Whatever became of the load: the same keys ask again, and each is answered once.
  for (const call of calls) acknowledged.push({ call, answer: await callSurely(processes, chance, call) });

  if (held) {
    totals.holding += 1;
    totals.longestBlock = Math.max(totals.longestBlock, block);
  }
  const violations = [...(await checkRealHistory(tables, customer, { acknowledged }))];
  if (block > LONGEST_BLOCK_MILLISECONDS + 2 * usual) {
    violations.push(`Others were blocked for ${Math.round(block)} ms (usually ${Math.round(usual)} ms).`);
  }
  return violations;
}

function callOf(customer: string, name: string): RealCall {
  const body = { key: 'calls', amount: 1, mode: 'all' as const };
  return { operation: 'consume', customer, idempotencyKey: `${customer}-${name}`, body };
}

/** How long the slowest of a few calls took until it was answered, one after the other. */
async function longestOf(
  process: RealProcess,
  customer: string,
  name: string,
  acknowledged: Acknowledged[],
): Promise<number> {
  let longest = 0;
  for (let index = 0; index < 5; index += 1) {
    const call = callOf(customer, `${name}-${index}`);
    const began = performance.now();
    let answer: RealAnswer | null = null;
    while (answer === null) answer = await tryCall(process.url, call);
    // The very first call of a customer registers it, which is something else.
    if (name !== 'before' || index > 0) longest = Math.max(longest, performance.now() - began);
    acknowledged.push({ call, answer });
  }
  return longest;
}

interface Load {
  /** Resolves to all calls that were made. */
  end(): Promise<readonly RealCall[]>;
}

/** Callers that keep a process busy, so that it is nearly always in the middle of a batch. */
function startLoad(process: RealProcess, customer: string): Load {
  const calls: RealCall[] = [];
  let over = false;
  const caller = async (): Promise<void> => {
    while (!over && calls.length < MOST_CALLS) {
      const call = callOf(customer, `load-${calls.length}`);
      calls.push(call);
      await tryCall(process.url, call);
    }
  };
  const callers = Promise.all(Array.from({ length: CALLERS }, caller));
  return {
    async end() {
      over = true;
      await callers;
      return calls;
    },
  };
}

/** Stops it again and again, until it does so with locks in its hands: nobody else has a transaction open. */
async function stopWhileHolding(process: RealProcess, tables: pg.Pool, chance: Seeded): Promise<boolean> {
  for (let attempt = 0; attempt < STOPS; attempt += 1) {
    await new Promise((resolve) => setTimeout(resolve, 5 + chance.below(30)));
    process.signal('SIGSTOP');
    // What was on its way to the database when it was stopped has come to an end.
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (await idleInTransaction(tables)) return true;
    if (attempt + 1 < STOPS) process.signal('SIGCONT');
  }
  return false;
}

async function idleInTransaction(tables: pg.Pool): Promise<boolean> {
  const { rows } = await tables.query(
    `select 1 from pg_stat_activity where datname = current_database()
     and application_name = 'pennon consume' and state = 'idle in transaction'`,
  );
  return rows.length > 0;
}
