import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { Wire } from '@pennon/testkit/wire';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, consume, customer, idempotencyKey, RUNTIME_CATALOG, warm } from './runtime-support.js';

/* What callers are told while the store hangs, stands still or cuts connections: 503, never a denial; and what holds afterwards. */

let near: TestServer;
let far: TestServer;
let wire: Wire;

beforeAll(async () => {
  near = await startTestServer({ catalog: RUNTIME_CATALOG });
  const url = new URL(near.databaseUrl);
  wire = new Wire(url.hostname, Number(url.port));
  url.host = `127.0.0.1:${await wire.listen()}`;
  // Not the socket, which goes before it.
  url.search = '';
  const keys = { admin: near.adminKey, server: near.serverKey, client: near.clientKey };
  far = await startTestServer({ databaseUrl: url.href, keys });
}, 60_000);
afterAll(async () => {
  wire?.standStill(false);
  await far?.stop();
  wire?.close();
  await near?.stop();
});

async function fresh(who: string): Promise<string> {
  await customer(near, who, 'pro');
  await warm(near, who);
  await warm(far, who);
  return who;
}

async function used(who: string): Promise<number> {
  const { rows } = await near.parts.database.pool.query(
    `select a.used::int from account a join customer c on c.id = a.customer_id where c.key = $1 and a.feature = 'calling-minutes'`,
    [who],
  );
  return rows[0]?.used ?? 0;
}

/** Everybody is told in time that nothing is known; asked again with the same keys, each unit is taken once. */
async function askedThrough(who: string, during: () => Promise<void>): Promise<void> {
  const tokens = Array.from({ length: 8 }, idempotencyKey);
  const began = performance.now();
  const first = Promise.all(
    tokens.map(async (token) => {
      const answer = await consume(far, who, { key: 'calling-minutes', amount: 1 }, token);
      return { ...answer, after: performance.now() - began };
    }),
  );
  await during();
  for (const { status, body, headers, after } of await first) {
    if (status === 200) {
      expect(body.allowed).toBe(true);
      continue;
    }
    expect([status, body.errorCode, headers.get('retry-after')]).toEqual([503, 'UNAVAILABLE', '1']);
    expect(after).toBeLessThan(4000);
  }
  for (const token of tokens) {
    for (;;) {
      const answer = await consume(far, who, { key: 'calling-minutes', amount: 1 }, token);
      if (answer.status === 503) continue;
      expect([answer.status, answer.body.allowed]).toEqual([200, true]);
      break;
    }
  }
  expect(await used(who)).toBe(tokens.length);
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe('consume while the store', () => {
  it('X-5 hangs on a lock: 503 by the deadline, and each unit once afterwards', async () => {
    const who = await fresh('locked');
    const client = await near.parts.database.pool.connect();
    try {
      await client.query('begin');
      await client.query('select 1 from customer where key = $1 for update', [who]);
      await askedThrough(who, async () => {
        await pause(1500);
        await client.query('rollback');
      });
    } finally {
      client.release();
    }
  });

  it('X-5 stands still for two seconds: 503 by the deadline, and each unit once afterwards', async () => {
    const who = await fresh('still');
    await consume(far, who, { key: 'calling-minutes', amount: 0 });
    wire.standStill(true);
    await askedThrough(who, async () => {
      await pause(2000);
      wire.standStill(false);
    });
  });

  it('X-5 stands still: whoever settles, releases, reads a hold, or wants a strong answer is told in time too', async () => {
    const who = await fresh('still-held');
    const headers = () => ({ headers: { 'idempotency-key': idempotencyKey() } });
    const context = { targetingKey: who };
    const made = await ask(
      far,
      '/oep/v1/reservations',
      { context, key: 'calling-minutes', amount: 2 },
      headers(),
    );
    const { id } = made.body;
    const began = performance.now();
    wire.standStill(true);
    try {
      const answers = await Promise.all([
        ask(far, `/oep/v1/reservations/${id}/settle`, { amount: 1 }, headers()),
        ask(far, `/oep/v1/reservations/${id}/release`, {}, headers()),
        far.request('GET', `/oep/v1/reservations/${id}`, { key: far.serverKey }),
        ask(far, '/oep/v1/evaluate/entitlements/calling-minutes', { context, consistency: 'strong' }),
      ]);
      for (const { status, body, headers: told } of answers) {
        expect([status, body.errorCode, told.get('retry-after')]).toEqual([503, 'UNAVAILABLE', '1']);
      }
      expect(performance.now() - began).toBeLessThan(4000);
    } finally {
      wire.standStill(false);
    }
    let settled = await ask(far, `/oep/v1/reservations/${id}/settle`, { amount: 1 }, headers());
    while (settled.status === 503)
      settled = await ask(far, `/oep/v1/reservations/${id}/settle`, { amount: 1 }, headers());
    expect(settled.body).toMatchObject({ state: 'settled', settled: 1 });
  });

  it('X-5 is lost without a word: connections that it does not know are given up, and it goes on by itself', async () => {
    const who = await fresh('lost');
    await Promise.all(
      Array.from({ length: 8 }, () => consume(far, who, { key: 'calling-minutes', amount: 0 })),
    );
    wire.lose();
    const token = idempotencyKey();
    const began = performance.now();
    let answer = await consume(far, who, { key: 'calling-minutes', amount: 3 }, token);
    while (answer.status === 503 && performance.now() - began < 30_000) {
      await pause(100);
      answer = await consume(far, who, { key: 'calling-minutes', amount: 3 }, token);
    }
    expect(answer).toMatchObject({ status: 200, body: { allowed: true, consumed: 3 } });
    expect(await used(who)).toBe(3);
  }, 60_000);

  it('X-5 cuts every connection: nobody is denied, and each unit is taken once', async () => {
    const who = await fresh('cut');
    await consume(far, who, { key: 'calling-minutes', amount: 0 });
    await askedThrough(who, async () => wire.cut());
  });
});

describe('a limit that another process lowers', () => {
  it('X-5 counts from its commit on, for consumes and reservations, whatever this process has heard', async () => {
    const who = await fresh('lowered');
    await far.parts.feed.stop();
    await consume(far, who, { key: 'calling-minutes', amount: 20 });
    const grant = {
      product: 'test',
      target: { kind: 'customer', key: who },
      kind: 'support',
      effect: { type: 'set', feature: 'calling-minutes', value: 20 },
      reason: 'A test.',
    };
    const made = await near.request('POST', '/api/v1/environments/production/grants', { body: grant });
    expect(made.status, made.text).toBe(201);
    const reserve = await ask(
      far,
      '/oep/v1/reservations',
      { context: { targetingKey: who }, key: 'calling-minutes', amount: 1 },
      { headers: { 'idempotency-key': idempotencyKey() } },
    );
    expect([reserve.status, reserve.body.allowed, reserve.body.reason]).toEqual([
      200,
      false,
      'LIMIT_REACHED',
    ]);
    const taken = await consume(far, who, { key: 'calling-minutes', amount: 1 });
    expect(taken.body).toMatchObject({ allowed: false, reason: 'LIMIT_REACHED', entitlement: { usage: 20 } });
  });
});
