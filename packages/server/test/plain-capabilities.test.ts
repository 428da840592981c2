import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  consume,
  customer,
  customerToken,
  expectStatus,
  idempotencyKey,
  warm,
} from './runtime-support.js';

const governed = 'owner: team@example.com, purpose: A test, removal: permanent';
const flagged = "owner: team@example.com, purpose: A test, removal: After the test, expires: '2099-01-01'";

const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: can_create_professionals, type: boolean, category: subscription, clientVisible: true, ${governed} }
  - { key: can_export_reports, type: boolean, category: subscription, clientVisible: true, ${governed} }
  - { key: has_secret, type: boolean, category: subscription, whenDenied: hidden, ${governed} }
  - { key: max_professionals, type: metered, reset: never, category: limit, clientVisible: true, ${governed} }
  - { key: max_clients, type: limit, category: limit, whenDenied: hidden, ${governed} }
  - { key: minutes, type: metered, category: limit, reset: { every: month, anchor: license }, clientVisible: true, ${governed} }
  - { key: soft-calls, type: metered, category: limit, enforcement: soft, reset: { every: month, anchor: license }, ${governed} }
  - { key: per-user-exports, type: metered, per: user, reset: { every: day, anchor: calendar }, category: limit, ${governed} }
  - { key: desks, type: metered, reset: never, onDowngrade: { grace: { days: 14 } }, category: limit, ${governed} }
  - { key: branding, type: config, category: subscription, ${governed} }
plans:
  - { key: free, rank: 0, price: { amount: 0, currency: USD, every: month, source: list }, entitlements: [] }
  - key: pro
    name: Professional
    rank: 1
    price: { amount: 4900, currency: USD, every: month, source: list }
    entitlements:
      - { feature: can_create_professionals, value: true }
      - { feature: max_professionals, value: 3 }
      - { feature: desks, value: 5 }
      - { feature: max_clients, value: 20 }
      - { feature: minutes, value: 100 }
      - { feature: soft-calls, value: 2 }
      - { feature: per-user-exports, value: 2 }
  - key: business
    name: Business
    rank: 2
    price: { amount: 118800, currency: USD, every: year, source: list 2027 }
    entitlements:
      - { feature: can_create_professionals, value: true }
      - { feature: can_export_reports, value: true }
      - { feature: max_professionals, value: 25 }
      - { feature: max_clients, value: unlimited }
      - { feature: minutes, value: 1000 }
      - { feature: branding, value: { logo: custom } }
addons:
  - { key: minutes-pack, name: 100 minutes, plans: [pro], maxQuantity: 3, price: { amount: 900, currency: USD, every: month, source: list }, entitlements: [{ feature: minutes, add: 100 }] }
flags:
  - { key: show_upgrade_prompt, type: boolean, category: ux, clientVisible: true, default: true, ${flagged} }
  - { key: page-size, type: integer, category: ops, variants: { small: 10, large: 50 }, 'off': small, default: large, ${flagged} }
  - { key: coded, type: integer, category: release, variants: { a: 1 }, 'off': code-default, default: a, environments: { production: { enabled: false } }, ${flagged} }
  - { key: greeting, type: string, category: release, variants: { a: Hi }, 'off': a, default: a, ${flagged} }
