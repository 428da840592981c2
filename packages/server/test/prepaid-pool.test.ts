import { randomUUID } from 'node:crypto';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caller } from './contracts-support.js';

/* Who buys again and again, of a quota that never resets. */

const governed = 'category: limit, owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: credits, type: metered, reset: never, ${governed} }
plans:
  - { key: free, version: 0, rank: 0, entitlements: [] }
`;
const MOST = 200;

let server: TestServer;
let call: ReturnType<typeof caller>;

beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  call = caller(server);
}, 90_000);
afterAll(() => server.stop());

async function buy(who: string, amount: number) {
  return call('POST', `/customers/${who}/top-ups`, { feature: 'credits', amount });
}

async function consume(who: string, amount: number) {
  const { status, body } = await server.request('POST', '/oep/v1/consume', {
    body: { context: { targetingKey: who }, key: 'credits', amount },
    key: server.serverKey,
    headers: { 'idempotency-key': randomUUID() },
  });
  expect(status).toBe(200);
  return body;
}

/** As if the customer's one lot had been bought as often as may be. */
async function copyLot(who: string): Promise<void> {
  const { pool } = server.parts.database;
  await pool.query(
    `insert into credit_lot select (jsonb_populate_record(l, jsonb_build_object('id', gen_random_uuid(),
       'created_at', l.created_at + interval '1 second'))).*
     from credit_lot l join customer c on c.id = l.customer_id, generate_series(2, $2) where c.key = $1`,
    [who, MOST],
  );
  await pool.query(
    `update account a set used = s.taken, covered = s.taken from (select l.customer_id, sum(l.amount - l.remaining)::bigint as taken
       from credit_lot l join customer c on c.id = l.customer_id where c.key = $1 group by 1) s where a.customer_id = s.customer_id`,
    [who],
  );
}

async function pages(who: string, query: string): Promise<Record<string, unknown>[]> {
  const { body } = await call('GET', `/customers/${who}/top-ups?limit=500${query}`);
  return (body as { items: Record<string, unknown>[] }).items;
}

describe('K-5 a pool that is paid for beforehand', () => {
  it('is filled again however often it was used up: the oldest of what is used up is closed for good', async () => {
    await call('PUT', '/customers/acme', {});
    const first = (await buy('acme', 2)).body as { id: string };
    await consume('acme', 2);
    await copyLot('acme');
    expect(await pages('acme', '')).toHaveLength(MOST);
    expect(await consume('acme', 1)).toMatchObject({ allowed: false, reason: 'LIMIT_REACHED' });

    expect((await buy('acme', 5)).status).toBe(201);
    expect((await buy('acme', 5)).status).toBe(201);
    const open = await pages('acme', '');
    expect(open).toHaveLength(MOST);
    expect(open.filter(({ state }) => state === 'open')).toHaveLength(2);
    expect(open.map(({ id }) => id)).not.toContain(first.id);
    expect(await pages('acme', '&closed=true')).toContainEqual(
      expect.objectContaining({ id: first.id, state: 'used-up', remaining: 0, voidedAt: null }),
    );
    expect(await consume('acme', 9)).toMatchObject({ allowed: true, entitlement: { balance: 1 } });
    expect(await consume('acme', 2)).toMatchObject({ allowed: false });
  });

  it('takes no more than so many that are not used up', async () => {
    await call('PUT', '/customers/globex', {});
    await buy('globex', 2);
    await copyLot('globex');
    const refused = await buy('globex', 2);
    expect(refused.status).toBe(422);
    expect(refused.body).toMatchObject({ code: 'TOO_MANY_TOP_UPS' });
    expect(refused.text).toContain(`has ${MOST} balances of \`credits\` that are not used up`);
    expect(await pages('globex', '&closed=true')).toHaveLength(MOST);
  });
});
