import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { goBack, NOTICES_CATALOG, noticesOf, told } from './notices-support.js';
import { ask, consume, idempotencyKey, warm } from './runtime-support.js';
import { event, tell } from './usage-support.js';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ catalog: NOTICES_CATALOG, checkResponses: true });
  await warm(server, 'anybody');
}, 60_000);
afterAll(() => server?.stop());

function post(path: string, who: string, body: Readonly<Record<string, unknown>>) {
  return ask(
    server,
    `/oep/v1/${path}`,
    { context: { targetingKey: who }, ...body },
    { headers: { 'idempotency-key': idempotencyKey() } },
  );
}

async function grant(who: string, feature: string, value: number) {
  const made = await server.request('POST', `/api/v1/environments/${server.environment}/grants`, {
    body: {
      product: 'test',
      target: { kind: 'customer', key: who },
      kind: 'support',
      effect: { type: 'set', feature, value },
      reason: 'A test.',
    },
  });
  expect(made.status, made.text).toBe(201);
  return made.body.id as string;
}

describe('notices of usage (K-14)', () => {
  it('K-14 are told once for each crossing, in the order of the levels', async () => {
    await consume(server, 'once', { key: 'calls', amount: 4 });
    expect(await told(server, 'once')).toEqual([]);
    await consume(server, 'once', { key: 'calls', amount: 1 });
    await consume(server, 'once', { key: 'calls', amount: 1 });
    expect(await told(server, 'once')).toEqual(['warned 50 at 5']);
    await consume(server, 'once', { key: 'calls', amount: 4 });
    for (let round = 0; round < 3; round += 1) await consume(server, 'once', { key: 'calls' });
    expect(await told(server, 'once')).toEqual(['warned 50 at 5', 'warned 90 at 10', 'reached at 10']);
  });

  it('K-14 say all that a reader needs', async () => {
    await consume(server, 'facts', { key: 'calls', amount: 9 });
    const [first, second] = await noticesOf(server, 'facts');
    expect(first).toMatchObject({ type: 'limit.warned', level: 50, used: 9 });
    expect(second).toEqual({
      id: expect.any(String),
      type: 'limit.warned',
      occurredAt: expect.any(String),
      customer: 'facts',
      product: 'test',
      feature: 'calls',
      scope: '',
      level: 90,
      used: 9,
      reserved: 0,
      limit: 10,
      percent: 90,
      overage: 0,
      enforcement: 'hard',
      wouldHaveDenied: false,
      period: { start: expect.any(String), end: expect.any(String) },
      previous: null,
    });
  });

  it('K-14 a soft limit is reached and then exceeded, each once, and a denial tells nothing', async () => {
    for (let round = 0; round < 3; round += 1) await consume(server, 'softly', { key: 'soft', amount: 5 });
    expect((await consume(server, 'softly', { key: 'soft', amount: 5 })).body.allowed).toBe(false);
    expect(await told(server, 'softly')).toEqual(['reached at 10', 'exceeded at 15']);
  });

  it('K-14 observe allows, and says in answer, record, metrics and notice what a hard limit would have said', async () => {
    const within = await consume(server, 'watched', { key: 'observed', amount: 2 });
    expect(within.body.entitlement.metadata.wouldHaveDenied).toBeUndefined();
    const token = idempotencyKey();
    const before = await metric('pennon_would_have_denied_total');
    const over = await consume(server, 'watched', { key: 'observed', amount: 3 }, token);
    expect(over.body).toMatchObject({ allowed: true, reason: 'OBSERVE_ONLY', consumed: 3 });
    expect(over.body.entitlement.metadata).toMatchObject({ wouldHaveDenied: true });
    expect(await metric('pennon_would_have_denied_total')).toBe(before + 1);
    const again = await consume(server, 'watched', { key: 'observed', amount: 3 }, token);
    expect(again.body.entitlement.metadata).toMatchObject({ wouldHaveDenied: true });
    expect(await metric('pennon_would_have_denied_total')).toBe(before + 1);
    expect(await told(server, 'watched')).toEqual(['reached at 2', 'exceeded at 5', 'warned 200 at 5']);
    expect((await noticesOf(server, 'watched'))[1]).toMatchObject({
      enforcement: 'observe',
      wouldHaveDenied: true,
      overage: 3,
    });
  });

  it('K-14 recorded usage tells what it comes to, and what goes over', async () => {
    await tell(server, [
      event('recorded', { key: 'calls', amount: 6 }),
      event('recorded', { key: 'calls', amount: 6 }),
      event('recorded', { key: 'calls', amount: 1 }),
    ]);
    expect(await told(server, 'recorded')).toEqual([
      'warned 50 at 6',
      'warned 90 at 12',
      'reached at 12',
      'exceeded at 12',
    ]);
    await consume(server, 'recorded', { key: 'calls' });
    expect(await told(server, 'recorded')).toHaveLength(4);
  });

  it('K-14 what is held counts for nothing until it is settled', async () => {
    const held = await post('reservations', 'holder', { key: 'calls', amount: 10 });
    expect(held.body.allowed, held.text).toBe(true);
    expect(await told(server, 'holder')).toEqual([]);
    const token = { headers: { 'idempotency-key': idempotencyKey() } };
    await ask(server, `/oep/v1/reservations/${held.body.id}/settle`, { amount: 6 }, token);
    expect(await told(server, 'holder')).toEqual(['warned 50 at 6']);
  });

  it('K-14 a seat given and taken all day is told once in an hour', async () => {
    await consume(server, 'seated', { key: 'seats', amount: 3 });
    for (let round = 0; round < 5; round += 1) {
      await post('release', 'seated', { key: 'seats', amount: 1 });
      await consume(server, 'seated', { key: 'seats', amount: 1 });
    }
    expect(await told(server, 'seated')).toEqual(['reached at 3']);
    await post('release', 'seated', { key: 'seats', amount: 1 });
    await server.parts.database.pool.query(
      `update account set told_at = told_at - interval '1 hour' where feature = 'seats' and told_at is not null`,
    );
    await consume(server, 'seated', { key: 'seats', amount: 1 });
    expect(await told(server, 'seated')).toEqual(['reached at 3', 'reached at 3']);
  });

  it('K-14 a raised limit is told anew at once, and a lowered one with the next touch', async () => {
    await consume(server, 'moved', { key: 'seats', amount: 3 });
    const id = await grant('moved', 'seats', 5);
    await consume(server, 'moved', { key: 'seats', amount: 2 });
    expect(await told(server, 'moved')).toEqual(['reached at 3', 'reached at 5']);
    const path = `/api/v1/environments/${server.environment}/grants/${id}/revoke`;
    const ended = await server.request('POST', path, {
      body: { reason: 'A test.' },
      headers: { 'if-match': '"1"' },
    });
    expect(ended.status, ended.text).toBe(200);
    expect((await consume(server, 'moved', { key: 'seats' })).body.allowed).toBe(false);
    expect(await told(server, 'moved')).toEqual(['reached at 3', 'reached at 5', 'exceeded at 5']);
  });
});

