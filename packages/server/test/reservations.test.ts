import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  ask,
  consume,
  customer,
  entitlement,
  idempotencyKey,
  license,
  RUNTIME_CATALOG,
  warm,
} from './runtime-support.js';

const governed = 'category: limit, owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = RUNTIME_CATALOG.replace(
  'plans:\n',
  `  - { key: whole, type: metered, reset: { every: month }, settle: { more: all, late: consume }, ${governed} }
  - { key: partly, type: metered, reset: { every: month }, settle: { more: upTo, late: consume }, ${governed} }
  - { key: per-instance, type: metered, reset: { every: day }, per: instance, ${governed} }
plans:
`,
).replace(
  '- { feature: advanced-analytics, value: true }',
  `- { feature: whole, value: 10 }
      - { feature: partly, value: 10 }
      - { feature: per-instance, value: 2 }
      - { feature: advanced-analytics, value: true }`,
);

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG, checkResponses: true });
}, 60_000);
afterAll(() => server?.stop());

let customers = 0;
async function fresh(plan: string | undefined = 'pro'): Promise<string> {
  customers += 1;
  const key = `holder-${customers}`;
  await customer(server, key, plan);
  await warm(server, key);
  return key;
}

function reserve(who: string, body: Readonly<Record<string, unknown>>, token = idempotencyKey()) {
  const sent = { context: { targetingKey: who }, key: 'calling-minutes', ...body };
  return ask(server, '/oep/v1/reservations', sent, { headers: { 'idempotency-key': token } });
}

async function held(who: string, body: Readonly<Record<string, unknown>>): Promise<string> {
  const made = await reserve(who, body);
  expect(made.status, made.text).toBe(201);
  return made.body.id;
}

function end(word: 'settle' | 'release', id: string, body: unknown = {}, token = idempotencyKey()) {
  return ask(server, `/oep/v1/reservations/${id}/${word}`, body, { headers: { 'idempotency-key': token } });
}

function read(id: string): Promise<TestResponse> {
  return server.request('GET', `/oep/v1/reservations/${id}`, { key: server.serverKey });
}

/** As if so much time had gone by: the end of what is held is brought forward, in both places that know of it. */
async function endsNow(id: string): Promise<void> {
  const { pool } = server.parts.database;
  await pool.query(
    `update reservation set created_at = created_at - interval '1 day', expires_at = clock_timestamp() - interval '2 ms' where id = $1`,
    [id],
  );
  await pool.query(
    `update account a set next_hold_end = r.expires_at from reservation r where r.id = $1 and a.customer_id = r.customer_id
       and a.product_id = r.product_id and a.feature = r.feature and a.scope = r.scope`,
    [id],
  );
}

async function account(who: string, feature = 'calling-minutes') {
  const { rows } = await server.parts.database.pool.query(
    `select a.used, a.reserved, a.next_hold_end from account a join customer c on c.id = a.customer_id
     where c.key = $1 and a.feature = $2`,
    [who, feature],
  );
  return { used: rows[0]?.used, reserved: rows[0]?.reserved, holds: rows[0]?.next_hold_end !== null };
}

