import { randomUUID } from 'node:crypto';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signCustomerToken } from './customer-token-support.js';
import { event, told } from './usage-support.js';

/* History over OEP: usage and balance in windows, of one feature of one customer. */

const governed = 'owner: team@example.com, purpose: A test, removal: permanent, category: limit';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free, timeZone: America/New_York }
features:
  - { key: calls, type: metered, clientVisible: true, reset: { every: month, anchor: calendar }, lateEvents: { days: 35 }, dimensions: [model, region], ${governed} }
  - { key: hourly, type: metered, reset: { every: hour, anchor: calendar }, lateEvents: { days: 10 }, ${governed} }
  - { key: utc, type: metered, reset: { every: month, anchor: calendar, timeZone: UTC }, ${governed} }
  - { key: seats, type: metered, reset: never, ${governed} }
  - { key: peak, type: metered, reset: { every: month, anchor: calendar }, aggregation: max, enforcement: observe, lateEvents: { days: 35 }, ${governed} }
  - { key: storage, type: metered, reset: never, aggregation: latest, enforcement: soft, ${governed} }
  - { key: boundless, type: metered, reset: { every: day, anchor: calendar }, ${governed} }
  - { key: per-user, type: metered, clientVisible: true, per: user, reset: { every: day, anchor: calendar }, ${governed} }
  - { key: reports, type: boolean, ${governed} }
plans:
  - key: free
    entitlements:
      - { feature: calls, value: 100 }
      - { feature: hourly, value: 10 }
      - { feature: utc, value: 100 }
      - { feature: seats, value: 3 }
      - { feature: peak, value: 10 }
      - { feature: storage, value: 500 }
      - { feature: boundless, value: unlimited }
      - { feature: per-user, value: 5 }
      - { feature: reports, value: true }
