import { EMPTY_RECORD, withReport, withSchedule } from '@pennon/engine/billing/billing-record';
import { decideCustomer } from '@pennon/engine/billing/decide-customer';
import { decideSubscription } from '@pennon/engine/billing/decide-subscription';
import type { HeldLicense } from '@pennon/engine/billing/desired-license';
import type { BillingCatalog } from '@pennon/engine/billing/map-items';
import type { AccessTable, BillingMapping } from '@pennon/engine/model/billing';
import type { BillingRecord, BillingSubscription } from '@pennon/engine/model/billing-subscription';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arbitraryHistory, item, report, START } from './arbitrary-billing.js';

const DAY = 86_400_000;
const MINUTE = 60_000;

const MAPPING: BillingMapping = {
  key: 'stripe',
  items: [
    { product: 'prod_any', plan: 'free' },
    { lookupKey: 'any', plan: 'team', version: 1 },
    { price: 'price_pro', plan: 'pro' },
    { price: 'price_team', plan: 'team', version: 1 },
    { price: 'price_seat', addons: [{ addon: 'seat', each: 2 }] },
    { price: 'price_fixed', plan: 'pro', addons: [{ addon: 'seat', quantity: 5 }] },
    { price: 'price_usage', ignore: true },
    { price: 'price_gone', plan: 'gone' },
    { price: 'price_extra', addons: [{ addon: 'extra' }] },
  ],
};

function catalog(more: Partial<BillingMapping> = {}): BillingCatalog {
  return {
    product: 'app',
    mapping: { ...MAPPING, ...more },
    plans: [
      { key: 'free', rank: 0, entitlements: [] },
      { key: 'team', version: 0, rank: 1, entitlements: [] },
      { key: 'team', version: 1, rank: 1, entitlements: [] },
      { key: 'pro', rank: 2, entitlements: [] },
    ],
    addons: [
      { key: 'seat', maxQuantity: 10, entitlements: [] },
      { key: 'extra', plans: ['team'], entitlements: [] },
    ],
    pastDueGraceDays: 7,
  };
}

function known(said: Partial<BillingSubscription>, at = START): BillingRecord {
  return withReport(EMPTY_RECORD, report(at, said));
}

function decide(
  said: Partial<BillingSubscription>,
  held: readonly HeldLicense[] = [],
  access?: AccessTable,
  plans?: BillingMapping['plans'],
) {
  const one = catalog({ ...(access && { access }), ...(plans && { plans }) });
  return decideSubscription(known(said, START + DAY), [one], held, START + DAY);
}

const HELD: HeldLicense = { product: 'app', slot: 0, plan: 'pro', planVersion: 0, quantity: 1, addons: [] };

