import pg from 'pg';
import { PHASES, type Phase } from './kill-phases.js';
import type { OwnDatabase } from './own-database.js';
import type { ProofLine } from './proof-line.js';
import { runRealHistory } from './real-history.js';
import { installCatalog } from './real-installation.js';
import { type PoolOptions, ProcessPool } from './real-processes.js';
import { seeded } from './seeded.js';

/*
 * Part (b): 3 to 5 server processes over one PostgreSQL that forces every commit to disk. They and the database are there for all
 * histories; what is killed is started again, and each history has customers of its own.
 */

export interface RealHistoriesOptions extends PoolOptions {
  readonly count: number;
  readonly firstSeed: number;
  readonly database: OwnDatabase;
  readonly processes: number;
  /** `kill -9` of processes in each history. */
  readonly killsEach: number;
  /** Every so many histories the database itself is killed too. */
  readonly databaseKillEvery: number;
  /** No history is begun after so long. */
  readonly minutes?: number;
  readonly onViolation?: (seed: number, violations: readonly string[]) => void;
  readonly onProgress?: (line: ProofLine) => void;
}

export async function runRealHistories(options: RealHistoriesOptions): Promise<ProofLine> {
  const { database, firstSeed, count, killsEach } = options;
  const processes = new ProcessPool(database.url, { ...options, wired: true });
  const tables = new pg.Pool({ connectionString: database.url, max: 3 });
  tables.on('error', () => undefined);
  const totals = {
    calls: 0,
    events: 0,
    lots: 0,
    holds: 0,
    outages: 0,
    fallbacks: 0,
    replays: 0,
    violated: 0,
    databaseKills: 0,
  };
  const phases: Record<Phase, number> = { idle: 0, lock: 0, decide: 0, commit: 0 };
  const line = (cases: number): ProofLine => ({
    name: 'real-histories',
    cases,
    kills: processes.kills,
    violations: totals.violated,
    seed: firstSeed,
    more: {
      'database-kills': totals.databaseKills,
      ...{ outages: totals.outages, calls: totals.calls, events: totals.events, lots: totals.lots },
      ...{ holds: totals.holds, fallbacks: totals.fallbacks, replays: totals.replays },
      ...phases,
    },
  });
  try {
    // One first: two of them would migrate and seed an empty database at once.
    await processes.grow(1);
    await installCatalog(processes, seeded(firstSeed));
    await processes.grow(options.processes);
    const end =
      options.minutes === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.minutes * 60_000;
    let done = 0;
    for (; done < count && Date.now() < end; done += 1) {
      const seed = firstSeed + done;
      const killsDatabase = seed % options.databaseKillEvery === 0;
      const surroundings = { database, processes, tables, killsEach, killsDatabase, outages: 1 + (seed % 2) };
      const result = await runRealHistory(seed, surroundings);
      totals.calls += result.calls;
      totals.events += result.events;
      totals.lots += result.lots;
      totals.holds += result.holds;
      totals.outages += result.outages;
      totals.fallbacks += result.fallbacks;
      totals.replays += result.replays;
      if (killsDatabase) totals.databaseKills += 1;
      for (const phase of PHASES) phases[phase] += result.phases[phase];
      if (result.violations.length > 0) {
        totals.violated += 1;
        options.onViolation?.(seed, result.violations);
      }
      if ((done + 1) % 10 === 0) options.onProgress?.(line(done + 1));
    }
    return line(done);
  } finally {
    await processes.close();
    await tables.end();
  }
}
