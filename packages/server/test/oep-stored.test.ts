import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  consume,
  customer,
  entitlement,
  idempotencyKey,
  RUNTIME_CATALOG,
  warm,
} from './runtime-support.js';

/* What is stored of a consume: the decision that a replay answers, who may have one stored, and for how long. */

const DOOMED =
  '  - { key: doomed, type: metered, category: limit, reset: never, owner: a@example.com, purpose: A test, removal: permanent }\n';
const CATALOG = RUNTIME_CATALOG.replace('plans:\n', `${DOOMED}plans:\n`);
const MOST = Number.MAX_SAFE_INTEGER;

let server: TestServer;
/** Hears of no change, so that only its own look at the store can tell it. */
let deaf: TestServer;

beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  const keys = { admin: server.adminKey, server: server.serverKey, client: server.clientKey };
  deaf = await startTestServer({ databaseUrl: server.databaseUrl, keys });
  await deaf.parts.feed.stop();
}, 60_000);
afterAll(async () => {
  await deaf.stop();
  await server.stop();
});

function release(from: TestServer, who: string, key = 'max_professionals', token = idempotencyKey()) {
  const body = { context: { targetingKey: who }, key, amount: 1 };
  return ask(from, '/oep/v1/release', body, { headers: { 'idempotency-key': token } });
}

async function known(who: string): Promise<boolean> {
  const { pool } = server.parts.database;
  return (await pool.query('select 1 from customer where key = $1', [who])).rowCount === 1;
}

describe('a stored decision', () => {
  it('X-5 is answered again when its feature has left the catalog, and only then', async () => {
    await customer(server, 'replay', 'pro');
    await warm(server, 'replay');
    const token = idempotencyKey();
    const first = await consume(server, 'replay', { key: 'doomed', amount: 2 }, token);
    expect(first.body).toMatchObject({ allowed: false, reason: 'NOT_ENTITLED' });
    const listed = await server.request('GET', '/api/v1/products/test/features/doomed');
    const removed = await server.request('DELETE', '/api/v1/products/test/features/doomed?reason=test', {
      headers: { 'if-match': listed.headers.get('etag') ?? '' },
    });
    expect(removed.status, removed.text).toBeLessThan(300);
    const replayed = await consume(server, 'replay', { key: 'doomed', amount: 2 }, token);
    expect(replayed.headers.get('idempotency-replayed')).toBe('true');
    expect([replayed.status, replayed.body]).toEqual([200, first.body]);
    const other = await consume(server, 'replay', { key: 'doomed', amount: 3 }, token);
    expect([other.status, other.body.errorCode]).toEqual([422, 'IDEMPOTENCY_MISMATCH']);
    const anew = await consume(server, 'replay', { key: 'doomed', amount: 2 });
    expect([anew.status, anew.body.errorCode]).toEqual([404, 'ENTITLEMENT_NOT_FOUND']);
  });

  it('X-5 says of an item that would have fitted which other item was refused, and again so', async () => {
    await customer(server, 'items', 'pro');
    await warm(server, 'items');
    const items = [
      { key: 'calling-minutes', amount: 10 },
      { key: 'max_professionals', amount: 9 },
      { key: 'ai-tokens', amount: 5 },
    ];
    const token = idempotencyKey();
    const denied = await consume(server, 'items', { items }, token);
    expect(denied.body).toMatchObject({ allowed: false, reason: 'LIMIT_REACHED' });
    const refusedBy = { item: 1, key: 'max_professionals' };
    expect(denied.body.items).toMatchObject([
      { allowed: false, reason: 'LIMIT_REACHED', refusedBy, consumed: 0, entitlement: { hasAccess: true } },
      { allowed: false, reason: 'LIMIT_REACHED', consumed: 0 },
      { allowed: false, reason: 'LIMIT_REACHED', refusedBy, consumed: 0, entitlement: { reason: 'PLAN' } },
    ]);
    expect(denied.body.items[1].refusedBy).toBeUndefined();
    expect((await consume(server, 'items', { items }, token)).body).toEqual(denied.body);
    expect((await entitlement(server, 'calling-minutes', 'items')).body.usage).toBe(0);
    const taken = await consume(server, 'items', { items: [items[0], items[2]] });
    expect(taken.body.reason).toBeUndefined();
    expect(taken.body.items[0]).toMatchObject({ allowed: true, reason: 'PLAN', consumed: 10 });
  });

  it('K-5 an unlimited quota is counted up to what JSON carries exactly, and never refuses', async () => {
    await customer(server, 'endless', 'enterprise');
    await warm(server, 'endless');
    const take = (amount: number) => consume(server, 'endless', { key: 'max_professionals', amount });
    for (const amount of [MOST, 1, MOST]) {
      const answer = await take(amount);
      expect(answer.body).toMatchObject({ allowed: true, reason: 'UNLIMITED', consumed: amount });
      expect(answer.body.entitlement).toMatchObject({ hasAccess: true, usage: MOST, overage: 0 });
    }
    expect((await release(server, 'endless')).body.entitlement.usage).toBe(MOST - 1);
  });
});

