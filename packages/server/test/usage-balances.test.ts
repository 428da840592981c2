import { randomUUID } from 'node:crypto';
import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caller } from './contracts-support.js';
import { BATCH, event, tell } from './usage-support.js';

const governed = 'category: limit, owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: calls, type: metered, reset: { every: month }, lateEvents: { days: 31 }, ${governed} }
  - { key: soft, type: metered, enforcement: soft, reset: { every: month }, ${governed} }
  - { key: rolls, type: metered, reset: { every: month }, rollover: { maximum: 40 }, ${governed} }
  - { key: storage, type: metered, reset: never, aggregation: latest, enforcement: soft, ${governed} }
plans:
  - { key: free, entitlements: [] }
  - { key: pro, rank: 1, entitlements: [{ feature: calls, value: 100 }, { feature: soft, value: 10 }, { feature: rolls, value: 100 }, { feature: storage, value: 50 }] }
`;

let server: TestServer;
let call: ReturnType<typeof caller>;
let number = 0;

beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  call = caller(server);
}, 90_000);
afterAll(() => server.stop());

async function customer(startsAt?: string): Promise<string> {
  number += 1;
  const key = `recorder-${number}`;
  await ok(call('PUT', `/customers/${key}`, {}));
  await ok(call('POST', `/customers/${key}/licenses`, { plan: 'pro', ...(startsAt ? { startsAt } : {}) }));
  return key;
}

async function ok(sent: Promise<TestResponse>): Promise<TestResponse> {
  const response = await sent;
  expect(response.status, response.text).toBeLessThan(300);
  return response;
}

async function topUp(who: string, amount: number, more: Record<string, unknown> = {}) {
  return (await ok(call('POST', `/customers/${who}/top-ups`, { feature: 'calls', amount, ...more }))).body;
}

async function remaining(who: string, query = '') {
  const { body } = await ok(call('GET', `/customers/${who}/top-ups${query}`));
  return (body as { items: { remaining: number }[] }).items.map((lot) => lot.remaining);
}

async function record(who: string, amount: number, key = 'calls', more: Record<string, unknown> = {}) {
  const told = event(who, { key, amount, ...more });
  const { body } = await ok(tell(server, [told]));
  expect(body, JSON.stringify(body)).toMatchObject({ items: [{ status: 'accepted' }] });
  return told.id;
}

async function evaluated(who: string, key = 'calls', consistency?: 'strong') {
  const body = { context: { targetingKey: who }, ...(consistency === undefined ? {} : { consistency }) };
  const path = `/oep/v1/evaluate/entitlements/${key}`;
  return (await ok(server.request('POST', path, { body, key: server.serverKey }))).body;
}

function oep(path: string, who: string, body: Record<string, unknown>) {
  return ok(
    server.request('POST', `/oep/v1/${path}`, {
      body: { context: { targetingKey: who }, ...body },
      key: server.serverKey,
      headers: { 'idempotency-key': randomUUID() },
    }),
  );
}

async function account(who: string, feature = 'calls') {
  const { rows } = await server.parts.database.pool.query(
    `select a.used, a.covered, a.has_lots from account a join customer c on c.id = a.customer_id
     where c.key = $1 and a.feature = $2`,
    [who, feature],
  );
  return rows[0];
}

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();

describe('OEP 3 K-5 recorded usage is taken out of lots as consumed usage is', () => {
  it('after the allowance, in the order of use, and the limit stands still', async () => {
    const who = await customer();
    await topUp(who, 50);
    await topUp(who, 10, { endsAt: inDays(1), kind: 'promotional' });
    await record(who, 5);
    expect(await remaining(who)).toEqual([50, 5]);
    await record(who, 115);
    expect(await remaining(who)).toEqual([40, 0]);
    for (const consistency of [undefined, 'strong'] as const) {
      expect(await evaluated(who, 'calls', consistency)).toMatchObject({
        limit: { value: 160 },
        usage: 120,
        balance: 40,
        overage: 0,
      });
    }
    expect(await account(who)).toEqual({ used: 120, covered: 20, has_lots: true });
    expect((await oep('consume', who, { key: 'calls', amount: 41 })).body).toMatchObject({ allowed: false });
    expect((await oep('consume', who, { key: 'calls', amount: 40 })).body).toMatchObject({ allowed: true });
  });

  it('several events of one batch share what there is, and what is beyond it is overage', async () => {
    const who = await customer();
    await topUp(who, 7);
    const batch = [60, 45, 4].map((amount) => event(who, { key: 'calls', amount }));
    await ok(tell(server, batch));
    expect(await remaining(who)).toEqual([0]);
    expect(await evaluated(who)).toMatchObject({ limit: { value: 107 }, usage: 109, overage: 2 });
    expect(await account(who)).toMatchObject({ used: 109, covered: 7 });
    // Told again, nothing is taken twice.
    await ok(tell(server, batch));
    expect(await account(who)).toMatchObject({ used: 109, covered: 7 });
  });

  it('a correction goes back in the reverse order, and first into what was over', async () => {
    const who = await customer();
    await topUp(who, 10);
    const id = await record(who, 115);
    expect(await remaining(who)).toEqual([0]);
    await record(who, -7, 'calls', { corrects: id });
    expect(await remaining(who)).toEqual([2]);
    expect(await evaluated(who)).toMatchObject({ limit: { value: 110 }, usage: 108, balance: 2, overage: 0 });
    await record(who, -108, 'calls', { corrects: id });
    expect(await remaining(who)).toEqual([10]);
    expect(await account(who)).toMatchObject({ used: 0, covered: 0 });
  });

  it('a kept value that falls gives back what it had taken', async () => {
    const who = await customer();
    await topUp(who, 20, { feature: 'storage' });
    await record(who, 65, 'storage');
    expect(await remaining(who)).toEqual([5]);
    await record(who, 55, 'storage');
    expect(await remaining(who)).toEqual([15]);
    await record(who, 10, 'storage');
    expect(await remaining(who)).toEqual([20]);
    expect(await evaluated(who, 'storage')).toMatchObject({ limit: { value: 70 }, usage: 10, balance: 60 });
  });

  it('what a voided lot covered stays covered, and what is recorded then is over', async () => {
    const who = await customer();
    const { id } = await topUp(who, 20);
    await record(who, 110);
    await ok(call('POST', `/customers/${who}/top-ups/${id}/void`, {}));
    await record(who, 3);
    expect(await evaluated(who)).toMatchObject({ limit: { value: 110 }, usage: 113, overage: 3 });
    expect(await account(who)).toEqual({ used: 113, covered: 10, has_lots: false });
  });

  it('the first event of a period closes the one before, stores what rolled over, and takes it first', async () => {
    const who = await customer(new Date(Date.now() - 40 * 86_400_000).toISOString());
    await record(who, 70, 'rolls');
    await server.parts.database.pool.query(
      `update account a set period_start = period_start - interval '1 month', period_end = period_start
       from customer c where c.id = a.customer_id and c.key = $1`,
      [who],
    );
    await record(who, 25, 'rolls');
    expect(await remaining(who)).toEqual([5]);
    expect(await account(who, 'rolls')).toEqual({ used: 25, covered: 25, has_lots: true });
    expect(await evaluated(who, 'rolls', 'strong')).toMatchObject({ limit: { value: 130 }, balance: 105 });
    const { rows } = await server.parts.database.pool.query(
      'select p.used, p.covered from account_period p join customer c on c.id = p.customer_id where c.key = $1',
      [who],
    );
    expect(rows).toEqual([{ used: 70, covered: 0 }]);
  });

  it('what is told of a period that is over takes nothing out of lots', async () => {
    const who = await customer(new Date(Date.now() - 100 * 86_400_000).toISOString());
    await topUp(who, 20);
    await record(who, 5);
    const { period } = (await evaluated(who)) as { period: { start: string } };
    const time = new Date(Date.parse(period.start) - 1000).toISOString();
    const { body } = await ok(tell(server, [event(who, { key: 'calls', amount: 160 }, { time })]));
    expect(body).toMatchObject({ items: [{ status: 'accepted', period: 'earlier' }] });
    expect(await account(who)).toMatchObject({ used: 5, covered: 0 });
    expect(await remaining(who)).toEqual([20]);
  });
});

describe('a top-up while a period is over its limit', () => {
  it('OEP 6 counts at once in what is read: the limit rises and overage shrinks', async () => {
    const who = await customer();
    await record(who, 14, 'soft');
    expect(await evaluated(who, 'soft')).toMatchObject({ limit: { value: 10 }, overage: 4 });
    await topUp(who, 3, { feature: 'soft' });
    for (const consistency of [undefined, 'strong'] as const) {
      expect(await evaluated(who, 'soft', consistency)).toMatchObject({
        limit: { value: 13 },
        usage: 14,
        overage: 1,
        balance: 0,
      });
    }
    await topUp(who, 5, { feature: 'soft' });
    expect(await evaluated(who, 'soft')).toMatchObject({ limit: { value: 18 }, overage: 0, balance: 4 });
    await record(who, 1, 'soft');
    expect((await remaining(who)).reduce((sum, one) => sum + one, 0)).toBe(3);
    expect(await evaluated(who, 'soft')).toMatchObject({ limit: { value: 18 }, usage: 15, balance: 3 });
  });
});

describe('on several processes', () => {
  let processes: ServerProcess[] = [];
  beforeAll(async () => {
    processes = [await startServerProcess(server), await startServerProcess(server)];
  }, 90_000);
  afterAll(async () => {
    await Promise.all(processes.map((one) => one.kill()));
  });

  async function answerOf(urls: readonly string[], at: number, path: string, init: RequestInit) {
    for (let attempt = 0; attempt < 200; attempt += 1) {
      const url = urls[(at + attempt) % urls.length] ?? '';
      const response = await fetch(`${url}${path}`, { ...init, signal: AbortSignal.timeout(10_000) }).catch(
        () => null,
      );
      const body = response?.ok === true ? await response.json().catch(() => null) : null;
      if (body !== null) return body as Record<string, unknown>;
      if (response !== null && response.status < 500 && !response.ok) throw new Error(await response.text());
      await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 40));
    }
    throw new Error('No answer after 200 tries.');
  }

  it('law 2: consume, record, top-ups and voids at once, through kill -9: every unit is in one place', async () => {
    const who = await customer();
    await topUp(who, 30, { endsAt: inDays(1) });
    await topUp(who, 1000);
    const victim = await startServerProcess(server);
    const urls = [victim.url, ...processes.map((one) => one.url)];
    const authorization = `Bearer ${server.serverKey}`;
    const consume = async (at: number) => {
      const body = await answerOf(urls, at, '/oep/v1/consume', {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json', 'idempotency-key': randomUUID() },
        body: JSON.stringify({ context: { targetingKey: who }, key: 'calls', amount: 1 }),
      });
      return body['consumed'] as number;
    };
    const tellSurely = async (at: number) => {
      const events = Array.from({ length: 10 }, () => event(who, { key: 'calls', amount: 1 }));
      await answerOf(urls, at, '/oep/v1/usage', {
        method: 'POST',
        headers: { authorization, 'content-type': BATCH },
        body: JSON.stringify(events),
      });
      return events.length;
    };
    // Under locks that are wanted by all of them, management may be told to ask again, as everybody is.
    const surely = async (path: string, body: Record<string, unknown>): Promise<TestResponse> => {
      const headers = { 'idempotency-key': randomUUID(), 'if-match': '*' };
      for (let attempt = 0; attempt < 60; attempt += 1) {
        const answer = await call('POST', `/customers/${who}/top-ups${path}`, body, headers);
        if (answer.status !== 503) return answer;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error('No answer after 60 tries.');
    };
    const change = async () => {
      const made = await surely('', { feature: 'calls', amount: 4, endsAt: inDays(2) });
      expect(made.status, made.text).toBe(201);
      const voided = await surely(`/${made.body.id}/void`, {});
      // It may be used up before.
      expect(voided.status === 200 || voided.body.code === 'TOP_UP_OVER', voided.text).toBe(true);
      await surely('', { feature: 'calls', amount: 3 });
      return 0;
    };
    const work = Array.from({ length: 60 }, (_, index) => [
      consume(index),
      tellSurely(index + 1),
      ...(index % 10 === 0 ? [change()] : []),
    ]).flat();
    await new Promise((resolve) => setTimeout(resolve, 150));
    await victim.kill();
    const total = (await Promise.all(work)).reduce((sum, one) => sum + one, 0);
    const { used, covered } = await account(who);
    expect(used).toBe(total);
    const { rows } = await server.parts.database.pool.query(
      `select sum(l.amount - l.remaining)::int as taken, min(l.remaining)::int as least from credit_lot l
       join customer c on c.id = l.customer_id where c.key = $1`,
      [who],
    );
    expect(rows[0].taken).toBe(covered);
    expect(rows[0].least).toBeGreaterThanOrEqual(0);
    // What neither was taken from the allowance of 100 came out of lots, for they always had enough.
    expect(used - covered).toBe(100);
  }, 90_000);
});
