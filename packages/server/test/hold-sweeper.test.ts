import { createHoldSweeper } from '@pennon/server/service/hold-sweeper';
import { openAccounts } from '@pennon/server/store/accounts';
import { openDatabase } from '@pennon/server/store/database';
import { createMigratedDatabase } from '@pennon/testkit/test-database';
import { expect, it, vi } from 'vitest';

it('X-5 forgets every reservation that is long final, however many there are', async () => {
  const test = await createMigratedDatabase();
  const database = openDatabase({ connectionString: test.url });
  const accounts = openAccounts({ connectionString: test.url });
  const problems: unknown[] = [];
  const sweeper = createHoldSweeper({
    database: database.kysely,
    accounts,
    clock: { now: () => Date.now() },
    onProblem: (_problem, error) => problems.push(error),
    pollMilliseconds: 10,
  });
  const count = async () =>
    (await database.pool.query('select count(*)::integer as left from reservation')).rows[0].left;
  try {
    // Ids of the first milliseconds of all time.
    await database.pool.query(
      `insert into reservation (customer_id, id, environment_id, product_id, feature, scope, amount, state, created_at, expires_at,
         finished_at, context, actor)
       select gen_random_uuid(), ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, gen_random_uuid(), gen_random_uuid(),
         'calls', '', 1, 'expired', now() - interval '90 days', now() - interval '90 days', now() - interval '90 days', '{}', 'test'
       from generate_series(1, 12000) n`,
    );
    sweeper.start();
    await vi.waitFor(async () => expect(await count()).toBe(0), { timeout: 20_000, interval: 100 });
    expect(problems).toEqual([]);
  } finally {
    await sweeper.stop();
    await accounts.close();
    await database.close();
    await test.drop();
  }
}, 60_000);
