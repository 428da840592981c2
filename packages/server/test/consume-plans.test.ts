import { FIND_ANSWERS, FIND_EARLIER } from '@pennon/server/store/account-statements';
import { migrate } from '@pennon/server/store/migrate';
import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/*
 * Plans are made once, while a partition is empty, and kept while it grows to millions of rows: one that reads all of a
 * customer's consumptions would be right for a day and ruin every consume after it.
 */
const NOBODY = '00000000-0000-0000-0000-000000000000';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase();
  await migrate(database.url);
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(
    'set enable_seqscan = off; set enable_bitmapscan = off; set plan_cache_mode = force_generic_plan',
  );
}, 60_000);
afterAll(async () => {
  await client.end();
  await database.drop();
});

async function planOf(name: string, text: string, values: readonly string[]): Promise<string> {
  await client.query({ name: name.replaceAll(' ', '_'), text, values: [...values] });
  const parameters = values.map((value) => `'${value}'`).join(', ');
  const { rows } = await client.query(
    `explain (costs off) execute ${name.replaceAll(' ', '_')} (${parameters})`,
  );
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}

describe('look-ups of idempotency keys on an empty table', () => {
  it.each([
    ['earlier', FIND_EARLIER.one, [NOBODY, '{a,b}']],
    ['earlier of several', FIND_EARLIER.many, [`{${NOBODY},${NOBODY}}`, '{a,b}']],
    ['answers', FIND_ANSWERS, [NOBODY, '{a}', '{consume}', '{0}', '{5}']],
  ] as const)('X-5 go down the index by customer and key: %s', async (name, text, values) => {
    const plan = await planOf(name, text, values);
    expect(plan).toMatch(/Index Cond: \(\(customer_id = [^)]*\) AND \(hashtextextended\(idempotency_key, /);
    expect(plan).not.toMatch(/Index Cond: \(customer_id = [^)]*\)\n/);
  });
});
