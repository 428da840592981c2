import { resolveAllEntitlements, resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { Addon, Catalog, Plan, Price } from '@pennon/engine/model/catalog';
import type { CustomerState, License } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Remedy, RemedyOption } from '@pennon/engine/model/remedy';
import { comparePrices } from '@pennon/engine/remedy/compare-prices';
import { RemedySearch } from '@pennon/engine/remedy/remedy-search';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ORIGIN, request } from './arbitrary-request.js';
import { catalogNamed } from './conformance-cases.js';

const usd = (amount: number, every: Price['every'] = 'month'): Price => ({
  amount,
  currency: 'USD',
  every,
  source: 'list',
});

/** The pricing catalog with prices, some of which nobody expects: the middle plan is the dearest. */
function priced(): Catalog {
  const catalog = catalogNamed('pricing');
  const prices: Record<string, Price> = {
    free: usd(0),
    starter: usd(2000),
    pro: usd(120_000, 'year'),
    enterprise: usd(15_000),
    trial: usd(1),
    bare: { ...usd(1500), currency: 'EUR' },
    'minutes-pack': usd(2500),
    'seat-floor': usd(900),
    'big-seats': usd(30_000, 'year'),
    'sso-pack': usd(400, 'week'),
    'bytes-pack': usd(99_000, 'once'),
  };
  const show = <Offer extends Plan | Addon>(offer: Offer): Offer => {
    const price = prices[offer.key];
    return price === undefined ? offer : { ...offer, price };
  };
  return { ...catalog, plans: catalog.plans.map(show), addons: catalog.addons.map(show) };
}

function compiled(catalog: Catalog): Snapshot {
  return compileSnapshot({ catalog, environment: 'production', revision: 1, productId: 'p' }).snapshot;
}

const PRICED = compiled(priced());
const product = 'saleshub';
const now = ORIGIN + 10 * 86_400_000;

function licenseTo(plan: string, planVersion: number, more: Partial<License> = {}): License {
  return {
    id: 'l1',
    product,
    plan,
    planVersion,
    quantity: 1,
    kind: 'paid',
    status: 'active',
    startsAt: ORIGIN,
    endsAt: null,
    graceEndsAt: null,
    anchor: '2026-06-01T00:00:00[UTC]',
    timeZone: null,
    sku: null,
    addons: [],
    ...more,
  };
}

function customer(more: Partial<CustomerState> = {}): CustomerState {
  return {
    id: 'id-acme',
    key: 'acme',
    version: 1,
    createdAt: ORIGIN,
    timeZone: null,
    attributes: {},
    licenses: [],
    groups: [],
    memberships: [],
    grants: [],
    accounts: [],
    ...more,
  };
}

function asked(state: CustomerState | null, snapshot = PRICED): EvaluationRequest<Snapshot> {
  const subject = {
    proven: true,
    customerKey: 'acme',
    instance: null,
    userKey: null,
    teamKey: null,
    sku: null,
  };
  return { snapshot, customer: state, subject, context: { parts: {} }, now };
}

function remedyOf(ask: EvaluationRequest<Snapshot>, key: string, amount = 1): Remedy | 'omitted' | null {
  const decision = resolveEntitlement(ask, key, { amount });
  if (decision.kind === 'error') throw new Error(decision.message);
  return new RemedySearch(ask).remedyFor(decision, amount);
}

const names = (remedy: Remedy | 'omitted' | null): readonly string[] => {
  if (remedy === null || remedy === 'omitted') throw new Error('There is no remedy.');
  return remedy.options.map((option) => {
    if (option.kind === 'addon') return `${option.quantity} × ${option.addon}@${option.version}`;
    if (option.kind === 'topup') return `${option.quantity} × ${option.topUp}`;
    const plan = `${option.plan}@${option.version}`;
    const [extra] = option.together?.addons ?? [];
    return extra === undefined ? plan : `${plan} + ${extra.quantity} × ${extra.addon}@${extra.version}`;
  });
};

