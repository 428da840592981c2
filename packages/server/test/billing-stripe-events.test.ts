import type { JsonObject } from '@pennon/engine/model/json';
import { fromStripeEvent } from '@pennon/server/service/billing/stripe/from-stripe-event';
import { fromStripeSubscription } from '@pennon/server/service/billing/stripe/from-stripe-subscription';
import {
  checkout,
  customer,
  event,
  invoice,
  item,
  MONTH,
  phase,
  price,
  schedule,
  subscription,
  T0,
  VERSIONS,
  type Version,
} from '@pennon/testkit/stripe-shapes';
import { describe, expect, it } from 'vitest';

const versions = Object.keys(VERSIONS) as Version[];
const read = (version: Version, type: string, object: JsonObject, more?: JsonObject) => {
  const found = fromStripeEvent(event(version, type, object, more));
  if (found === null) throw new Error(`${type} was not read`);
  return found;
};
const at = (seconds: number) => (T0 + seconds) * 1000;

describe.each(versions)('K-12 a subscription of Stripe, %s API version', (version) => {
  const said = (more: JsonObject, status = 'active') =>
    fromStripeSubscription(subscription(version, { status, more }));

  it('is read with its period, whichever of the two places it stands in', () => {
    expect(fromStripeSubscription(subscription(version))).toEqual({
      id: 'sub_1',
      customer: 'cus_1',
      customerKey: null,
      status: 'active',
      items: [
        {
          id: 'si_price_pro',
          price: 'price_pro',
          lookupKey: null,
          product: 'prod_1',
          quantity: 1,
          periodStart: at(0),
          periodEnd: at(MONTH),
        },
      ],
      startedAt: at(0),
      anchorAt: at(0),
      trialEndsAt: null,
      cancelAt: null,
      endedAt: null,
      collectionResumesAt: null,
      isLive: true,
    });
  });

  it('reads look-up keys, products that were expanded, quantities, and prices of usage without one', () => {
    const items = [
      item(
        version,
        price('price_a', { lookup_key: 'team_monthly', product: { id: 'prod_x', object: 'product' } }),
        {
          quantity: 7,
        },
      ),
      item(version, price('price_usage'), { quantity: undefined as never }),
      item(version, price('price_gone'), { deleted: true }),
    ];
    expect(fromStripeSubscription(subscription(version, { items }))?.items).toMatchObject([
      { price: 'price_a', lookupKey: 'team_monthly', product: 'prod_x', quantity: 7 },
      { price: 'price_usage', quantity: 1 },
    ]);
  });

  it('knows when it ends, however that was said', () => {
    expect(said({ cancel_at: T0 + 500 })?.cancelAt).toBe(at(500));
    expect(said({ cancel_at_period_end: true })?.cancelAt).toBe(at(MONTH));
    expect(said({ cancel_at_period_end: true, cancel_at: T0 + MONTH })?.cancelAt).toBe(at(MONTH));
    expect(said({ ended_at: T0 + 9 }, 'canceled')).toMatchObject({ status: 'canceled', endedAt: at(9) });
  });

  it('knows trials, customers of ours, test mode, and a customer that was expanded', () => {
    const more = { trial_end: T0 + 60, livemode: false, metadata: { pennon_customer: 'acme' } };
    expect(said(more, 'trialing')).toMatchObject({ trialEndsAt: at(60), isLive: false, customerKey: 'acme' });
    expect(fromStripeSubscription(subscription(version, { customer: customer() }))?.customer).toBe('cus_1');
  });

  it('takes paused collection of an active one for a status of its own', () => {
    const more = { pause_collection: { behavior: 'void', resumes_at: T0 + 90 } };
    expect(said(more)).toMatchObject({ status: 'collection_paused', collectionResumesAt: at(90) });
    expect(said(more, 'past_due')?.status).toBe('past_due');
  });

  it('every status of Stripe', () => {
    const statuses = 'trialing active past_due unpaid paused incomplete incomplete_expired canceled'.split(
      ' ',
    );
    expect(statuses.map((status) => said({}, status)?.status)).toEqual(statuses);
    for (const status of ['collection_paused', 'brand_new', '']) expect(said({}, status)).toBeNull();
  });
});

