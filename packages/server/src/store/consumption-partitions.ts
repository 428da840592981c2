import type { Instant } from '@pennon/engine/model/customer';
import type pg from 'pg';
import { keptFrom } from '../service/usage-retention.js';

/*
 * Monthly partitions of the consumption table: made ahead, so that no insert ever waits for one, and dropped once every row
 * in them is older than usage records are kept. What falls outside of them lands in the default partition.
 */

const MONTHS_AHEAD = 2;
const CHECK_MILLISECONDS = 6 * 3_600_000;
const AGAIN_MILLISECONDS = 30_000;

export interface ConsumptionPartitions {
  /** Makes what is missing and drops what is over. Returns what was made and dropped. */
  maintain(now: Instant): Promise<{ readonly made: readonly string[]; readonly dropped: readonly string[] }>;
  /**
   * Maintains at once and then every few hours; a failure is reported and tried again. Resolves after the first time: a row that is on
   * its way into the default partition is refused when the partition of its month comes to be meanwhile.
   */
  start(): Promise<void>;
  stop(): void;
}

export interface ConsumptionPartitionsOptions {
  readonly pool: pg.Pool;
  readonly clock: { now(): Instant };
  readonly usageMonths: number;
  readonly onProblem: (problem: string, error: unknown) => void;
}

export function createConsumptionPartitions(options: ConsumptionPartitionsOptions): ConsumptionPartitions {
  let timer: NodeJS.Timeout | null = null;
  let running = false;

  async function maintain(now: Instant) {
    const client = await options.pool.connect();
    try {
      return await maintainOn(client, now, options.usageMonths);
    } finally {
      client.release();
    }
  }

  async function run(): Promise<void> {
    let next = CHECK_MILLISECONDS;
    try {
      await maintain(options.clock.now());
    } catch (error) {
      next = AGAIN_MILLISECONDS;
      options.onProblem('the partitions of the consumption table could not be maintained', error);
    }
    if (running) {
      timer = setTimeout(run, next);
      timer.unref();
    }
  }

  return {
    maintain,
    start() {
      running = true;
      return run();
    },
    stop() {
      running = false;
      if (timer !== null) clearTimeout(timer);
    },
  };
}

/** Processes that do this at once take turns; the second finds nothing left to do. */
async function maintainOn(client: pg.PoolClient, now: Instant, usageMonths: number) {
  const made: string[] = [];
  const dropped: string[] = [];
  await client.query('begin');
  try {
    await client.query(`select pg_advisory_xact_lock(hashtext('pennon consumption partitions'))`);
    const present = await partitionNames(client);
    for (let ahead = 0; ahead <= MONTHS_AHEAD; ahead += 1) {
      const from = monthStart(now, ahead);
      const name = partitionName(from);
      if (!present.has(name) && !(await isInDefault(client, from, monthStart(now, ahead + 1)))) {
        await makePartition(client, name, from, monthStart(now, ahead + 1));
        made.push(name);
      }
    }
    const from = keptFrom(now, usageMonths);
    for (const name of present) {
      const end = partitionEnd(name);
      if (end !== null && end <= from) {
        await client.query(`drop table ${name}`);
        dropped.push(name);
      }
    }
    await client.query('delete from consumption_other where decided_at < $1', [new Date(from)]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
  return { made, dropped };
}

async function partitionNames(client: pg.PoolClient): Promise<Set<string>> {
  const found = await client.query<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'consumption'::regclass`,
  );
  return new Set(found.rows.map((row) => row.name));
}

/** Rows of that month that landed in the default partition stay there, and so does the month. */
async function isInDefault(client: pg.PoolClient, from: Date, to: Date): Promise<boolean> {
  const found = await client.query(
    'select 1 from consumption_other where decided_at >= $1 and decided_at < $2 limit 1',
    [from, to],
  );
  return found.rows.length > 0;
}

/** Made apart and then attached: attaching lets others read and write meanwhile. */
async function makePartition(client: pg.PoolClient, name: string, from: Date, to: Date): Promise<void> {
  await client.query(`create table ${name} (like consumption including defaults including constraints)`);
  await client.query(
    `alter table consumption attach partition ${name} for values from ('${from.toISOString()}') to ('${to.toISOString()}')`,
  );
}

function monthStart(now: Instant, monthsLater: number): Date {
  const at = new Date(now);
  return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + monthsLater, 1));
}

function partitionName(from: Date): string {
  return `consumption_${from.getUTCFullYear()}_${String(from.getUTCMonth() + 1).padStart(2, '0')}`;
}

/** `null` for the default partition and for tables that are none of ours. */
function partitionEnd(name: string): Instant | null {
  const found = /^consumption_(\d{4})_(\d{2})$/.exec(name);
  return found === null ? null : Date.UTC(Number(found[1]), Number(found[2]), 1);
}
