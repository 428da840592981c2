import { HOOK_EVENTS, isHookEventType } from '@pennon/protocol/webhooks/events';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { Compile } from 'typebox/compile';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { consume, entitlement, warm } from './runtime-support.js';
import { type HookListener, hooksPath, listenForHooks, makeHook } from './webhooks-support.js';

/* What customers may do, told when it changes: by two processes over one database. */

const governed = 'category: limit, owner: team@example.com, purpose: A test, removal: permanent';
const catalog = (defaultPlan: string) => `
product: { key: test, name: Test, defaultPlan: ${defaultPlan} }
features:
  - { key: calls, type: metered, reset: { every: month, anchor: calendar }, ${governed} }
  - { key: reports, type: boolean, ${governed} }
  - { key: mine, type: metered, per: user, reset: { every: hour, anchor: calendar }, ${governed} }
plans:
  - key: free
    entitlements: [{ feature: calls, value: 10 }, { feature: mine, value: 2 }]
  - key: pro
    entitlements: [{ feature: calls, value: 1000 }, { feature: reports, value: true }]
groups:
  - { key: beta, mode: overlay, entitlements: [{ feature: reports, value: true }] }
`;

let server: TestServer;
let second: TestServer;
let listener: HookListener;

beforeAll(async () => {
  listener = await listenForHooks();
  server = await startTestServer({ catalog: catalog('free') });
  const keys = { admin: server.adminKey, server: server.serverKey, client: server.clientKey };
  second = await startTestServer({ databaseUrl: server.databaseUrl, keys });
  await warm(server, 'anybody');
}, 60_000);
afterAll(async () => {
  await second?.stop();
  await server?.stop();
  await listener?.stop();
});
beforeEach(() => {
  listener.received.splice(0);
});

async function create(path: string, body: Readonly<Record<string, unknown>> = {}) {
  const made = await server.request('POST', `/api/v1/environments/${server.environment}/${path}`, {
    body: { reason: 'A test.', ...body },
  });
  expect(made.status, made.text).toBeLessThan(300);
  return made.body;
}

const count = async (table: string) =>
  (await server.parts.database.pool.query(`select count(*)::int as n from ${table}`)).rows[0].n;

async function isLookedThrough(): Promise<void> {
  await vi.waitFor(
    async () => {
      const { rows } = await server.parts.database.pool.query(
        'select bool_or(is_walking) as walking, count(*)::int as n from state_walk',
      );
      expect(rows[0]).toEqual({ walking: false, n: 1 });
      expect(await count('state_due')).toBe(0);
    },
    { timeout: 15_000, interval: 50 },
  );
}

const changesOf = (customer: string, feature: string) =>
  listener
    .of('entitlement.changed')
    .filter(({ event }) => event.data.customer === customer && event.data.feature === feature)
    .map(({ event }) => event.data);

async function changed(customer: string, feature: string, times = 1) {
  await vi.waitFor(() => expect(changesOf(customer, feature)).toHaveLength(times), {
    timeout: 10_000,
    interval: 30,
  });
  return changesOf(customer, feature).at(-1);
}

const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();

