import type { JsonObject } from '@pennon/engine/model/json';
import type { BillingAdapter } from '@pennon/server/service/billing/billing-adapter';
import { paddleAdapter } from '@pennon/server/service/billing/paddle/paddle-adapter';
import { polarAdapter } from '@pennon/server/service/billing/polar/polar-adapter';
import { stripeAdapter } from '@pennon/server/service/billing/stripe/stripe-adapter';
import { checkout, event, invoice, phase, schedule, subscription, T0 } from '@pennon/testkit/stripe-shapes';
import { describe, expect, it } from 'vitest';

const at = Date.parse;

function paddleSubscription(more: JsonObject = {}): JsonObject {
  return {
    id: 'sub_01',
    status: 'active',
    customer_id: 'ctm_01',
    address_id: 'add_01',
    currency_code: 'USD',
    created_at: '2027-01-01T00:00:00.000000Z',
    started_at: '2027-01-01T00:00:01.123456Z',
    first_billed_at: '2027-01-08T00:00:00Z',
    next_billed_at: '2027-02-08T00:00:00Z',
    paused_at: null,
    canceled_at: null,
    collection_mode: 'automatic',
    current_billing_period: { starts_at: '2027-01-08T00:00:00Z', ends_at: '2027-02-08T00:00:00Z' },
    billing_cycle: { interval: 'month', frequency: 1 },
    scheduled_change: null,
    items: [
      {
        status: 'active',
        quantity: 4,
        recurring: true,
        trial_dates: null,
        price: { id: 'pri_01', product_id: 'pro_01', name: 'Monthly' },
        product: { id: 'pro_01', name: 'Pro' },
      },
    ],
    custom_data: { pennon_customer: 'acme' },
    ...more,
  };
}

function paddle(type: string, data: JsonObject): JsonObject {
  return {
    event_id: 'evt_01',
    event_type: type,
    occurred_at: '2027-01-10T10:18:49.621022Z',
    notification_id: 'ntf_01',
    data,
  };
}

function polarState(subscriptions: readonly JsonObject[], more: JsonObject = {}): JsonObject {
  return {
    type: 'customer.state_changed',
    timestamp: '2027-01-10T00:00:00Z',
    data: {
      id: 'c-1',
      external_id: 'acme',
      email: 'a@example.com',
      metadata: {},
      deleted_at: null,
      active_subscriptions: [...subscriptions],
      granted_benefits: [],
      active_meters: [],
      ...more,
    },
  };
}

function polarSubscription(more: JsonObject = {}): JsonObject {
  return {
    id: 's-1',
    status: 'active',
    created_at: '2027-01-01T00:00:00Z',
    started_at: '2027-01-01T00:00:00Z',
    current_period_start: '2027-01-01T00:00:00Z',
    current_period_end: '2027-02-01T00:00:00Z',
    cancel_at_period_end: false,
    ends_at: null,
    trial_end: null,
    product_id: 'p-1',
    ...more,
  };
}

const read = (adapter: BillingAdapter, body: JsonObject, isLive = true) =>
  adapter.readEvent(body, { 'webhook-id': 'msg_1' }, isLive);
const told = (adapter: BillingAdapter, body: JsonObject, isLive = true) => {
  const [news, ...more] = read(adapter, body, isLive)?.news ?? [];
  expect(more).toEqual([]);
  if (news?.kind !== 'subscription') throw new Error(`It tells of no subscription: ${JSON.stringify(news)}`);
  return news;
};

describe('K-12 Paddle', () => {
  it.each([
    ['created', 0],
    ['activated', 1],
    ['updated', 1],
    ['trialing', 1],
    ['past_due', 1],
    ['paused', 2],
    ['resumed', 2],
    ['canceled', 3],
  ] as const)('subscription.%s', (type, rank) => {
    const { mark, subscription: said } = told(
      paddleAdapter,
      paddle(`subscription.${type}`, paddleSubscription()),
    );
    expect(mark).toEqual({ at: at('2027-01-10T10:18:49.621Z'), rank, id: 'evt_01' });
    expect(said).toEqual({
      id: 'sub_01',
      customer: 'ctm_01',
      customerKey: 'acme',
      status: 'active',
      items: [
        {
          id: null,
          price: 'pri_01',
          lookupKey: null,
          product: 'pro_01',
          quantity: 4,
          periodStart: at('2027-01-08T00:00:00Z'),
          periodEnd: at('2027-02-08T00:00:00Z'),
        },
      ],
      startedAt: at('2027-01-01T00:00:01.123Z'),
      anchorAt: at('2027-01-08T00:00:00Z'),
      trialEndsAt: null,
      cancelAt: null,
      endedAt: null,
      collectionResumesAt: null,
      isLive: true,
    });
  });

  it('trials, ends, scheduled changes and items that were taken off', () => {
    const said = (more: JsonObject) =>
      told(paddleAdapter, paddle('subscription.updated', paddleSubscription(more)));
    const [item] = paddleSubscription().items as JsonObject[];
    const trial = {
      ...item,
      trial_dates: { starts_at: '2027-01-01T00:00:00Z', ends_at: '2027-01-08T00:00:00Z' },
    };
    expect(said({ status: 'trialing', items: [trial] }).subscription.trialEndsAt).toBe(
      at('2027-01-08T00:00:00Z'),
    );
    const change = { action: 'cancel', effective_at: '2027-02-08T00:00:00Z', resume_at: null };
    expect(said({ scheduled_change: change }).subscription.cancelAt).toBe(at('2027-02-08T00:00:00Z'));
    expect(said({ scheduled_change: { ...change, action: 'pause' } }).subscription.cancelAt).toBeNull();
    expect(said({ status: 'canceled', canceled_at: '2027-01-09T00:00:00Z' }).subscription).toMatchObject({
      status: 'canceled',
      endedAt: at('2027-01-09T00:00:00Z'),
    });
    expect(said({ items: [{ ...item, status: 'inactive' }] }).subscription.items).toEqual([]);
    expect(
      told(paddleAdapter, paddle('subscription.updated', paddleSubscription()), false).subscription.isLive,
    ).toBe(false);
  });

  it('links customers, and tells nothing of anything else', () => {
    const linked = paddle('customer.updated', { id: 'ctm_01', custom_data: { pennon_customer: 'acme' } });
    expect(read(paddleAdapter, linked)).toMatchObject({
      subject: 'ctm_01',
      news: [{ kind: 'link', customer: 'ctm_01', customerKey: 'acme' }],
    });
    for (const [type, data] of [
      ['customer.updated', { id: 'ctm_01', custom_data: null }],
      ['transaction.completed', { id: 'txn_01', customer_id: 'ctm_01', subscription_id: 'sub_01' }],
      ['subscription.updated', { id: 'sub_01', status: 'brand_new', customer_id: 'ctm_01' }],
    ] as const) {
      expect(read(paddleAdapter, paddle(type, data))).toMatchObject({ subject: 'ctm_01', news: [] });
    }
    for (const bad of [{}, { event_id: 'x' }, { ...paddle('a', {}), occurred_at: 'soon' }]) {
      expect(read(paddleAdapter, bad)).toBeNull();
    }
  });
});

