import type { Catalog } from '@pennon/engine/model/catalog';
import type { CustomerState, Grant } from '@pennon/engine/model/customer';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { Seeded } from './seeded.js';
import type { ModelFeature, ModelLimits } from './sequential-model.js';

/* The catalog and the customers of simulated histories, and how their limits change. */

export const PRODUCT = { id: '00000000-0000-7000-8000-000000000001', key: 'test' };
export const ENVIRONMENT = { id: '00000000-0000-7000-8000-000000000002', key: 'production' };
export const CUSTOMERS = ['acme', 'globex'] as const;

export const FEATURES: readonly ModelFeature[] = [
  {
    key: 'calls',
    enforcement: 'hard',
    overage: 0,
    resets: 'hour',
    per: 'customer',
    settle: { more: 'refuse', late: 'refuse' },
  },
  {
    key: 'exports',
    enforcement: 'hard',
    overage: 0,
    resets: 'never',
    per: 'user',
    settle: { more: 'upTo', late: 'refuse' },
  },
  {
    key: 'mails',
    enforcement: 'soft',
    overage: 2,
    resets: 'hour',
    per: 'customer',
    settle: { more: 'all', late: 'consume' },
  },
  {
    key: 'seats',
    enforcement: 'hard',
    overage: 0,
    resets: 'never',
    per: 'customer',
    settle: { more: 'all', late: 'consume' },
  },
  {
    key: 'views',
    enforcement: 'observe',
    overage: 0,
    resets: 'hour',
    per: 'customer',
    settle: { more: 'refuse', late: 'refuse' },
  },
  {
    key: 'minutes',
    enforcement: 'hard',
    overage: 0,
    resets: 'hour',
    per: 'customer',
    settle: { more: 'refuse', late: 'refuse' },
    rollover: { minimum: 1, maximum: 4, periods: 2 },
  },
];

export function customerId(key: string): string {
  return `customer-${key}`;
}

/** What a revision says of every feature. */
export type PlanLimits = Readonly<Record<string, number>>;

/** What is granted to one customer, on top of its plan. */
export interface CustomerGrants {
  /** The feature whose limit is set, and to what; `null`: denied. */
  readonly set: { readonly feature: string; readonly value: number | null } | null;
}

/** What the group that every customer is in is granted. */
export interface SharedGrants {
  readonly add: { readonly feature: string; readonly amount: number } | null;
}

export const NO_GRANTS: CustomerGrants = { set: null };
export const NO_SHARED: SharedGrants = { add: null };

type Features = readonly ModelFeature[];

export function drawPlanLimits(chance: Seeded, features: Features, scale: number): PlanLimits {
  return Object.fromEntries(features.map(({ key }) => [key, scale * (2 + 4 * chance.below(5))]));
}

export function drawGrants(chance: Seeded, features: Features, scale: number): CustomerGrants {
  if (chance.chance(0.3)) return NO_GRANTS;
  const { key } = chance.pick(features);
  return { set: { feature: key, value: chance.chance(0.2) ? null : scale * chance.below(20) } };
}

export function drawShared(chance: Seeded, features: Features): SharedGrants {
  if (chance.chance(0.3)) return NO_SHARED;
  return { add: { feature: chance.pick(features).key, amount: 1 + chance.below(6) } };
}

/** The limit in force, told as simply as it can be. */
export function limitsInForce(plan: PlanLimits, { set }: CustomerGrants, { add }: SharedGrants): ModelLimits {
  return Object.fromEntries(
    FEATURES.map(({ key }) => {
      const base = set?.feature === key ? set.value : (plan[key] ?? 0);
      if (base === null) return [key, null];
      // Nothing granted at all is no right, unless a lot is one; the model says so.
      return [key, base + (add?.feature === key ? add.amount : 0)];
    }),
  );
}

const compiled = new Map<string, Snapshot>();

export function snapshotOf(revision: number, limits: PlanLimits): Snapshot {
  const name = JSON.stringify([revision, limits]);
  let snapshot = compiled.get(name);
  if (snapshot === undefined) {
    snapshot = compileSnapshot({
      catalog: catalogOf(limits),
      environment: ENVIRONMENT.key,
      revision,
      productId: PRODUCT.id,
    }).snapshot;
    if (compiled.size > 5000) compiled.clear();
    compiled.set(name, snapshot);
  }
  return snapshot;
}

/** Of the features that there are limits of. */
function catalogOf(limits: PlanLimits): Catalog {
  const features = FEATURES.filter(({ key }) => key in limits);
  return {
    product: { key: PRODUCT.key },
    features: features.map(({ key, enforcement, overage, resets, per, settle, rollover }) => ({
      key,
      type: 'metered' as const,
      per,
      enforcement,
      settle,
      ...(rollover === undefined ? {} : { rollover }),
      ...(enforcement === 'soft' ? { overage: { amount: overage } } : {}),
      reset:
        resets === 'never' ? ('never' as const) : { every: 'hour' as const, anchor: 'calendar' as const },
    })),
    plans: [
      {
        key: 'pro',
        entitlements: features.map(({ key }) => ({ feature: key, value: limits[key] ?? 0 })),
      },
    ],
    addons: [],
    groups: [{ key: 'partners', mode: 'overlay', entitlements: [] }],
    segments: [],
    flags: [],
    billing: [],
    tests: [],
  };
}

/** The state that a process assembles of what it has read. */
export function customerState(
  key: string,
  version: number,
  { set }: CustomerGrants,
  { add }: SharedGrants,
): CustomerState {
  const grants: Grant[] = [];
  const span = { startsAt: 0, endsAt: null, product: PRODUCT.key, kind: 'contract' as const };
  if (set !== null) {
    const { feature, value } = set;
    grants.push({
      ...span,
      id: 'of-the-customer',
      target: { kind: 'customer', key },
      effect: value === null ? { type: 'deny', feature } : { type: 'set', feature, value },
    });
  }
  if (add !== null) {
    grants.push({
      ...span,
      id: 'of-the-group',
      target: { kind: 'group', key: 'partners' },
      effect: { type: 'add', ...add },
    });
  }
  return {
    id: customerId(key),
    key,
    version,
    createdAt: 0,
    timeZone: null,
    attributes: {},
    licenses: [
      {
        id: `license-${key}`,
        product: PRODUCT.key,
        plan: 'pro',
        planVersion: 0,
        quantity: 1,
        kind: 'paid',
        status: 'active',
        startsAt: 0,
        endsAt: null,
        graceEndsAt: null,
        anchor: '2027-01-01T00:00:00[UTC]',
        timeZone: null,
        sku: null,
        addons: [],
      },
    ],
    groups: [{ group: 'partners', startsAt: 0, endsAt: null }],
    memberships: [],
    grants,
    accounts: [],
  };
}
