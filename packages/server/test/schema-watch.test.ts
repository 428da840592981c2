import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server?.stop());

const run = (statement: string) => server.parts.database.pool.query(statement);
/** The process asks by itself every ten seconds; a test does not wait for that. */
async function readiness() {
  await server.parts.schema.check();
  return server.request('GET', '/readyz', { key: null });
}

describe('/readyz compares the schema of the database with that of the process', () => {
  it('has asked by itself since the start, and says nothing of one that fits', async () => {
    await expect
      .poll(() => server.parts.schema.difference(), { timeout: 10_000 })
      .toEqual({ missing: [], unknown: [] });
    expect(await readiness()).toMatchObject({ status: 200, body: { ready: true, problems: [] } });
  });

  it('is not ready over an older one, and names what it lacks; is again when that is there', async () => {
    const name = '0007-look-ups-by-key';
    await run(`delete from schema_migration where name = '${name}'`);
    const older = await readiness();
    expect([older.status, older.body.ready, older.body.databaseReachable]).toEqual([503, false, true]);
    expect(older.body.problems).toEqual([
      expect.stringMatching(
        /older than this process: it lacks `0007-look-ups-by-key`\. Restart this process/,
      ),
    ]);
    await run(`insert into schema_migration values ('${name}', now())`);
    expect(await readiness()).toMatchObject({ status: 200, body: { problems: [] } });
  });

  it('is ready over a newer one, and says so', async () => {
    await run(`insert into schema_migration values ('9999-of-the-future', now())`);
    const newer = await readiness();
    expect([newer.status, newer.body.ready]).toEqual([200, true]);
    expect(newer.body.problems).toEqual([
      expect.stringMatching(/newer than this process: it has `9999-of-the-future`\./),
    ]);
    await run(`delete from schema_migration where name = '9999-of-the-future'`);
  });

  it('takes a database without any migration for the oldest', async () => {
    await run('alter table schema_migration rename to set_aside');
    const empty = await readiness();
    expect([empty.status, empty.body.problems[0]]).toEqual([503, expect.stringContaining('`0001-')]);
    await run('alter table set_aside rename to schema_migration');
    expect((await readiness()).status).toBe(200);
  });

  it('keeps what it knew while the database is away', async () => {
    const { createSchemaWatch } = await import('@pennon/server/service/schema-watch');
    const problems: string[] = [];
    let away = false;
    const watch = createSchemaWatch({
      read: () =>
        away ? Promise.reject(new Error('away')) : Promise.resolve({ missing: ['0002'], unknown: [] }),
      onProblem: (problem) => problems.push(problem),
    });
    expect(watch.difference()).toBeNull();
    await watch.check();
    away = true;
    await watch.check();
    expect(watch.difference()).toEqual({ missing: ['0002'], unknown: [] });
    expect(problems).toEqual(['the version of the schema cannot be read']);
  });
});