describe('a reservation', () => {
  it('X-5 holds an amount: it counts as used, and is answered with when it ends', async () => {
    const who = await fresh();
    const before = Date.now();
    const made = await reserve(who, { amount: 60, ttlSeconds: 30 });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      allowed: true,
      reason: 'PLAN',
      key: 'calling-minutes',
      amount: 60,
      settled: null,
      state: 'held',
      entitlement: { usage: 0, reserved: 60, balance: 40, hasAccess: true },
    });
    const ends = Date.parse(made.body.expiresAt);
    expect(ends).toBeGreaterThan(before + 25_000);
    expect(ends).toBeLessThan(before + 40_000);
    const refused = await reserve(who, { amount: 41 });
    expect([refused.status, refused.body.allowed, refused.body.reason]).toEqual([
      200,
      false,
      'LIMIT_REACHED',
    ]);
    expect(refused.body.id).toBeUndefined();
    expect((await consume(server, who, { key: 'calling-minutes', amount: 41 })).body.allowed).toBe(false);
    expect((await consume(server, who, { key: 'calling-minutes', amount: 40 })).body).toMatchObject({
      allowed: true,
      entitlement: { usage: 40, reserved: 60, balance: 0, hasAccess: false },
    });
    expect((await entitlement(server, 'calling-minutes', who)).body).toMatchObject({
      usage: 40,
      reserved: 60,
      hasAccess: false,
      reason: 'LIMIT_REACHED',
      // The end of what is held is the next thing that may let the customer in.
      validUntil: made.body.expiresAt,
    });
    expect((await read(made.body.id)).body).toEqual({
      id: made.body.id,
      key: 'calling-minutes',
      amount: 60,
      settled: null,
      state: 'held',
      expiresAt: made.body.expiresAt,
    });
  });

  it('is settled for less, for all, or for nothing; what was not used is free at once', async () => {
    const who = await fresh();
    const settle = async (amount: number, used: number | undefined, usage: number) => {
      const id = await held(who, { amount });
      const settled = await end('settle', id, used === undefined ? {} : { amount: used });
      expect(settled.status, settled.text).toBe(200);
      const entitlementAfter = { usage, reserved: 0, balance: 100 - usage };
      const expected = { allowed: true, id, amount, state: 'settled', settled: used ?? amount };
      expect(settled.body).toMatchObject({ ...expected, entitlement: entitlementAfter });
      return id;
    };
    await settle(100, 10, 10);
    await settle(90, 0, 10);
    await settle(30, undefined, 40);
    const id = await settle(60, 60, 100);
    expect(await account(who)).toEqual({ used: 100, reserved: 0, holds: false });
    expect((await read(id)).body).toMatchObject({ state: 'settled', settled: 60 });
  });

  it('is settled by the measure of the feature, where attributes tell what was used', async () => {
    const who = await fresh();
    const id = await held(who, { key: 'ai-tokens', amount: 500 });
    const attributes = { tokens_in: 100, tokens_out: 50 };
    const settled = await end('settle', id, { attributes });
    expect(settled.body).toMatchObject({ settled: 150, entitlement: { usage: 150, reserved: 0 } });
    const measured = await reserve(who, { key: 'ai-tokens', attributes });
    expect(measured.body).toMatchObject({ amount: 150, state: 'held' });
  });

  it('is released whole, as often as one likes, and is final then', async () => {
    const who = await fresh();
    const id = await held(who, { amount: 100 });
    const released = await end('release', id);
    expect([released.status, released.body.state]).toEqual([200, 'released']);
    expect(released.body.entitlement).toMatchObject({ usage: 0, reserved: 0 });
    const again = await end('release', id);
    expect([again.status, again.body.state, again.body.entitlement.reserved]).toEqual([200, 'released', 0]);
    const late = await end('settle', id, { amount: 1 });
    expect([late.status, late.body.errorCode]).toEqual([409, 'RESERVATION_FINAL']);
    expect(late.body.errorDetails).toContain(id);
    const settled = await held(who, { amount: 5 });
    await end('settle', settled, { amount: 5 });
    for (const word of ['settle', 'release'] as const) {
      const refused = await end(word, settled);
      expect([refused.status, refused.body.errorCode]).toEqual([409, 'RESERVATION_FINAL']);
    }
    expect(await account(who)).toEqual({ used: 5, reserved: 0, holds: false });
  });

  it('X-5 gives the stored answer to the same key, and refuses the key for anything else', async () => {
    const who = await fresh();
    const [one, two, three] = [idempotencyKey(), idempotencyKey(), idempotencyKey()];
    const made = await reserve(who, { amount: 10 }, one);
    const replayed = await reserve(who, { amount: 10 }, one);
    expect([replayed.status, replayed.headers.get('idempotency-replayed')]).toEqual([201, 'true']);
    expect(replayed.body).toEqual(made.body);
    expect((await reserve(who, { amount: 11 }, one)).body.errorCode).toBe('IDEMPOTENCY_MISMATCH');
    const settled = await end('settle', made.body.id, { amount: 4 }, two);
    // Also once the answer to the other call is that nothing is held any more.
    expect((await reserve(who, { amount: 10 }, one)).body).toEqual(made.body);
    const settledAgain = await end('settle', made.body.id, { amount: 4 }, two);
    expect([settledAgain.status, settledAgain.body]).toEqual([200, settled.body]);
    expect(settledAgain.headers.get('idempotency-replayed')).toBe('true');
    expect((await end('settle', made.body.id, { amount: 5 }, two)).status).toBe(422);
    const other = await held(who, { amount: 10 });
    expect((await end('settle', other, { amount: 4 }, two)).status).toBe(422);
    const released = await end('release', other, {}, three);
    expect((await end('release', other, {}, three)).body).toEqual(released.body);
    const denied = await reserve(who, { amount: 97 }, 'denied');
    await end('settle', await held(who, { amount: 1 }), { amount: 0 });
    const deniedAgain = await reserve(who, { amount: 97 }, 'denied');
    expect([deniedAgain.status, deniedAgain.body]).toEqual([200, denied.body]);
    expect(await account(who)).toEqual({ used: 4, reserved: 0, holds: false });
  });

  it('upTo holds what fits', async () => {
    const who = await fresh();
    await consume(server, who, { key: 'calling-minutes', amount: 70 });
    const made = await reserve(who, { amount: 50, mode: 'upTo' });
    expect(made.body).toMatchObject({ allowed: true, amount: 30, entitlement: { reserved: 30, balance: 0 } });
    expect((await reserve(who, { amount: 1, mode: 'upTo' })).body.allowed).toBe(false);
  });

  it('holds of the account of an instance, a user or the customer, whichever the feature counts', async () => {
    const who = await fresh();
    const path = `/api/v1/environments/production/customers/${who}/instances/eu-${who}`;
    await server.request('PUT', path, { body: { reason: 'A test.' } });
    const instance = { context: { targetingKey: who, instance: { key: `eu-${who}` } }, key: 'per-instance' };
    const one = await reserve(who, { ...instance, amount: 2 });
    expect(one.body).toMatchObject({ allowed: true, entitlement: { reserved: 2, balance: 0 } });
    expect((await reserve(who, { ...instance, amount: 1 })).body.allowed).toBe(false);
    expect((await end('settle', one.body.id, { amount: 1 })).body).toMatchObject({
      settled: 1,
      entitlement: { usage: 1, reserved: 0 },
    });
    const ofUser = (user: string) =>
      reserve(who, { context: { targetingKey: who, user }, key: 'per-user-exports', amount: 2 });
    const [ada, bob] = [await ofUser('ada'), await ofUser('bob')];
    expect([ada.body.allowed, bob.body.allowed]).toEqual([true, true]);
    expect((await ofUser('ada')).body.allowed).toBe(false);
    expect((await end('release', ada.body.id)).body.entitlement).toMatchObject({ reserved: 0, balance: 2 });
    const nobody = await reserve(who, { key: 'per-user-exports', amount: 1 });
    expect([nobody.status, nobody.body.errorCode]).toEqual([400, 'TARGETING_KEY_MISSING']);
  });

  it('registers a customer of the default plan, and nobody on settling', async () => {
    const made = await reserve('never-seen', { key: 'max_professionals', amount: 1 });
    expect(made.status, made.text).toBe(201);
    expect((await end('settle', made.body.id)).body.entitlement.usage).toBe(1);
  });
});