describe('K-12 what a subscription gives', () => {
  it('a plan, with its quantity, from when it started', () => {
    const { licenses, problems, loose } = decide({ items: [item({ price: 'price_pro', quantity: 3 })] });
    expect(licenses).toEqual([
      {
        ...HELD,
        quantity: 3,
        kind: 'paid',
        status: 'active',
        startsAt: START,
        endsAt: null,
        graceEndsAt: null,
        anchorAt: START,
        next: null,
      },
    ]);
    expect([problems, loose]).toEqual([[], []]);
  });

  it('a price goes before a look-up key, that before a product, whatever their order in the catalog', () => {
    const plan = (name: Parameters<typeof item>[0]) => decide({ items: [item(name)] }).licenses[0]?.plan;
    expect(plan({ price: 'price_pro', lookupKey: 'any', product: 'prod_any' })).toBe('pro');
    expect(plan({ price: 'price_x', lookupKey: 'any', product: 'prod_any' })).toBe('team');
    expect(plan({ price: 'price_x', lookupKey: 'x', product: 'prod_any' })).toBe('free');
  });

  it('add-ons by each piece of the item, as many as said, and never more than may be had', () => {
    const seats = (...items: Parameters<typeof item>[0][]) => {
      const { licenses, problems } = decide({ items: items.map((one) => item(one)) });
      return [licenses[0]?.addons, problems.map(({ code }) => code)];
    };
    expect(seats({ price: 'price_pro' }, { price: 'price_seat', quantity: 3 })).toEqual([
      [{ addon: 'seat', version: 0, quantity: 6 }],
      [],
    ]);
    expect(seats({ price: 'price_fixed', quantity: 9 })).toEqual([
      [{ addon: 'seat', version: 0, quantity: 5 }],
      [],
    ]);
    expect(seats({ price: 'price_fixed' }, { price: 'price_seat', quantity: 2 })).toEqual([
      [{ addon: 'seat', version: 0, quantity: 9 }],
      [],
    ]);
    expect(seats({ price: 'price_pro' }, { price: 'price_seat', quantity: 6 })).toEqual([
      [{ addon: 'seat', version: 0, quantity: 10 }],
      ['ADDON_QUANTITY'],
    ]);
    expect(seats({ price: 'price_pro' }, { price: 'price_seat', quantity: 0 })).toEqual([[], []]);
    expect(seats({ price: 'price_pro' }, { price: 'price_extra' })).toEqual([[], ['ADDON_NOT_FOR_PLAN']]);
  });

  it('several plans as licenses in slots, the highest rank first, and an add-on where it is sold', () => {
    const { licenses } = decide({
      items: [item({ price: 'price_team' }), item({ price: 'price_pro' }), item({ price: 'price_extra' })],
    });
    expect(licenses.map(({ slot, plan, addons }) => [slot, plan, addons.length])).toEqual([
      [0, 'pro', 0],
      [1, 'team', 1],
    ]);
  });

  it('one of several items that means nothing now keeps its license, and the others keep theirs', () => {
    const held = [HELD, { ...HELD, slot: 1, plan: 'team', planVersion: 1 }];
    const team = item({ price: 'price_team', quantity: 4 });
    for (const unknown of ['price_unknown', 'price_gone']) {
      const { licenses, problems } = decide({ items: [item({ price: unknown }), team] }, held);
      expect(licenses.map(({ slot, plan, quantity }) => [slot, plan, quantity])).toEqual([
        [0, 'pro', 1],
        [1, 'team', 4],
      ]);
      expect(problems).toMatchObject([{ isHeld: true }]);
    }
    const { licenses } = decide({ items: [team] }, held);
    expect(licenses.map(({ slot, plan }) => [slot, plan])).toEqual([[0, 'team']]);
  });

  it('each product its own items, and no product what another one maps', () => {
    const other: BillingCatalog = {
      ...catalog({ items: [{ price: 'price_other', plan: 'pro' }] }),
      product: 'other',
    };
    const record = known({ items: [item({ price: 'price_pro' }), item({ price: 'price_other' })] });
    const { licenses, problems } = decideSubscription(record, [catalog(), other], [], START);
    expect(licenses.map(({ product, plan }) => [product, plan])).toEqual([
      ['app', 'pro'],
      ['other', 'pro'],
    ]);
    expect(problems).toEqual([]);
  });
});

