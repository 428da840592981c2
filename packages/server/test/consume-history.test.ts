import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, consume, idempotencyKey } from './runtime-support.js';
import { event, tell, USAGE_CATALOG } from './usage-support.js';

const CATALOG = USAGE_CATALOG.replace(
  'plans:\n',
  '  - { key: slots, type: metered, reset: never, category: limit, owner: a@example.com, purpose: A test, removal: permanent }\nplans:\n',
).replace(
  '- { feature: calls, value: 100 }',
  '- { feature: calls, value: 100 }\n      - { feature: slots, value: 100 }',
);

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
}, 60_000);
afterAll(() => server.stop());

async function history(who: string, feature: string) {
  const { rows } = await server.parts.database.pool.query(
    `select dimensions, aggregation, sum(amount)::int as amount, sum(events)::int as events,
       (array_agg(used_after order by hour desc))[1]::int as used_after, (array_agg(limit_after order by hour desc))[1]::int as limit_after
     from usage_hour h join customer c on c.id = h.customer_id where c.key = $1 and h.feature = $2
     group by dimensions, aggregation order by dimensions`,
    [who, feature],
  );
  return rows;
}

async function account(who: string, feature: string) {
  const { rows } = await server.parts.database.pool.query(
    `select used::int, reserved::int, limit_known::int, percent from account a join customer c on c.id = a.customer_id
     where c.key = $1 and a.feature = $2`,
    [who, feature],
  );
  return rows[0];
}

function post(path: string, who: string, body: Readonly<Record<string, unknown>>) {
  return ask(
    server,
    `/oep/v1/${path}`,
    { context: { targetingKey: who }, ...body },
    { headers: { 'idempotency-key': idempotencyKey() } },
  );
}

describe('what consume leaves for whoever reads', () => {
  it('adds to the history of the hour, one row where no dimensions are declared', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => consume(server, 'plain', { key: 'slots', amount: 2 })),
    );
    expect(answers.every((answer) => answer.body.allowed)).toBe(true);
    expect((await post('release', 'plain', { key: 'slots', amount: 5 })).body.released).toBe(5);
    await tell(server, event('plain', { key: 'slots', amount: 3 }));
    expect(await history('plain', 'slots')).toEqual([
      { dimensions: '', aggregation: 'sum', amount: 78, events: 42, used_after: 78, limit_after: 100 },
    ]);
  });

  it('keeps declared dimensions apart, of consume as of record', async () => {
    const attributes = { model: 'large', region: 'eu', tokens_in: 10, tokens_out: 5, secret: 'x' };
    await consume(server, 'apart', { key: 'tokens', attributes });
    await consume(server, 'apart', { key: 'tokens', attributes: { ...attributes, model: 'small' } });
    await consume(server, 'apart', { key: 'tokens', amount: 7 });
    await tell(server, event('apart', { key: 'tokens', attributes }));
    expect(await history('apart', 'tokens')).toMatchObject([
      { dimensions: '{"model":"large","region":"eu"}', amount: 30, events: 2, used_after: 52 },
      { dimensions: '{"model":"small","region":"eu"}', amount: 15, events: 1, used_after: 30 },
      { dimensions: '{}', aggregation: 'sum', amount: 7, events: 1, used_after: 37, limit_after: 1000 },
    ]);
  });

  it('tells nothing of what is held or denied, and tells a settlement with what the reservation said', async () => {
    const held = await post('reservations', 'holds', {
      key: 'tokens',
      amount: 100,
      attributes: { model: 'large', region: 'eu' },
    });
    expect(await history('holds', 'tokens')).toEqual([]);
    const settled = await ask(
      server,
      `/oep/v1/reservations/${held.body.id}/settle`,
      { amount: 60 },
      { headers: { 'idempotency-key': idempotencyKey() } },
    );
    expect(settled.status, settled.text).toBe(200);
    expect((await consume(server, 'holds', { key: 'tokens', amount: 5000 })).body.allowed).toBe(false);
    expect(await history('holds', 'tokens')).toEqual([
      expect.objectContaining({ dimensions: '{"model":"large","region":"eu"}', amount: 60, events: 1 }),
    ]);
  });

  it('says who is near: the limit in force, and the percent of it that is taken or held', async () => {
    await consume(server, 'near', { key: 'calls', amount: 49 });
    expect(await account('near', 'calls')).toEqual({
      used: 49,
      reserved: 0,
      limit_known: 100,
      percent: null,
    });
    await post('reservations', 'near', { key: 'calls', amount: 11 });
    expect(await account('near', 'calls')).toEqual({ used: 49, reserved: 11, limit_known: 100, percent: 60 });
    await consume(server, 'near', { key: 'slots', amount: 60 });
    await post('release', 'near', { key: 'slots', amount: 20 });
    expect(await account('near', 'slots')).toEqual({
      used: 40,
      reserved: 0,
      limit_known: 100,
      percent: null,
    });
  });

  it('follows a limit that changed even where nothing is allowed any more', async () => {
    await consume(server, 'less', {
      key: 'per-user',
      amount: 4,
      context: { targetingKey: 'less', user: 'ada' },
    });
    const grant = await server.request('POST', `/api/v1/environments/${server.environment}/grants`, {
      body: {
        product: 'test',
        target: { kind: 'customer', key: 'less' },
        kind: 'support',
        effect: { type: 'set', feature: 'per-user', value: 2 },
        reason: 'A test.',
      },
    });
    expect(grant.status, grant.text).toBe(201);
    const denied = await consume(server, 'less', {
      key: 'per-user',
      context: { targetingKey: 'less', user: 'ada' },
    });
    expect(denied.body.allowed).toBe(false);
    expect(await account('less', 'per-user')).toMatchObject({ used: 4, limit_known: 2, percent: 200 });
  });

  it('writes the row of the hour again on its own page', async () => {
    for (let round = 0; round < 60; round += 1) await consume(server, 'hot', { key: 'calls' });
    const { pool } = server.parts.database;
    const { rows } = await pool.query(
      `select pg_relation_size(h.tableoid) as bytes from usage_hour h join customer c on c.id = h.customer_id
       where c.key = 'hot' group by h.tableoid`,
    );
    expect(rows).toHaveLength(1);
    expect(Number(rows[0].bytes)).toBeLessThanOrEqual(2 * 8192);
  });
});
