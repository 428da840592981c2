import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import type { BillingAdapter } from '@pennon/server/service/billing/billing-adapter';
import { BILLING_ADAPTERS } from '@pennon/server/service/billing/billing-adapters';
import { decideAgain } from '@pennon/server/service/billing/decide-again';
import { workInbox } from '@pennon/server/service/billing/inbox-worker';
import { receiveDelivery } from '@pennon/server/service/billing/receive-delivery';
import { createStripeClient } from '@pennon/server/service/billing/stripe/stripe-client';
import { newId } from '@pennon/server/service/new-id';
import { forgetDeliveries, readInboxStanding, reviveDeliveries } from '@pennon/server/store/inbox-rows';
import {
  checkout,
  event,
  invoice,
  item,
  price,
  subscription,
  type Version,
} from '@pennon/testkit/stripe-shapes';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import Stripe from 'stripe';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type FakeStripe, startFakeStripe } from './billing-stripe-server.js';
import { type Call, caller } from './contracts-support.js';

const governed = 'owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: seats, type: limit, category: limit, ${governed} }
plans:
  - { key: free, rank: 0, entitlements: [{ feature: seats, value: 1 }] }
  - { key: pro, rank: 1, entitlements: [{ feature: seats, value: 5 }] }
addons:
  - { key: seat, entitlements: [{ feature: seats, add: 1 }] }
billing:
  - { key: main, items: [{ price: price_pro, plan: pro }, { price: price_seat, addons: [{ addon: seat }] }] }
