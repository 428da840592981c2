import { LIMITS } from '@pennon/engine/model/limits';
import { createUsageKeeper } from '@pennon/server/service/usage/usage-keeper';
import { keptFrom } from '@pennon/server/service/usage-retention';
import { createUsagePartitions } from '@pennon/server/store/usage-partitions';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { consume } from './runtime-support.js';
import { event, told, USAGE_CATALOG } from './usage-support.js';

/* Tables of usage stay bounded: what is dropped, what is not, and a hot row that stays on its page. */

const DAY = 86_400_000;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ catalog: USAGE_CATALOG });
}, 60_000);
afterAll(() => server?.stop());

const query = async (text: string, values: unknown[] = []) =>
  (await server.parts.database.pool.query(text, values)).rows;

describe('retention of usage', () => {
  it('never drops what idempotency or the telling apart of events still needs, whatever the day', () => {
    const needed = (LIMITS.idempotencyDays.value + 1) * DAY;
    for (let day = Date.UTC(2024, 0, 1); day < Date.UTC(2028, 2, 1); day += DAY / 2) {
      expect(day - keptFrom(day, LIMITS.usageMonthsLeast.value)).toBeGreaterThan(needed);
    }
  });

  it('drops months of records and of history each by its own setting, and nothing that is newer', async () => {
    const partitions = createUsagePartitions({
      pool: server.parts.database.pool,
      clock: server.parts.clock,
      months: { records: 2, history: 4 },
      onProblem: (problem, error) => expect.unreachable(`${problem} ${error}`),
    });
    await partitions.maintain(Date.UTC(2020, 0, 15));
    const { dropped } = await partitions.maintain(Date.UTC(2020, 5, 15));
    expect([...dropped].sort()).toEqual([
      'consumption_2020_01',
      'consumption_2020_02',
      'consumption_2020_03',
      'outbox_event_2020_01',
      'outbox_event_2020_02',
      'outbox_event_2020_03',
      'usage_event_2020_01',
      'usage_event_2020_02',
      'usage_event_2020_03',
      'usage_hour_2019_11',
      'usage_hour_2019_12',
      'usage_hour_2020_01',
    ]);
    const left = await query(
      `select relname from pg_class where relname ~ '_2020_0[1-4]$' and relkind = 'r'`,
    );
    expect(left.map(({ relname }) => relname).sort()).toEqual([
      'usage_hour_2020_02',
      'usage_hour_2020_03',
      'usage_hour_2020_04',
    ]);
  });

  it('forgets periods that ended long ago, and values of periods that take no more events', async () => {
    await told(
      server,
      [1, 2, 3].map((n) => event('kept', { key: 'visitors', attributes: { visitor: `v${n}` } })),
    );
    const [{ id, environment_id: environment }] = await query(
      `select id, environment_id from customer where key = 'kept'`,
    );
    const product = server.parts.directory.product('test')?.id;
    const now = server.parts.clock.now();
    const period = (feature: string, endDaysAgo: number) =>
      query(
        `insert into account_period (customer_id, product_id, feature, scope, period_start, environment_id, period_end, used, closed_at)
         values ($1, $2, $3, '', $4, $5, $6, 1, now())`,
        [
          id,
          product,
          feature,
          new Date(now - (endDaysAgo + 30) * DAY),
          environment,
          new Date(now - endDaysAgo * DAY),
        ],
      );
    const values = (endDaysAgo: number) =>
      query(
        `insert into usage_value (customer_id, product_id, feature, scope, period_start, value, environment_id)
         select $1, $2, 'visitors', '', $3, gen_random_uuid(), $4 from generate_series(1, 40)`,
        [id, product, new Date(now - (endDaysAgo + 30) * DAY), environment],
      );
    for (const days of [500, 200, 60, 10]) {
      await period('visitors', days);
      await values(days);
    }
    await query(
      `insert into account_period (customer_id, product_id, feature, scope, period_start, environment_id, period_end, used, closed_at)
       select $1, $2, 'hourly', '', $3::timestamptz + make_interval(hours => n), $4, $3::timestamptz + make_interval(hours => n + 1), 1, now()
       from generate_series(1, 2500) n`,
      [id, product, new Date(now - 700 * DAY), environment],
    );
    const keeper = createUsageKeeper({
      database: server.parts.database.kysely,
      clock: server.parts.clock,
      historyMonths: 3,
      onProblem: (problem, error) => expect.unreachable(`${problem} ${error}`),
    });
    // The server's own holds the lease, and forgets by its own setting.
    await server.parts.usageKeeper.stop();
    expect(await keeper.keep(now)).toBe(2502);
    const ages = await query(
      `select floor(extract(epoch from ($1::timestamptz - period_end)) / 86400)::int as days from account_period order by 1`,
      [new Date(now)],
    );
    expect(ages.map(({ days }) => days)).toEqual([10, 60]);
    const left = await query(
      `select count(*)::int as count from usage_value group by period_start order by period_start`,
    );
    // Of the period that ended ten days ago, which may still be told of, and of the one that runs.
    expect(left.map(({ count }) => count)).toEqual([40, 3]);
    expect(await keeper.keep(now)).toBe(0);
  });
});

describe('a hot row', () => {
  it('stays on its page over thousands of consumes, its updates written where it stands', async () => {
    await consume(server, 'hot', { key: 'tokens', amount: 1 });
    const figures = async () => {
      const [row] = await query(
        `select n_tup_upd::int as updates, n_tup_hot_upd::int as hot, pg_relation_size(relid)::int as bytes
         from pg_stat_user_tables where relname = 'account'`,
      );
      return row;
    };
    const before = await figures();
    // Below half of the limit: from there on each percent is a step of an index.
    const calls = 480;
    for (let sent = 0; sent < calls; sent += 4) {
      const answers = await Promise.all(
        [0, 1, 2, 3].map(() => consume(server, 'hot', { key: 'tokens', amount: 1 })),
      );
      expect(answers.map(({ status, body }) => (status === 503 ? true : body.allowed))).not.toContain(false);
    }
    // A backend tells its counts when it has been idle for a while.
    await expect
      .poll(async () => (await figures()).updates - before.updates, { timeout: 20_000 })
      .toBeGreaterThan(calls / 8);
    const after = await figures();
    const updates = after.updates - before.updates;
    // The first ones fill columns that an index holds.
    expect(updates - (after.hot - before.hot)).toBeLessThanOrEqual(5);
    expect(after.bytes).toBeLessThanOrEqual(8 * 8192);
  }, 120_000);
});