`;

const HOUR = 3_600_000;
const iso = (instant: number | string) => new Date(instant).toISOString();

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
}, 60_000);
afterAll(() => server?.stop());

type Query = Readonly<Record<string, string | readonly string[]>>;

async function history(
  query: Query,
  options: { readonly key?: string | null; readonly headers?: object } = {},
) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of typeof value === 'string' ? [value] : value) parameters.append(name, one);
  }
  // On a busy machine the store may be late: that is said, and asked about again.
  for (let tries = 1; ; tries += 1) {
    const answer = await server.request('GET', `/oep/v1/history?${parameters}`, {
      key: options.key === undefined ? server.serverKey : options.key,
      ...(options.headers === undefined ? {} : { headers: { ...options.headers } }),
    });
    if (answer.status !== 503 || tries === 20) return answer;
  }
}

/** What happened long ago, as it stands in the tables: a customer with periods that are over and hours. */
async function lived(
  key: string,
  feature: string,
  past: {
    readonly periods?: readonly { start: string; end: string; used: number }[];
    readonly current?: { start: string | null; end: string | null; used: number };
    readonly hours: readonly {
      at: string;
      amount: number;
      after?: number | null;
      limit?: number;
      lastAt?: string;
      dimensions?: string;
    }[];
  },
): Promise<void> {
  await server.request('PUT', `/api/v1/environments/production/customers/${key}`, {
    body: { reason: 'A test.' },
  });
  const { pool } = server.parts.database;
  const { rows } = await pool.query('select id, environment_id from customer where key = $1', [key]);
  const { id, environment_id: environment } = rows[0] as { id: string; environment_id: string };
  const product = server.parts.directory.product('test')?.id;
  for (const { start, end, used } of past.periods ?? []) {
    await pool.query(
      `insert into account_period (customer_id, product_id, feature, scope, period_start, environment_id, period_end, used, closed_at)
       values ($1, $2, $3, '', $4, $5, $6, $7, now())`,
      [id, product, feature, start, environment, end, used],
    );
  }
  if (past.current !== undefined) {
    const { start, end, used } = past.current;
    await pool.query(
      `insert into account (customer_id, product_id, feature, scope, environment_id, period_start, period_end, used, reserved, updated_at)
       values ($1, $2, $3, '', $4, $5, $6, $7, 0, now())`,
      [id, product, feature, environment, start, end, used],
    );
  }
  for (const { at, amount, after = null, limit = null, lastAt = at, dimensions = '' } of past.hours) {
    await pool.query(
      `insert into usage_hour (customer_id, product_id, feature, scope, hour, dimensions, environment_id, aggregation, amount, events,
         last_at, used_after, limit_after) values ($1, $2, $3, '', $4, $5, $6, 'sum', $7, 1, $8, $9, $10)`,
      [id, product, feature, at, dimensions, environment, amount, lastAt, after, limit],
    );
  }
}

/** What the protocol has no code for stands in `metadata`. */
const codeOf = ({ body }: { body: { errorCode: string; metadata: { cause?: string } } }) =>
  body.metadata.cause ?? body.errorCode;

const shown = (answer: { body: { points: Record<string, unknown>[] } }, ...members: string[]) =>
  answer.body.points.map((point) => members.map((member) => point[member]));

/** By now at the latest: the server's clock follows the database's, and may step back a little. */
const aMinuteAgo = () => iso(server.parts.clock.now() - 60_000);

describe('history of usage over OEP', () => {
  it('K-9 shows what was recorded hour by hour, nothing as nothing, with the balance that it left', async () => {
    const now = server.parts.clock.now();
    const hour = now - (now % HOUR);
    // All in one month of New York, whatever the time is.
    const month = (
      await history({ targetingKey: 'fresh', key: 'calls', from: aMinuteAgo(), window: 'month' })
    ).body.points.at(-1);
    const back = Math.min(5, Math.floor((hour - Date.parse(month.start)) / HOUR));
    const first = hour - back * HOUR;
    await told(server, [
      event('fresh', { key: 'calls', amount: 7 }, { time: iso(first) }),
      event('fresh', { key: 'calls', amount: 5 }),
      event('fresh', { key: 'calls', amount: 1 }),
    ]);
    const answer = await history({ targetingKey: 'fresh', key: 'calls', from: iso(first), window: 'hour' });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      targetingKey: 'fresh',
      key: 'calls',
      window: 'hour',
      timeZone: 'America/New_York',
      aggregation: 'sum',
      from: iso(first),
    });
    const points = answer.body.points;
    expect(points).toHaveLength(back + 1);
    expect(points.at(-1)).toMatchObject({ start: iso(hour), usage: 13, balance: 87, overage: 0 });
    expect(points.reduce((sum: number, point: { amount: number }) => sum + point.amount, 0)).toBe(13);
    if (back > 1) {
      expect(points[0]).toMatchObject({ amount: 7, events: 1, usage: 7, balance: 93 });
      expect(points[1]).toMatchObject({ amount: 0, events: 0, usage: 7, balance: 93, reset: false });
    }
  });

  it('OEP 5 what is told late or corrected shows in the hour in which it happened, and in every balance after it', async () => {
    const now = server.parts.clock.now();
    const hour = now - (now % HOUR);
    await lived('mended', 'seats', {
      current: { start: null, end: null, used: 30 },
      hours: [
        { at: iso(hour - 10 * HOUR), amount: 10, after: 10, limit: 100 },
        { at: iso(hour - 5 * HOUR), amount: 20, after: 30, limit: 100 },
      ],
    });
    const ask = () =>
      history({
        targetingKey: 'mended',
        key: 'seats',
        from: iso(hour - 11 * HOUR),
        to: iso(hour),
        window: 'hour',
      });
    expect(shown(await ask(), 'amount', 'usage').slice(0, 3)).toEqual([
      [0, 0],
      [10, 10],
      [0, 10],
    ]);
    expect(shown(await ask(), 'usage').at(-1)).toEqual([30]);
    const late = event('mended', { key: 'seats', amount: 4 }, { time: iso(hour - 8 * HOUR + 1) });
    await told(server, late);
    const after = shown(await ask(), 'amount', 'usage');
    expect([after[1], after[2], after[3], after[6]]).toEqual([
      [10, 10],
      [0, 10],
      [4, 14],
      [20, 34],
    ]);
    await told(server, event('mended', { key: 'seats', amount: -3, corrects: late.id }));
    const corrected = shown(await ask(), 'amount', 'usage');
    expect([corrected[3], corrected[6]]).toEqual([
      [1, 11],
      [20, 31],
    ]);
  });

  it('law 9 days and months are those of the feature’s zone, over a change of clocks and of offsets', async () => {
    // On 2 November 2025 clocks of New York went back: that day had 25 hours, from 04:00Z to 05:00Z.
    await lived('zoned', 'calls', {
      periods: [
        { start: '2025-10-01T04:00:00Z', end: '2025-11-01T04:00:00Z', used: 9 },
        { start: '2025-11-01T04:00:00Z', end: '2025-12-01T05:00:00Z', used: 33 },
      ],
      current: { start: '2025-12-01T05:00:00Z', end: '2026-01-01T05:00:00Z', used: 2 },
      hours: [
        { at: '2025-11-01T03:00:00Z', amount: 9, after: 9, limit: 50 },
        { at: '2025-11-02T03:00:00Z', amount: 1, after: 1, limit: 50 },
        { at: '2025-11-02T04:00:00Z', amount: 2, after: 3, limit: 60 },
        { at: '2025-11-03T04:00:00Z', amount: 30, after: 33, limit: 60 },
        { at: '2025-12-01T05:00:00Z', amount: 2, after: 2, limit: 60 },
      ],
    });
    const days = await history({
      targetingKey: 'zoned',
      key: 'calls',
      from: '2025-11-01T00:00:00-04:00',
      to: '2025-11-04T00:00:00-05:00',
    });
    expect(shown(days, 'start', 'end', 'amount', 'usage', 'balance', 'reset')).toEqual([
      ['2025-11-01T04:00:00.000Z', '2025-11-02T04:00:00.000Z', 1, 1, 49, true],
      ['2025-11-02T04:00:00.000Z', '2025-11-03T05:00:00.000Z', 32, 33, 27, false],
      ['2025-11-03T05:00:00.000Z', '2025-11-04T05:00:00.000Z', 0, 33, 27, false],
    ]);
    const months = await history({
      targetingKey: 'zoned',
      key: 'calls',
      from: '2025-10-15T00:00:00Z',
      to: '2026-02-01T05:00:00Z',
      window: 'month',
    });
    expect(shown(months, 'start', 'amount', 'usage', 'balance', 'reset')).toEqual([
      ['2025-10-01T04:00:00.000Z', 9, 9, 41, true],
      ['2025-11-01T04:00:00.000Z', 33, 33, 27, true],
      ['2025-12-01T05:00:00.000Z', 2, 2, 58, true],
      // Nothing was used in January: the period is what the engine says of it, and so is the limit.
      ['2026-01-01T05:00:00.000Z', 0, 0, 100, true],
    ]);
    expect(months.body.points[1].period).toEqual({
      start: '2025-11-01T04:00:00.000Z',
      end: '2025-12-01T05:00:00.000Z',
    });
    const utc = await history({
      targetingKey: 'zoned',
      key: 'utc',
      from: '2025-11-01T00:00:00Z',
      to: '2025-11-02T00:00:00Z',
    });
    expect(utc.body).toMatchObject({
      timeZone: 'UTC',
      from: '2025-11-01T00:00:00.000Z',
      to: '2025-11-02T00:00:00.000Z',
    });
  });

  it('law 9 a period that begins within an hour gets of it what its last decision says', async () => {
    await lived('anchored', 'calls', {
      periods: [{ start: '2025-09-10T10:20:00Z', end: '2025-10-10T10:20:00Z', used: 12 }],
      current: { start: '2025-10-10T10:20:00Z', end: '2099-11-10T10:20:00Z', used: 9 },
      hours: [
        { at: '2025-10-10T08:00:00Z', amount: 5, after: 5, limit: 100 },
        // 7 before 10:20, 3 after it.
        { at: '2025-10-10T10:00:00Z', amount: 10, after: 3, limit: 100, lastAt: '2025-10-10T10:50:00Z' },
        { at: '2025-10-10T12:00:00Z', amount: 6, after: 9, limit: 100 },
      ],
    });
    const answer = await history({
      targetingKey: 'anchored',
      key: 'calls',
      from: '2025-10-10T08:00:00Z',
      to: '2025-10-10T13:00:00Z',
      window: 'hour',
    });
    expect(shown(answer, 'amount', 'usage', 'reset')).toEqual([
      [5, 5, false],
      [0, 5, false],
      [10, 3, true],
      [0, 3, false],
      [6, 9, false],
    ]);
  });

  it('resets of every hour are seen in each, and a day shows the last of them', async () => {
    const now = server.parts.clock.now();
    const hour = now - (now % HOUR);
    await told(server, [
      event('quick', { key: 'hourly', amount: 4 }, { time: iso(hour - 3 * HOUR) }),
      event('quick', { key: 'hourly', amount: 20 }, { time: iso(hour - 2 * HOUR) }),
      event('quick', { key: 'hourly', amount: 1 }),
    ]);
    const answer = await history({
      targetingKey: 'quick',
      key: 'hourly',
      from: iso(hour - 3 * HOUR),
      window: 'hour',
    });
    expect(shown(answer, 'amount', 'usage', 'balance', 'overage', 'reset')).toEqual([
      [4, 4, 6, 0, true],
      [20, 20, 0, 10, true],
      [0, 0, 10, 0, true],
      [1, 1, 9, 0, true],
    ]);
  });

  it('K-9 takes amounts apart by attributes, and filters by them; the balance stays that of the account', async () => {
    const using = (model: string | undefined, amount: number) =>
      event('apart', {
        key: 'calls',
        amount,
        attributes: model === undefined ? {} : { model, region: 'eu' },
      });
    await told(server, [using('large', 5), using('small', 2), using('large', 1), using(undefined, 3)]);
    const from = aMinuteAgo();
    const by = await history({ targetingKey: 'apart', key: 'calls', from, by: 'model' });
    expect(by.status, JSON.stringify(by.body)).toBe(200);
    expect(by.body.points.at(-1)).toMatchObject({ amount: 11, usage: 11 });
    expect(by.body.points.at(-1).groups).toEqual([
      { attributes: { model: 'large' }, amount: 6, events: 2 },
      { attributes: { model: 'small' }, amount: 2, events: 1 },
      { attributes: { model: null }, amount: 3, events: 1 },
    ]);
    const two = await history({
      targetingKey: 'apart',
      key: 'calls',
      from,
      by: 'region,model',
      where: 'model=large',
    });
    expect(two.body.points.at(-1)).toMatchObject({
      amount: 6,
      events: 2,
      usage: 11,
      groups: [{ attributes: { region: 'eu', model: 'large' }, amount: 6, events: 2 }],
    });
    const none = await history({
      targetingKey: 'apart',
      key: 'calls',
      from,
      where: ['model=large', 'region=us'],
    });
    expect(none.body.points.at(-1)).toMatchObject({ amount: 0, events: 0, usage: 11, balance: 89 });
    expect(none.body.points.at(-1).groups).toBeUndefined();
  });

  it('OEP 5 a correction is taken off the attributes of the event that it corrects, unless it names others', async () => {
    const first = event(
      'off',
      { key: 'calls', amount: 9, attributes: { model: 'large', region: 'eu' } },
      { id: 'off-1' },
    );
    const take = (amount: number, attributes?: object) =>
      event('off', {
        key: 'calls',
        amount,
        corrects: 'off-1',
        ...(attributes === undefined ? {} : { attributes }),
      });
    // One in the batch of the event itself, the others when it is stored.
    await told(server, [first, take(-1)]);
    await told(server, [take(-2, { note: 'a credit' }), take(-3, { model: 'small' })]);
    const from = aMinuteAgo();
    const { body } = await history({ targetingKey: 'off', key: 'calls', from, by: 'model,region' });
    const point = body.points.at(-1);
    expect(point).toMatchObject({ amount: 3, usage: 3 });
    expect(point.groups).toEqual([
      { attributes: { model: 'large', region: 'eu' }, amount: 6, events: 3 },
      { attributes: { model: 'small', region: 'eu' }, amount: -3, events: 1 },
    ]);
  });

  it('what is told by its largest or its last value shows that, and no sum', async () => {
    const now = server.parts.clock.now();
    await told(server, [
      event('shape', { key: 'peak', amount: 7 }),
      event('shape', { key: 'peak', amount: 4 }),
    ]);
    await told(server, [
      event('shape', { key: 'storage', amount: 300 }),
      event('shape', { key: 'storage', amount: 120 }),
    ]);
    const from = iso(now - 2 * HOUR);
    const peak = await history({ targetingKey: 'shape', key: 'peak', from, window: 'hour' });
    expect(shown(peak, 'amount', 'usage').at(-1)).toEqual([7, 7]);
    const storage = await history({ targetingKey: 'shape', key: 'storage', from, window: 'hour' });
    expect(shown(storage, 'amount', 'usage', 'balance', 'period')).toEqual([
      [0, 0, 500, null],
      [0, 0, 500, null],
      [120, 120, 380, null],
    ]);
  });

  it('a feature that never resets goes back from what is used now; one without a limit says so', async () => {
    await lived('seated', 'seats', {
      current: { start: null, end: null, used: 3 },
      hours: [
        { at: '2025-10-10T08:00:00Z', amount: 4, after: 4, limit: 5 },
        { at: '2025-10-11T08:00:00Z', amount: -1, after: 3, limit: 5 },
      ],
    });
    const answer = await history({
      targetingKey: 'seated',
      key: 'seats',
      from: '2025-10-10T04:00:00Z',
      to: '2025-10-13T04:00:00Z',
    });
    expect(shown(answer, 'amount', 'usage', 'balance', 'reset')).toEqual([
      [4, 4, 1, false],
      [-1, 3, 2, false],
      [0, 3, 2, false],
    ]);
    await told(server, event('seated', { key: 'boundless', amount: 1_000_000 }));
    const boundless = await history({
      targetingKey: 'seated',
      key: 'boundless',
      from: iso(server.parts.clock.now() - 1000),
    });
    expect(boundless.body.points[0]).toMatchObject({
      usage: 1_000_000,
      limit: { kind: 'unlimited' },
      balance: 9_007_199_254_740_991,
      overage: 0,
    });
  });

  it('of a customer whom nobody knows it shows nothing used; the future is not shown', async () => {
    const now = server.parts.clock.now();
    const answer = await history({
      targetingKey: `new-${randomUUID()}`,
      key: 'calls',
      from: iso(now - HOUR),
      to: iso(now + 5 * HOUR),
      window: 'hour',
    });
    expect(shown(answer, 'amount', 'usage', 'balance')).toEqual([
      [0, 0, 100],
      [0, 0, 100],
    ]);
    const future = await history({
      targetingKey: 'x',
      key: 'calls',
      from: iso(now + 2 * HOUR),
      to: iso(now + 5 * HOUR),
      window: 'hour',
    });
    expect(future.body.points).toEqual([]);
  });

  it('K-13 refuses what it cannot answer, by the codes of the protocol, and says what to send', async () => {
    const from = '2026-01-01T00:00:00Z';
    const cases: readonly [Query, number, string][] = [
      [{ targetingKey: 'acme', from }, 400, 'PARSE_ERROR'],
      [{ targetingKey: 'acme', key: 'calls' }, 400, 'PARSE_ERROR'],
      [{ targetingKey: 'acme', key: 'calls', from: 'yesterday' }, 400, 'PARSE_ERROR'],
      [{ targetingKey: 'acme', key: 'calls', from: '2026-02-30T00:00:00Z' }, 400, 'PARSE_ERROR'],
      [{ targetingKey: 'acme', key: 'calls', from, window: 'week' }, 400, 'PARSE_ERROR'],
      [{ targetingKey: 'acme', key: ['calls', 'seats'], from }, 400, 'PARSE_ERROR'],
      [{ targetingKey: 'acme', key: 'calls', from, where: 'model' }, 400, 'PARSE_ERROR'],
      [{ targetingKey: 'acme', key: 'calls', from, to: from }, 400, 'SPAN_INVALID'],
      [{ targetingKey: 'acme', key: 'calls', from: '1990-01-01T00:00:00Z' }, 400, 'SPAN_TOO_LONG'],
      [
        { targetingKey: 'acme', key: 'calls', from: '2026-10-01T00:00:00Z', by: 'secret' },
        400,
        'ATTRIBUTE_NOT_KEPT',
      ],
      [
        { targetingKey: 'acme', key: 'seats', from: '2026-10-01T00:00:00Z', where: 'model=x' },
        400,
        'ATTRIBUTE_NOT_KEPT',
      ],
      [{ key: 'calls', from }, 400, 'TARGETING_KEY_MISSING'],
      [{ targetingKey: 'acme', key: 'per-user', from }, 400, 'TARGETING_KEY_MISSING'],
      [{ targetingKey: 'acme', key: 'reports', from }, 400, 'TYPE_MISMATCH'],
      [{ targetingKey: 'acme', key: 'nothing', from }, 404, 'ENTITLEMENT_NOT_FOUND'],
    ];
    for (const [query, status, code] of cases) {
      const answer = await history(query);
      expect([answer.status, codeOf(answer)], JSON.stringify(query)).toEqual([status, code]);
      expect(answer.body.errorDetails.length).toBeGreaterThan(15);
    }
    const hostile = await history({
      targetingKey: "a'\u0000;drop",
      key: 'calls',
      from: '2026-10-01T00:00:00Z',
      where: "model=' or true --",
    });
    expect(hostile.status).toBe(400);
    const quoted = await history({
      targetingKey: "a'; drop",
      key: 'calls',
      from: '2026-10-01T00:00:00Z',
      by: 'model',
      where: "model=' or true --",
    });
    expect(quoted.status).toBe(200);
  });

  it('law 11 a customer token reads its own history, whatever the query names; a client key alone reads none', async () => {
    await told(server, [
      event('own', { key: 'calls', amount: 6 }),
      event('other', { key: 'calls', amount: 9 }),
    ]);
    await told(server, event('own', { key: 'per-user', amount: 2, user: 'ada' }));
    const from = aMinuteAgo();
    const alone = await history({ targetingKey: 'own', key: 'calls', from }, { key: server.clientKey });
    expect([alone.status, codeOf(alone)]).toEqual([403, 'CUSTOMER_NOT_PROVEN']);
    const made = await server.request('POST', '/api/v1/token-keys', {
      body: { environment: 'production', name: 'web', reason: 'A test.' },
    });
    const token = signCustomerToken(made.body.privatePem, {
      kid: made.body.id,
      environment: 'production',
      customer: 'own',
      user: 'ada',
    });
    const headers = { 'x-api-key': server.clientKey, 'pennon-customer-token': token };
    await expect
      .poll(async () => (await history({ key: 'calls', from }, { key: null, headers })).status)
      .toBe(200);
    for (const targetingKey of ['own', 'other']) {
      const answer = await history({ targetingKey, key: 'calls', from }, { key: null, headers });
      expect(answer.body).toMatchObject({ targetingKey: 'own' });
      expect(answer.body.points.at(-1)).toMatchObject({ usage: 6 });
    }
    const own = await history({ key: 'per-user', from, user: 'eve' }, { key: null, headers });
    expect(own.body.points.at(-1)).toMatchObject({ usage: 2 });
    const server2 = await history({ targetingKey: 'own', key: 'per-user', from, user: 'eve' });
    expect(server2.body.points.at(-1)).toMatchObject({ usage: 0 });
  });
});