describe('the notice that a period began', () => {
  it('K-14 is one, however many periods were skipped, and only after one that was told of', async () => {
    await consume(server, 'skipped', { key: 'calls', amount: 4 });
    await goBack(server, 'skipped', 'calls', '4 months');
    await consume(server, 'skipped', { key: 'calls', amount: 6 });
    expect(await told(server, 'skipped')).toEqual(['warned 50 at 6']);
    await goBack(server, 'skipped', 'calls', '4 months');
    await consume(server, 'skipped', { key: 'calls', amount: 10 });
    expect(await told(server, 'skipped')).toEqual([
      'warned 50 at 6',
      'reset at 0',
      'warned 50 at 10',
      'warned 90 at 10',
      'reached at 10',
    ]);
    expect((await noticesOf(server, 'skipped'))[1]).toMatchObject({ previous: { used: 6 }, limit: 10 });
  });

  it('K-14 comes with recorded usage too', async () => {
    await tell(server, event('later', { key: 'calls', amount: 10 }));
    await goBack(server, 'later', 'calls', '2 months');
    await tell(server, event('later', { key: 'calls', amount: 1 }));
    expect((await told(server, 'later')).at(-1)).toBe('reset at 0');
    await consume(server, 'later', { key: 'calls', amount: 1 });
    expect(await told(server, 'later')).toHaveLength(4);
  });

  it('K-14 comes by the clock where nobody asks, and who was near is not near any more', async () => {
    await consume(server, 'asleep', { key: 'hourly', amount: 4 });
    const mine = { context: { targetingKey: 'asleep', user: 'ada' }, key: 'mine', amount: 2 };
    await post('consume', 'asleep', mine);
    await goBack(server, 'asleep', 'mine', '3 hours');
    await goBack(server, 'asleep', 'hourly', '3 hours');
    await vi.waitFor(
      async () => {
        expect([...(await told(server, 'asleep'))].sort()).toEqual([
          'reached at 2',
          'reset at 0',
          'reset at 0',
          'warned 30 at 4',
        ]);
      },
      { timeout: 15_000, interval: 200 },
    );
    const { rows } = await server.parts.database.pool.query(
      `select a.used::int, a.percent, a.told, a.told_at, a.period_end > clock_timestamp() as current,
         (select count(*)::int from account_period p where p.customer_id = a.customer_id and p.feature = a.feature) as closed
       from account a join customer c on c.id = a.customer_id where c.key = 'asleep'`,
    );
    const one = { used: 0, percent: null, told: null, told_at: null, current: true, closed: 1 };
    expect(rows).toEqual([one, one]);
  });

  it('K-14 of a feature that has left the catalog nothing is told, and nobody looks for it again', async () => {
    await consume(server, 'gone', { key: 'hourly', amount: 10 });
    await server.parts.database.pool.query(
      `update account a set feature = 'left', period_end = period_end - interval '2 hours', period_start = period_start - interval '2 hours'
       from customer c where c.id = a.customer_id and c.key = 'gone'`,
    );
    await vi.waitFor(
      async () => {
        const { rows } = await server.parts.database.pool.query(
          `select told_at, percent from account a join customer c on c.id = a.customer_id where c.key = 'gone'`,
        );
        expect(rows).toEqual([{ told_at: null, percent: null }]);
      },
      { timeout: 15_000, interval: 200 },
    );
    expect(await told(server, 'gone', 'left')).toEqual([]);
  });
});

