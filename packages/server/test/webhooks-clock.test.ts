import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { NOTICES_CATALOG } from './notices-support.js';
import { warm } from './runtime-support.js';
import { type HookListener, listenForHooks, makeHook } from './webhooks-support.js';

let server: TestServer;
let listener: HookListener;

beforeAll(async () => {
  listener = await listenForHooks();
  server = await startTestServer({ catalog: NOTICES_CATALOG, checkResponses: true });
  await warm(server, 'anybody');
}, 60_000);
afterAll(async () => {
  await server?.stop();
  await listener?.stop();
});

async function create(path: string, body: Readonly<Record<string, unknown>>) {
  const made = await server.request('POST', `/api/v1/environments/${server.environment}/${path}`, {
    body: { reason: 'A test.', ...body },
  });
  expect(made.status, made.text).toBe(201);
  return made.body;
}

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();
const actions = () => listener.received.map(({ event }) => event.data.action);

describe('what only time changes', () => {
  it('is told once: a grant that begins and ends, a license that ends, and what came while nobody was there', async () => {
    await makeHook(server, listener.url);
    // Up to when is told is written with the first sweep after the webhook was made.
    await vi.waitFor(
      async () => {
        const { rows } = await server.parts.database.pool.query('select 1 from clock_told');
        expect(rows).toHaveLength(17);
      },
      { timeout: 8000 },
    );
    await create('customers', { key: 'timed' });
    const grant = await create('grants', {
      target: { kind: 'customer', key: 'timed' },
      kind: 'support',
      effect: { type: 'unlimited', feature: 'calls' },
      startsAt: inSeconds(1),
      endsAt: inSeconds(2),
    });
    const soon = await create('grants', {
      target: { kind: 'customer', key: 'timed' },
      kind: 'support',
      effect: { type: 'unlimited', feature: 'calls' },
      endsAt: inSeconds(86_402),
    });
    await create('customers/timed/top-ups', { feature: 'calls', amount: 5, endsAt: inSeconds(2) });
    await create('customers/timed/licenses', { plan: 'free', kind: 'paid', endsAt: inSeconds(2) });
    await vi.waitFor(
      () =>
        expect(actions()).toEqual(
          expect.arrayContaining(['grant.began', 'grant.ended', 'license.ended', 'top-up.ended']),
        ),
      { timeout: 15_000, interval: 50 },
    );
    const ended = listener.received.find(({ event }) => event.data.action === 'grant.ended');
    expect(ended?.event).toMatchObject({
      type: 'grant.changed',
      subject: `grant/${grant.id}`,
      data: { customer: 'timed', customerVersion: null, grant: { id: grant.id } },
    });

    await vi.waitFor(() => expect(listener.of('ends.soon')).toHaveLength(1), { timeout: 10_000 });
    expect(listener.of('ends.soon')[0]?.event.data).toEqual({
      environment: server.environment,
      product: server.product,
      customer: 'timed',
      kind: 'grant',
      id: soon.id,
      target: { kind: 'customer', key: 'timed' },
      endsAt: expect.any(String),
      days: 1,
    });

    const lot = listener.received.find(({ event }) => event.data.action === 'top-up.ended');
    expect(lot?.event).toMatchObject({
      type: 'top-up.changed',
      data: { customer: 'timed', topUp: { remaining: 5, state: 'ended', target: { key: 'timed' } } },
    });

    // As if no process had run for an hour, in which a grant ended.
    await server.parts.database.pool.query(`
      update clock_told set told_until = told_until - interval '1 hour' where boundary = 'membership end'`);
    await server.parts.database.pool.query(
      `insert into membership (environment_id, member_kind, member_key, product_id, container_kind, container_key, id, starts_at,
         ends_at, reason, version, created_at)
       select e.id, 'customer', 'timed', p.id, 'segment', 'gone', gen_random_uuid(), now() - interval '2 hours',
         now() - interval '30 minutes', 'A test.', 1, now() - interval '2 hours'
       from environment e, product p where e.key = $1 and p.key = $2`,
      [server.environment, server.product],
    );
    await vi.waitFor(() => expect(actions()).toContain('membership.ended'), {
      timeout: 10_000,
      interval: 50,
    });
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const counted = actions().filter((action) => /(began|ended)$/.test(String(action)));
    // The license began when it was made, which its making told.
    expect(counted.sort()).toEqual([
      'grant.began',
      'grant.ended',
      'license.ended',
      'membership.ended',
      'top-up.ended',
    ]);
  }, 45_000);

  it('is told once of each of many that end at one instant, whatever fits in a page', async () => {
    const count = 1100;
    await server.parts.database.pool.query(`
      update clock_told set told_until = told_until - interval '1 hour' where boundary = 'membership end'`);
    // 800 of them end at one instant: more than a page.
    await server.parts.database.pool.query(
      `insert into membership (environment_id, member_kind, member_key, product_id, container_kind, container_key, id, starts_at,
         ends_at, reason, version, created_at)
       select e.id, 'customer', 'timed', p.id, 'segment', 'many-' || n, gen_random_uuid(), now() - interval '2 hours',
         now() - interval '20 minutes' + greatest(0, n - 800) * interval '1 second', 'A test.', 1, now() - interval '2 hours'
       from environment e, product p, generate_series(1, ${count}) n where e.key = $1 and p.key = $2`,
      [server.environment, server.product],
    );
    const subjects = async () => {
      const { rows } = await server.parts.database.pool.query(`
        select count(*)::int as told, count(distinct o.subject)::int as subjects from outbox_event o
        join membership m on o.subject = 'membership/' || m.id where m.container_key like 'many-%'`);
      return rows[0];
    };
    await vi.waitFor(async () => expect((await subjects()).subjects).toBe(count), {
      timeout: 15_000,
      interval: 100,
    });
    expect(await subjects()).toEqual({ told: count, subjects: count });
  }, 30_000);
});
