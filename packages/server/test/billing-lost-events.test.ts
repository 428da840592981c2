import { createHmac } from 'node:crypto';
import type { JsonObject } from '@pennon/engine/model/json';
import { drawLife, type LifeNames } from '@pennon/testkit/prove/billing/draw-subscription';
import { readOutcome } from '@pennon/testkit/prove/billing/read-outcome';
import { seeded } from '@pennon/testkit/prove/seeded';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type FakeStripe, startFakeStripe } from './billing-stripe-server.js';
import { type Call, caller } from './contracts-support.js';

/* With a key of the provider's API, any event may be lost, the last one too: what is asked by schedule makes good for it. */

const governed = 'owner: a@example.com, purpose: A test, removal: permanent, type: limit, category: limit';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features: [{ key: seats, ${governed} }]
plans:
  - { key: free, rank: 0, entitlements: [{ feature: seats, value: 1 }] }
  - { key: solo, rank: 1, entitlements: [{ feature: seats, value: 2 }] }
  - { key: team, rank: 2, entitlements: [{ feature: seats, value: 3 }] }
  - { key: fleet, rank: 3, entitlements: [{ feature: seats, value: 4 }] }
addons: [{ key: seat, entitlements: [{ feature: seats, add: 1 }] }]
billing:
  - key: main
    items:
      - { price: price_solo, plan: solo }
      - { price: price_team, plan: team }
      - { price: price_fleet, plan: fleet }
      - { price: price_seat, addons: [{ addon: seat }] }
`;
const SECRET = 'whsec_lost';
const API_KEY = 'sk_test_lost';
const LIVES = 15;
const BEGIN = Math.floor(Date.now() / 86_400_000) * 86_400 - 300 * 86_400;

let fake: FakeStripe;
let server: TestServer;
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

async function connect(key: string, more: object = {}): Promise<string> {
  const body = { key, provider: 'stripe', mode: 'live', mapping: 'main', secret: SECRET, ...more };
  return (await call('POST', '/billing-connections', body)).body.webhookPath;
}

async function post(path: string, body: JsonObject): Promise<void> {
  const payload = JSON.stringify(body);
  const seconds = Math.floor(Date.now() / 1000);
  const signature = createHmac('sha256', SECRET).update(`${seconds}.${payload}`).digest('hex');
  const headers = { 'content-type': 'application/json', 'stripe-signature': `t=${seconds},v1=${signature}` };
  const answer = await fetch(`${server.url}${path}`, { method: 'POST', headers, body: payload });
  expect(answer.status).toBe(200);
}

async function until(check: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 1200; attempt += 1) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('It never came to be.');
}

const nothingWaits = (key: string) => async () =>
  (await call('GET', `/billing-connections/${key}/deliveries?state=waiting`)).body.items.length === 0;

function objectOf(body: JsonObject): JsonObject {
  return (body.data as JsonObject).object as JsonObject;
}

/** What Stripe would answer when it is asked after all of that. */
function keepAtStripe(events: readonly JsonObject[], { key, prefix }: LifeNames): void {
  for (const body of events) {
    const said = objectOf(body);
    if (said.object === 'subscription') {
      const customer = { id: `${prefix}_cus`, object: 'customer', metadata: { pennon_customer: key } };
      const schedule = fake.subscriptions.get(String(said.id))?.schedule ?? null;
      fake.subscriptions.set(String(said.id), { ...said, customer, schedule });
    } else if (said.object === 'subscription_schedule') {
      const id = String(said.subscription ?? said.released_subscription);
      const known = fake.subscriptions.get(id);
      if (known !== undefined)
        fake.subscriptions.set(id, { ...known, schedule: said.status === 'active' ? said : null });
    }
  }
}

/** Since when it is past due is known by events alone, so that a grace may begin later where those were lost. */
async function licensesOf({ key, prefix }: LifeNames): Promise<readonly JsonObject[]> {
  const { licenses } = await readOutcome(server.parts.database.pool, key, prefix);
  return licenses.map((text) => ({ ...(JSON.parse(text) as JsonObject), grace_ends_at: null }));
}

it('K-12 with an API key, any events may be lost for good: what is asked by schedule comes to the same', async () => {
  const inOrder = await connect('in-order');
  const lossy = await connect('lossy', { apiKey: API_KEY });
  let lost = 0;
  for (let seed = 1; seed <= LIVES; seed += 1) {
    const whole = { key: `whole-${seed}`, prefix: `w${seed}x` };
    const partial = { key: `partial-${seed}`, prefix: `p${seed}x` };
    for (const { key } of [whole, partial]) await call('PUT', `/customers/${key}`, {});
    for (const { body } of drawLife(seeded(seed), whole, BEGIN).events) await post(inOrder, body);
    const events = drawLife(seeded(seed), partial, BEGIN).events.map(({ body }) => body);
    keepAtStripe(events, partial);
    const chance = seeded(seed + 1000);
    for (const body of events) {
      if (chance.chance(0.6)) lost += 1;
      else await post(lossy, body);
    }
  }
  expect(lost).toBeGreaterThan(60);
  await until(nothingWaits('in-order'));
  await until(nothingWaits('lossy'));
  const asked = new Date().toISOString();
  await call('POST', '/billing-connections/lossy/reconcile', {});
  await until(async () => {
    const { reconciledAt } = (await call('GET', '/billing-connections/lossy/drift?limit=1')).body;
    return reconciledAt !== null && reconciledAt > asked;
  });
  for (let seed = 1; seed <= LIVES; seed += 1) {
    const expected = await licensesOf({ key: `whole-${seed}`, prefix: `w${seed}x` });
    expect(await licensesOf({ key: `partial-${seed}`, prefix: `p${seed}x` }), `seed ${seed}`).toEqual(
      expected,
    );
  }
}, 180_000);