describe('more than was held', () => {
  it('is refused by name, unless the feature says otherwise', async () => {
    const who = await fresh();
    const id = await held(who, { amount: 10 });
    const refused = await end('settle', id, { amount: 11 });
    expect([refused.status, refused.body.errorCode]).toEqual([400, 'TYPE_MISMATCH']);
    expect(refused.body.errorDetails).toContain('10 of `calling-minutes` are held');
    expect(await account(who)).toMatchObject({ used: 0, reserved: 10 });
  });

  it('K-5 `all` takes the excess whole or settles nothing, and the hold stands', async () => {
    const who = await fresh();
    await consume(server, who, { key: 'whole', amount: 4 });
    const id = await held(who, { key: 'whole', amount: 3 });
    const denied = await end('settle', id, { amount: 7 });
    expect(denied.status).toBe(200);
    expect(denied.body).toMatchObject({
      allowed: false,
      reason: 'LIMIT_REACHED',
      state: 'held',
      settled: null,
    });
    expect(await account(who, 'whole')).toMatchObject({ used: 4, reserved: 3 });
    expect((await end('settle', id, { amount: 6 })).body).toMatchObject({
      allowed: true,
      settled: 6,
      entitlement: { usage: 10, reserved: 0 },
    });
  });

  it('K-5 `upTo` takes of the excess what fits', async () => {
    const who = await fresh();
    await consume(server, who, { key: 'partly', amount: 4 });
    const id = await held(who, { key: 'partly', amount: 3 });
    expect((await end('settle', id, { amount: 50 })).body).toMatchObject({
      allowed: true,
      settled: 6,
      entitlement: { usage: 10, reserved: 0 },
    });
  });
});