describe('what customers may do', () => {
  it('costs nobody anything where no webhook wants it', async () => {
    await makeHook(server, listener.url, { types: ['grant.changed', 'limit.reached'] });
    await create('customers', { key: 'early' });
    await create('customers/early/licenses', { plan: 'pro', kind: 'paid' });
    await consume(server, 'quiet', { key: 'calls', amount: 10 });
    await vi.waitFor(() => expect(listener.of('limit.reached')).toHaveLength(1), { timeout: 8000 });
    expect(await Promise.all(['state_due', 'state_told', 'state_walk'].map(count))).toEqual([0, 0, 0]);
  });

  it('is told as it was and as it is, and once, however many processes there are', async () => {
    await makeHook(server, listener.url);
    await isLookedThrough();
    // Those who were there before are known, and were told of to nobody.
    expect(await count('state_told')).toBe(2);
    expect(listener.of('entitlement.changed')).toEqual([]);

    await create('customers', { key: 'acme' });
    const fresh = await changed('acme', 'calls');
    expect(fresh).toMatchObject({
      before: null,
      after: { granted: true, limit: { value: 10 }, reason: 'PLAN' },
    });
    const license = await create('customers/acme/licenses', { plan: 'pro', kind: 'paid' });
    expect(await changed('acme', 'calls', 2)).toMatchObject({
      product: 'test',
      customerVersion: 2,
      before: { limit: { kind: 'finite', value: 10 } },
      after: { limit: { kind: 'finite', value: 1000, enforcement: 'hard' } },
    });
    expect(await changed('acme', 'reports')).toMatchObject({
      before: { granted: false },
      after: { granted: true },
    });
    // Whom it is counted for is not named, so nothing is told of it.
    expect(changesOf('acme', 'mine')).toEqual([]);
    await vi.waitFor(() => expect(listener.of('customer.state_changed')).toHaveLength(2), { timeout: 5000 });
    const whole = listener.of('customer.state_changed').at(-1)?.event;
    expect(whole).toMatchObject({
      subject: expect.stringMatching(/^customer\//),
      data: {
        customer: 'acme',
        customerVersion: 2,
        licenses: [{ id: license.id, plan: 'pro', planVersion: license.planVersion, status: 'active' }],
        groups: [],
        grants: [],
      },
    });
    const answer = await entitlement(server, 'calls', 'acme', { consistency: 'strong' });
    const { limit, hasAccess, reason, sources, validUntil } = answer.body;
    expect(whole.data.entitlements[0]).toMatchObject({
      key: 'calls',
      limit,
      hasAccess,
      reason,
      sources,
      validUntil,
    });
    for (const { event } of listener.received) {
      if (!isHookEventType(event.type)) throw new Error(event.type);
      expect(
        Compile(HOOK_EVENTS[event.type as keyof typeof HOOK_EVENTS]).Errors(event.data),
        event.type,
      ).toEqual([]);
    }

    // What leaves it as it is is not told.
    listener.received.splice(0);
    await server.request('PATCH', `/api/v1/environments/${server.environment}/customers/acme`, {
      headers: { 'if-match': '*' },
      body: { name: 'Acme', reason: 'A test.' },
    });
    await isLookedThrough();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(listener.received).toEqual([]);
  }, 40_000);

  it('is told when time alone changes it', async () => {
    await create('customers', { key: 'timed' });
    await changed('timed', 'calls');
    await create('grants', {
      target: { kind: 'customer', key: 'timed' },
      kind: 'support',
      effect: { type: 'set', feature: 'reports', value: true },
      startsAt: inSeconds(1),
      endsAt: inSeconds(3),
    });
    expect(await changed('timed', 'reports', 1)).toMatchObject({ after: { granted: true, reason: 'GRANT' } });
    expect(await changed('timed', 'reports', 2)).toMatchObject({ after: { granted: false } });
    const grants = () => listener.of('customer.state_changed').map(({ event }) => event.data.grants.length);
    // Made, begun, ended.
    await vi.waitFor(() => expect(grants().sort()).toEqual([0, 0, 1, 1]), { timeout: 5000 });
  }, 20_000);

  it('is told when use closes what is limited', async () => {
    await create('customers', { key: 'busy' });
    await changed('busy', 'calls');
    await consume(server, 'busy', { key: 'calls', amount: 4 });
    await consume(second, 'busy', { key: 'calls', amount: 6 });
    expect(await changed('busy', 'calls', 2)).toMatchObject({
      before: { hasAccess: true },
      after: { granted: true, hasAccess: false, reason: 'LIMIT_REACHED' },
    });
    await create('customers/busy/top-ups', { feature: 'calls', amount: 5 });
    expect(await changed('busy', 'calls', 3)).toMatchObject({
      after: { hasAccess: true, limit: { value: 15 } },
    });
  }, 20_000);

  it('is told of everyone whom a group’s grant or a new catalog concerns', async () => {
    await create('customers', { key: 'member' });
    await create('customers', { key: 'other' });
    await create('products/test/groups/beta/members', { put: [{ kind: 'customer', key: 'member' }] });
    expect(await changed('member', 'reports')).toMatchObject({ after: { granted: true, reason: 'GROUP' } });
    await create('grants', {
      target: { kind: 'group', key: 'beta' },
      kind: 'support',
      effect: { type: 'add', feature: 'calls', amount: 7 },
    });
    expect(await changed('member', 'calls', 2)).toMatchObject({ after: { limit: { value: 17 } } });
    expect(changesOf('other', 'calls')).toHaveLength(1);

    await server.publish(catalog('pro'));
    expect(await changed('other', 'calls', 2)).toMatchObject({
      before: { limit: { value: 10 } },
      after: { limit: { value: 1000 } },
    });
    expect(await changed('member', 'calls', 3)).toMatchObject({ after: { limit: { value: 1007 } } });
    await isLookedThrough();
    // Who has a license sees no change.
    expect(changesOf('acme', 'calls')).toEqual([]);
    expect(changesOf('other', 'calls')).toHaveLength(2);
  }, 30_000);

  it('is told no more of who is erased, and is forgotten where nobody wants it any more', async () => {
    await create('customers', { key: 'ann@example.com' });
    await changed('ann@example.com', 'calls');
    const path = `/api/v1/environments/${server.environment}/customers/ann@example.com`;
    const erased = await server.request('POST', `${path}/erase`, { body: { reason: 'A test.' } });
    expect(erased.status, erased.text).toBe(200);
    await isLookedThrough();
    const { rows } = await server.parts.database.pool.query(
      `select 1 from state_told t join customer c on c.id = t.customer_id where c.erased_at is not null`,
    );
    expect(rows).toEqual([]);
    const hooks = await server.request('GET', hooksPath(server));
    for (const { id } of hooks.body.items) {
      await server.request('DELETE', hooksPath(server, `/${id}?reason=over`), {
        headers: { 'if-match': '*' },
      });
    }
    await vi.waitFor(
      async () =>
        expect(await Promise.all(['state_due', 'state_told', 'state_walk'].map(count))).toEqual([0, 0, 0]),
      { timeout: 10_000, interval: 100 },
    );
  }, 30_000);
});
