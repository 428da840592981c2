import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase } from '@pennon/server/store/database';
import { isDatabaseUnavailable } from '@pennon/server/store/database-error';
import { endSilentConnections } from '@pennon/server/store/silent-connections';
import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { Wire } from '@pennon/testkit/wire';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

// Vitest fails a run in which an error was emitted that nobody listened to: in production it would have ended the process.
it('law 1: a connection that the database ends in the middle of a transaction ends neither process nor pool', async () => {
  const { kysely, pool, close } = openDatabase({
    connectionString: database.url,
    idleInTransactionTimeoutMilliseconds: 50,
    maxConnections: 1,
  });
  try {
    const outcome = await kysely
      .transaction()
      .execute(async (transaction) => {
        await sql`select 1`.execute(transaction);
        await sleep(400);
        await sql`select 1`.execute(transaction);
      })
      .then(
        () => null,
        (error: unknown) => error,
      );
    expect(outcome).toBeInstanceOf(Error);
    expect(isDatabaseUnavailable(outcome)).toBe(true);
    // The only connection of the pool was broken, and was replaced.
    expect((await pool.query<{ one: number }>('select 1 as one')).rows).toEqual([{ one: 1 }]);
  } finally {
    await close();
  }
});

/** Of one connection, behind a wire that can lose it. */
async function withWire(run: (pool: pg.Pool, wire: Wire) => Promise<void>): Promise<void> {
  const url = new URL(database.url);
  const wire = new Wire(url.hostname, Number(url.port));
  url.host = `127.0.0.1:${await wire.listen()}`;
  url.search = '';
  const application = { connectionString: url.href, application_name: 'pennon silence' };
  const pool = new pg.Pool({ ...application, max: 1 });
  pool.on('error', () => undefined);
  const { connectionString, application_name: applicationName } = application;
  endSilentConnections(pool, { connectionString, applicationName, silentMilliseconds: 200 });
  try {
    await run(pool, wire);
  } finally {
    wire.cut();
    await pool.end();
    wire.close();
  }
}

it('a connection on which the database works, or nobody waits, stays however long it says nothing', () =>
  withWire(async (pool) => {
    const backend = async () => (await pool.query('select pg_backend_pid() as pid')).rows[0].pid;
    const before = await backend();
    await pool.query('select pg_sleep(1.5)');
    await sleep(700);
    expect(await backend()).toBe(before);
  }));

it('a connection that was lost without a word is given up, and the next one works', () =>
  withWire(async (pool, wire) => {
    await pool.query('select 1');
    wire.lose();
    const outcome = await pool.query('select 1').then(
      () => null,
      (error: unknown) => error,
    );
    expect(isDatabaseUnavailable(outcome)).toBe(true);
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  }));
