import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { Catalog, EntitlementValue } from '@pennon/engine/model/catalog';
import type { License, LicenseAddon } from '@pennon/engine/model/customer';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import { describe, expect, it } from 'vitest';

const { snapshot } = compileSnapshot({
  catalog: {
    product: { key: 'p' },
    features: [{ key: 'calls', type: 'metered', reset: { every: 'month' } }],
    plans: [
      { key: 'base', entitlements: [] },
      { key: 'none', entitlements: [{ feature: 'calls', value: 0 }] },
      { key: 'split', entitlements: [{ feature: 'calls', split: half(0, 10) }] },
      { key: 'no-split', entitlements: [{ feature: 'calls', split: half(0, 0) }] },
      { key: 'pro', entitlements: [{ feature: 'calls', value: 10 }] },
      { key: 'grouped', entitlements: [], defaultGroup: 'gives' },
      { key: 'emptied', entitlements: [{ feature: 'calls', value: 10 }], defaultGroup: 'takes' },
    ],
    addons: [{ key: 'more', entitlements: [{ feature: 'calls', add: 2 }] }],
    groups: [
      { key: 'gives', mode: 'overlay', entitlements: [{ feature: 'calls', value: 5 }] },
      { key: 'takes', mode: 'replace', entitlements: [] },
    ],
    segments: [],
    flags: [],
    billing: [],
    tests: [],
  } satisfies Catalog,
  environment: 'production',
  revision: 1,
  productId: 'p',
});

function half(one: EntitlementValue, other: EntitlementValue) {
  const values = [
    { value: one, weight: 1 },
    { value: other, weight: 1 },
  ];
  return { by: 'customer.key', values };
}

function license(plan: string, day: string, addons: readonly LicenseAddon[] = []): License {
  return {
    id: `l${day}`,
    product: 'p',
    plan,
    planVersion: 0,
    quantity: 1,
    kind: 'paid',
    status: 'active',
    graceEndsAt: null,
    anchor: `2026-01-${day}T00:00:00[UTC]`,
    timeZone: null,
    sku: null,
    addons,
    startsAt: Date.parse(`2026-01-${day}T00:00:00Z`),
    endsAt: null,
  };
}

function dayOfPeriod(...licenses: readonly License[]): number | null {
  const decision = resolveEntitlement(
    {
      snapshot,
      customer: {
        id: 'acme',
        key: 'acme',
        version: 1,
        createdAt: 0,
        timeZone: null,
        attributes: {},
        licenses,
        groups: [],
        memberships: [],
        grants: [],
        accounts: [],
      },
      subject: {
        proven: true,
        customerKey: 'acme',
        instance: null,
        userKey: null,
        teamKey: null,
        sku: null,
      },
      context: { parts: {} },
      now: Date.parse('2026-03-20T00:00:00Z'),
    },
    'calls',
  );
  if (decision.kind === 'error' || decision.period === null) return null;
  return new Date(decision.period.start).getUTCDate();
}

describe('law 9: of several licenses the oldest that grants the feature anchors its periods', () => {
  const more = [{ addon: 'more', version: 0, quantity: 1 }];

  it.each([
    ['none', 10],
    ['no-split', 10],
    ['emptied', 10],
    ['base', 10],
    ['split', 5],
    ['grouped', 5],
    ['pro', 5],
  ])('an older license to `%s` beside one to `pro`', (plan, day) => {
    expect(dayOfPeriod(license(plan, '05'), license('pro', '10'))).toBe(day);
  });

  it('grants by an add-on too', () => {
    expect(dayOfPeriod(license('base', '05'), license('base', '12', more))).toBe(12);
    expect(dayOfPeriod(license('base', '05', more), license('pro', '10'))).toBe(5);
    expect(dayOfPeriod(license('base', '05', [{ addon: 'more', version: 0, quantity: 0 }]))).toBe(5);
  });

  it('is the oldest in force where none grants it', () => {
    expect(dayOfPeriod(license('base', '05'), license('none', '10'))).toBe(5);
  });
});