describe('K-12 Polar tells whole states', () => {
  it('of one subscription, with its trial and its end', () => {
    expect(told(polarAdapter, polarState([polarSubscription({ seats: 3 })]))).toEqual({
      kind: 'subscription',
      mark: { at: at('2027-01-10T00:00:00Z'), rank: 1, id: 'msg_1' },
      subscription: {
        id: 'c-1',
        customer: 'c-1',
        customerKey: 'acme',
        status: 'active',
        items: [
          {
            id: 's-1',
            price: null,
            lookupKey: null,
            product: 'p-1',
            quantity: 3,
            periodStart: at('2027-01-01T00:00:00Z'),
            periodEnd: at('2027-02-01T00:00:00Z'),
          },
        ],
        startedAt: at('2027-01-01T00:00:00Z'),
        anchorAt: null,
        trialEndsAt: null,
        cancelAt: null,
        endedAt: null,
        collectionResumesAt: null,
        isLive: true,
      },
    });
    const ends = told(polarAdapter, polarState([polarSubscription({ cancel_at_period_end: true })]));
    expect(ends.subscription.cancelAt).toBe(at('2027-02-01T00:00:00Z'));
    const trial = polarSubscription({ status: 'trialing', trial_end: '2027-01-15T00:00:00Z' });
    expect(told(polarAdapter, polarState([trial])).subscription).toMatchObject({
      status: 'trialing',
      trialEndsAt: at('2027-01-15T00:00:00Z'),
    });
  });

  it('of several, of none, and of a customer that was deleted', () => {
    const several = [
      polarSubscription({ cancel_at_period_end: true }),
      polarSubscription({ id: 's-2', product_id: 'p-2' }),
    ];
    expect(told(polarAdapter, polarState(several)).subscription).toMatchObject({
      items: [{ product: 'p-1' }, { product: 'p-2' }],
      cancelAt: null,
    });
    for (const none of [polarState([]), polarState(several, { deleted_at: '2027-01-09T00:00:00Z' })]) {
      expect(told(polarAdapter, none).subscription).toMatchObject({ status: 'active', items: [] });
    }
  });

  it('tells nothing of other events, and refuses what is none', () => {
    const other = {
      type: 'order.paid',
      timestamp: '2027-01-10T00:00:00Z',
      data: { id: 'o', customer_id: 'c-1' },
    };
    expect(read(polarAdapter, other)).toMatchObject({ id: 'msg_1', subject: 'c-1', news: [] });
    expect(polarAdapter.readEvent(other, {}, true)).toBeNull();
    expect(read(polarAdapter, { type: 'x' })).toBeNull();
    expect(read(polarAdapter, { ...polarState([]), data: { id: 'c-1' } })).toMatchObject({ news: [] });
  });
});

describe('K-12 Stripe, without its API', () => {
  it('tells what the payload says, and nothing by a doorbell', () => {
    const news = (type: string, object: JsonObject) => read(stripeAdapter, event('new', type, object));
    expect(news('customer.subscription.updated', subscription('new'))).toMatchObject({
      subject: 'cus_1',
      isLive: true,
      occurredAt: T0 * 1000,
      news: [{ kind: 'subscription', subscription: { id: 'sub_1' } }],
    });
    expect(news('checkout.session.completed', checkout())?.news).toEqual([
      { kind: 'link', customer: 'cus_1', customerKey: 'acme' },
    ]);
    const planned = schedule('active', [phase(T0, 'price_team')]);
    expect(news('subscription_schedule.updated', planned)?.news).toMatchObject([
      { kind: 'schedule', customer: 'cus_1', subscription: 'sub_1' },
    ]);
    expect(news('invoice.paid', invoice('new'))).toMatchObject({ subject: 'cus_1', news: [] });
    expect(read(stripeAdapter, { object: 'charge' })).toBeNull();
  });
});