describe('reading notices', () => {
  const path = () => `/api/v1/environments/${server.environment}/notices`;

  it('pages to the oldest, filters, and refuses a cursor of the other order', async () => {
    for (const who of ['read-1', 'read-2']) await consume(server, who, { key: 'calls', amount: 10 });
    const first = await server.request('GET', `${path()}?customer=read-1&limit=2`, {});
    expect(first.body.items.map((one: { level: number }) => one.level)).toHaveLength(2);
    const rest = await server.request(
      'GET',
      `${path()}?customer=read-1&limit=2&cursor=${first.body.nextCursor}`,
      {},
    );
    expect(rest.body).toMatchObject({ items: [{ customer: 'read-1' }], nextCursor: null });
    const reached = await server.request(
      'GET',
      `${path()}?type=limit.reached&feature=calls&product=test`,
      {},
    );
    const customers = reached.body.items.map((one: { customer: string }) => one.customer);
    expect(customers).toEqual(expect.arrayContaining(['read-1', 'read-2']));
    expect(reached.body.items.every((one: { type: string }) => one.type === 'limit.reached')).toBe(true);
    const none = await server.request('GET', `${path()}?to=2020-01-01T00:00:00Z`, {});
    expect(none.body).toEqual({ items: [], nextCursor: null });
    for (const query of [
      `order=oldest&cursor=${first.body.nextCursor}`,
      'cursor=abc',
      `order=oldest&cursor=${cursorOf(['oldest', '999999999999999999', '0190a6f0-7c1e-7bbb-8bbb-000000000011'])}`,
    ]) {
      const refused = await server.request('GET', `${path()}?${query}`, {});
      expect([refused.status, refused.body.code], query).toEqual([400, 'CURSOR_INVALID']);
    }
    const unknown = await server.request('GET', `${path()}?customer=nobody-there`, {});
    expect([unknown.status, unknown.body.code]).toEqual([404, 'CUSTOMER_NOT_FOUND']);
  });

  it('a follower passes nothing over that commits late', async () => {
    await consume(server, 'followed', { key: 'calls', amount: 1 });
    const seen: string[] = [];
    let cursor: string | null = null;
    async function follow(): Promise<void> {
      const asked = cursor === null ? '' : `&cursor=${cursor}`;
      const page = await server.request(
        'GET',
        `${path()}?customer=followed&order=oldest&limit=2${asked}`,
        {},
      );
      expect(page.status, page.text).toBe(200);
      expect(page.body.items.length).toBeLessThanOrEqual(2);
      cursor = page.body.nextCursor as string;
      seen.push(...page.body.items.map((one: { feature: string }) => one.feature));
    }
    await follow();
    const { pool } = server.parts.database;
    const slow = await pool.connect();
    await slow.query('begin');
    await slow.query(
      `insert into outbox_event (id, occurred_at, environment_id, product_id, customer_id, type, subject, scope, data, transaction_id)
       select gen_random_uuid(), clock_timestamp(), o.environment_id, o.product_id, c.id, o.type, 'slow', '', o.data, pg_current_xact_id()
       from outbox_event o, customer c where c.key = 'followed' limit 1`,
    );
    await consume(server, 'followed', { key: 'calls', amount: 9 });
    for (let round = 0; round < 3; round += 1) await follow();
    expect(seen).toEqual([]);
    await slow.query('commit');
    slow.release();
    await vi.waitUntil(
      async () => {
        await follow();
        return seen.length >= 4;
      },
      { timeout: 15_000, interval: 50 },
    );
    await follow();
    expect(seen).toEqual(['slow', 'calls', 'calls', 'calls']);
  });
});

