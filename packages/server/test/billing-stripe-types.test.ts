import type { JsonObject } from '@pennon/engine/model/json';
import {
  checkout,
  customer,
  event,
  invoice,
  phase,
  price,
  schedule,
  subscription,
  T0,
  VERSIONS,
  type Version,
} from '@pennon/testkit/stripe-shapes';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import Stripe from 'stripe';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Call, caller } from './contracts-support.js';

/* Every type of event that concerns entitlements, in the shapes of old and new API versions, signed by Stripe's own package, over HTTP. */

const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: export, type: boolean, category: subscription, owner: a@example.com, purpose: A test, removal: permanent }
plans:
  - { key: free, rank: 0, entitlements: [] }
  - { key: pro, rank: 1, entitlements: [{ feature: export, value: true }] }
  - { key: team, rank: 2, entitlements: [{ feature: export, value: true }] }
billing:
  - { key: stripe, items: [{ price: price_pro, plan: pro }, { price: price_team, plan: team }] }
`;
const SECRET = 'whsec_types';
const FAR = 4_000_000_000;

let server: TestServer;
let call: Call;
let path: string;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  call = caller(server);
  const body = { key: 'stripe', provider: 'stripe', mode: 'live', secret: SECRET };
  path = (await call('POST', '/billing-connections', body)).body.webhookPath;
});
afterAll(() => server.stop());

interface Names {
  readonly customer: string;
  readonly subscription: string;
  readonly metadata: JsonObject;
}
type Shape = (version: Version, names: Names) => JsonObject;

const state =
  (status: string, more: JsonObject = {}): Shape =>
  (version, names) =>
    subscription(version, {
      id: names.subscription,
      customer: names.customer,
      status,
      more: { metadata: names.metadata, ...more },
    });
const planned =
  (status: string): Shape =>
  (_, names) =>
    schedule(status, [phase(T0, 'price_pro'), phase(FAR, 'price_team')], {
      customer: names.customer,
      ...(status === 'released'
        ? { subscription: null, released_subscription: names.subscription }
        : { subscription: names.subscription }),
    });
const billed: Shape = (version, names) => invoice(version, { customer: names.customer });
const bought: Shape = (_, names) =>
  checkout({
    customer: names.customer,
    subscription: names.subscription,
    client_reference_id: String(names.metadata.pennon_customer),
  });
const person: Shape = (_, names) => customer({ id: names.customer, metadata: names.metadata });
const bare =
  (object: string, more: JsonObject = {}): Shape =>
  (_, names) => ({ id: `${object}_1`, object, customer: names.customer, livemode: true, ...more });

const ACTIVE = { status: 'active', plan: 'pro', nextPlan: null };
const PLANNED = { ...ACTIVE, nextPlan: { plan: 'team' } };

/** What the license is after that came to an active subscription; and what becomes of the delivery, without a key to ask with. */
const TYPES: readonly (readonly [
  type: string,
  shape: Shape,
  license: JsonObject,
  delivery: 'done' | 'ignored',
])[] = [
  ['checkout.session.completed', bought, ACTIVE, 'done'],
  ['checkout.session.async_payment_succeeded', bought, ACTIVE, 'done'],
  ['checkout.session.async_payment_failed', bought, ACTIVE, 'ignored'],
  ['checkout.session.expired', bought, ACTIVE, 'ignored'],
  ['customer.subscription.created', state('active'), ACTIVE, 'done'],
  ['customer.subscription.updated', state('past_due'), { ...ACTIVE, status: 'past_due' }, 'done'],
  ['customer.subscription.deleted', state('canceled', { ended_at: T0 + 60 }), { status: 'ended' }, 'done'],
  ['customer.subscription.paused', state('paused'), { ...ACTIVE, status: 'paused' }, 'done'],
  ['customer.subscription.resumed', state('active'), ACTIVE, 'done'],
  [
    'customer.subscription.trial_will_end',
    state('trialing', { trial_end: FAR }),
    { ...ACTIVE, status: 'trialing', kind: 'trial' },
    'done',
  ],
  [
    'customer.subscription.pending_update_applied',
    state('active', { cancel_at: FAR }),
    { status: 'canceled' },
    'done',
  ],
  ['customer.subscription.pending_update_expired', state('active'), ACTIVE, 'done'],
  ['subscription_schedule.created', planned('active'), PLANNED, 'done'],
  ['subscription_schedule.updated', planned('active'), PLANNED, 'done'],
  ['subscription_schedule.expiring', planned('active'), PLANNED, 'done'],
  ['subscription_schedule.released', planned('released'), ACTIVE, 'done'],
  ['subscription_schedule.canceled', planned('canceled'), ACTIVE, 'done'],
  ['subscription_schedule.completed', planned('completed'), ACTIVE, 'done'],
  ['subscription_schedule.aborted', planned('canceled'), ACTIVE, 'done'],
  ...[
    'paid payment_failed payment_action_required overdue marked_uncollectible voided finalization_failed upcoming created',
  ]
    .flatMap((words) => words.split(' '))
    .map((word) => [`invoice.${word}`, billed, ACTIVE, 'ignored'] as const),
  [
    'entitlements.active_entitlement_summary.updated',
    (_, names) => ({
      object: 'entitlements.active_entitlement_summary',
      customer: names.customer,
      entitlements: { object: 'list', data: [], has_more: false, url: '/v1/entitlements' },
      livemode: true,
    }),
    ACTIVE,
    'ignored',
  ],
  ['customer.created', person, ACTIVE, 'done'],
  ['customer.updated', person, ACTIVE, 'done'],
  ['customer.deleted', (_, names) => customer({ id: names.customer, deleted: true }), ACTIVE, 'ignored'],
  ...['created', 'updated', 'deleted'].flatMap((word) => [
    [`customer.discount.${word}`, bare('discount'), ACTIVE, 'ignored'] as const,
    [`product.${word}`, bare('product', { active: false }), ACTIVE, 'ignored'] as const,
    [`price.${word}`, () => price('price_pro', { active: false }), ACTIVE, 'ignored'] as const,
  ]),
  ['charge.refunded', bare('charge', { amount_refunded: 100 }), ACTIVE, 'ignored'],
  ['charge.dispute.created', bare('dispute'), ACTIVE, 'ignored'],
  ['charge.dispute.closed', bare('dispute'), ACTIVE, 'ignored'],
  ['billing.alert.triggered', bare('billing.alert_triggered'), ACTIVE, 'ignored'],
  ['billing.credit_grant.created', bare('billing.credit_grant'), ACTIVE, 'ignored'],
  ['billing.credit_grant.updated', bare('billing.credit_grant'), ACTIVE, 'ignored'],
  [
    'billing.credit_balance_transaction.created',
    bare('billing.credit_balance_transaction'),
    ACTIVE,
    'ignored',
  ],
  ['billing.meter.created', bare('billing.meter'), ACTIVE, 'ignored'],
  ['billing.meter.updated', bare('billing.meter'), ACTIVE, 'ignored'],
  ['billing.meter.deactivated', bare('billing.meter'), ACTIVE, 'ignored'],
  ['billing.meter.reactivated', bare('billing.meter'), ACTIVE, 'ignored'],
  ['test_helpers.test_clock.ready', bare('test_helpers.test_clock', { frozen_time: T0 }), ACTIVE, 'ignored'],
];

async function post(body: JsonObject): Promise<void> {
  const payload = JSON.stringify(body);
  const answer = await fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'stripe-signature': Stripe.webhooks.generateTestHeaderString({ payload, secret: SECRET }),
    },
    body: payload,
  });
  expect(answer.status).toBe(200);
}

async function settled(): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    const waiting = (await call('GET', '/billing-connections/stripe/deliveries?state=waiting')).body.items;
    if (waiting.length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('It was not worked on.');
}

describe.each(Object.keys(VERSIONS) as Version[])(
  'K-12 every type of event over HTTP, %s API version',
  (version) => {
    const namesOf = (index: number): Names => ({
      customer: `cus_${version}_${index}`,
      subscription: `sub_${version}_${index}`,
      metadata: { pennon_customer: `buyer-${version}-${index}` },
    });

    it('does to an active subscription what it says, and nothing else', async () => {
      expect(TYPES.length).toBeGreaterThanOrEqual(50);
      for (const index of TYPES.keys()) {
        const names = namesOf(index);
        await call('PUT', `/customers/${String(names.metadata.pennon_customer)}`, {});
        const id = `evt_${version}_${index}_first`;
        await post(event(version, 'customer.subscription.created', state('active')(version, names), { id }));
      }
      await settled();
      for (const [index, [type, shape]] of TYPES.entries()) {
        const more = { id: `evt_${version}_${index}`, created: T0 + 100 };
        await post(event(version, type, shape(version, namesOf(index)), more));
      }
      await settled();
      const states = new Map<string, string>();
      for (const wanted of ['done', 'ignored', 'dead']) {
        const list = `/billing-connections/stripe/deliveries?limit=200&state=${wanted}`;
        for (const { eventId } of (await call('GET', list)).body.items) states.set(eventId, wanted);
      }
      const found = await Promise.all(
        TYPES.map(async ([type], index) => {
          const key = String(namesOf(index).metadata.pennon_customer);
          const licenses = (await call('GET', `/customers/${key}/licenses`)).body.items;
          return { type, delivery: states.get(`evt_${version}_${index}`), licenses };
        }),
      );
      expect(found).toMatchObject(
        TYPES.map(([type, , license, delivery]) => ({ type, delivery, licenses: [license] })),
      );
    }, 120_000);
  },
);
