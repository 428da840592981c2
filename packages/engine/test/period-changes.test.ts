import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { Catalog } from '@pennon/engine/model/catalog';
import type { AccountState, CustomerState, License } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const HOUR = 3_600_000;
const reset = { every: 'month' } as const;
const FEATURES = ['carry', 'reset', 'prorate'] as const;

function plan(key: string, value: number | 'unlimited') {
  return { key, entitlements: [...FEATURES, 'calendar'].map((feature) => ({ feature, value })) };
}

const { snapshot } = compileSnapshot({
  catalog: {
    product: { key: 'p' },
    features: [
      ...FEATURES.map((key) => ({ key, type: 'metered' as const, reset, onPlanChange: key })),
      { key: 'calendar', type: 'metered', reset: { every: 'month', anchor: 'calendar' } },
    ],
    plans: [plan('small', 100), plan('large', 1000), plan('free', 0), plan('all', 'unlimited')],
    addons: [],
    groups: [],
    segments: [],
    flags: [],
    billing: [],
    tests: [],
  } satisfies Catalog,
  environment: 'production',
  revision: 1,
  productId: 'p',
});

const START = Date.parse('2026-04-01T00:00:00Z');
const END = Date.parse('2026-05-01T00:00:00Z');

function license(over: Partial<License> = {}): License {
  return {
    id: 'l1',
    product: 'p',
    plan: 'large',
    planVersion: 0,
    quantity: 1,
    kind: 'paid',
    status: 'active',
    graceEndsAt: null,
    anchor: '2026-01-01T00:00:00[UTC]',
    timeZone: null,
    sku: null,
    addons: [],
    startsAt: Date.parse('2026-01-01T00:00:00Z'),
    endsAt: null,
    ...over,
  };
}

function ask(
  feature: string,
  now: number,
  one: License,
  accounts: readonly AccountState[] = [],
): EntitlementDecision {
  const customer: CustomerState = {
    id: 'acme',
    key: 'acme',
    version: 1,
    createdAt: 0,
    timeZone: null,
    attributes: {},
    licenses: [one],
    groups: [],
    memberships: [],
    grants: [],
    accounts,
  };
  const subject = {
    proven: true,
    customerKey: 'acme',
    instance: null,
    userKey: null,
    teamKey: null,
    sku: null,
  };
  const decision = resolveEntitlement({ snapshot, customer, subject, context: { parts: {} }, now }, feature);
  if (decision.kind === 'error') throw new Error(decision.message);
  return decision;
}

const account = (feature: string, used: number): AccountState => ({
  feature,
  scope: '',
  periodStart: START,
  used,
  reserved: 0,
});

/** The plan changed from `small` to `large` at that instant. */
const upgraded = (until: number) => license({ earlier: [{ plan: 'small', planVersion: 0, until }] });

describe('onPlanChange', () => {
  const middle = START + (END - START) / 2;

  it('carry: use and period stay, and the new limit holds at once, to the millisecond', () => {
    const after = ask('carry', middle, upgraded(middle), [account('carry', 60)]);
    expect(after).toMatchObject({ usage: 60, limit: { value: 1000 }, period: { start: START, end: END } });
    const planned = license({
      plan: 'small',
      next: { plan: 'large', planVersion: 0, at: middle, anchor: license().anchor, sku: null },
    });
    const before = ask('carry', middle - 1, planned, [account('carry', 60)]);
    expect(before).toMatchObject({ usage: 60, limit: { value: 100 }, period: { start: START, end: END } });
    expect(ask('carry', middle, planned, [account('carry', 60)])).toMatchObject({ limit: { value: 1000 } });
  });

  it('reset: the period ends at the change, and one begins there that ends when the old one would have', () => {
    const planned = license({
      plan: 'small',
      next: { plan: 'large', planVersion: 0, at: middle, anchor: license().anchor, sku: null },
    });
    const used = [account('reset', 60)];
    expect(ask('reset', middle - 1, planned, used)).toMatchObject({
      usage: 60,
      period: { start: START, end: middle },
    });
    for (const changed of [planned, upgraded(middle)]) {
      expect(ask('reset', middle, changed, used)).toMatchObject({
        usage: 0,
        limit: { value: 1000 },
        period: { start: middle, end: END },
      });
      expect(ask('reset', END, changed, used).period).toMatchObject({ start: END });
    }
  });

  it('prorate: half a period of each plan is half of each limit, and the next period has the whole', () => {
    const used = [account('prorate', 60)];
    const decision = ask('prorate', middle + HOUR, upgraded(middle), used);
    expect(decision).toMatchObject({ usage: 60, limit: { value: 550 }, balance: 490 });
    expect(decision.sources.at(-1)).toMatchObject({ type: 'plan', effect: 'prorate', value: 550 });
    expect(decision.validUntil).toBe(END);
    expect(ask('prorate', END, upgraded(middle), used)).toMatchObject({ usage: 0, limit: { value: 1000 } });
  });

  it('prorate: the limit is the exact mix of any number of changes, floored once', () => {
    const plans = { small: 100, large: 1000, free: 0 } as const;
    const names = ['small', 'large', 'free'] as const;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...names), fc.integer({ min: 1, max: END - START - 1 })), {
          maxLength: 5,
        }),
        (changes) => {
          const earlier = changes
            .map(([name, at]) => ({ plan: name as string, planVersion: 0, until: START + at }))
            .sort((left, right) => left.until - right.until);
          let sum = 0n;
          let from = START;
          for (const one of [...earlier, { plan: 'large', until: END }]) {
            sum += BigInt(plans[one.plan as keyof typeof plans]) * BigInt(one.until - from);
            from = one.until;
          }
          const decision = ask('prorate', END - 1, license({ earlier }));
          expect(decision.limit).toEqual({ kind: 'finite', value: Number(sum / BigInt(END - START)) });
        },
      ),
      { numRuns: 300 },
    );
  });

  it('prorate: of no limit there is no half, and what the present plan does not give is not given', () => {
    const fromAll = license({ earlier: [{ plan: 'all', planVersion: 0, until: middle }] });
    expect(ask('prorate', middle, fromAll).limit).toEqual({ kind: 'finite', value: 1000 });
    const toFree = license({ plan: 'free', earlier: [{ plan: 'large', planVersion: 0, until: middle }] });
    expect(ask('prorate', middle, toFree)).toMatchObject({ granted: false, limit: { value: 0 } });
  });
});