describe('K-12 what a status gives', () => {
  const CASES: readonly (readonly [
    string,
    Partial<BillingSubscription>,
    { status: string; endsAt?: number | null; graceEndsAt?: number | null } | null,
  ])[] = [
    ['active', { status: 'active' }, { status: 'active', endsAt: null }],
    ['active, ending', { cancelAt: START + 9 * DAY }, { status: 'canceled', endsAt: START + 9 * DAY }],
    [
      'trialing',
      { status: 'trialing', trialEndsAt: START + 14 * DAY },
      { status: 'trialing', endsAt: START + 14 * DAY + 60 * MINUTE },
    ],
    [
      'trialing, canceled at its end: not a minute longer',
      { status: 'trialing', trialEndsAt: START + 14 * DAY, cancelAt: START + 14 * DAY },
      { status: 'canceled', endsAt: START + 14 * DAY },
    ],
    ['past due', { status: 'past_due' }, { status: 'past_due', endsAt: null, graceEndsAt: START + 8 * DAY }],
    [
      'past due, ending',
      { status: 'past_due', cancelAt: START + 2 * DAY },
      { status: 'past_due', endsAt: START + 2 * DAY, graceEndsAt: START + 8 * DAY },
    ],
    ['unpaid', { status: 'unpaid' }, { status: 'paused' }],
    ['paused', { status: 'paused' }, { status: 'paused' }],
    ['collection paused', { status: 'collection_paused' }, { status: 'active', endsAt: null }],
    ['incomplete', { status: 'incomplete' }, null],
    ['incomplete, expired', { status: 'incomplete_expired' }, null],
    ['canceled, never held', { status: 'canceled', endedAt: START }, null],
  ];
  it.each(CASES)('%s', (_name, said, expected) => {
    const [license] = decide(said).licenses;
    if (expected === null) expect(license).toBeUndefined();
    else expect(license).toMatchObject(expected);
  });

  it('what was held ends when it was said to, and an open payment takes rights away', () => {
    const ended = decide({ status: 'canceled', endedAt: START + 5 * DAY }, [HELD]).licenses;
    expect(ended).toMatchObject([{ status: 'ended', endsAt: START + 5 * DAY }]);
    expect(decide({ status: 'canceled' }, [HELD]).licenses).toMatchObject([{ endsAt: START + DAY }]);
    expect(decide({ status: 'incomplete' }, [HELD]).licenses).toMatchObject([{ status: 'paused' }]);
  });

  it('the catalog says otherwise, and of a plan nearest', () => {
    const one = (
      status: BillingSubscription['status'],
      access: AccessTable,
      plans?: BillingMapping['plans'],
    ) => decide({ status }, [], access, plans).licenses[0];
    expect(one('past_due', { past_due: 'full' })).toMatchObject({ status: 'active', graceEndsAt: null });
    expect(one('past_due', { past_due: { graceDays: 2 } })).toMatchObject({ graceEndsAt: START + 3 * DAY });
    expect(one('past_due', { past_due: 'none' })).toMatchObject({ status: 'paused' });
    expect(one('past_due', { past_due: { graceDays: 0 } })).toMatchObject({ status: 'paused' });
    expect(one('unpaid', { unpaid: 'grace' })).toMatchObject({
      status: 'past_due',
      graceEndsAt: START + 8 * DAY,
    });
    expect(
      one('past_due', { past_due: 'none' }, [{ plan: 'pro', access: { past_due: 'full' } }]),
    ).toMatchObject({
      status: 'active',
    });
    expect(
      one('past_due', { past_due: 'none' }, [{ plan: 'team', access: { past_due: 'full' } }]),
    ).toMatchObject({
      status: 'paused',
    });
  });

  it('a grace is counted from when the payment came to be due, not from the last time that it was said', () => {
    const record = [1, 2, 3, 4].reduce(
      (before, day) =>
        withReport(before, report(START + day * DAY, { status: day === 1 ? 'active' : 'past_due' })),
      EMPTY_RECORD,
    );
    const { licenses } = decideSubscription(record, [catalog()], [], START + 5 * DAY);
    expect(licenses[0]?.graceEndsAt).toBe(START + 9 * DAY);
  });

  it('periods are counted from the provider’s anchor, and in a trial from its start', () => {
    const anchorAt = START + 14 * DAY;
    expect(decide({ anchorAt }).licenses[0]?.anchorAt).toBe(anchorAt);
    expect(decide({ anchorAt, status: 'trialing', trialEndsAt: anchorAt }).licenses[0]).toMatchObject({
      anchorAt: START,
      kind: 'trial',
    });
  });
});