describe('the end of a hold', () => {
  it('frees its room at the very next decision, by database time', async () => {
    const who = await fresh();
    const id = await held(who, { amount: 100 });
    expect((await consume(server, who, { key: 'calling-minutes', amount: 1 })).body.allowed).toBe(false);
    await endsNow(id);
    const taken = await consume(server, who, { key: 'calling-minutes', amount: 100 });
    expect(taken.body).toMatchObject({ allowed: true, entitlement: { usage: 100, reserved: 0 } });
    expect((await read(id)).body.state).toBe('expired');
    expect(await account(who)).toEqual({ used: 100, reserved: 0, holds: false });
    const { rows } = await server.parts.database.pool.query(
      `select operation, consumed::int, used_after::int, reserved_after::int from consumption where idempotency_key = $1`,
      [id],
    );
    expect(rows).toEqual([{ operation: 'expire', consumed: 100, used_after: 0, reserved_after: 0 }]);
  });

  it('makes a settlement too late: 410, and a release is a release all the same', async () => {
    const who = await fresh();
    const [late, other] = [await held(who, { amount: 10 }), await held(who, { amount: 20 })];
    await endsNow(late);
    const refused = await end('settle', late, { amount: 5 });
    expect([refused.status, refused.body.errorCode]).toEqual([410, 'RESERVATION_EXPIRED']);
    expect((await end('release', late)).body).toMatchObject({ state: 'expired', settled: null });
    expect(await account(who)).toMatchObject({ used: 0, reserved: 20 });
    expect((await end('settle', other, { amount: 20 })).status).toBe(200);
  });

  it('lets a late settlement be tried as a consume where the feature says so', async () => {
    const who = await fresh();
    const id = await held(who, { key: 'whole', amount: 6 });
    await endsNow(id);
    await consume(server, who, { key: 'whole', amount: 6 });
    const denied = await end('settle', id, { amount: 5 });
    expect(denied.status).toBe(200);
    expect(denied.body).toMatchObject({ allowed: false, reason: 'LIMIT_REACHED', state: 'expired' });
    const settled = await end('settle', id, { amount: 4 });
    expect(settled.body).toMatchObject({ allowed: true, state: 'settled', settled: 4 });
    expect(settled.body.entitlement).toMatchObject({ usage: 10, reserved: 0 });
    expect((await end('settle', id, { amount: 1 })).status).toBe(409);
    const part = await held(who, { key: 'partly', amount: 8 });
    await endsNow(part);
    await consume(server, who, { key: 'partly', amount: 7 });
    expect((await end('settle', part, { amount: 8 })).body).toMatchObject({ allowed: true, settled: 3 });
  });

  it('is known to evaluations by the clock, without anybody reading the store', async () => {
    const who = await fresh();
    const made = await reserve(who, { amount: 100, ttlSeconds: 1 });
    expect((await entitlement(server, 'calling-minutes', who)).body.hasAccess).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, Date.parse(made.body.expiresAt) - Date.now() + 50));
    expect((await entitlement(server, 'calling-minutes', who)).body).toMatchObject({
      hasAccess: true,
      reserved: 0,
      balance: 100,
    });
    const strong = await entitlement(server, 'calling-minutes', who, { consistency: 'strong' });
    expect(strong.body).toMatchObject({ hasAccess: true, reserved: 0 });
  });

  it('of more reservations than one transaction takes off denies nobody what is free', async () => {
    const who = await fresh();
    const id = await held(who, { amount: 1 });
    const { pool } = server.parts.database;
    await pool.query(
      `insert into reservation (customer_id, id, environment_id, product_id, feature, scope, amount, state, created_at, expires_at, context, actor)
       select customer_id, gen_random_uuid(), environment_id, product_id, feature, scope, 1, 'held', created_at, expires_at, context, actor
       from reservation, generate_series(1, 2500) where id = $1`,
      [id],
    );
    await pool.query(
      `update account a set reserved = 2501 from reservation r where r.id = $1 and a.customer_id = r.customer_id`,
      [id],
    );
    await pool.query(
      `update reservation set expires_at = clock_timestamp() - interval '1 second' where customer_id in (select customer_id from reservation where id = $1)`,
      [id],
    );
    await endsNow(id);
    // On a busy machine taking off so many may last longer than a call may: then it asks again, as it is told to.
    const token = idempotencyKey();
    let taken = await consume(server, who, { key: 'calling-minutes', amount: 100 }, token);
    while (taken.status === 503)
      taken = await consume(server, who, { key: 'calling-minutes', amount: 100 }, token);
    expect(taken.body).toMatchObject({ allowed: true, entitlement: { usage: 100, reserved: 0 } });
  });

  it('X-5 of more than one transaction takes off, of several features, denies nobody what is free', async () => {
    const who = await fresh();
    const { pool } = server.parts.database;
    const first = await held(who, { amount: 100, ttlSeconds: 3600 });
    const last = await held(who, { key: 'whole', amount: 10, ttlSeconds: 3600 });
    // One of the second feature ends before all of the first, and what holds its limit after them.
    for (const [id, count, ago] of [
      [first, 1200, '10 seconds'],
      [last, 1, '20 seconds'],
    ] as const) {
      await pool.query(
        `insert into reservation (customer_id, id, environment_id, product_id, feature, scope, amount, state, created_at, expires_at, context, actor)
         select customer_id, gen_random_uuid(), environment_id, product_id, feature, scope, 0, 'held', created_at - interval '1 day',
           clock_timestamp() - $2::interval, context, actor
         from reservation, generate_series(1, $3) where id = $1`,
        [id, ago, count],
      );
    }
    await endsNow(first);
    await endsNow(last);
    const token = idempotencyKey();
    const items = [
      { key: 'calling-minutes', amount: 100 },
      { key: 'whole', amount: 10 },
    ];
    await vi.waitFor(
      async () =>
        expect((await consume(server, who, { items }, token)).body).toMatchObject({
          allowed: true,
          items: [{ entitlement: { reserved: 0 } }, { entitlement: { reserved: 0 } }],
        }),
      { timeout: 10_000, interval: 50 },
    );
  });

  it('of one that was settled is not looked for any more', async () => {
    const who = await fresh();
    const settled = await held(who, { amount: 1, ttlSeconds: 30 });
    const standing = await held(who, { amount: 1, ttlSeconds: 3600 });
    await end('settle', settled);
    await server.parts.database.pool.query(
      `update account a set next_hold_end = clock_timestamp() - interval '1 ms' from customer c where c.id = a.customer_id and c.key = $1`,
      [who],
    );
    await consume(server, who, { key: 'calling-minutes', amount: 1 });
    const { rows } = await server.parts.database.pool.query(
      `select a.next_hold_end as known, r.expires_at as ends from account a join customer c on c.id = a.customer_id
         join reservation r on r.id = $2 where c.key = $1 and a.feature = 'calling-minutes'`,
      [who, standing],
    );
    expect(rows[0].known).toEqual(rows[0].ends);
  });

  it('is found by the sweep where nobody asks', async () => {
    const who = await fresh();
    const [ended, standing] = [
      await held(who, { amount: 30 }),
      await held(who, { amount: 20, ttlSeconds: 3600 }),
    ];
    await endsNow(ended);
    await vi.waitFor(async () => expect(await account(who)).toEqual({ used: 0, reserved: 20, holds: true }), {
      timeout: 10_000,
      interval: 100,
    });
    expect([(await read(ended)).body.state, (await read(standing)).body.state]).toEqual(['expired', 'held']);
  });
});

