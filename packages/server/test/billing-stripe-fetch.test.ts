import type { JsonObject } from '@pennon/engine/model/json';
import { fetchStripeNews } from '@pennon/server/service/billing/stripe/fetch-stripe-news';
import { fromStripeEvent } from '@pennon/server/service/billing/stripe/from-stripe-event';
import { fromStripeSubscription } from '@pennon/server/service/billing/stripe/from-stripe-subscription';
import { createStripeClient } from '@pennon/server/service/billing/stripe/stripe-client';
import {
  checkout,
  customer,
  event,
  invoice,
  item,
  phase,
  price,
  schedule,
  subscription,
  T0,
  type Version,
} from '@pennon/testkit/stripe-shapes';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type FakeStripe, startFakeStripe } from './billing-stripe-server.js';

const KEY = 'sk_test_of_a_test';
let stripe: FakeStripe;
beforeAll(async () => {
  stripe = await startFakeStripe(KEY);
});
afterAll(() => stripe.stop());
beforeEach(() => {
  stripe.subscriptions.clear();
  stripe.calls.length = 0;
});

const client = (apiKey = KEY, account?: string) =>
  createStripeClient({ apiKey, server: stripe.server, ...(account === undefined ? {} : { account }) });

function put(id: string, status: string, more: JsonObject = {}, version: Version = 'new') {
  stripe.subscriptions.set(id, subscription(version, { id, status, more }));
}

function news(type: string, object: JsonObject, version: Version = 'new') {
  const read = fromStripeEvent(event(version, type, object));
  if (read === null) throw new Error('It is no event.');
  return fetchStripeNews(client(), read, 5000);
}

describe('K-12 with an API key, an event is a doorbell', () => {
  it.each(['old', 'new'] as const)(
    'what is true now counts, and not what the payload says (%s API version)',
    async (version) => {
      put('sub_1', 'past_due', {}, version);
      const found = await news(
        'customer.subscription.updated',
        subscription(version, { status: 'active' }),
        version,
      );
      expect(found).toMatchObject([
        {
          kind: 'subscription',
          mark: { at: 5000, rank: 4 },
          subscription: { id: 'sub_1', status: 'past_due' },
        },
        { kind: 'schedule', subscription: 'sub_1', phases: [] },
      ]);
      expect(found[0]).toMatchObject({ subscription: { items: [{ periodStart: T0 * 1000 }] } });
    },
  );

  it('an invoice, a checkout and a schedule ring for their subscription', async () => {
    put('sub_1', 'active');
    for (const [type, object] of [
      ['invoice.paid', invoice('new')],
      ['invoice.payment_failed', invoice('new')],
      ['subscription_schedule.updated', schedule('active', [])],
    ] as const) {
      expect(await news(type, object), type).toMatchObject([{ kind: 'subscription' }, { kind: 'schedule' }]);
    }
    expect(await news('checkout.session.completed', checkout())).toMatchObject([
      { kind: 'subscription' },
      { kind: 'schedule' },
    ]);
  });

  it('a schedule comes with its subscription, expanded', async () => {
    put('sub_1', 'active', { schedule: schedule('active', [phase(T0 + 60, 'price_team')]) });
    const found = await news('customer.subscription.updated', subscription('new'));
    expect(found[1]).toMatchObject({
      phases: [{ startsAt: (T0 + 60) * 1000, items: [{ price: 'price_team' }] }],
    });
    expect(stripe.calls[0]?.path).toMatch(/expand/);
  });

  it('an event of the customer asks for all of its subscriptions, page by page, also those that are over', async () => {
    for (let index = 0; index < 8; index += 1) put(`sub_${index}`, index === 3 ? 'canceled' : 'active');
    const found = await news('customer.updated', customer());
    const ids = found.flatMap((one) => (one.kind === 'subscription' ? [one.subscription.id] : []));
    expect(ids).toEqual(Array.from({ length: 8 }, (_one, index) => `sub_${index}`));
    expect(stripe.calls.length).toBe(3);
  });

  it('a subscription of many items comes with all of them, and one that is cut off says so', async () => {
    const items = Array.from({ length: 15 }, (_one, index) =>
      item('new', price(`price_${index}`), { id: `si_${index}` }),
    );
    stripe.subscriptions.set('sub_1', subscription('new', { items }));
    const names = Array.from({ length: 15 }, (_one, index) => `price_${index}`);
    const one = await client().subscription('sub_1');
    expect(one?.subscription.items.map((each) => each.price)).toEqual(names);
    const { found } = await client().page(null);
    expect(found[0]?.subscription.items).toHaveLength(15);
    const [all] = await client().subscriptionsOf('cus_1');
    expect(all?.subscription.items).toHaveLength(15);
    const cut = subscription('new', { items: items.slice(0, 10) });
    const told = fromStripeSubscription({ ...cut, items: { ...(cut.items as JsonObject), has_more: true } });
    expect(told?.items).toHaveLength(11);
    expect(told?.items.at(-1)).toMatchObject({ price: null, lookupKey: null, product: null, quantity: 1 });
  });

  it('asks nothing for what changes nothing, and finds nothing where there is nothing', async () => {
    expect(await news('price.updated', price('price_pro'))).toEqual([]);
    expect(await news('charge.refunded', { object: 'charge', customer: 'cus_1' })).toEqual([]);
    expect(stripe.calls).toEqual([]);
    expect(await news('customer.subscription.updated', subscription('new', { id: 'sub_gone' }))).toEqual([]);
    expect(await client().subscriptionsOf('cus_gone')).toEqual([]);
  });

  it('tries again what failed for a moment, and says what fails for good', async () => {
    put('sub_1', 'active');
    stripe.fail(500, 2);
    expect(await client().subscription('sub_1')).toMatchObject({ subscription: { id: 'sub_1' } });
    expect(stripe.calls.length).toBe(3);
    await expect(client('sk_test_wrong').subscription('sub_1')).rejects.toThrow();
  });

  it('speaks with its key, of the account that is connected', async () => {
    put('sub_1', 'active');
    await client(KEY, 'acct_7').subscription('sub_1');
    expect(stripe.calls).toMatchObject([{ authorization: `Bearer ${KEY}`, account: 'acct_7' }]);
  });
});