describe('C-4 X-2 the remedy', () => {
  it('names the cheapest plan that lifts the limit, with the limit that it would be and the source of its price', () => {
    const used = [{ feature: 'professionals', scope: '', periodStart: null, used: 3, reserved: 0 }];
    const remedy = remedyOf(
      asked(customer({ licenses: [licenseTo('starter', 0)], accounts: used })),
      'professionals',
    );
    expect(remedy).toEqual({
      kind: 'upgrade',
      at: null,
      options: [
        {
          kind: 'upgrade',
          plan: 'pro',
          version: 1,
          name: null,
          limit: 10,
          price: { amount: 120_000, currency: 'USD', every: 'year', source: 'list' },
        },
        {
          kind: 'upgrade',
          plan: 'enterprise',
          version: 0,
          name: null,
          limit: 'unlimited',
          price: { amount: 15_000, currency: 'USD', every: 'month', source: 'list' },
        },
      ],
    });
  });

  it('passes over a plan whose limit is below what is used already', () => {
    const used = [{ feature: 'professionals', scope: '', periodStart: null, used: 10, reserved: 0 }];
    const state = customer({ licenses: [licenseTo('starter', 0)], accounts: used });
    expect(names(remedyOf(asked(state), 'professionals'))).toEqual(['enterprise@0']);
  });

  it('counts the packs that are needed, at the price of all of them, and never more than may be bought', () => {
    const used = [{ feature: 'minutes', scope: '', periodStart: ORIGIN, used: 3000, reserved: 0 }];
    const state = customer({ licenses: [licenseTo('pro', 1)], accounts: used });
    const one = remedyOf(asked(state), 'minutes');
    expect(names(one)).toEqual(['1 × minutes-pack@0', 'enterprise@0']);
    expect(one).toMatchObject({ kind: 'addon', at: ORIGIN + 30 * 86_400_000 });
    const seven = remedyOf(asked(state), 'minutes', 6500);
    expect(names(seven)).toEqual(['enterprise@0', '7 × minutes-pack@0']);
    expect((seven as Remedy).options[1]).toMatchObject({ limit: 10_000, price: { amount: 17_500 } });
    const held = licenseTo('pro', 1, { addons: [{ addon: 'minutes-pack', version: 0, quantity: 8 }] });
    const more = customer({
      licenses: [held],
      accounts: [{ feature: 'minutes', scope: '', periodStart: ORIGIN, used: 11_000, reserved: 0 }],
    });
    expect(names(remedyOf(asked(more), 'minutes', 2000))).toEqual(['2 × minutes-pack@0', 'enterprise@0']);
    expect(names(remedyOf(asked(more), 'minutes', 2001))).toEqual(['enterprise@0']);
  });

  it('waits where only the period helps, and lists the instant beside what may be bought', () => {
    const state = customer({
      licenses: [licenseTo('enterprise', 0)],
      accounts: [{ feature: 'minutes', scope: '', periodStart: ORIGIN, used: 12_000, reserved: 0 }],
    });
    const at = ORIGIN + 30 * 86_400_000;
    expect(remedyOf(asked(state), 'minutes')).toMatchObject({ kind: 'addon', at });
    expect(remedyOf(asked(state), 'minutes', 11_000)).toEqual({ kind: 'wait', at, options: [] });
    expect(remedyOf(asked(state), 'minutes', 24_000)).toEqual({ kind: 'contact', at: null, options: [] });
  });

  it('a deny makes every plan useless, until it ends', () => {
    const deny = { type: 'deny' as const, feature: 'sso' };
    const grant = (endsAt: number | null) => ({
      id: 'g',
      product,
      target: { kind: 'customer' as const, key: 'acme' },
      kind: 'support' as const,
      effect: deny,
      startsAt: ORIGIN,
      endsAt,
    });
    const licenses = [licenseTo('enterprise', 0)];
    expect(remedyOf(asked(customer({ licenses, grants: [grant(null)] })), 'sso')).toMatchObject({
      kind: 'contact',
    });
    const ending = customer({ licenses, grants: [grant(now + 5000)] });
    expect(remedyOf(asked(ending), 'sso')).toEqual({ kind: 'wait', at: now + 5000, options: [] });
  });

  it('a group that replaces the plan makes plans useless, and an add-on lies above it', () => {
    const groups = [{ group: 'beta', startsAt: ORIGIN, endsAt: null }];
    const state = customer({ licenses: [licenseTo('starter', 0)], groups });
    expect(remedyOf(asked(state), 'analytics')).toMatchObject({ kind: 'contact' });
    expect(names(remedyOf(asked(state), 'sso'))).toEqual(['1 × sso-pack@0']);
  });

  it('a plan that gives the feature only by its default group, or by a segment that looks at the plan, counts', () => {
    const state = customer({ licenses: [licenseTo('starter', 0)] });
    expect(names(remedyOf(asked(state), 'exports'))).toEqual(['pro@1', 'enterprise@0', 'bare@0']);
  });

  it('names nothing that is not offered, and no plan below the present one', () => {
    const state = customer({ licenses: [licenseTo('enterprise', 0)] });
    expect(remedyOf(asked(state), 'branding')).toEqual({ kind: 'contact', at: null, options: [] });
    const catalog = priced();
    const retired = compiled({
      ...catalog,
      plans: catalog.plans.map((plan) => ({ ...plan, offered: false })),
      addons: catalog.addons.map((addon) => ({ ...addon, offered: false })),
    });
    const starter = customer({ licenses: [licenseTo('starter', 0)] });
    for (const key of retired.features.keys()) {
      const decision = resolveEntitlement(asked(starter, retired), key);
      if (decision.kind === 'error' || decision.hasAccess) continue;
      expect(remedyOf(asked(starter, retired), key)).toMatchObject({ options: [] });
    }
  });

  it('somebody without a license, and somebody nobody knows, can buy no add-on without a plan', () => {
    for (const state of [customer(), null]) {
      expect(names(remedyOf(asked(state), 'sso'))).toEqual(['free@0 + 1 × sso-pack@0', 'enterprise@0']);
    }
  });

  it('what a due payment or a pause holds back is not offered a second time', () => {
    for (const status of ['past_due', 'paused'] as const) {
      const state = customer({ licenses: [licenseTo('pro', 1, { status })] });
      expect(remedyOf(asked(state), 'analytics')).toMatchObject({ kind: 'contact' });
      expect(names(remedyOf(asked(state), 'sso'))).toContain('enterprise@0');
    }
  });

  it('compares prices exactly per common interval, keeps currencies apart, and falls back on the rank', () => {
    const offer = (price: Price | null, rank: number, name: string) => ({
      price: price === null ? null : { ...price, every: price.every ?? null, source: null },
      rank,
      name,
    });
    const year = offer(usd(120_000, 'year'), 5, 'year');
    const month = offer(usd(10_000), 1, 'month');
    const quarter = offer(usd(29_999, 'quarter'), 9, 'quarter');
    const huge = offer(usd(Number.MAX_SAFE_INTEGER, 'hour'), 0, 'huge');
    const once = offer(usd(1, 'once'), 0, 'once');
    const euro = offer({ ...usd(1), currency: 'EUR' }, 3, 'euro');
    const none = offer(null, 2, 'none');
    const all = [none, huge, euro, once, year, quarter, month];
    const order = [...all].sort((a, b) => comparePrices(a, b, 'USD')).map(({ name }) => name);
    expect(order).toEqual(['quarter', 'month', 'year', 'huge', 'once', 'none', 'euro']);
    const unknown = [...all].sort((a, b) => comparePrices(a, b, null)).map(({ name }) => name);
    expect(unknown).toEqual(['huge', 'once', 'month', 'none', 'euro', 'year', 'quarter']);
  });

  it('takes the currency from the customer before that of its plan', () => {
    const catalog = priced();
    const euros = compiled({
      ...catalog,
      addons: [],
      plans: catalog.plans.map((plan) =>
        plan.key === 'enterprise' ? { ...plan, price: { ...usd(1_000_000), currency: 'EUR' } } : plan,
      ),
    });
    const state = customer({ licenses: [licenseTo('starter', 0)] });
    expect(names(remedyOf(asked(state, euros), 'professionals', 5))).toEqual(['pro@1', 'enterprise@0']);
    const european = { ...state, attributes: { currency: 'EUR' } };
    expect(names(remedyOf(asked(european, euros), 'professionals', 5))).toEqual(['enterprise@0', 'pro@1']);
  });

  it('proposes a plan with an add-on where neither helps alone, and says what each costs', () => {
    // Packs are not sold with free, and starter alone gives 50.
    const none = customer({
      createdAt: ORIGIN,
      accounts: [{ feature: 'minutes', scope: '', periodStart: ORIGIN, used: 0, reserved: 0 }],
    });
    const remedy = remedyOf(asked(none), 'minutes', 21_000);
    expect(names(remedy)).toEqual(['enterprise@0 + 9 × minutes-pack@0']);
    expect(remedy).toMatchObject({
      kind: 'upgrade',
      options: [
        {
          limit: 21_000,
          price: { amount: 37_500, currency: 'USD', every: 'month', source: 'list' },
          together: {
            planPrice: { amount: 15_000 },
            addons: [{ addon: 'minutes-pack', quantity: 9, price: { amount: 22_500, source: 'list' } }],
          },
        },
      ],
    });
    expect(remedyOf(asked(none), 'minutes', 22_001)).toMatchObject({ kind: 'contact', options: [] });
  });

  it('proposes both together beside what helps alone only where that is cheaper, and then one', () => {
    const state = customer({ licenses: [licenseTo('starter', 0)] });
    const cheap = (packs: number) => {
      const catalog = priced();
      return compiled({
        ...catalog,
        addons: catalog.addons.map((addon) =>
          addon.key === 'minutes-pack'
            ? { ...addon, plans: ['pro', 'enterprise'], price: usd(packs, 'year') }
            : addon,
        ),
      });
    };
    // Pro is 10,000 a month with 3,000 minutes, enterprise 15,000 with 12,000; a pack costs a year what is said.
    expect(names(remedyOf(asked(state, cheap(59_999)), 'minutes', 4000))).toEqual([
      'pro@1 + 1 × minutes-pack@0',
      'enterprise@0',
    ]);
    expect(names(remedyOf(asked(state, cheap(60_000)), 'minutes', 4000))).toEqual(['enterprise@0']);
    const two = remedyOf(asked(state, cheap(29_999)), 'minutes', 5000);
    expect(names(two)).toEqual(['pro@1 + 2 × minutes-pack@0', 'enterprise@0']);
    // Both are paid by the year.
    expect((two as Remedy).options[0]).toMatchObject({ price: { amount: 179_998, every: 'year' } });
  });

  it('has no sum of prices of several intervals, and compares them exactly all the same', () => {
    const catalog = priced();
    const mixed = compiled({
      ...catalog,
      plans: catalog.plans.map((plan) =>
        plan.key === 'enterprise' ? { ...plan, price: usd(12_501) } : plan,
      ),
      addons: catalog.addons.map((addon) =>
        addon.key === 'minutes-pack' ? { ...addon, plans: ['pro'], price: usd(2500) } : addon,
      ),
    });
    const state = customer({ licenses: [licenseTo('starter', 0)] });
    const remedy = remedyOf(asked(state, mixed), 'minutes', 4000);
    expect(names(remedy)).toEqual(['pro@1 + 1 × minutes-pack@0', 'enterprise@0']);
    expect((remedy as Remedy).options[0]).toMatchObject({
      price: null,
      together: { planPrice: { amount: 120_000, every: 'year' }, addons: [{ price: { every: 'month' } }] },
    });
  });

  it('tries a bounded number of combinations, the cheapest first', () => {
    const catalog = priced();
    const plan = catalog.plans.find(({ key }) => key === 'starter') as Plan;
    const many = compiled({
      ...catalog,
      plans: [
        ...catalog.plans.filter(({ key }) => key === 'free'),
        ...Array.from({ length: 300 }, (_, index): Plan => {
          return { ...plan, key: `p${index}`, version: 0, rank: 1, price: usd(1000 - index) };
        }),
      ],
      addons: Array.from({ length: 300 }, (_, index): Addon => {
        const entitlements = [{ feature: 'minutes', add: index === 299 ? 100_000 : 1 }];
        return { key: `a${index}`, version: 0, entitlements, price: usd(index + 1) };
      }),
      groups: [],
    });
    const started = performance.now();
    for (const amount of [51, 100_000]) remedyOf(asked(customer(), many), 'minutes', amount);
    expect(performance.now() - started).toBeLessThan(5000);
    // Free costs nothing and gives 5, each of the 46 pieces costs 1: less than any plan.
    expect(names(remedyOf(asked(customer(), many), 'minutes', 51))[0]).toBe('free@0 + 46 × a0@0');
  });

  it('tries a bounded number of candidates in one answer, and says where it stopped', () => {
    const ask = asked(customer());
    const search = new RemedySearch(ask, { trials: 3 });
    const answers = resolveAllEntitlements(ask).flatMap((decision) =>
      decision.kind === 'entitlement' ? [search.remedyFor(decision)] : [],
    );
    expect(answers.at(-1)).toBe('omitted');
    expect(answers.some((answer) => answer !== null && answer !== 'omitted')).toBe(true);
  });
});