`;
const SECRET = 'whsec_first';
const OLD_SECRET = 'whsec_before';
const GONE_SECRET = 'whsec_long_gone';

let server: TestServer;
let other: TestServer;
let call: Call;
let connection: string;
let later = 0;
let fake: FakeStripe;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  other = await startTestServer({ databaseUrl: server.databaseUrl });
  fake = await startFakeStripe('sk_test_inbox');
  // The tests themselves say when the inbox is worked on.
  await Promise.all([server.parts.billingInbox.stop(), other.parts.billingInbox.stop()]);
  call = caller(server);
  connection = await connect('main');
});
afterAll(async () => {
  await fake.stop();
  await other.stop();
  await server.stop();
});
afterEach(() => {
  later = 0;
});

async function connect(key: string, apiKey: string | null = null): Promise<string> {
  const environment = server.parts.directory.environment('production');
  if (environment === null) throw new Error('There is no environment.');
  const id = newId();
  const now = Date.now();
  const secrets = [
    { id: 'a', secret: SECRET, createdAt: now, endsAt: null },
    { id: 'b', secret: OLD_SECRET, createdAt: 0, endsAt: now + 3_600_000 },
    { id: 'c', secret: GONE_SECRET, createdAt: 0, endsAt: now - 1 },
  ];
  await server.parts.database.kysely
    .insertInto('billing_connection')
    .values({
      id,
      key,
      environment_id: environment.id,
      provider: 'stripe',
      mapping: 'main',
      is_live: true,
      secrets: JSON.stringify(secrets),
      api_key: apiKey,
      version: 1,
      created_at: new Date(),
    })
    .execute();
  return id;
}

const problems: unknown[] = [];
function services(of: TestServer = server, stripe: BillingAdapter = BILLING_ADAPTERS.stripe) {
  const { management } = of.parts;
  return {
    ...management,
    clock: { ...management.clock, now: () => management.clock.now() + later },
    adapters: { ...BILLING_ADAPTERS, stripe },
    stripeClientOf: ({ api_key: apiKey }: { api_key: string | null }) =>
      apiKey === null ? null : createStripeClient({ apiKey, server: fake.server }),
    onProblem: (_problem: string, error: unknown) => problems.push(error),
  };
}

function deliver(
  body: JsonObject | string,
  options: {
    of?: TestServer;
    secret?: string;
    seconds?: number;
    to?: string;
    provider?: 'stripe' | 'paddle';
  } = {},
) {
  const { of = server, secret = SECRET, seconds = 0, to = connection, provider = 'stripe' } = options;
  const payload = typeof body === 'string' ? body : JSON.stringify(body);
  const timestamp = Math.floor(Date.now() / 1000) + seconds;
  const header = Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp });
  return receiveDelivery(services(of), {
    provider,
    connection: to,
    headers: { 'stripe-signature': header },
    body: Buffer.from(payload),
  });
}

let count = 0;
async function subscriber(version: Version = 'new') {
  count += 1;
  const [customer, id] = [`cus_${count}`, `sub_${count}`];
  await call('PUT', `/customers/customer-${count}`, {});
  const key = `customer-${count}`;
  const metadata = { pennon_customer: key };
  const said = (
    status: string,
    items: JsonObject[] = [item(version, price('price_pro'))],
    more: JsonObject = {},
  ) => subscription(version, { id, customer, status, items, more: { metadata, ...more } });
  const told = (type: string, object: JsonObject, more: JsonObject = {}) =>
    event(version, `customer.subscription.${type}`, object, { id: `evt_${newId()}`, ...more });
  const licenses = async () => (await call('GET', `/customers/${key}/licenses`)).body.items;
  return { id, key, customer, said, told, licenses };
}

const inbox = (eventId: unknown) =>
  server.parts.database.kysely
    .selectFrom('webhook_inbox')
    .selectAll()
    .where('event_id', '=', String(eventId))
    .executeTakeFirst();

describe('K-12 the inbox', () => {
  it.each(['old', 'new'] as const)(
    'takes a delivery in once, and it makes a license (%s API version)',
    async (version) => {
      const one = await subscriber(version);
      const body = one.told('created', one.said('active'));
      expect(await deliver(body)).toEqual({ isNew: true, state: 'waiting' });
      expect(await deliver(body)).toEqual({ isNew: false, state: 'waiting' });
      expect(await one.licenses()).toEqual([]);
      await workInbox(services());
      expect(await one.licenses()).toMatchObject([{ plan: 'pro', status: 'active' }]);
      expect(await inbox(body.id)).toMatchObject({ state: 'done', problem: null, subject: one.customer });
      expect(await deliver(body)).toEqual({ isNew: false, state: 'waiting' });
      expect(await workInbox(services())).toBe(0);
    },
  );

  it('two processes that receive the same at once take it in once', async () => {
    const one = await subscriber();
    const body = one.told('created', one.said('active'));
    const received = await Promise.all(
      [server, other, server, other, server, other].map((of) => deliver(body, { of })),
    );
    expect(received.filter(({ isNew }) => isNew)).toHaveLength(1);
    await Promise.all([workInbox(services(server)), workInbox(services(other))]);
    expect(await one.licenses()).toHaveLength(1);
  });

  it('every active secret signs, one that ended does not, and nothing is kept that nobody signed', async () => {
    const one = await subscriber();
    const body = one.told('created', one.said('active'));
    for (const refused of [
      { secret: GONE_SECRET },
      { secret: 'whsec_other' },
      { seconds: -301 },
      { seconds: 302 },
    ]) {
      await expect(deliver(body, refused)).rejects.toMatchObject({
        kind: 'invalid',
        code: 'SIGNATURE_REFUSED',
      });
    }
    expect(await inbox(body.id)).toBeUndefined();
    expect(await deliver(body, { secret: OLD_SECRET })).toMatchObject({ isNew: true });
  });

  it('a connection that is not there, or is of another provider', async () => {
    const one = await subscriber();
    const body = one.told('created', one.said('active'));
    for (const wrong of [{ to: newId() }, { to: 'main' }, { to: '../x' }, { provider: 'paddle' as const }]) {
      await expect(deliver(body, wrong)).rejects.toMatchObject({ code: 'SIGNATURE_REFUSED' });
    }
  });

  it('what changes nothing here is kept and not worked on', async () => {
    const body = event(
      'new',
      'charge.refunded',
      { object: 'charge', customer: 'cus_x' },
      { id: 'evt_refund' },
    );
    expect(await deliver(body)).toEqual({ isNew: true, state: 'ignored' });
    expect(await inbox('evt_refund')).toMatchObject({
      state: 'ignored',
      type: 'charge.refunded',
      subject: 'cus_x',
    });
  });

  it('test mode, a foreign account and what cannot be read are dead letters, and change nothing', async () => {
    const one = await subscriber();
    const test = one.told('created', one.said('active', undefined, { livemode: false }), { livemode: false });
    const foreign = one.told('created', one.said('active'), { account: 'acct_other' });
    expect([await deliver(test), await deliver(foreign)]).toMatchObject([
      { state: 'dead' },
      { state: 'dead' },
    ]);
    expect([(await inbox(test.id))?.problem, (await inbox(foreign.id))?.problem]).toEqual([
      'BILLING_MODE',
      'BILLING_ACCOUNT',
    ]);
    for (const text of ['{', '[]', '"x"', '{"object":"event","id":"evt_\\u0000"}', '{}\u0000']) {
      expect(await deliver(text)).toEqual({ isNew: true, state: 'dead' });
      expect(await deliver(text)).toEqual({ isNew: false, state: 'dead' });
    }
    await workInbox(services());
    expect(await one.licenses()).toEqual([]);
  });

  it('a checkout that came before its subscription, and the other way round', async () => {
    for (const isFirst of [true, false]) {
      const one = await subscriber();
      const bare = one.told('created', one.said('active', undefined, { metadata: {} }));
      const session = checkout({
        customer: one.customer,
        subscription: one.id,
        client_reference_id: one.key,
      });
      const done = event('new', 'checkout.session.completed', session, { id: `evt_${newId()}` });
      for (const body of isFirst ? [done, bare] : [bare, done]) await deliver(body);
      await workInbox(services());
      expect(await one.licenses(), String(isFirst)).toMatchObject([{ plan: 'pro' }]);
    }
  });
});

describe('K-12 what fails', () => {
  it('is tried again later, is a dead letter in the end, and goes through when it is replayed', async () => {
    const one = await subscriber();
    const body = one.told('created', one.said('active'));
    await deliver(body);
    const broken: BillingAdapter = {
      ...BILLING_ADAPTERS.stripe,
      readEvent: () => {
        throw new Error('a test');
      },
    };
    const before = await readInboxStanding(server.parts.database.kysely);
    expect(before.waiting).toBe(1);
    await workInbox(services(server, broken));
    expect(await inbox(body.id)).toMatchObject({ state: 'waiting', attempts: 1, problem: 'UNEXPECTED' });
    // It is not due yet.
    expect(await workInbox(services(server, broken))).toBe(0);
    for (let attempt = 2; attempt <= LIMITS.inboxAttempts.value; attempt += 1) {
      later += 2 * 3_600_000;
      expect(await workInbox(services(server, broken))).toBe(1);
    }
    expect(await inbox(body.id)).toMatchObject({ state: 'dead', attempts: LIMITS.inboxAttempts.value });
    expect(problems.length).toBeGreaterThanOrEqual(LIMITS.inboxAttempts.value);
    const { kysely } = server.parts.database;
    expect((await readInboxStanding(kysely)).dead).toBe(before.dead + 1);
    const row = await inbox(body.id);
    expect(await reviveDeliveries(kysely, connection, [String(row?.id)], new Date())).toBe(1);
    expect(await reviveDeliveries(kysely, connection, [String(row?.id)], new Date())).toBe(0);
    await workInbox(services());
    expect(await one.licenses()).toMatchObject([{ plan: 'pro' }]);
    expect(await inbox(body.id)).toMatchObject({ state: 'done' });
  });

  it('one customer whose event fails keeps no other waiting', async () => {
    const [bad, good] = [await subscriber(), await subscriber()];
    const broken: BillingAdapter = {
      ...BILLING_ADAPTERS.stripe,
      readEvent(body, headers, isLive) {
        const found = BILLING_ADAPTERS.stripe.readEvent(body, headers, isLive);
        if (found?.subject === bad.customer) throw new Error('a test');
        return found;
      },
    };
    await deliver(bad.told('created', bad.said('active')));
    await deliver(good.told('created', good.said('active')));
    await workInbox(services(server, broken));
    expect([await bad.licenses(), await good.licenses()]).toMatchObject([[], [{ plan: 'pro' }]]);
    later = 10_000;
    await workInbox(services());
    expect(await bad.licenses()).toHaveLength(1);
  });

  it('a process that was killed after the change, before the mark, leaves nothing but the mark to be done again', async () => {
    const one = await subscriber();
    const body = one.told('created', one.said('active'));
    await deliver(body);
    await workInbox(services());
    const before = await one.licenses();
    const { kysely } = server.parts.database;
    await kysely
      .updateTable('webhook_inbox')
      .set({ state: 'waiting' })
      .where('event_id', '=', String(body.id))
      .execute();
    expect(await workInbox(services(other))).toBe(1);
    expect(await one.licenses()).toEqual(before);
    expect(await inbox(body.id)).toMatchObject({ state: 'done' });
  });
});

describe('K-12 with an API key', () => {
  it('events are doorbells: what Stripe says now counts, also by an invoice; while it is away, they wait', async () => {
    const to = await connect('with-key', 'sk_test_inbox');
    const one = await subscriber();
    const now = one.said('active');
    fake.subscriptions.set(one.id, now);
    // The payload is old, and says otherwise.
    const stale = one.told('updated', one.said('incomplete'));
    await deliver(stale, { to });
    await workInbox(services());
    expect(await inbox(stale.id)).toMatchObject({ state: 'done', problem: null });
    expect(await one.licenses()).toMatchObject([{ plan: 'pro', status: 'active' }]);

    fake.subscriptions.set(one.id, { ...now, status: 'past_due' });
    const failed = invoice('new', {
      customer: one.customer,
      parent: { type: 'subscription_details', subscription_details: { metadata: {}, subscription: one.id } },
      lines: { object: 'list', data: [] },
    });
    const bell = event('new', 'invoice.payment_failed', failed, { id: `evt_${newId()}` });
    expect(await deliver(bell, { to })).toEqual({ isNew: true, state: 'waiting' });
    fake.fail(500, 3);
    await workInbox(services());
    expect(await inbox(bell.id)).toMatchObject({ state: 'waiting', attempts: 1 });
    later = 10_000;
    await workInbox(services());
    expect(await inbox(bell.id)).toMatchObject({ state: 'done', problem: null });
    expect(await one.licenses()).toMatchObject([{ plan: 'pro', status: 'past_due' }]);
    // Without a key, the same bell says nothing.
    expect(await deliver({ ...bell, id: `evt_${newId()}` })).toMatchObject({ state: 'ignored' });
  });

  it('a provider that refuses everything is not asked for each event of a batch', async () => {
    const to = await connect('refused', 'sk_test_refused');
    const bodies = Array.from({ length: 20 }, (_one, index) => {
      const told = subscription('new', { id: `sub_silent_${index}`, customer: `cus_silent_${index}` });
      return event('new', 'customer.subscription.updated', told, { id: `evt_${newId()}` });
    });
    for (const body of bodies) await deliver(body, { to });
    fake.calls.length = 0;
    await workInbox(services());
    const refused = fake.calls.filter(({ authorization }) => authorization.endsWith('sk_test_refused'));
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThanOrEqual(8);
    for (const body of bodies) expect(await inbox(body.id)).toMatchObject({ state: 'waiting', attempts: 1 });
  });

  it('what is signed counts also where Stripe refuses the key, and it is asked again', async () => {
    const to = await connect('revoked', 'sk_test_revoked');
    const one = await subscriber();
    const body = one.told('created', one.said('active'));
    await deliver(body, { to });
    await workInbox(services());
    expect(await one.licenses()).toMatchObject([{ plan: 'pro', status: 'active' }]);
    expect(await inbox(body.id)).toMatchObject({ state: 'waiting', attempts: 1 });
    const { version } = (await one.licenses())[0];
    later = 10_000;
    await workInbox(services());
    expect(await inbox(body.id)).toMatchObject({ attempts: 2 });
    expect(await one.licenses()).toMatchObject([{ version }]);
  });
});

describe('K-12 the clock', () => {
  it('takes add-ons off when the grace of their own subscription is over', async () => {
    const one = await subscriber();
    await deliver(one.told('created', one.said('active')));
    const extra = subscription('new', {
      id: `${one.id}_extra`,
      customer: one.customer,
      status: 'past_due',
      items: [item('new', price('price_seat'), { quantity: 3 })],
      more: { metadata: { pennon_customer: one.key } },
    });
    await deliver(one.told('updated', extra, { created: Math.floor(Date.now() / 1000) }));
    await workInbox(services());
    expect(await one.licenses()).toMatchObject([{ addons: [{ addon: 'seat', quantity: 3 }] }]);
    await decideAgain(services());
    expect(await one.licenses()).toMatchObject([{ addons: [{ quantity: 3 }] }]);
    later = 8 * 86_400_000;
    await decideAgain(services());
    expect(await one.licenses()).toMatchObject([{ addons: [] }]);
  });

  it('an item is resolved by publishing what it means: a minute later it counts', async () => {
    const one = await subscriber();
    await deliver(one.told('created', one.said('active', [item('new', price('price_fresh'))])));
    await workInbox(services());
    expect(await one.licenses()).toEqual([]);
    const mapped = CATALOG.replace(
      '{ price: price_pro, plan: pro }',
      '{ price: price_pro, plan: pro }, { price: price_fresh, plan: pro }',
    );
    await server.publish(mapped);
    await decideAgain(services());
    expect(await one.licenses()).toEqual([]);
    later = 61_000;
    await decideAgain(services());
    expect(await one.licenses()).toMatchObject([{ plan: 'pro', status: 'active' }]);
    const { kysely } = server.parts.database;
    const left = await kysely
      .selectFrom('billing_problem')
      .selectAll()
      .where('subscription', '=', one.id)
      .execute();
    expect(left).toEqual([]);
  });

  it('a customer of whom nothing can be decided is tried again a minute later, and not all the time', async () => {
    const one = await subscriber();
    await deliver(one.told('created', one.said('active', [item('new', price('price_nobody'))])));
    await workInbox(services());
    later = 61_000;
    const broken = {
      ...services(),
      directory: new Proxy(services().directory, {
        get() {
          throw new Error('a test');
        },
      }),
    };
    problems.length = 0;
    await decideAgain(broken);
    const tried = problems.length;
    expect(tried).toBeGreaterThan(0);
    await decideAgain(broken);
    expect(problems).toHaveLength(tried);
    later = 122_000;
    await decideAgain(broken);
    expect(problems.length).toBeGreaterThan(tried);
    later = 183_000;
    await decideAgain(services());
  });

  it('forgets what is done after 35 days and more, and never what waits or is dead', async () => {
    const { kysely } = server.parts.database;
    expect(LIMITS.inboxDays.value).toBeGreaterThanOrEqual(35);
    const one = await subscriber();
    const body = one.told('created', one.said('active'));
    await deliver(body);
    const all = new Date(Date.now() + 86_400_000);
    const dead = (await readInboxStanding(kysely)).dead;
    await forgetDeliveries(kysely, all, 5000);
    expect(await inbox(body.id)).toMatchObject({ state: 'waiting' });
    expect(await inbox('evt_refund')).toBeUndefined();
    expect((await readInboxStanding(kysely)).dead).toBe(dead);
    await workInbox(services());
    expect(await forgetDeliveries(kysely, all, 5000)).toBeGreaterThan(0);
    expect(await inbox(body.id)).toBeUndefined();
  });
});