describe('law 9: an anchor that was moved', () => {
  const moved = Date.parse('2026-04-20T12:00:00Z');

  it.each([
    ['back', '2026-04-05T00:00:00[UTC]', '2026-05-05T00:00:00Z'],
    ['to now', '2026-04-20T12:00:00[UTC]', '2026-05-20T12:00:00Z'],
    ['ahead', '2026-04-25T00:00:00[UTC]', '2026-04-25T00:00:00Z'],
  ])('%s: the period ends at that instant, and the next begins there', (_name, anchor, end) => {
    const one = license({ anchor, anchorSince: moved });
    const used = [account('carry', 60)];
    const decision = ask('carry', moved, one, used);
    expect(decision.period).toMatchObject({ start: moved, end: Date.parse(end), anchor });
    expect(decision.usage).toBe(0);
    expect(ask('carry', decision.period?.end ?? 0, one).period?.start).toBe(Date.parse(end));
    // Whoever has written the new period already is never given another one: not by a clock that lags either.
    const open: AccountState = { ...account('carry', 7), periodStart: moved };
    expect(ask('carry', moved + HOUR, one, [open]).usage).toBe(7);
    expect(ask('carry', moved - HOUR, one, [open]).usage).toBe(7);
  });

  it('leaves the calendar alone', () => {
    const one = license({ anchor: '2026-04-20T12:00:00[UTC]', anchorSince: moved });
    expect(ask('calendar', moved + 1, one).period).toMatchObject({ start: START, end: END });
  });

  it('periods over any moves and changes follow each other without gap or overlap', () => {
    const day = 24 * HOUR;
    fc.assert(
      fc.property(
        fc.constantFrom(...FEATURES, 'calendar'),
        fc.integer({ min: 0, max: 90 * day }),
        fc.integer({ min: 0, max: 90 * day }),
        fc.integer({ min: 0, max: 90 * day }),
        fc.integer({ min: -40, max: 40 }),
        (feature, movedAt, changedAt, now, days) => {
          const since = START + movedAt;
          const anchor = `${new Date(since + days * day).toISOString().slice(0, 19)}[UTC]`;
          const one = license({
            anchor,
            anchorSince: since,
            earlier: [{ plan: 'small', planVersion: 0, until: START + changedAt }],
          });
          const instant = START + now;
          const period = ask(feature, instant, one).period;
          if (period === null) throw new Error('no period');
          expect(period.start).toBeLessThanOrEqual(instant);
          expect(instant).toBeLessThan(period.end);
          expect(ask(feature, period.start, one).period).toEqual(period);
          expect(ask(feature, period.end - 1, one).period).toEqual(period);
          expect(ask(feature, period.end, one).period?.start).toBe(period.end);
          expect(ask(feature, period.start - 1, one).period?.end).toBe(period.start);
        },
      ),
      { numRuns: 300 },
    );
  });
});