it('K-12 of several periods, one that ends with its period ends with the last', () => {
  const items = [
    item('new', price('price_a')),
    item('new', price('price_b'), { current_period_end: T0 + 12 * MONTH }),
  ];
  const one = fromStripeSubscription(subscription('new', { items, more: { cancel_at_period_end: true } }));
  expect(one?.cancelAt).toBe(at(12 * MONTH));
});

it('K-12 a very old subscription names its price `plan`', () => {
  const plan = { id: 'plan_gold', object: 'plan', product: 'prod_gold' };
  const old: JsonObject = { id: 'si_1', object: 'subscription_item', plan, quantity: 2 };
  expect(fromStripeSubscription(subscription('old', { items: [old] }))?.items).toMatchObject([
    { price: 'plan_gold', product: 'prod_gold', quantity: 2, periodEnd: at(MONTH) },
  ]);
});

describe.each(versions)('K-12 each type of event, %s API version', (version) => {
  const CHANGES: readonly (readonly [type: string, status: string, rank: number])[] = [
    ['created', 'incomplete', 0],
    ['updated', 'active', 1],
    ['deleted', 'canceled', 3],
    ['paused', 'paused', 2],
    ['resumed', 'active', 2],
    ['trial_will_end', 'trialing', 1],
    ['pending_update_applied', 'active', 1],
    ['pending_update_expired', 'active', 1],
  ];
  it.each(CHANGES)('customer.subscription.%s', (type, status, rank) => {
    const found = read(version, `customer.subscription.${type}`, subscription(version, { status }));
    expect(found).toMatchObject({
      account: '',
      apiVersion: VERSIONS[version],
      isLive: true,
      customer: 'cus_1',
      subscriptions: ['sub_1'],
      news: { kind: 'subscription', subscription: { id: 'sub_1', status } },
    });
    expect(found.mark).toEqual({ at: at(0), rank, id: found.id });
  });

  it.each(['created', 'updated', 'expiring'])('subscription_schedule.%s plans its phases', (type) => {
    const object = schedule('active', [phase(T0, 'price_pro'), phase(T0 + MONTH, 'price_team', 3)]);
    const { news, subscriptions, customer: whose } = read(version, `subscription_schedule.${type}`, object);
    expect([subscriptions, whose]).toEqual([['sub_1'], 'cus_1']);
    expect(news).toMatchObject({
      kind: 'schedule',
      subscription: 'sub_1',
      phases: [
        { startsAt: at(0), items: [{ price: 'price_pro' }] },
        { startsAt: at(MONTH), items: [{ price: 'price_team', quantity: 3, id: null }] },
      ],
    });
  });

  it.each(['released', 'canceled', 'completed', 'aborted'])(
    'subscription_schedule.%s plans nothing',
    (type) => {
      const more: JsonObject =
        type === 'released' ? { subscription: null, released_subscription: 'sub_1' } : {};
      const object = schedule(type, [phase(T0 + MONTH, 'price_team')], more);
      const found = read(version, `subscription_schedule.${type}`, object);
      expect(found.news).toEqual({ kind: 'schedule', subscription: 'sub_1', phases: [] });
      expect(found.mark.rank).toBe(3);
    },
  );

  it.each([
    'paid',
    'payment_failed',
    'payment_action_required',
    'overdue',
    'marked_uncollectible',
    'voided',
    'finalization_failed',
    'upcoming',
    'created',
  ])('invoice.%s names its subscription, wherever that stands', (type) => {
    const found = read(version, `invoice.${type}`, invoice(version));
    expect([found.subscriptions, found.customer, found.news]).toEqual([
      ['sub_1'],
      'cus_1',
      { kind: 'doorbell' },
    ]);
  });

  it('an invoice that only its lines connect to a subscription, and one of none', () => {
    const bare = invoice(version, version === 'new' ? { parent: null } : { subscription: null });
    expect(read(version, 'invoice.paid', bare).subscriptions).toEqual(['sub_1']);
    const none = { ...bare, lines: { object: 'list', data: [] } };
    expect(read(version, 'invoice.paid', none).subscriptions).toEqual([]);
  });

  it.each(['completed', 'async_payment_succeeded'])('checkout.session.%s links the customer', (type) => {
    const found = read(version, `checkout.session.${type}`, checkout());
    expect(found.news).toEqual({ kind: 'link', customer: 'cus_1', customerKey: 'acme' });
    expect(found.subscriptions).toEqual(['sub_1']);
    const named = checkout({ client_reference_id: 'x', metadata: { pennon_customer: 'acme' } });
    expect(read(version, `checkout.session.${type}`, named).news).toMatchObject({ customerKey: 'acme' });
    const nobody = checkout({ client_reference_id: null });
    expect(read(version, `checkout.session.${type}`, nobody).news).toEqual({ kind: 'doorbell' });
    expect(read(version, `checkout.session.${type}`, checkout({ customer: null })).news).toEqual({
      kind: 'doorbell',
    });
  });

  it.each(['expired', 'async_payment_failed'])('checkout.session.%s links nobody', (type) => {
    expect(read(version, `checkout.session.${type}`, checkout()).news).toEqual({ kind: 'nothing' });
  });

  it('customers, prices and products, entitlements of Stripe, and what changes nothing', () => {
    const news = (type: string, object: JsonObject) => read(version, type, object).news;
    const linked = customer({ metadata: { pennon_customer: 'acme' } });
    expect(news('customer.updated', linked)).toEqual({
      kind: 'link',
      customer: 'cus_1',
      customerKey: 'acme',
    });
    expect(news('customer.created', customer())).toEqual({ kind: 'doorbell' });
    expect(news('customer.deleted', customer({ deleted: true }))).toEqual({
      kind: 'customer-deleted',
      customer: 'cus_1',
    });
    expect(
      news('customer.discount.deleted', { object: 'discount', customer: 'cus_1', subscription: 'sub_1' }),
    ).toEqual({
      kind: 'doorbell',
    });
    expect(news('price.updated', price('price_pro'))).toEqual({ kind: 'catalog', object: 'price_pro' });
    expect(news('product.deleted', { id: 'prod_1', object: 'product' })).toEqual({
      kind: 'catalog',
      object: 'prod_1',
    });
    const summary = { object: 'entitlements.active_entitlement_summary', customer: 'cus_1', livemode: true };
    expect(news('entitlements.active_entitlement_summary.updated', summary)).toEqual({ kind: 'doorbell' });
    for (const type of [
      'charge.refunded',
      'charge.dispute.created',
      'billing.alert.triggered',
      'test_helpers.test_clock.ready',
    ]) {
      expect(news(type, { object: 'x', customer: 'cus_1' })).toEqual({ kind: 'nothing' });
    }
  });
});