describe('K-12 what is not mapped is never lost in silence', () => {
  it('is a problem, and what was held for the subscription stays', () => {
    const held = { ...HELD, addons: [{ addon: 'seat', version: 0, quantity: 4 }] };
    const { licenses, problems } = decide({ items: [item({ price: 'price_new' })] }, [held]);
    expect(licenses).toMatchObject([
      { plan: 'pro', status: 'active', addons: [{ addon: 'seat', quantity: 4 }] },
    ]);
    expect(problems).toMatchObject([{ code: 'NOT_MAPPED', isHeld: true, item: { price: 'price_new' } }]);
  });

  it('an item beside it counts all the same', () => {
    const { licenses, problems } = decide({
      items: [item({ price: 'price_new' }), item({ price: 'price_team' })],
    });
    expect(licenses).toMatchObject([{ plan: 'team', planVersion: 1 }]);
    expect(problems).toHaveLength(1);
  });

  it('a plan that is not published keeps what was held too', () => {
    const { licenses, problems } = decide({ items: [item({ price: 'price_gone' })] }, [HELD]);
    expect(licenses).toMatchObject([{ plan: 'pro' }]);
    expect(problems).toMatchObject([{ code: 'NOT_PUBLISHED', name: 'gone@0', product: 'app' }]);
  });

  it('what ended ends all the same, and leaves nothing to resolve', () => {
    const { licenses, problems } = decide({ status: 'canceled', items: [item({ price: 'price_new' })] }, [
      HELD,
    ]);
    expect(licenses).toMatchObject([{ plan: 'pro', status: 'ended' }]);
    expect(problems).toEqual([]);
  });

  it('once everything is mapped, what was not bought any more is gone', () => {
    expect(decide({ items: [item({ price: 'price_usage' })] }, [HELD]).licenses).toEqual([]);
  });

  it('takes away nothing that was held, whatever the history: 500 of them', () => {
    fc.assert(
      fc.property(arbitraryHistory, (history) => {
        const record = history.reduce(withReport, EMPTY_RECORD);
        const { licenses, problems } = decideSubscription(record, [catalog()], [HELD], START + 400 * DAY);
        if (problems.some(({ isHeld }) => isHeld)) expect(licenses.map(({ slot }) => slot)).toContain(0);
        for (const { startsAt, endsAt } of licenses)
          expect(endsAt ?? startsAt).toBeGreaterThanOrEqual(startsAt);
      }),
      { numRuns: 500 },
    );
  });

  it('does not depend on the order of items and catalogs', () => {
    fc.assert(
      fc.property(arbitraryHistory, (history) => {
        const record = history.reduce(withReport, EMPTY_RECORD);
        const { latest } = record;
        if (latest === null) return;
        const turned = { ...latest.subscription, items: [...latest.subscription.items].reverse() };
        const other = { ...record, latest: { ...latest, subscription: turned } };
        const plain = decideSubscription(record, [catalog()], [HELD], START);
        expect(decideSubscription(other, [catalog()], [HELD], START).licenses).toEqual(plain.licenses);
      }),
    );
  });
});

describe('K-12 a planned change', () => {
  const planned = (price: string, said: Partial<BillingSubscription> = {}) =>
    withSchedule(known(said), {
      mark: { at: START, rank: 1, id: 'evt_s' },
      phases: [{ startsAt: START + 10 * DAY, items: [item({ price })] }],
    });
  const at = (record: BillingRecord, day: number) =>
    decideSubscription(record, [catalog()], [], START + day * DAY);

  it('is told in advance, and held by the clock', () => {
    const record = planned('price_team');
    expect(at(record, 1).licenses).toMatchObject([
      { plan: 'pro', next: { plan: 'team', planVersion: 1, at: START + 10 * DAY } },
    ]);
    expect(at(record, 11).licenses).toMatchObject([{ plan: 'team', next: null }]);
  });

  it('is none to the same plan, nor to what will have ended', () => {
    expect(at(planned('price_pro'), 1).licenses).toMatchObject([{ next: null }]);
    expect(at(planned('price_team', { cancelAt: START + 5 * DAY }), 1).licenses).toMatchObject([
      { next: null },
    ]);
  });

  it('to a price that is not mapped is to be resolved in time, and takes nothing away', () => {
    const { licenses, problems } = at(planned('price_new'), 1);
    expect(licenses).toMatchObject([{ plan: 'pro', next: null }]);
    expect(problems).toMatchObject([{ code: 'NOT_MAPPED', isHeld: false }]);
  });
});