/** What buying an option does to the customer, written once more and without the search. */
function bought(ask: EvaluationRequest<Snapshot>, option: RemedyOption): CustomerState {
  const state = ask.customer as CustomerState;
  const ranks = (license: License) =>
    ask.snapshot.plans.get(`${license.plan}@${license.planVersion}`)?.rank ?? -1;
  const inForce = state.licenses
    .filter(({ startsAt, endsAt }) => startsAt <= ask.now && (endsAt === null || ask.now < endsAt))
    .filter(({ status }) => status !== 'ended' && status !== 'paused')
    .filter(
      ({ status, graceEndsAt }) => status !== 'past_due' || (graceEndsAt !== null && ask.now < graceEndsAt),
    )
    .sort((a, b) => a.startsAt - b.startsAt || (a.id < b.id ? -1 : 1));
  const speaks = inForce.reduce<License | null>(
    (best, one) => (best === null || ranks(one) >= ranks(best) ? one : best),
    null,
  );
  const put = (before: License, after: License) => ({
    ...state,
    licenses: state.licenses.map((one) => (one === before ? after : one)),
  });
  if (option.kind === 'topup') throw new Error('The catalogs of these laws sell no top-ups.');
  if (option.kind === 'upgrade') {
    const plan = { plan: option.plan, planVersion: option.version, status: 'active' as const };
    const [extra] = option.together?.addons ?? [];
    if (speaks === null) {
      const fresh = licenseTo(option.plan, option.version, {
        id: 'new',
        startsAt: ask.now,
        addons: extra === undefined ? [] : [extra],
      });
      return { ...state, licenses: [...state.licenses, fresh] };
    }
    const addons = speaks.addons.filter(({ addon }) => {
      const sold = ask.snapshot.addons.get(`${addon}@0`)?.plans ?? null;
      return sold === null || sold.includes(option.plan);
    });
    const has = addons.find(({ addon }) => addon === extra?.addon)?.quantity ?? 0;
    const others = addons.filter(({ addon }) => addon !== extra?.addon);
    const all = extra === undefined ? addons : [...others, { ...extra, quantity: has + extra.quantity }];
    return put(speaks, { ...speaks, ...plan, addons: all });
  }
  const holder = [speaks, ...inForce].find((one): one is License => {
    const sold = ask.snapshot.addons.get(`${option.addon}@${option.version}`)?.plans ?? null;
    return one !== null && (sold === null || sold.includes(one.plan));
  });
  if (holder === undefined) throw new Error('There is no license to hold the add-on.');
  const held = holder.addons.find(({ addon }) => addon === option.addon)?.quantity ?? 0;
  const addons = [
    ...holder.addons.filter(({ addon }) => addon !== option.addon),
    { addon: option.addon, version: option.version, quantity: held + option.quantity },
  ];
  return put(holder, { ...holder, addons });
}