describe('what is held', () => {
  it('belongs to the account and not to a period: it counts in the next one, where it is settled', async () => {
    const who = await fresh('free');
    const id = await held(who, { key: 'hourly-calls', amount: 2 });
    await consume(server, who, { key: 'hourly-calls', amount: 1 });
    // An hour later, as far as the account knows.
    await server.parts.database.pool.query(
      `update account a set period_start = period_start - interval '1 hour', period_end = period_end - interval '1 hour'
       from reservation r where r.id = $1 and a.customer_id = r.customer_id`,
      [id],
    );
    const more = await reserve(who, { key: 'hourly-calls', amount: 2 });
    expect(more.body).toMatchObject({ allowed: false, entitlement: { usage: 0, reserved: 2, balance: 1 } });
    const settled = await end('settle', id, { amount: 2 });
    expect(settled.body.entitlement).toMatchObject({ usage: 2, reserved: 0, balance: 1 });
  });

  it('is settled after the limit fell or the right was lost: that was decided when it was held', async () => {
    const who = await fresh();
    const id = await held(who, { amount: 90 });
    const path = `/api/v1/environments/production/customers/${who}/licenses`;
    const [{ id: licenseId }] = (await server.request('GET', path)).body.items;
    const over = { headers: { 'if-match': '*' }, body: { at: 'now', reason: 'A test.' } };
    expect((await server.request('POST', `${path}/${licenseId}/cancel`, over)).status).toBe(200);
    const settled = await end('settle', id, { amount: 90 });
    expect(settled.body).toMatchObject({
      allowed: true,
      settled: 90,
      entitlement: { hasAccess: false, usage: 90 },
    });
    expect((await reserve(who, { amount: 1 })).body).toMatchObject({ allowed: false });
    await license(server, who, 'pro');
  });
});