describe('K-12 all subscriptions of a customer', () => {
  const one = (id: string, said: Partial<BillingSubscription>, at = START) => ({
    id,
    record: known({ id, ...said }, at),
    catalogs: [catalog()],
    held: [],
  });
  const seats = (id: string, said: Partial<BillingSubscription> = {}) =>
    one(id, { items: [item({ price: 'price_seat', quantity: 2 })], ...said });

  it('add-ons that were bought by themselves stack on the license of another', () => {
    const { subscriptions, againAt } = decideCustomer([seats('sub_2'), one('sub_1', {})], START + DAY);
    expect(subscriptions.get('sub_1')?.licenses[0]?.addons).toEqual([
      { addon: 'seat', version: 0, quantity: 4 },
    ]);
    expect(subscriptions.get('sub_2')).toEqual({ licenses: [], problems: [] });
    expect(againAt).toBeNull();
  });

  it('without a plan they are to be resolved', () => {
    const { subscriptions } = decideCustomer([seats('sub_2')], START);
    expect(subscriptions.get('sub_2')?.problems).toMatchObject([
      { code: 'ADDON_WITHOUT_PLAN', name: 'seat@0' },
    ]);
    const gone = decideCustomer([seats('sub_2'), one('sub_1', { status: 'unpaid' })], START);
    expect(gone.subscriptions.get('sub_2')?.problems).toHaveLength(1);
  });

  it('leave with their own subscription, also when only the clock ends it', () => {
    const grace = [seats('sub_2', { status: 'past_due' }), one('sub_1', {})];
    const addons = (now: number) =>
      decideCustomer(grace, now).subscriptions.get('sub_1')?.licenses[0]?.addons.length;
    expect(decideCustomer(grace, START + DAY).againAt).toBe(START + 7 * DAY);
    expect([addons(START + 7 * DAY - 1), addons(START + 7 * DAY)]).toEqual([1, 0]);
    expect(decideCustomer(grace, START + 8 * DAY).againAt).toBeNull();
    expect(
      decideCustomer([seats('sub_2', { status: 'canceled' }), one('sub_1', {})], START).againAt,
    ).toBeNull();
  });

  it('are placed when the license that they stand on begins, and looked at again when it ends', () => {
    const hosts = (said: Partial<BillingSubscription>) => [seats('sub_2'), one('sub_1', said)];
    const later = decideCustomer(hosts({ startedAt: START + DAY }), START);
    expect(later.againAt).toBe(START + DAY);
    expect(later.subscriptions.get('sub_1')?.licenses[0]?.addons).toEqual([]);
    expect(decideCustomer(hosts({ cancelAt: START + 3 * DAY }), START + DAY).againAt).toBe(START + 3 * DAY);
  });

  it('are counted together, and never more than may be had', () => {
    const { subscriptions } = decideCustomer(
      [one('sub_1', { items: [item({ price: 'price_fixed' })] }), seats('sub_2'), seats('sub_3')],
      START,
    );
    expect(subscriptions.get('sub_1')?.licenses[0]?.addons).toEqual([
      { addon: 'seat', version: 0, quantity: 10 },
    ]);
    expect(subscriptions.get('sub_3')?.problems).toMatchObject([{ code: 'ADDON_QUANTITY' }]);
  });
});
