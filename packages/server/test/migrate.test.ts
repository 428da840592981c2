import { readdirSync } from 'node:fs';
import { openDatabase } from '@pennon/server/store/database';
import { isDatabaseUnavailable } from '@pennon/server/store/database-error';
import { migrate } from '@pennon/server/store/migrate';
import { MigrationError } from '@pennon/server/store/migration-error';
import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** Every file of the folder, so that none is written and then forgotten. */
const ALL = readdirSync(new URL('../src/store/migrations', import.meta.url))
  .map((name) => name.replace(/\.ts$/, ''))
  .sort();

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database.drop());

describe('migrate', () => {
  it('goes up from empty, and again does nothing', async () => {
    expect(await migrate(database.url)).toEqual(ALL);
    expect(await migrate(database.url)).toEqual([]);
  });

  it('is safe when many processes start at once', async () => {
    const results = await Promise.all(Array.from({ length: 6 }, () => migrate(database.url)));
    expect(results.flat()).toEqual(ALL);
  });

  it('refuses a database of a newer release, naming the migration', async () => {
    await migrate(database.url);
    const { kysely, close } = openDatabase({ connectionString: database.url });
    await sql`insert into schema_migration values ('9999-of-the-future', now())`.execute(kysely);
    await close();
    await expect(migrate(database.url)).rejects.toThrow(MigrationError);
    await expect(migrate(database.url)).rejects.toThrow('`9999-of-the-future`');
  });

  it('tells a database that is away from one that refuses', async () => {
    const away = await migrate('postgres://nobody:x@127.0.0.1:1/none').catch((error: unknown) => error);
    expect(isDatabaseUnavailable(away)).toBe(true);
  });
});

describe('openDatabase', () => {
  it('reads bigint as numbers, and refuses what a number cannot carry', async () => {
    const { kysely, close } = openDatabase({ connectionString: database.url });
    const read = (text: string) =>
      sql<{ value: unknown }>`select ${sql.raw(text)}::bigint as value`.execute(kysely);
    expect((await read('9007199254740991')).rows[0]?.value).toBe(Number.MAX_SAFE_INTEGER);
    await expect(read('9007199254740993')).rejects.toThrow('9007199254740993');
    await close();
  });

  it('a statement that hangs is cut, and that counts as unavailable', async () => {
    const { kysely, close } = openDatabase({
      connectionString: database.url,
      statementTimeoutMilliseconds: 50,
    });
    const error = await sql`select pg_sleep(5)`.execute(kysely).catch((fault: unknown) => fault);
    expect(isDatabaseUnavailable(error)).toBe(true);
    expect(
      isDatabaseUnavailable(await sql`select nothing`.execute(kysely).catch((fault: unknown) => fault)),
    ).toBe(false);
    await close();
  });
});
