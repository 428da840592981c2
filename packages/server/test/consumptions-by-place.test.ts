import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { FIND_EARLIER } from '@pennon/server/store/account-statements';
import { openDatabase } from '@pennon/server/store/database';
import { migrate } from '@pennon/server/store/migrate';
import { createUsagePartitions } from '@pennon/server/store/usage-partitions';
import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { type Migration, Migrator } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/* Migration 0017 on a database in which something was consumed already: another index, and one check in place of two. */

const DAY = 86_400_000;
const NOW = Date.now();
const NOBODY = '00000000-0000-0000-0000-000000000000';

let database: TestDatabase;
let pool: pg.Pool;

/** As a process of the release before leaves it. */
async function migrateBefore(last: string): Promise<void> {
  const folder = new URL('../src/store/migrations/', import.meta.url);
  const migrations: Record<string, Migration> = {};
  for (const file of readdirSync(folder).filter((name) => name < last)) {
    migrations[file.replace(/\.ts$/, '')] = await import(new URL(file, folder).href);
  }
  const { kysely, close } = openDatabase({ connectionString: database.url });
  const migrator = new Migrator({
    db: kysely,
    provider: { getMigrations: () => Promise.resolve(migrations) },
    migrationTableName: 'schema_migration',
    migrationLockTableName: 'schema_migration_lock',
  });
  const { error } = await migrator.migrateToLatest();
  await close();
  if (error !== undefined) throw error;
}

async function makePartitions(now: number): Promise<readonly string[]> {
  const partitions = createUsagePartitions({
    ...{ pool, clock: { now: Date.now }, months: { records: 12, history: 12 } },
    onProblem: (problem) => expect.unreachable(problem),
  });
  const { made } = await partitions.maintain(now);
  return made.filter((name) => name.startsWith('consumption_'));
}

interface Consumed {
  readonly customerId: string;
  readonly key: string;
  readonly at: number;
  readonly operation: string;
  readonly allowed: boolean;
  readonly enforcement: string;
  readonly used: number;
  readonly reserved: number;
  readonly limit: number | null;
}

/** 3 of 3 are used at the end, unless it is said otherwise. */
async function insert(more: Partial<Consumed>): Promise<Consumed> {
  const row: Consumed = {
    ...{ customerId: randomUUID(), key: randomUUID(), at: NOW, operation: 'consume', allowed: true },
    ...{ enforcement: 'hard', used: 3, reserved: 0, limit: 3 },
    ...more,
  };
  await pool.query(
    `insert into consumption (customer_id, decided_at, id, item, environment_id, product_id, operation, idempotency_key, request_hash,
       feature, scope, allowed, reason, enforcement, requested, consumed, used_after, reserved_after, limit_at_decision, revision,
       answer, actor)
     values ($1, $2, $3, 0, $4, $4, $5, $6, '\\x00', 'calls', '', $7, 'PLAN', $8, 1, 1, $9, $10, $11, 1, '1;PLAN', 'x')`,
    [
      ...[row.customerId, new Date(row.at), randomUUID(), NOBODY, row.operation, row.key, row.allowed],
      ...[row.enforcement, row.used, row.reserved, row.limit],
    ],
  );
  return row;
}

async function keysFound({ customerId, key }: Consumed): Promise<readonly string[]> {
  const { rows } = await pool.query(FIND_EARLIER.one, [customerId, `{${key}}`]);
  return rows.map((row) => row.idempotency_key);
}

async function allRows(): Promise<readonly unknown[]> {
  const { rows } = await pool.query('select to_jsonb(c) as row from consumption c order by id');
  return rows.map(({ row }) => row);
}

interface Partition {
  readonly name: string;
  readonly checks: readonly string[];
  readonly indexes: readonly string[];
  readonly areValid: boolean;
}

/** The table itself and its partitions: their checks by name, and over what their indexes are. */
async function described(): Promise<readonly Partition[]> {
  const { rows } = await pool.query(
    `select c.relname as name,
       array(select conname::text from pg_constraint where conrelid = c.oid and contype = 'c' order by 1) as checks,
       array(select pg_get_indexdef(indexrelid) from pg_index where indrelid = c.oid) as indexes,
       coalesce((select bool_and(indisvalid) from pg_index where indrelid = c.oid), false) as "areValid"
     from pg_class c where c.oid = 'consumption'::regclass
       or c.oid in (select inhrelid from pg_inherits where inhparent = 'consumption'::regclass) order by 1`,
  );
  return rows;
}