describe('who may', () => {
  it('S-7 a key of elsewhere learns nothing of a reservation and ends none', async () => {
    const who = await fresh();
    const id = await held(who, { amount: 10 });
    const make = async (scope: object) =>
      (
        await server.request('POST', '/api/v1/keys', {
          body: { kind: 'server', name: 'elsewhere', reason: 'A test.', ...scope },
        })
      ).body.key as string;
    await server.request('POST', '/api/v1/products', {
      body: { key: 'other', name: 'Other', reason: 'A test.' },
    });
    const nobodys = '0190a000-0000-7000-8000-00000000dead';
    const keys = [
      await make({ environment: 'development', product: 'test' }),
      await make({ environment: 'production', product: 'other' }),
    ];
    for (const key of keys) {
      for (const [method, word] of [
        ['GET', ''],
        ['POST', '/settle'],
        ['POST', '/release'],
      ] as const) {
        const call = async (named: string) => {
          const answer = await server.request(method, `/oep/v1/reservations/${named}${word}`, {
            key,
            headers: { 'idempotency-key': idempotencyKey() },
            ...(method === 'GET' ? {} : { body: {} }),
          });
          return { status: answer.status, text: answer.text.replaceAll(named, '…') };
        };
        const foreign = await call(id);
        expect(foreign).toEqual(await call(nobodys));
        expect(foreign.status).toBe(404);
        expect(foreign.text).toContain('RESERVATION_NOT_FOUND');
      }
    }
    expect((await read(id)).body.state).toBe('held');
    for (const key of [server.clientKey, server.adminKey]) {
      const refused = await ask(server, `/oep/v1/reservations/${id}/settle`, {}, { key });
      expect(refused.status).toBe(403);
    }
  });

  it('refuses what makes no sense with the protocol’s own words', async () => {
    const who = await fresh();
    const refusals: readonly [Readonly<Record<string, unknown>>, string][] = [
      [{ amount: 1, ttlSeconds: 0 }, 'PARSE_ERROR'],
      [{ amount: 1, ttlSeconds: 86_401 }, 'PARSE_ERROR'],
      [{ amount: 1, ttlSeconds: '60' }, 'PARSE_ERROR'],
      [{ amount: -1 }, 'TYPE_MISMATCH'],
      [{ amount: 1.5 }, 'TYPE_MISMATCH'],
      [{ key: 'max_lists', amount: 1 }, 'TYPE_MISMATCH'],
      [{ key: 'plain-on', amount: 1 }, 'TYPE_MISMATCH'],
      [{ key: undefined, items: [{ key: 'calling-minutes' }] }, 'PARSE_ERROR'],
    ];
    for (const [body, code] of refusals) {
      const refused = await reserve(who, body);
      expect([refused.status, refused.body.errorCode], JSON.stringify(body)).toEqual([400, code]);
    }
    const unknown = await reserve(who, { key: 'nothing', amount: 1 });
    expect([unknown.status, unknown.body.errorCode]).toEqual([404, 'ENTITLEMENT_NOT_FOUND']);
    const id = await held(who, { amount: 5 });
    expect((await end('settle', id, { amount: -1 })).body.errorCode).toBe('TYPE_MISMATCH');
    expect((await end('settle', id, [])).body.errorCode).toBe('PARSE_ERROR');
    for (const strange of ['x', '..', '0190a000-0000-7000-8000-00000000DEAD']) {
      expect((await end('settle', encodeURIComponent(strange), {})).status).toBe(404);
    }
    const keyless = await ask(server, `/oep/v1/reservations/${id}/settle`, {});
    expect([keyless.status, keyless.body.errorDetails]).toEqual([
      400,
      expect.stringContaining('Idempotency-Key'),
    ]);
    expect(
      (await server.request('GET', '/oep/v1/configuration', { key: server.serverKey })).body,
    ).toMatchObject({
      capabilities: { reservations: true },
      limits: { reservationSeconds: 86_400 },
    });
  });
});