`;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
});
afterAll(() => server?.stop());

const base = '/api/v1/environments/production';
const reason = 'A test.';
const UNLIMITED = 9007199254740991;
let count = 0;

async function fresh(plan?: string): Promise<string> {
  count += 1;
  const key = `capable-${count}`;
  await customer(server, key, plan);
  await warm(server, key);
  return key;
}

function capabilities(
  query: string,
  headers: Readonly<Record<string, string>> = {},
  key: string | null = server.serverKey,
): Promise<TestResponse> {
  return server.request('GET', `/api/v1/customer/capabilities${query}`, { key, headers });
}

const business = {
  plan: 'business',
  version: 0,
  name: 'Business',
  unlimited: false,
  price: { amount: 118800, currency: 'USD', every: 'year', source: 'list 2027' },
};

describe('C-2 C-4 GET /api/v1/customer/capabilities', () => {
  it('answers plan, flags and limits, and names the plan that adds more', async () => {
    const key = await fresh('pro');
    await consume(server, key, { key: 'max_professionals', amount: 3 });
    const answer = await capabilities(`?customer=${key}`);
    expect(answer.status).toBe(200);
    expect(Object.keys(answer.body)).toEqual(['plan', 'flags', 'limits']);
    expect(answer.body.plan).toBe('pro');
    expect(answer.body.flags).toEqual({
      can_create_professionals: true,
      can_export_reports: false,
      desks: 5,
      has_secret: false,
      max_clients: 20,
      max_professionals: 3,
      minutes: 100,
      'page-size': 50,
      'per-user-exports': 2,
      show_upgrade_prompt: true,
      'soft-calls': 2,
    });
    expect(Object.keys(answer.body.flags)).toEqual(Object.keys(answer.body.flags).sort());
    expect(answer.body.limits.max_professionals).toEqual({
      used: 3,
      limit: 3,
      unlimited: false,
      resetsAt: null,
      over: 0,
      overLimit: null,
      state: 'locked',
      remedy: { kind: 'upgrade', at: null, options: [{ ...business, limit: 25 }] },
    });
    // What is used up takes no right away: `can_…` stays as declared.
    expect(answer.body.flags.can_create_professionals).toBe(true);
    expect(answer.body.limits.max_clients).toEqual({
      used: null,
      limit: 20,
      unlimited: false,
      resetsAt: null,
      over: 0,
      overLimit: null,
      state: 'enabled',
      remedy: null,
    });
  });

  it('says when a quota is refilled, and offers the pack before the dearer plan', async () => {
    const key = await fresh('pro');
    await consume(server, key, { key: 'minutes', amount: 100 });
    const { minutes } = (await capabilities(`?customer=${key}`)).body.limits;
    const entitlement = await ask(server, '/oep/v1/evaluate/entitlements/minutes', {
      context: { customer: key },
    });
    expect(minutes).toMatchObject({ used: 100, limit: 100, over: 0, state: 'locked' });
    expect(minutes.resetsAt).toBe(entitlement.body.period.end);
    expect(minutes.remedy).toEqual(entitlement.body.remedy);
    expect(minutes.remedy).toEqual({
      kind: 'addon',
      at: minutes.resetsAt,
      options: [
        {
          addon: 'minutes-pack',
          quantity: 1,
          version: 0,
          name: '100 minutes',
          limit: 200,
          unlimited: false,
          price: { amount: 900, currency: 'USD', every: 'month', source: 'list' },
        },
        { ...business, limit: 1000 },
      ],
    });
  });

  it('shows what is above the limit, also where softness lets it in', async () => {
    const key = await fresh('pro');
    await consume(server, key, { key: 'soft-calls', amount: 5 });
    await consume(server, key, { key: 'max_professionals', amount: 3 });
    const soft = (await capabilities(`?customer=${key}`)).body.limits['soft-calls'];
    expect(soft).toMatchObject({ used: 5, limit: 2, over: 3, state: 'enabled', remedy: null });
    const licenses = `${base}/customers/${key}/licenses`;
    const { id } = (await server.request('GET', licenses)).body.items[0];
    await expectStatus(
      server.request('PATCH', `${licenses}/${id}`, {
        body: { plan: 'free', planVersion: 0, reason },
        headers: { 'if-match': '*' },
      }),
      200,
    );
    const { max_professionals } = (await capabilities(`?customer=${key}`)).body.limits;
    expect(max_professionals).toMatchObject({ used: 3, limit: 0, over: 3, state: 'locked' });
    // Three are there already, and there is to be room for a fourth: three would not do.
    expect(max_professionals.remedy.options).toEqual([{ ...business, limit: 25 }]);
  });

  it('says what follows where a limit fell below what is in use, and a flag of it says that it did', async () => {
    const key = await fresh('pro');
    await consume(server, key, { key: 'max_professionals', amount: 3 });
    await consume(server, key, { key: 'desks', amount: 5 });
    const flag = async (name: string) =>
      (await ask(server, `/ofrep/v1/evaluate/flags/${name}`, { context: { customer: key } })).body;
    const bulk = async () => {
      const { body } = await ask(server, '/ofrep/v1/evaluate/flags', { context: { customer: key } });
      const over = body.flags.filter(
        (one: { metadata: Record<string, unknown> }) => one.metadata['overLimit'] === true,
      );
      return over.map((one: { key: string }) => one.key);
    };
    expect((await flag('desks')).metadata).toEqual({ cause: 'ENTITLEMENT' });
    expect(await bulk()).toEqual([]);
    const path = `${base}/customers/${key}/licenses`;
    const [license] = (await server.request('GET', path)).body.items;
    const changed = await server.request('PATCH', `${path}/${license.id}`, {
      body: { plan: 'free', planVersion: 0, reason },
      headers: { 'if-match': '*' },
    });
    expect(changed.status, changed.text).toBe(200);
    const { limits } = (await capabilities(`?customer=${key}`)).body;
    const since = expect.any(String);
    expect(limits.max_professionals).toMatchObject({
      used: 3,
      limit: 0,
      over: 3,
      overLimit: { limit: 0, policy: 'refuse-new', since, graceEndsAt: null, readOnly: false },
      state: 'locked',
    });
    // The earlier limit stands for a time, and the screen can say in time how much has to go.
    expect(limits.desks).toMatchObject({ used: 5, limit: 5, over: 5 });
    expect(limits.desks.overLimit).toMatchObject({ limit: 0, policy: 'grace', readOnly: false });
    expect(Date.parse(limits.desks.overLimit.graceEndsAt) - Date.now()).toBeGreaterThan(13 * 86_400_000);
    const { body: entitlement } = await ask(server, '/oep/v1/evaluate/entitlements/desks', {
      context: { customer: key },
    });
    expect(entitlement).toMatchObject({ state: 'over_limit', overLimit: limits.desks.overLimit });
    for (const name of ['max_professionals', 'desks']) {
      expect((await flag(name)).metadata, name).toEqual({ cause: 'ENTITLEMENT', overLimit: true });
    }
    expect(await bulk()).toEqual(['desks', 'max_professionals']);
    expect(await bulk()).toEqual(['desks', 'max_professionals']);
    await ask(
      server,
      '/oep/v1/release',
      { key: 'max_professionals', amount: 3, context: { customer: key } },
      { headers: { 'idempotency-key': idempotencyKey() } },
    );
    expect((await flag('max_professionals')).metadata).toEqual({ cause: 'ENTITLEMENT' });
    expect(await bulk()).toEqual(['desks']);
  });

  it('reads unlimited as 9007199254740991 beside `unlimited: true`', async () => {
    const key = await fresh('business');
    const { flags, limits } = (await capabilities(`?customer=${key}`)).body;
    expect(flags.max_clients).toBe(UNLIMITED);
    expect(limits.max_clients).toMatchObject({
      limit: UNLIMITED,
      unlimited: true,
      over: 0,
      state: 'enabled',
    });
  });

  it('hides what is to be hidden, and tells states and remedies of features on request', async () => {
    const key = await fresh();
    const plain = await capabilities(`?customer=${key}`);
    expect(plain.body.limits.max_clients.state).toBe('hidden');
    expect(plain.body.features).toBeUndefined();
    const { features } = (await capabilities(`?customer=${key}&include=features`)).body;
    expect(Object.keys(features)).toEqual([
      'branding',
      'can_create_professionals',
      'can_export_reports',
      'has_secret',
    ]);
    expect(features.can_create_professionals).toMatchObject({
      state: 'locked',
      remedy: { kind: 'upgrade', options: [{ plan: 'pro', limit: null }, { plan: 'business' }] },
    });
    expect(features.has_secret).toEqual({
      state: 'hidden',
      remedy: { kind: 'contact', at: null, options: [] },
    });
    expect(features.branding).toMatchObject({ state: 'locked', remedy: { options: [{ plan: 'business' }] } });
  });

  it('counts for the user that is named, and leaves the meter out where none is', async () => {
    const key = await fresh('pro');
    const context = { customer: key, user: 'ada' };
    await consume(server, key, { context, key: 'per-user-exports', amount: 2 }, idempotencyKey());
    const nobody = (await capabilities(`?customer=${key}`)).body;
    expect([nobody.flags['per-user-exports'], nobody.limits['per-user-exports']]).toEqual([2, undefined]);
    const ada = (await capabilities(`?customer=${key}&user=ada`)).body.limits['per-user-exports'];
    expect(ada).toMatchObject({ used: 2, limit: 2, state: 'locked' });
    const bob = (await capabilities(`?customer=${key}&user=bob`)).body.limits['per-user-exports'];
    expect(bob).toMatchObject({ used: 0, state: 'enabled' });
  });

  it('somebody nobody knows has the default plan', async () => {
    const { plan, limits } = (await capabilities('?customer=never-seen')).body;
    expect(plan).toBe('free');
    expect(limits.max_professionals).toMatchObject({ used: 0, limit: 0, state: 'locked' });
    expect(limits.max_professionals.remedy.options[0]).toMatchObject({ plan: 'pro', limit: 3 });
  });

  it('a customer token names its own customer and sees what is visible to clients', async () => {
    const key = await fresh('pro');
    const token = await customerToken(server, key);
    const headers = { 'x-api-key': server.clientKey, 'pennon-customer-token': token };
    const { body } = await capabilities('?include=features', headers, null);
    expect(body.flags).toEqual({
      can_create_professionals: true,
      can_export_reports: false,
      max_professionals: 3,
      minutes: 100,
      show_upgrade_prompt: true,
    });
    expect(Object.keys(body.limits)).toEqual(['max_professionals', 'minutes']);
    expect(Object.keys(body.features)).toEqual(['can_create_professionals', 'can_export_reports']);
    const other = await capabilities('?customer=someone', headers, null);
    expect([other.status, other.body.code]).toEqual([400, 'TOKEN_CONTRADICTED']);
    const alone = await capabilities(`?customer=${key}`, {}, server.clientKey);
    expect(alone.status).toBe(403);
  });

  it('the product may stay away where the key has one, and is refused where it is not there', async () => {
    const key = await fresh('pro');
    const named = await capabilities(`?product_id=test&customer=${key}`);
    expect(named.text).toBe((await capabilities(`?customer=${key}`)).text);
    const nowhere = await capabilities(`?product_id=nowhere&customer=${key}`);
    expect([nowhere.status, nowhere.body.code]).toEqual([400, 'PRODUCT_NOT_FOUND']);
    const missing = await capabilities('');
    expect([missing.status, missing.body.code]).toEqual([400, 'CUSTOMER_MISSING']);
  });

  it('an unchanged answer is 304, and a meter that moved is not', async () => {
    const key = await fresh('pro');
    const first = await capabilities(`?customer=${key}`);
    const etag = first.headers.get('etag') ?? '';
    const same = await capabilities(`?customer=${key}`, { 'if-none-match': etag });
    expect([same.status, same.text]).toEqual([304, '']);
    await consume(server, key, { key: 'minutes', amount: 1 });
    const moved = await capabilities(`?customer=${key}`, { 'if-none-match': etag });
    expect([moved.status, moved.body.limits.minutes.used]).toEqual([200, 1]);
  });
});