let before: readonly unknown[];
let earlier: readonly Consumed[];
let applied: readonly string[];
const made: Record<'before' | 'after', readonly string[]> = { before: [], after: [] };
/** In a partition that was made before, in one that was made after, and where none is. */
const MONTHS = { before: NOW, after: NOW + 92 * DAY, other: NOW + 900 * DAY } as const;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = new pg.Pool({ connectionString: database.url });
  await migrateBefore('0017');
  made.before = await makePartitions(NOW);
  // Of this month, and of one that no partition was made for.
  earlier = await Promise.all([
    ...[insert({}), insert({ operation: 'reserve', used: 1, reserved: 2 }), insert({ operation: 'release' })],
    ...[insert({ allowed: false, used: 9 }), insert({ enforcement: 'soft', used: 9 })],
    ...[insert({ at: NOW - 33 * DAY }), insert({ operation: 'release', used: 9, at: NOW - 33 * DAY })],
  ]);
  await expect(insert({ used: 4 })).rejects.toMatchObject({ constraint: 'consumption_check' });
  await expect(insert({ operation: 'reserve', reserved: 1 })).rejects.toMatchObject({
    constraint: 'consumption_reserve',
  });
  before = await allRows();
  applied = await migrate(database.url);
  made.after = await makePartitions(MONTHS.after);
}, 60_000);
afterAll(async () => {
  await pool.end();
  await database.drop();
});

describe('X-5 a database in which something was consumed before the index was made', () => {
  it('is brought up by this one migration, with every row as it was', async () => {
    expect(applied[0]).toBe('0017-consumptions-by-place');
    expect(before).toHaveLength(earlier.length);
    expect(await allRows()).toEqual(before);
  });

  it('answers the keys that were used before', async () => {
    for (const row of earlier) expect(await keysFound(row)).toEqual([row.key]);
    const [first, second] = earlier;
    if (first === undefined || second === undefined) throw new Error('Nothing was consumed.');
    expect(await keysFound({ ...first, customerId: second.customerId })).toEqual([]);
  });

  it('has one index and one check in each partition, be it made before or after', async () => {
    expect(made.before).toHaveLength(3);
    expect(made.after.length).toBeGreaterThanOrEqual(2);
    const partitions = await described();
    expect(partitions.map(({ name }) => name)).toEqual(
      ['consumption', 'consumption_other', ...made.before, ...made.after].sort(),
    );
    for (const { checks, indexes, areValid } of partitions) {
      expect(checks).toEqual(['consumption_within_limit']);
      expect(indexes).toEqual([expect.stringContaining('uuid_hash_extended(customer_id')]);
      expect(areValid).toBe(true);
    }
  });

  it('finds keys in all of them', async () => {
    const rows = await Promise.all([insert({}), insert({ at: NOW - 33 * DAY })]);
    for (const row of rows) expect(await keysFound(row)).toEqual([row.key]);
  });
});

describe.each(Object.entries(MONTHS))('2 the check of what is allowed, in a partition: %s', (_, at) => {
  it.each<[string, Partial<Consumed>]>([
    ['what is used', { used: 4 }],
    ['what is used and held together', { used: 2, reserved: 2 }],
    ['what is reserved', { operation: 'reserve', used: 2, reserved: 2 }],
    ['anything, where the limit is nothing', { used: 1, limit: 0 }],
    ['what is reserved beside what is used up', { operation: 'reserve', reserved: 1 }],
  ])('refuses %s beyond the limit', async (_what, more) => {
    await expect(insert({ at, ...more })).rejects.toMatchObject({
      code: '23514',
      constraint: 'consumption_within_limit',
    });
  });

  it.each<[string, Partial<Consumed>]>([
    ['all of the limit', { used: 3 }],
    ['all of it with what is held', { operation: 'reserve', used: 1, reserved: 2 }],
    ['what has no limit', { used: 1_000_000, limit: null }],
    ['what was denied', { used: 4, allowed: false }],
    ['a reservation that was denied', { operation: 'reserve', used: 4, allowed: false }],
    ['what a soft limit lets through', { used: 4, enforcement: 'soft' }],
    ['what is only observed', { used: 4, enforcement: 'observe' }],
    ['what gives back', { used: 4, operation: 'release' }],
    ['what settles what was held', { used: 4, operation: 'settle' }],
  ])('lets in %s', async (_what, more) => {
    const row = await insert({ at, ...more });
    const { rows } = await pool.query(
      'select count(*)::integer as found from consumption where idempotency_key = $1',
      [row.key],
    );
    expect(rows).toEqual([{ found: 1 }]);
  });
});
