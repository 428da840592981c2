import type { JsonObject } from '@pennon/engine/model/json';
import { reconcileConnection } from '@pennon/server/service/billing/reconcile-stripe';
import { newId } from '@pennon/server/service/new-id';
import { event, item, price, subscription } from '@pennon/testkit/stripe-shapes';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import Stripe from 'stripe';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FakeStripe, startFakeStripe } from './billing-stripe-server.js';
import { auditOf, type Call, caller } from './contracts-support.js';
import { entitlement } from './runtime-support.js';

const governed = 'owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: seats, type: limit, category: limit, ${governed} }
plans:
  - { key: free, rank: 0, entitlements: [{ feature: seats, value: 1 }] }
  - { key: pro, rank: 1, entitlements: [{ feature: seats, value: 5 }] }
  - { key: team, rank: 2, entitlements: [{ feature: seats, value: 50 }] }
billing:
  - { key: main, items: [{ price: price_pro, plan: pro }, { price: price_team, plan: team }] }
`;
const SECRET = 'whsec_operations';
const API_KEY = 'sk_test_operations';

let server: TestServer;
let fake: FakeStripe;
let call: Call;
beforeAll(async () => {
  fake = await startFakeStripe(API_KEY);
  server = await startTestServer({ catalog: CATALOG, stripeServer: fake.server });
  call = caller(server);
});
afterAll(async () => {
  await server.stop();
  await fake.stop();
});

async function connect(key: string, more: Record<string, unknown> = {}) {
  const body = { key, provider: 'stripe', mode: 'live', mapping: 'main', secret: SECRET, ...more };
  const made = await call('POST', '/billing-connections', body);
  expect(made.status, made.text).toBe(201);
  return made.body as { readonly id: string; readonly webhookPath: string };
}

async function post(path: string, body: JsonObject) {
  const payload = JSON.stringify(body);
  const signature = Stripe.webhooks.generateTestHeaderString({ payload, secret: SECRET });
  const answer = await fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'stripe-signature': signature },
    body: payload,
  });
  expect(answer.status).toBe(200);
}

let count = 0;
async function subscriber(named = 'price_pro') {
  count += 1;
  const key = `buyer-${count}`;
  await call('PUT', `/customers/${key}`, {});
  const said = (status: string, by = named, more: JsonObject = {}) =>
    subscription('new', {
      id: `sub_${key}`,
      customer: `cus_${key}`,
      status,
      items: [item('new', price(by))],
      more: { metadata: { pennon_customer: key }, ...more },
    });
  const told = (object: JsonObject, more: JsonObject = {}) =>
    event('new', 'customer.subscription.updated', object, { id: `evt_${newId()}`, ...more });
  const licenses = async () => (await call('GET', `/customers/${key}/licenses`)).body.items;
  const seats = async () => (await entitlement(server, 'seats', key)).body.limit?.value;
  return { key, id: `sub_${key}`, said, told, licenses, seats };
}

async function until(check: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('It never came to be.');
}

describe('K-12 dead letters', () => {
  it('are listed, read, and replayed once what was wrong is mended; the audit says who did', async () => {
    const connection = await connect('dead', { account: 'acct_other' });
    const one = await subscriber();
    const body = one.told(one.said('active'), { account: 'acct_mine' });
    await post(connection.webhookPath, body);
    const list = async (query = '') =>
      (await call('GET', `/billing-connections/dead/deliveries${query}`)).body.items;
    const [letter, ...more] = await list();
    expect(more).toEqual([]);
    expect(letter).toMatchObject({
      eventId: body.id,
      state: 'dead',
      problem: 'BILLING_ACCOUNT',
      dueAt: null,
    });
    const read = await call('GET', `/billing-connections/dead/deliveries/${letter.id}`);
    expect(JSON.parse(read.body.body)).toEqual(body);

    const replay = (deliveries?: string[]) =>
      call(
        'POST',
        '/billing-connections/dead/deliveries/replay',
        deliveries === undefined ? {} : { deliveries },
      );
    // Nothing was mended: it is as strange as before.
    expect((await replay([letter.id])).body).toEqual({ replayed: 1 });
    await until(async () => (await list()).length === 1);
    expect(await one.licenses()).toEqual([]);

    await call('PATCH', '/billing-connections/dead', { account: 'acct_mine' }, { 'if-match': '*' });
    expect((await replay()).body).toEqual({ replayed: 1 });
    await until(async () => (await one.licenses()).length === 1);
    await until(async () => (await list('?state=done')).length === 1);
    expect(await list()).toEqual([]);
    expect((await replay()).body).toEqual({ replayed: 0 });
    const entries = (await auditOf(server, connection.id)).filter(
      ({ action }) => action === 'billing-connection.replay',
    );
    expect(entries).toHaveLength(3);
    const nothing = await call('GET', `/billing-connections/dead/deliveries/${newId()}`);
    expect(nothing).toMatchObject({ status: 404, body: { code: 'BILLING_DELIVERY_NOT_FOUND' } });
  });

  it('and what waits are metrics, with the lag of the oldest event', async () => {
    const metrics = (await server.request('GET', '/metrics')).text;
    for (const name of ['waiting', 'dead', 'lag_seconds']) {
      expect(metrics).toMatch(new RegExp(`^pennon_billing_inbox_${name} \\d`, 'm'));
    }
    const environment = server.parts.directory.environment('production');
    const { kysely } = server.parts.database;
    await kysely
      .insertInto('webhook_inbox')
      .values({
        connection_id: newId(),
        account: '',
        event_id: 'evt_waits',
        id: newId(),
        environment_id: environment?.id ?? '',
        type: 't',
        subject: null,
        occurred_at: new Date(Date.now() - 90_000),
        received_at: new Date(),
        body: '{}',
        state: 'waiting',
        due_at: new Date(Date.now() + 3_600_000),
        problem: null,
      })
      .execute();
    await until(async () => {
      const text = (await server.request('GET', '/metrics')).text;
      const lag = Number(/^pennon_billing_inbox_lag_seconds (.+)$/m.exec(text)?.[1]);
      return lag >= 90 && lag < 600 && /^pennon_billing_inbox_waiting 1$/m.test(text);
    });
    await kysely.deleteFrom('webhook_inbox').where('event_id', '=', 'evt_waits').execute();
  });
});

describe('K-12 drift', () => {
  const drift = async (key: string, query = '') =>
    (await call('GET', `/billing-connections/${key}/drift${query}`)).body;

  it('shows what people changed, ended or left unresolved, and nothing where all agrees', async () => {
    const { webhookPath } = await connect('drifting');
    const buyers = await Promise.all([subscriber(), subscriber(), subscriber(), subscriber()]);
    for (const one of buyers) await post(webhookPath, one.told(one.said('active')));
    for (const one of buyers) await until(async () => (await one.licenses()).length === 1);
    expect(await drift('drifting')).toMatchObject({
      items: [],
      looked: 4,
      nextCursor: null,
      reconciledAt: null,
    });

    const [changed, ended, unresolved] = buyers;
    if (changed === undefined || ended === undefined || unresolved === undefined) throw new Error('Too few.');
    const [license] = await changed.licenses();
    const [gone] = await ended.licenses();
    const anyVersion = { 'if-match': '*' };
    await call('PATCH', `/customers/${changed.key}/licenses/${license.id}`, { quantity: 3 }, anyVersion);
    await call('PATCH', `/customers/${ended.key}/licenses/${gone.id}`, { status: 'ended' }, anyVersion);
    await post(webhookPath, unresolved.told(unresolved.said('active', 'price_nobody_knows')));
    await until(async () => (await drift('drifting')).items.length === 3);
    const { items } = await drift('drifting');
    const of = (key: string) => items.find(({ customer }: { customer: string }) => customer === key);
    expect(of(changed.key)).toMatchObject({
      kind: 'DIFFERENT',
      billedStatus: 'active',
      license: license.id,
      product: 'test',
      differences: [{ member: 'quantity', billed: 1, licensed: 3 }],
    });
    expect(of(ended.key)).toMatchObject({ kind: 'NOT_LICENSED', licenseStatus: 'ended' });
    expect(of(unresolved.key)).toMatchObject({ kind: 'UNRESOLVED' });
    const pages: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: { items: { customer: string }[]; nextCursor: string | null } = await drift(
        'drifting',
        `?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`,
      );
      pages.push(...page.items.map(({ customer }) => customer));
      cursor = page.nextCursor;
    }
    expect(pages.sort()).toEqual([changed.key, ended.key, unresolved.key].sort());
  });

  it('what a lost event would have said is asked by schedule, and taken in', async () => {
    const [lost, changed, over] = await Promise.all([subscriber(), subscriber(), subscriber()]);
    for (const one of [lost, changed, over]) fake.subscriptions.set(one.id, one.said('active'));
    const { webhookPath } = await connect('asked', { apiKey: API_KEY });
    for (const one of [changed, over]) await post(webhookPath, one.told(one.said('active')));
    for (const one of [lost, changed, over]) await until(async () => (await one.licenses()).length === 1);
    // Its own events never came: neither the first nor those that follow.
    fake.subscriptions.set(changed.id, changed.said('active', 'price_team'));
    fake.subscriptions.set(over.id, over.said('canceled', 'price_pro', { ended_at: 1_760_000_000 }));
    const before = (await drift('asked')).reconciledAt;
    expect((await call('POST', '/billing-connections/asked/reconcile', {})).status).toBe(200);
    await until(async () => (await changed.seats()) === 50 && (await over.seats()) === 1);
    expect(await lost.seats()).toBe(5);
    await until(async () => ![null, before].includes((await drift('asked')).reconciledAt));
    expect((await drift('asked')).items).toEqual([]);
    const [license] = await changed.licenses();
    const entry = (await auditOf(server, license.id)).at(-1);
    expect(entry).toMatchObject({ actor: { kind: 'billing', onBehalfOf: 'asked' } });
    expect(String(entry?.reason)).toContain('reconcile');
  });

  it('what is known already is not written again, and a key that is refused stops nobody', async () => {
    const { kysely } = server.parts.database;
    const row = await kysely
      .selectFrom('billing_connection')
      .selectAll()
      .where('key', '=', 'asked')
      .executeTakeFirstOrThrow();
    const versions = () =>
      kysely
        .selectFrom('billing_subscription')
        .select(['subscription', 'version'])
        .where('connection_id', '=', row.id)
        .orderBy('subscription')
        .execute();
    const before = await versions();
    const { createStripeClients } = await import('@pennon/server/service/billing/stripe/stripe-clients');
    const stripeClientOf = createStripeClients(fake.server);
    const services = { ...server.parts.management, stripeClientOf, onProblem: () => {} };
    await reconcileConnection(services, row);
    expect(await versions()).toEqual(before);
    expect(stripeClientOf(row)).toBe(stripeClientOf(row));
    expect(stripeClientOf({ ...row, api_key: 'sk_test_other' })).not.toBe(stripeClientOf(row));
    await expect(reconcileConnection(services, { ...row, api_key: 'sk_test_wrong' })).rejects.toThrow();
    const [one] = (await createStripeClients(fake.server)(row)?.page(null))?.found ?? [];
    if (one === undefined) throw new Error('There is nothing to be asked for.');
    const named = (id: string, customer: string) => ({
      ...one,
      subscription: { ...one.subscription, id, customer },
    });
    // The store takes no such name: one that cannot be kept stops none of those after it.
    const found = [named('sub_bad', 'cus_\u0000'), named('sub_after', 'cus_after')];
    const reported: unknown[] = [];
    await reconcileConnection(
      {
        ...services,
        stripeClientOf: () => ({
          page: async () => ({ found, next: null }),
          subscription: async () => null,
          subscriptionsOf: async () => [],
        }),
        onProblem: (problem) => reported.push(problem),
      },
      row,
    );
    expect(reported).toEqual(['`sub_bad` could not be reconciled']);
    expect((await versions()).map(({ subscription }) => subscription)).toContain('sub_after');
    const without = await call('POST', '/billing-connections/drifting/reconcile', {});
    expect(without).toMatchObject({ status: 422, body: { code: 'BILLING_API_KEY_MISSING' } });
  });
});

describe('K-12 connections are removed, and kept apart', () => {
  it('one that holds licenses stays; one that holds none goes with what is known of it', async () => {
    const { webhookPath } = await connect('leaving');
    const one = await subscriber();
    await post(webhookPath, one.told(one.said('active')));
    await until(async () => (await one.licenses()).length === 1);
    const remove = () =>
      call('DELETE', '/billing-connections/leaving?reason=a+test', undefined, { 'if-match': '*' });
    expect(await remove()).toMatchObject({
      status: 409,
      body: { code: 'BILLING_CONNECTION_HOLDS_LICENSES' },
    });
    await post(webhookPath, one.told(one.said('canceled', 'price_pro', { ended_at: 1_760_000_000 })));
    await until(async () => (await one.seats()) === 1);
    expect((await remove()).status).toBe(204);
    expect((await call('GET', '/billing-connections/leaving')).status).toBe(404);
    const { kysely } = server.parts.database;
    const id = webhookPath.split('/').at(-1) ?? '';
    for (const table of [
      'billing_subscription',
      'billing_customer',
      'billing_license',
      'billing_problem',
    ] as const) {
      const rows = await kysely.selectFrom(table).selectAll().where('connection_id', '=', id).execute();
      expect(rows, table).toEqual([]);
    }
    // The licenses that it made stay on record.
    expect(await one.licenses()).toMatchObject([{ status: 'ended' }]);
  });

  it('test mode and live mode do not share an environment', async () => {
    const mixed = await call('POST', '/billing-connections', {
      key: 'mixed',
      provider: 'stripe',
      mode: 'test',
    });
    expect(mixed).toMatchObject({ status: 409, body: { code: 'BILLING_MODES_MIXED' } });
    const elsewhere = await server.request('POST', '/api/v1/environments/development/billing-connections', {
      body: { key: 'sandbox', provider: 'stripe', mode: 'test', secret: SECRET, reason: 'a test' },
    });
    expect(elsewhere.status, elsewhere.text).toBe(201);
    // What is of live mode, sent to the connection of test mode, is a dead letter there and opens nothing.
    const one = await subscriber();
    await post(elsewhere.body.webhookPath, one.told(one.said('active')));
    const letters = await server.request(
      'GET',
      '/api/v1/environments/development/billing-connections/sandbox/deliveries',
    );
    expect(letters.body.items).toMatchObject([{ problem: 'BILLING_MODE' }]);
    expect(await one.licenses()).toEqual([]);
  });
});

describe('K-12 more licenses than a customer may hold', () => {
  it('are an item to resolve, and made once there is room', async () => {
    const { webhookPath } = await connect('many');
    const one = await subscriber();
    const made: { id: string }[] = [];
    for (;;) {
      const license = await call('POST', `/customers/${one.key}/licenses`, { plan: 'pro', kind: 'paid' });
      if (license.status !== 201) break;
      made.push(license.body);
    }
    expect(made.length).toBeGreaterThan(10);
    await post(webhookPath, one.told(one.said('active', 'price_team')));
    const problems = async () =>
      (await call('GET', '/billing-problems')).body.items.filter(
        ({ subscription: id }: { subscription: string }) => id === one.id,
      );
    await until(async () => (await problems()).length === 1);
    expect(await problems()).toMatchObject([{ code: 'TOO_MANY_LICENSES', name: 'team@0', product: 'test' }]);
    const [first] = made;
    await call(
      'PATCH',
      `/customers/${one.key}/licenses/${first?.id}`,
      { endsAt: new Date().toISOString() },
      { 'if-match': '*' },
    );
    await post(webhookPath, one.told(one.said('active', 'price_team')));
    await until(async () => (await problems()).length === 0);
    expect(await one.seats()).toBe(50);
  });
});
