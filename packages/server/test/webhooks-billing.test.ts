import { event, subscription } from '@pennon/testkit/stripe-shapes';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import Stripe from 'stripe';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { caller } from './contracts-support.js';
import { warm } from './runtime-support.js';
import { type HookListener, listenForHooks, makeHook } from './webhooks-support.js';

/* From one side of the house to the other: what a billing provider says is told to whoever listens. */

const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: export, type: boolean, category: subscription, owner: a@example.com, purpose: A test, removal: permanent }
plans:
  - { key: free, rank: 0, entitlements: [] }
  - { key: pro, rank: 1, entitlements: [{ feature: export, value: true }] }
billing:
  - { key: stripe, items: [{ price: price_pro, plan: pro }] }
`;
const SECRET = 'whsec_of_the_endpoint';

let server: TestServer;
let listener: HookListener;

beforeAll(async () => {
  listener = await listenForHooks();
  server = await startTestServer({ catalog: CATALOG });
  await warm(server, 'anybody');
}, 60_000);
afterAll(async () => {
  await server?.stop();
  await listener?.stop();
});

it('K-12 an event of a billing provider is told as the license that it changed and as what that opens', async () => {
  const call = caller(server);
  const made = await call('POST', '/billing-connections', {
    key: 'stripe',
    provider: 'stripe',
    mode: 'live',
    secret: SECRET,
  });
  expect(made.status, made.text).toBe(201);
  await call('PUT', '/customers/acme', {});
  await makeHook(server, listener.url);
  await vi.waitFor(
    async () => {
      const { rows } = await server.parts.database.pool.query('select is_walking from state_walk');
      expect(rows).toEqual([{ is_walking: false }]);
    },
    { timeout: 10_000 },
  );
  const said = subscription('new', {
    id: 'sub_acme',
    customer: 'cus_acme',
    status: 'active',
    more: { metadata: { pennon_customer: 'acme' } },
  });
  const payload = JSON.stringify(event('new', 'customer.subscription.updated', said, { id: 'evt_acme' }));
  const answer = await fetch(`${server.url}${made.body.webhookPath}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'stripe-signature': Stripe.webhooks.generateTestHeaderString({ payload, secret: SECRET }),
    },
    body: payload,
  });
  expect(answer.status).toBe(200);
  const arrived = (type: string) =>
    vi.waitFor(
      () => {
        const [found] = listener.of(type);
        if (found === undefined) throw new Error(`No \`${type}\` has arrived.`);
        return found.event.data;
      },
      { timeout: 15_000, interval: 50 },
    );
  expect(await arrived('license.changed')).toMatchObject({
    customer: 'acme',
    license: { customer: 'acme', plan: 'pro', status: 'active' },
  });
  expect(await arrived('entitlement.changed')).toMatchObject({
    customer: 'acme',
    feature: 'export',
    before: { granted: false },
    after: { granted: true, reason: 'PLAN' },
  });
  expect(await arrived('customer.state_changed')).toMatchObject({
    customer: 'acme',
    licenses: [{ plan: 'pro', status: 'active' }],
    entitlements: [{ key: 'export', granted: true }],
  });
}, 40_000);
