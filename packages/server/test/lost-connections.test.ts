import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase } from '@pennon/server/store/database';
import { isDatabaseUnavailable } from '@pennon/server/store/database-error';
import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { sql } from 'kysely';
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
