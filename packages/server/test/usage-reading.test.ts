import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { consume } from './runtime-support.js';
import { event, told } from './usage-support.js';

/* What the management API tells of usage: how features stand, what was used, each record, who is near, and all of it as a file. */

const governed = 'owner: team@example.com, purpose: A test, removal: permanent, category: limit';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free, timeZone: Europe/Berlin }
features:
  - { key: calls, type: metered, reset: { every: month, anchor: calendar }, lateEvents: { days: 35 }, dimensions: [model], ${governed} }
  - { key: boundless, type: metered, reset: { every: day, anchor: calendar }, ${governed} }
  - { key: per-user, type: metered, per: user, reset: { every: month, anchor: calendar }, ${governed} }
  - { key: reports, type: boolean, ${governed} }
  - { key: seats, type: metered, reset: never, ${governed} }
plans:
  - key: free
    entitlements:
      - { feature: calls, value: 100 }
      - { feature: boundless, value: unlimited }
      - { feature: per-user, value: 5 }
      - { feature: seats, value: 10 }
`;
const ENVIRONMENT = '/api/v1/environments/production';
const PRODUCT = `${ENVIRONMENT}/products/test/usage`;
const HOUR = 3_600_000;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
}, 60_000);
afterAll(() => server?.stop());

const ofCustomer = (key: string) => `${ENVIRONMENT}/customers/${key}/usage`;

async function read(path: string, query: Readonly<Record<string, string | number>> = {}) {
  const parameters = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const answer = await server.request('GET', `${path}?${parameters}`);
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
  return answer.body;
}

/** Every page of a list, walked by its cursors. */
async function all(path: string, query: Readonly<Record<string, string | number>> = {}) {
  const items: Record<string, unknown>[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: { items: Record<string, unknown>[]; nextCursor: string | null } = await read(path, {
      ...query,
      ...(cursor === '' ? {} : { cursor }),
    });
    expect(page.items.length).toBeLessThanOrEqual(Number(query.limit ?? 50));
    items.push(...page.items);
    cursor = page.nextCursor;
  }
  return items;
}

describe('how a customer stands', () => {
  it('K-9 tells every metered feature, used or not, with limit, balance, percent and period; users after that', async () => {
    await told(server, [
      event('stands', { key: 'calls', amount: 60 }),
      event('stands', { key: 'per-user', amount: 2, user: 'ada' }),
      event('stands', { key: 'per-user', amount: 9, user: 'bob' }),
    ]);
    const body = await read(ofCustomer('stands'));
    expect(body.items.map((item: { feature: string; scope: string }) => [item.feature, item.scope])).toEqual([
      ['boundless', ''],
      ['calls', ''],
      ['seats', ''],
      ['per-user', 'ada'],
      ['per-user', 'bob'],
    ]);
    expect(body.items[0]).toMatchObject({
      limit: { kind: 'unlimited' },
      percent: null,
      usage: 0,
      balance: 9_007_199_254_740_991,
    });
    expect(body.items[1]).toMatchObject({
      customer: 'stands',
      product: 'test',
      per: 'customer',
      granted: true,
      enforcement: 'hard',
      limit: { kind: 'finite', value: 100 },
      usage: 60,
      reserved: 0,
      balance: 40,
      overage: 0,
      covered: 0,
      percent: 60,
      state: 'within_limit',
      period: { interval: 'P1M', timeZone: 'Europe/Berlin' },
      lastDecision: { limit: 100, percent: 60 },
      lots: [],
    });
    expect(body.items[2]).toMatchObject({ period: null, usage: 0, percent: 0, lastDecision: null });
    expect(body.items[4]).toMatchObject({ usage: 9, overage: 4, percent: 180, state: 'over_limit' });
    expect(await all(ofCustomer('stands'), { limit: 2 })).toEqual(body.items);
    expect(
      (await all(ofCustomer('stands'), { feature: 'per-user', limit: 1 })).map(({ scope }) => scope),
    ).toEqual(['ada', 'bob']);
  });

  it('shows lots and what they cover, and a grant of one user to that user alone', async () => {
    await told(server, event('lots', { key: 'per-user', amount: 1, user: 'eve' }));
    await told(server, event('lots', { key: 'per-user', amount: 1, user: 'fay' }));
    await server.request('POST', `${ENVIRONMENT}/customers/lots/top-ups`, {
      body: { product: 'test', feature: 'calls', amount: 50, reason: 'A test.' },
    });
    await server.request('POST', `${ENVIRONMENT}/grants`, {
      body: {
        product: 'test',
        target: { kind: 'user', key: 'eve' },
        kind: 'support',
        effect: { type: 'set', feature: 'per-user', value: 50 },
        reason: 'A test.',
      },
    });
    expect((await consume(server, 'lots', { key: 'calls', amount: 120 })).body.allowed).toBe(true);
    const { items } = await read(ofCustomer('lots'));
    const of = (feature: string, scope = '') =>
      items.find(
        (item: { feature: string; scope: string }) => item.feature === feature && item.scope === scope,
      );
    expect(of('calls')).toMatchObject({ limit: { value: 150 }, usage: 120, balance: 30 });
    expect(of('calls').lots).toMatchObject([
      { kind: 'topup', amount: 50, remaining: 50 - of('calls').covered },
    ]);
    expect(of('per-user', 'eve')).toMatchObject({ limit: { value: 50 } });
    expect(of('per-user', 'fay')).toMatchObject({ limit: { value: 5 } });
  });

  it('refuses what does not exist, and cursors of others', async () => {
    const refused = async (path: string) => {
      const { status, body } = await server.request('GET', path);
      return [status, body.code];
    };
    expect(await refused(ofCustomer('nobody'))).toEqual([404, 'CUSTOMER_NOT_FOUND']);
    expect(await refused(`${ofCustomer('stands')}?product=nothing`)).toEqual([404, 'PRODUCT_NOT_FOUND']);
    expect(await refused(`${ofCustomer('stands')}?limit=1000`)).toEqual([400, 'VALIDATION_FAILED']);
    expect(await refused(`${ofCustomer('stands')}?colour=red`)).toEqual([400, 'VALIDATION_FAILED']);
    const wrong = Buffer.from('["a","b","c","d"]').toString('base64url');
    for (const path of [`${PRODUCT}/near`, `${ofCustomer('stands')}/records`, ofCustomer('stands')]) {
      expect(await refused(`${path}?cursor=${wrong}`)).toEqual([400, 'CURSOR_INVALID']);
      expect(await refused(`${path}?cursor=x`)).toEqual([400, 'CURSOR_INVALID']);
    }
    const made = (...parts: string[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');
    const noId = '-'.repeat(36);
    expect(await refused(`${PRODUCT}/near?cursor=${made('5', noId, '', 'calls')}`)).toEqual([
      400,
      'CURSOR_INVALID',
    ]);
    expect(await refused(`${ofCustomer('stands')}/records?cursor=${made('9', noId, '0')}`)).toEqual([
      400,
      'CURSOR_INVALID',
    ]);
    const history = `${ofCustomer('stands')}/history`;
    // Law 12: what may be sent is said, in words.
    const said = async (query: string) => (await server.request('GET', `${history}?${query}`)).body.detail;
    expect(await said('from=2026-01-01T00:00:00Z&window=week')).toContain(
      '`window` must be one of `hour`, `day`, `month`',
    );
    expect(await said('from=2026-01-01')).toContain(
      '`from` must be an RFC 3339 time with an offset, like `2027-01-31T10:00:00Z`',
    );
    expect(await refused(`${history}?from=2026-01-01T00:00:00Z&cursor=${wrong}`)).toEqual([
      400,
      'CURSOR_INVALID',
    ]);
    expect(await refused(history)).toEqual([400, 'VALIDATION_FAILED']);
    expect(await refused(`${history}?from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z`)).toEqual([
      400,
      'SPAN_INVALID',
    ]);
    expect(await refused(`${history}?from=1990-01-01T00:00:00Z`)).toEqual([400, 'SPAN_TOO_LONG']);
    expect(await refused(`${history}?from=2026-11-01T00:00:00Z&timeZone=Nowhere`)).toEqual([
      400,
      'TIME_ZONE_INVALID',
    ]);
    expect(await refused(`${history}?from=2026-11-01T00:00:00Z&where=x`)).toEqual([400, 'QUERY_INVALID']);
    expect(await refused(`${PRODUCT}/export?from=2026-02-30T00:00:00Z`)).toEqual([400, 'TIME_INVALID']);
    expect(await refused(`${PRODUCT}/near?percent=10`)).toEqual([400, 'VALIDATION_FAILED']);
  });
});

describe('what a customer used', () => {
  it('K-9 by hour, day and month, over features and attributes, in pages', async () => {
    const hour = server.parts.clock.now() - (server.parts.clock.now() % HOUR);
    const at = (hours: number) => ({ time: new Date(hour - hours * HOUR).toISOString() });
    const using = (model: string, amount: number, more = {}) =>
      event('used', { key: 'calls', amount, attributes: { model } }, more);
    await told(server, [
      using('large', 1),
      using('small', 2),
      using('large', 4, at(1)),
      using('large', 8, at(2)),
    ]);
    await told(server, event('used', { key: 'per-user', amount: 3, user: 'ada' }));
    const from = new Date(hour - 2 * HOUR).toISOString();
    const hours = await all(`${ofCustomer('used')}/history`, { from, window: 'hour', by: 'model', limit: 2 });
    expect(
      hours.map(({ feature, scope, start, attributes, amount }) => [
        feature,
        scope,
        start,
        attributes,
        amount,
      ]),
    ).toEqual([
      ['calls', '', at(2).time, { model: 'large' }, 8],
      ['calls', '', at(1).time, { model: 'large' }, 4],
      ['calls', '', at(0).time, { model: 'large' }, 1],
      ['calls', '', at(0).time, { model: 'small' }, 2],
      ['per-user', 'ada', at(0).time, { model: null }, 3],
    ]);
    const months = await read(`${ofCustomer('used')}/history`, {
      from,
      window: 'month',
      feature: 'calls',
      where: 'model=large',
    });
    expect(months.timeZone).toBe('Europe/Berlin');
    expect(months.items.reduce((sum: number, { amount }: { amount: number }) => sum + amount, 0)).toBe(13);
    const days = await read(`${ofCustomer('used')}/history`, { from, timeZone: 'UTC', scope: 'ada' });
    expect(days.items).toMatchObject([{ feature: 'per-user', amount: 3, events: 1, aggregation: 'sum' }]);
  });

  it('each decision and each event, the newest first, with what decided it', async () => {
    await consume(server, 'audited', { key: 'calls', amount: 90 });
    await consume(server, 'audited', { key: 'calls', amount: 20 });
    const sent = event('audited', { key: 'calls', amount: 5, attributes: { model: 'large' } });
    await told(server, sent);
    await told(server, event('audited', { key: 'calls', amount: -2, corrects: sent.id }));
    await consume(server, 'audited', { key: 'seats', amount: 1 });
    const records = await all(`${ofCustomer('audited')}/records`, { limit: 2 });
    expect(records.map(({ operation, feature, amount }) => [operation, feature, amount])).toEqual([
      ['consume', 'seats', 1],
      ['record', 'calls', -2],
      ['record', 'calls', 5],
      ['consume', 'calls', 0],
      ['consume', 'calls', 90],
    ]);
    expect(records[3]).toMatchObject({
      event: null,
      decision: { allowed: false, reason: 'LIMIT_REACHED', requested: 20, usedAfter: 90, limit: 100 },
    });
    expect(records[2]).toMatchObject({
      decision: null,
      attributes: { model: 'large' },
      event: { id: sent.id, source: '/test', counted: 5, corrects: null },
    });
    expect(records[1]).toMatchObject({ event: { corrects: sent.id } });
    const times = records.map(({ at }) => String(at));
    expect(times).toEqual([...times].sort().reverse());
    const page = (query: Record<string, string>) => all(`${ofCustomer('audited')}/records`, query);
    expect(await page({ feature: 'seats' })).toHaveLength(1);
    expect(await page({ kind: 'event' })).toHaveLength(2);
    expect(await page({ kind: 'consumption' })).toHaveLength(3);
    expect(await page({ from: '2099-01-01T00:00:00Z' })).toEqual([]);
    expect(await page({ to: times[0] ?? '' })).toHaveLength(4);
  });
});

describe('who is near or over', () => {
  it('K-9 sorts by percent of the last decision, filters, pages, and shows the limit of now', async () => {
    const percents = [50, 79, 80, 95, 100, 140];
    await told(
      server,
      percents.map((amount) => event(`near-${amount}`, { key: 'calls', amount })),
    );
    await told(server, event('near-user', { key: 'per-user', amount: 5, user: 'zoe' }));
    const shown = (items: readonly Record<string, unknown>[]) =>
      items
        .filter(({ customer }) => String(customer).startsWith('near-'))
        .map(({ customer, percent }) => [customer, percent]);
    expect(shown(await all(`${PRODUCT}/near`, { feature: 'calls', limit: 2 }))).toEqual([
      ['near-140', 140],
      ['near-100', 100],
      ['near-95', 95],
      ['near-80', 80],
    ]);
    expect(shown(await all(`${PRODUCT}/near`, { feature: 'calls', percent: 50 }))).toHaveLength(6);
    expect(shown(await all(`${PRODUCT}/near`, { percent: 101 }))).toEqual([['near-140', 140]]);
    expect(await all(`${PRODUCT}/near`, { feature: 'per-user', percent: 100 })).toContainEqual(
      expect.objectContaining({ customer: 'near-user', scope: 'zoe', percent: 100 }),
    );
    await server.request('POST', `${ENVIRONMENT}/grants`, {
      body: {
        product: 'test',
        target: { kind: 'customer', key: 'near-95' },
        kind: 'support',
        effect: { type: 'set', feature: 'calls', value: 50 },
        reason: 'A test.',
      },
    });
    const lowered = (await all(`${PRODUCT}/near`, { feature: 'calls' })).find(
      ({ customer }) => customer === 'near-95',
    );
    expect(lowered).toMatchObject({
      percent: 190,
      limit: { kind: 'finite', value: 50 },
      overage: 45,
      lastDecision: { percent: 95, limit: 100 },
    });
  });

  it('leaves out whose period has ended', async () => {
    await told(server, event('near-past', { key: 'calls', amount: 99 }));
    const keys = async () =>
      (await all(`${PRODUCT}/near`, { feature: 'calls' })).map(({ customer }) => customer);
    expect(await keys()).toContain('near-past');
    await server.parts.database.pool.query(
      `update account set period_start = '2026-01-01', period_end = '2026-02-01'
       where customer_id = (select id from customer where key = 'near-past')`,
    );
    expect(await keys()).not.toContain('near-past');
  });

  it('walks its index from the top, whatever is beyond the page', async () => {
    const client = await server.parts.database.pool.connect();
    try {
      await client.query('begin');
      await client.query(
        `insert into account (customer_id, product_id, feature, scope, environment_id, used, reserved, updated_at, percent, limit_known)
         select gen_random_uuid(), $1, 'calls', '', $2, 90, 0, now(), 50 + n % 60, 100 from generate_series(1, 20000) n`,
        [server.parts.directory.product('test')?.id, server.parts.directory.environment('production')?.id],
      );
      await client.query('analyze account');
      const { rows } = await client.query(
        `explain (analyze, format json) select * from account a where a.environment_id = $1 and a.product_id = $2
           and a.percent >= 80 and (a.period_end is null or a.period_end > now())
         order by a.percent desc, a.customer_id desc, a.scope desc, a.feature desc limit 101`,
        [server.parts.directory.environment('production')?.id, server.parts.directory.product('test')?.id],
      );
      const [{ Plan: plan }] = rows[0]['QUERY PLAN'];
      const [scan] = plan.Plans;
      expect([plan['Node Type'], scan['Node Type'], scan['Index Name'], scan['Scan Direction']]).toEqual([
        'Limit',
        'Index Scan',
        'account_percent',
        'Backward',
      ]);
      expect(scan['Actual Rows']).toBe(101);
    } finally {
      await client.query('rollback');
      client.release();
    }
  });
});

describe('usage as a file', () => {
  const from = () => new Date(server.parts.clock.now() - HOUR).toISOString();

  it('K-9 is the same as CSV and as lines, by customer, and goes on after one', async () => {
    await told(server, [
      event('file-a', { key: 'calls', amount: 3, attributes: { model: '=HYPERLINK("x")' } }),
      event('file-b', { key: 'calls', amount: 4, attributes: { model: 'with, comma' } }),
      event('file-b', { key: 'per-user', amount: 1, user: '@sum' }),
    ]);
    const query = new URLSearchParams({ from: from(), window: 'month', by: 'model', feature: 'calls' });
    const lines = await server.request('GET', `${PRODUCT}/export?${query}`);
    expect(lines.headers.get('content-type')).toBe('application/x-ndjson');
    const rows = lines.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const own = rows.filter(({ customer }) => customer.startsWith('file-'));
    expect(own).toMatchObject([
      { customer: 'file-a', feature: 'calls', amount: 3, attributes: { model: '=HYPERLINK("x")' } },
      { customer: 'file-b', feature: 'calls', amount: 4, attributes: { model: 'with, comma' } },
    ]);
    const customers = rows.map(({ customer }) => customer);
    expect(customers).toEqual([...customers].sort());
    const csv = await server.request('GET', `${PRODUCT}/export?${query}&format=csv`);
    expect(csv.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    const [heading, ...cells] = csv.text.trim().split('\r\n');
    expect(heading).toBe('customer,feature,scope,start,end,amount,events,aggregation,model');
    expect(cells).toHaveLength(rows.length);
    expect(cells.find((line) => line.startsWith('file-a'))).toMatch(/,3,1,sum,"'=HYPERLINK\(""x""\)"$/);
    expect(cells.find((line) => line.startsWith('file-b'))).toMatch(/,4,1,sum,"with, comma"$/);
    const after = await server.request('GET', `${PRODUCT}/export?${query}&after=file-a`);
    expect(
      after.text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).customer)[0],
    ).toBe('file-b');
    const users = await server.request('GET', `${PRODUCT}/export?from=${from()}&feature=per-user&format=csv`);
    expect(users.text).toContain("file-b,per-user,'@sum,");
  });

  it('tells a lot of lines in slices, none of them lost or doubled', async () => {
    const busy = ['many-a', 'many-b', 'many-c'];
    for (const key of busy) {
      await server.request('PUT', `${ENVIRONMENT}/customers/${key}`, { body: { reason: 'A test.' } });
    }
    await server.parts.database.pool.query(
      `insert into usage_hour (customer_id, product_id, feature, scope, hour, dimensions, environment_id, aggregation, amount, events, last_at)
       select c.id, $1, 'calls', 'u' || (n % 250), date_trunc('hour', now()) - make_interval(hours => n / 250), '{"model":"m"}', c.environment_id,
         'sum', n, 1, now() from customer c cross join generate_series(0, case c.key when 'many-b' then 24999 else 2499 end) n
       where c.key = any($2)`,
      [server.parts.directory.product('test')?.id, busy],
    );
    const since = new Date(server.parts.clock.now() - 101 * HOUR).toISOString();
    const sumUpTo = (most: number) => (most * (most + 1)) / 2;
    for (const [window, a, b] of [
      ['hour', 2500, 25_000],
      ['month', 250, 250],
    ] as const) {
      const { text } = await server.request(
        'GET',
        `${PRODUCT}/export?from=${since}&window=${window}&feature=calls`,
      );
      const lines = text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
        .filter(({ customer }) => busy.includes(customer));
      const names = lines.map(({ customer, scope, start }) => `${customer} ${scope} ${start}`);
      // Two months may have been touched.
      const months = window === 'month' ? new Set(lines.map(({ start }) => start)).size : 1;
      expect(lines.length).toBeGreaterThanOrEqual(2 * a + b);
      expect(lines.length).toBeLessThanOrEqual((2 * a + b) * months);
      expect(new Set(names).size).toBe(lines.length);
      const sum = lines.reduce((all, { amount }) => all + amount, 0);
      expect(sum).toBe(2 * sumUpTo(2499) + sumUpTo(24_999));
    }
    const paged: { scope: string; start: string; amount: number }[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query = new URLSearchParams({ product: 'test', from: since, window: 'month', limit: '40' });
      if (cursor !== '') query.set('cursor', cursor);
      const page = await server.request('GET', `${ENVIRONMENT}/customers/many-b/usage/history?${query}`);
      expect(page.status, page.text).toBe(200);
      paged.push(...page.body.items);
      cursor = page.body.nextCursor;
    }
    expect(new Set(paged.map(({ scope, start }) => `${scope} ${start}`)).size).toBe(paged.length);
    expect(paged.reduce((all, { amount }) => all + amount, 0)).toBe(sumUpTo(24_999));
  });
});