describe('K-12 what is no event that can be read', () => {
  it('test mode, connected accounts and thin events', () => {
    const found = read('new', 'customer.updated', customer(), { livemode: false, account: 'acct_9' });
    expect(found).toMatchObject({ isLive: false, account: 'acct_9' });
    const thin = {
      id: 'evt_thin',
      object: 'v2.core.event',
      type: 'v1.billing.meter.error_report_triggered',
      created: '2027-01-01T00:00:00.000Z',
      livemode: true,
      related_object: { id: 'mtr_1', type: 'billing.meter', url: '/v1/billing/meters/mtr_1' },
    };
    expect(fromStripeEvent(thin)).toMatchObject({
      id: 'evt_thin',
      subscriptions: [],
      news: { kind: 'nothing' },
    });
  });

  it('is told apart, and nothing breaks', () => {
    const good = event('new', 'customer.subscription.updated', subscription('new'));
    for (const bad of [
      null,
      1,
      'x',
      [],
      {},
      { ...good, id: 7 },
      { ...good, object: 'charge' },
      { ...good, created: 'x' },
    ]) {
      expect(fromStripeEvent(bad)).toBeNull();
    }
    for (const object of [
      null,
      [],
      'x',
      {},
      { object: 'subscription' },
      { ...subscription('new'), customer: null },
    ]) {
      const found = fromStripeEvent({ ...good, data: { object } });
      expect(found?.news.kind).toMatch(/^(?:nothing|doorbell)$/);
    }
    const odd = subscription('new', { items: [{ price: 3, quantity: -1 } as JsonObject] });
    const more = { billing_cycle_anchor: 'soon', trial_end: -1, start_date: 1e300, created: 1.5, items: 4 };
    expect(fromStripeSubscription({ ...odd, ...more })).toMatchObject({
      startedAt: 0,
      anchorAt: null,
      items: [],
    });
    expect(fromStripeSubscription(odd)?.items).toMatchObject([{ price: null, quantity: 1 }]);
  });
});