describe('a customer that nobody knows', () => {
  it('is not made by a release, which says so', async () => {
    const nobody = await release(server, 'never-seen');
    expect([nobody.status, nobody.body.errorCode]).toEqual([404, 'CUSTOMER_NOT_FOUND']);
    expect(await known('never-seen')).toBe(false);
    expect((await release(server, 'never-seen', 'nothing')).body.errorCode).toBe('ENTITLEMENT_NOT_FOUND');
    expect((await release(server, 'never-seen', 'calling-minutes')).body.errorCode).toBe('TYPE_MISMATCH');
    expect((await consume(server, 'never-seen', { key: 'max_professionals' })).body.allowed).toBe(true);
    expect((await release(server, 'never-seen')).body).toMatchObject({ released: 1 });
  });

  it('is looked for in the store before it is called unknown, by a release and by a strong read', async () => {
    for (const who of ['late-release', 'late-strong', 'late-consume']) {
      await warm(deaf, who);
      await customer(server, who, 'pro');
      expect((await consume(server, who, { key: 'max_professionals', amount: 2 })).body.allowed).toBe(true);
    }
    const cached = await entitlement(deaf, 'max_professionals', 'late-strong');
    expect(cached.body).toMatchObject({ usage: 0, limit: { value: 1 } });
    const strong = await entitlement(deaf, 'max_professionals', 'late-strong', { consistency: 'strong' });
    expect(strong.body).toMatchObject({ usage: 2, limit: { value: 3 } });
    expect((await release(deaf, 'late-release')).body).toMatchObject({ released: 1 });
    const third = await consume(deaf, 'late-consume', { key: 'max_professionals', amount: 1 });
    expect(third.body).toMatchObject({ allowed: true, entitlement: { usage: 3 } });
    const nobody = await entitlement(deaf, 'max_professionals', 'no-one', { consistency: 'strong' });
    expect(nobody.body).toMatchObject({ usage: 0, limit: { value: 1 } });
    const odd = await entitlement(deaf, 'max_professionals', 'a\u0000b', { consistency: 'strong' });
    expect(odd.status).toBeLessThan(500);
  });
});

describe('a customer that was just asked about', () => {
  it('is found again when it was erased and made anew under its key', async () => {
    await customer(server, 'phoenix', 'pro');
    await warm(server, 'phoenix');
    const take = () => consume(server, 'phoenix', { key: 'max_professionals', amount: 2 });
    expect((await take()).body).toMatchObject({ allowed: true, entitlement: { usage: 2 } });
    const { pool } = server.parts.database;
    // Another process did it; this one reads the customer anew, and still remembers the preparation of a moment ago.
    const made = await pool.query(
      `update customer set id = gen_random_uuid(), version = version + 1 where key = 'phoenix' returning environment_id, version`,
    );
    const { environment_id: environmentId, version } = made.rows[0];
    await server.parts.customers.atLeast(environmentId, 'phoenix', Number(version), 1000);
    expect((await take()).body.entitlement).toMatchObject({ usage: 0, limit: { value: 1 } });
  });
});

describe('usage records', () => {
  it('S-8 outlive idempotency: 13 months of them are kept, and answers are repeated for 35 days', async () => {
    await customer(server, 'old', 'pro');
    await warm(server, 'old');
    const { pool } = server.parts.database;
    const now = server.parts.clock.now();
    const token = idempotencyKey();
    const first = await consume(server, 'old', { key: 'calling-minutes', amount: 3 }, token);
    const age = (days: number) =>
      pool.query(
        `update consumption set decided_at = $1 where customer_id = (select id from customer where key = 'old')
           and idempotency_key = $2`,
        [new Date(now - days * 86_400_000), token],
      );
    const rows = async () =>
      (await pool.query('select 1 from consumption where idempotency_key = $1', [token])).rowCount;

    await age(34);
    await server.parts.partitions.maintain(now);
    const { asOf: _, ...repeated } = (
      await consume(server, 'old', { key: 'calling-minutes', amount: 3 }, token)
    ).body.entitlement;
    const { asOf: __, ...once } = first.body.entitlement;
    expect(repeated).toEqual(once);

    await age(36);
    await server.parts.partitions.maintain(now);
    const anew = await consume(server, 'old', { key: 'calling-minutes', amount: 3 }, token);
    expect(anew.headers.get('idempotency-replayed')).toBeNull();
    expect(anew.body.entitlement.usage).toBe(6);
    expect(await rows()).toBe(2);

    await pool.query(
      `update consumption set decided_at = $1 where decided_at < now() - interval '1 day' and idempotency_key = $2`,
      [new Date(now - 395 * 86_400_000), token],
    );
    await server.parts.partitions.maintain(now);
    expect(await rows()).toBe(2);
    await pool.query(
      `update consumption set decided_at = $1 where decided_at < now() - interval '1 day' and idempotency_key = $2`,
      [new Date(now - 440 * 86_400_000), token],
    );
    await server.parts.partitions.maintain(now);
    expect(await rows()).toBe(1);
  });
});
