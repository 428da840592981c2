import type { Instant } from '@pennon/engine/model/customer';
import type pg from 'pg';
import { keptFrom } from '../service/usage-retention.js';

/*
 * Monthly partitions of the tables of usage: made ahead, so that no insert ever waits for one, and dropped once every row in them is
 * older than is kept. What falls outside of them lands in a default partition.
 */

interface PartitionedTable {
  readonly name: 'consumption' | 'usage_event' | 'usage_hour' | 'outbox_event';
  /** What is kept for how long: single records, or what they add up to. */
  readonly kept: 'records' | 'history';
  /** By which it is divided. */
  readonly column: string;
  /** How many months before the current one are made too: what is told late belongs there. */
  readonly monthsBehind: number;
  readonly storage: string;
  /** A unique index of each partition by itself. */
  readonly unique: string | null;
}

const TABLES: readonly PartitionedTable[] = [
  { name: 'consumption', kept: 'records', column: 'decided_at', monthsBehind: 0, storage: '', unique: null },
  {
    name: 'usage_event',
    kept: 'records',
    column: 'received_at',
    monthsBehind: 0,
    storage: '',
    unique: 'event_key',
  },
  {
    name: 'outbox_event',
    kept: 'records',
    column: 'occurred_at',
    monthsBehind: 0,
    storage: '',
    unique: null,
  },
  // A row of the current hour is written again and again: its new versions find room on its own page.
  {
    name: 'usage_hour',
    kept: 'history',
    column: 'hour',
    monthsBehind: 2,
    storage: ' with (fillfactor = 50)',
    unique: null,
  },
];

const MONTHS_AHEAD = 2;
const CHECK_MILLISECONDS = 6 * 3_600_000;
const AGAIN_MILLISECONDS = 30_000;

export interface UsagePartitions {
  /** Makes what is missing and drops what is over. Returns what was made and dropped. */
  maintain(now: Instant): Promise<{ readonly made: readonly string[]; readonly dropped: readonly string[] }>;
  /**
   * Maintains at once and then every few hours; a failure is reported and tried again. Resolves after the first time: a row that is on
   * its way into the default partition is refused when the partition of its month comes to be meanwhile.
   */
  start(): Promise<void>;
  stop(): void;
}

export interface UsagePartitionsOptions {
  readonly pool: pg.Pool;
  readonly clock: { now(): Instant };
  /** How many whole months records (decisions and events) are kept, and how many the history by the hour. */
  readonly months: Readonly<Record<PartitionedTable['kept'], number>>;
  readonly onProblem: (problem: string, error: unknown) => void;
}

export function createUsagePartitions(options: UsagePartitionsOptions): UsagePartitions {
  let timer: NodeJS.Timeout | null = null;
  let running = false;

  async function maintain(now: Instant) {
    const client = await options.pool.connect();
    try {
      return await maintainOn(client, now, options.months);
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
      options.onProblem('the partitions of the tables of usage could not be maintained', error);
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
async function maintainOn(client: pg.PoolClient, now: Instant, months: UsagePartitionsOptions['months']) {
  const made: string[] = [];
  const dropped: string[] = [];
  await client.query('begin');
  try {
    await client.query(`select pg_advisory_xact_lock(hashtext('pennon consumption partitions'))`);
    for (const table of TABLES) {
      const present = await partitionNames(client, table);
      made.push(...(await makeMissing(client, table, present, now)));
      dropped.push(...(await dropOld(client, table, present, keptFrom(now, months[table.kept]))));
    }
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
  return { made, dropped };
}

async function makeMissing(
  client: pg.PoolClient,
  table: PartitionedTable,
  present: ReadonlySet<string>,
  now: Instant,
): Promise<readonly string[]> {
  const made: string[] = [];
  for (let month = -table.monthsBehind; month <= MONTHS_AHEAD; month += 1) {
    const from = monthStart(now, month);
    const to = monthStart(now, month + 1);
    const name = partitionName(table, from);
    if (!present.has(name) && !(await isInDefault(client, table, from, to))) {
      await makePartition(client, table, name, from, to);
      made.push(name);
    }
  }
  return made;
}

async function dropOld(
  client: pg.PoolClient,
  table: PartitionedTable,
  present: ReadonlySet<string>,
  from: Instant,
): Promise<readonly string[]> {
  const dropped: string[] = [];
  for (const name of present) {
    const end = partitionEnd(table, name);
    if (end !== null && end <= from) {
      await client.query(`drop table ${name}`);
      dropped.push(name);
    }
  }
  await client.query(`delete from ${table.name}_other where ${table.column} < $1`, [new Date(from)]);
  return dropped;
}

async function partitionNames(client: pg.PoolClient, table: PartitionedTable): Promise<Set<string>> {
  const found = await client.query<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = '${table.name}'::regclass`,
  );
  return new Set(found.rows.map((row) => row.name));
}

/** Rows of that month that landed in the default partition stay there, and so does the month. */
async function isInDefault(
  client: pg.PoolClient,
  { name, column }: PartitionedTable,
  from: Date,
  to: Date,
): Promise<boolean> {
  const found = await client.query(
    `select 1 from ${name}_other where ${column} >= $1 and ${column} < $2 limit 1`,
    [from, to],
  );
  return found.rows.length > 0;
}

/** Made apart and then attached: attaching lets others read and write meanwhile. */
async function makePartition(
  client: pg.PoolClient,
  table: PartitionedTable,
  name: string,
  from: Date,
  to: Date,
): Promise<void> {
  await client.query(
    `create table ${name} (like ${table.name} including defaults including constraints)${table.storage}`,
  );
  if (table.unique !== null) {
    await client.query(`create unique index on ${name} (${table.unique})`);
  }
  await client.query(
    `alter table ${table.name} attach partition ${name} for values from ('${from.toISOString()}') to ('${to.toISOString()}')`,
  );
}

function monthStart(now: Instant, monthsLater: number): Date {
  const at = new Date(now);
  return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + monthsLater, 1));
}

function partitionName({ name }: PartitionedTable, from: Date): string {
  return `${name}_${from.getUTCFullYear()}_${String(from.getUTCMonth() + 1).padStart(2, '0')}`;
}

/** `null` for the default partition and for tables that are none of ours. */
function partitionEnd({ name: table }: PartitionedTable, name: string): Instant | null {
  const found = /^_(\d{4})_(\d{2})$/.exec(name.slice(table.length));
  return found === null || !name.startsWith(table) ? null : Date.UTC(Number(found[1]), Number(found[2]), 1);
}