describe('C-4 laws of the remedy', () => {
  const featureKey = fc.constantFrom(...PRICED.features.keys());
  const question = fc.tuple(request, featureKey, fc.constantFrom(1, 1, 2, 50, 2500));

  const denied = (
    generated: EvaluationRequest<Snapshot>,
    key: string,
    amount: number,
  ): { ask: EvaluationRequest<Snapshot>; decision: EntitlementDecision } | null => {
    const ask = { ...generated, snapshot: PRICED };
    const decision = resolveEntitlement(ask, key, { amount });
    return decision.kind === 'error' || decision.hasAccess ? null : { ask, decision };
  };

  it('whatever is named turns the no into a yes, and so does waiting', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(question, ([generated, key, amount]) => {
        const no = denied(generated, key, amount);
        if (no === null) return;
        const remedy = new RemedySearch(no.ask).remedyFor(no.decision, amount);
        if (remedy === null || remedy === 'omitted') throw new Error('A denial without an answer.');
        seen.set(remedy.kind, (seen.get(remedy.kind) ?? 0) + 1);
        for (const option of remedy.options) {
          const after = resolveEntitlement({ ...no.ask, customer: bought(no.ask, option) }, key, { amount });
          expect(after, JSON.stringify(option)).toMatchObject({ hasAccess: true });
          if (after.kind === 'entitlement' && after.limit?.kind === 'finite')
            expect(option.limit).toBe(after.limit.value);
        }
        if (remedy.at !== null) {
          const later = structuredClone({ customer: no.ask.customer, now: remedy.at });
          expect(resolveEntitlement({ ...no.ask, ...later }, key, { amount })).toMatchObject({
            hasAccess: true,
          });
        }
      }),
      { numRuns: 1200, seed: 4 },
    );
    for (const kind of ['upgrade', 'addon', 'wait', 'contact'])
      expect(seen.get(kind), kind).toBeGreaterThan(3);
  });

  it('nothing that is sold and cheaper would have done it too', () => {
    const plans = [...PRICED.currentPlans.values()].filter(({ offered }) => offered);
    const addons = [...PRICED.addons.values()];
    let compared = 0;
    fc.assert(
      fc.property(question, ([generated, key, amount]) => {
        const no = denied(generated, key, amount);
        if (no === null) return;
        const remedy = new RemedySearch(no.ask).remedyFor(no.decision, amount);
        if (remedy === null || remedy === 'omitted') throw new Error('A denial without an answer.');
        const [best] = remedy.options;
        const standing = no.ask.customer as CustomerState;
        if (best === undefined || standing.licenses.some(({ status }) => status === 'past_due')) return;
        const usdOf = (option: RemedyOption) => {
          const together = option.kind === 'upgrade' ? option.together : undefined;
          const also = together?.addons.map(({ price }) => price) ?? [];
          return { price: together?.planPrice ?? option.price, also, rank: 0, name: '' };
        };
        const cheaper = (option: RemedyOption) => comparePrices(usdOf(option), usdOf(best), 'USD') < 0;
        const others: RemedyOption[] = [];
        const shown = { name: null, limit: null };
        for (const { key: plan, version, show, rank } of plans) {
          const price = show.price === null ? null : { every: null, source: null, ...show.price };
          if (rank >= rankOf(no.ask)) others.push({ kind: 'upgrade', plan, version, price, ...shown });
        }
        for (const { key: addon, version, show, maxQuantity } of addons) {
          for (let quantity = 1; quantity <= Math.min(maxQuantity ?? 4, 4); quantity += 1) {
            const { amount: each = 0, ...rest } = show.price ?? {};
            const price = { currency: 'USD', every: null, source: null, ...rest, amount: each * quantity };
            const held = standing.licenses
              .flatMap((one) => one.addons)
              .filter((one) => one.addon === addon)
              .reduce((sum, one) => Math.max(sum, one.quantity), 0);
            if (held + quantity <= (maxQuantity ?? Number.POSITIVE_INFINITY))
              others.push({ kind: 'addon', addon, version, quantity, price, ...shown });
          }
        }
        const alone = (kind: RemedyOption['kind']) => others.filter((option) => option.kind === kind);
        for (const plan of alone('upgrade')) {
          for (const extra of alone('addon')) {
            if (plan.kind !== 'upgrade' || extra.kind !== 'addon') continue;
            const sold = PRICED.addons.get(`${extra.addon}@${extra.version}`);
            if (sold?.plans?.includes(plan.plan) === false || !sold?.entitlements.has(key)) continue;
            others.push({ ...plan, together: { planPrice: plan.price, addons: [extra] } });
          }
        }
        for (const option of others) {
          if (!cheaper(option)) continue;
          let state: CustomerState;
          try {
            state = bought(no.ask, option);
          } catch {
            continue;
          }
          compared += 1;
          // A new license of the customer's own would begin a period of its own; the search lets what was used count on.
          const fresh = state.licenses.find(({ id }) => id === 'new');
          const anchor = '2026-06-01T00:00:00[UTC]';
          const after = resolveEntitlement(
            {
              ...no.ask,
              customer:
                fresh === undefined
                  ? state
                  : { ...state, licenses: [...state.licenses.slice(0, -1), { ...fresh, anchor }] },
            },
            key,
            { amount },
          );
          expect(after, JSON.stringify([option, best])).toMatchObject({ hasAccess: false });
        }
      }),
      { numRuns: 800, seed: 5 },
    );
    expect(compared).toBeGreaterThan(250);
  });

  function rankOf(ask: EvaluationRequest<Snapshot>): number {
    const state = ask.customer as CustomerState;
    const ranks = state.licenses
      .filter((one) => {
        const inSpan = one.startsAt <= ask.now && (one.endsAt === null || ask.now < one.endsAt);
        const grace = one.status !== 'past_due' || (one.graceEndsAt !== null && ask.now < one.graceEndsAt);
        return inSpan && grace && one.status !== 'ended' && one.status !== 'paused';
      })
      .map((one) => ask.snapshot.plans.get(`${one.plan}@${one.planVersion}`)?.rank ?? 0);
    return ranks.length === 0 ? 0 : Math.max(...ranks);
  }
});