describe('erasing', () => {
  it('leaves what was told, under a name that says nothing', async () => {
    await warm(server, 'mallory@example.com');
    const taken = await post('consume', 'mallory@example.com', {
      context: { targetingKey: 'mallory@example.com', user: 'ada@example.com' },
      key: 'mine',
      amount: 2,
    });
    expect(taken.body.allowed, taken.text).toBe(true);
    const erase = `/api/v1/environments/${server.environment}/customers/mallory@example.com/erase`;
    const erased = await server.request('POST', erase, { body: { reason: 'Asked for.' } });
    expect(erased.status, erased.text).toBe(200);
    const { rows } = await server.parts.database.pool.query(
      `select count(*)::int as all, count(*) filter (where o::text ~ 'mallory|ada@')::int as naming
       from outbox_event o where customer_id = $1`,
      [erased.body.objectId],
    );
    expect(rows).toEqual([{ all: 1, naming: 0 }]);
  });
});

function cursorOf(position: readonly string[]): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url');
}

async function metric(name: string): Promise<number> {
  const { text } = await server.request('GET', '/metrics', { key: null });
  const found = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, 'gm'))];
  return found.reduce((sum, [, value]) => sum + Number(value), 0);
}

describe('metrics', () => {
  it('count notices by type', async () => {
    const { text } = await server.request('GET', '/metrics', { key: null });
    for (const type of ['limit.warned', 'limit.reached', 'limit.exceeded', 'limit.reset']) {
      expect(text).toMatch(new RegExp(`pennon_notices_total\\{type="${type}"\\} [1-9]`));
    }
  });
});
