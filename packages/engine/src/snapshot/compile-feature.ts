import type { Catalog, EntitlementValue, Feature, Split } from '../model/catalog.js';
import {
  DEFAULT_GRACE_DAYS,
  DEFAULT_LATE_DAYS,
  UNLIMITED_AS_INTEGER,
  UNLIMITED_AS_OFREP_INTEGER,
} from '../model/limits.js';
import { noticeLevels } from '../usage/notices.js';
import type { CompileContext } from './compile-context.js';
import { BrokenItem } from './compile-rule.js';
import type { Condition } from './condition.js';
import type { CompiledFeature } from './snapshot.js';

/** By default: boolean any, numbers max, config last. */
const COMBINE: Record<Feature['type'], CompiledFeature['combine']> = {
  boolean: 'any',
  limit: 'max',
  metered: 'max',
  config: 'last',
};

function isSplit(value: EntitlementValue | Split | undefined): value is Split {
  return typeof value === 'object' && Array.isArray((value as Split).values);
}

function* numbersOf(catalog: Catalog): Generator<readonly [string, EntitlementValue | undefined]> {
  for (const plan of catalog.plans) {
    for (const { feature, value, split } of plan.entitlements) {
      yield [feature, value];
      if (isSplit(split)) for (const one of split.values) yield [feature, one.value];
    }
  }
  for (const addon of catalog.addons) {
    for (const { feature, add, max, override } of addon.entitlements) {
      yield [feature, (add ?? 0) * (addon.maxQuantity ?? 1)];
      yield [feature, max];
      yield [feature, override];
    }
  }
  for (const set of [...catalog.groups, ...catalog.segments]) {
    for (const { feature, value } of set.entitlements ?? []) yield [feature, value];
  }
}

/** The largest finite number that the catalog gives each feature: no client may take unlimited for less than that. */
export function largestNumbers(catalog: Catalog): ReadonlyMap<string, number> {
  const largest = new Map<string, number>();
  for (const [feature, value] of numbersOf(catalog)) {
    if (typeof value === 'number' && value > (largest.get(feature) ?? 0)) largest.set(feature, value);
  }
  return largest;
}

export function unlimitedNumber(largest: number | undefined): number {
  return (largest ?? 0) > UNLIMITED_AS_OFREP_INTEGER ? UNLIMITED_AS_INTEGER : UNLIMITED_AS_OFREP_INTEGER;
}

const DAY_MILLISECONDS = 86_400_000;

function compileDowngrade(policy: Feature['onDowngrade']): CompiledFeature['onDowngrade'] {
  const days = typeof policy === 'object' ? policy.grace.days : DEFAULT_GRACE_DAYS;
  const graceMilliseconds = days * DAY_MILLISECONDS;
  return { policy: typeof policy === 'object' ? 'grace' : (policy ?? 'refuse-new'), graceMilliseconds };
}

export function compileFeature(
  feature: Feature,
  place: { readonly index: number; readonly unlimitedNumber: number },
  context: CompileContext,
): CompiledFeature {
  const resets = feature.type === 'metered' && (feature.reset ?? 'never') !== 'never';
  let measure: Condition | null = null;
  let broken: string | null = null;
  try {
    measure = feature.measure === undefined ? null : context.condition(feature.measure, 'measure');
  } catch (error) {
    if (!(error instanceof BrokenItem)) throw error;
    broken = error.message;
  }
  return {
    key: feature.key,
    ...place,
    type: feature.type,
    numeric: feature.type === 'limit' || feature.type === 'metered',
    clientVisible: feature.clientVisible === true,
    per: feature.type === 'metered' ? (feature.per ?? 'customer') : 'customer',
    reset: resets ? (feature.reset ?? 'never') : 'never',
    enforcement: feature.enforcement ?? 'hard',
    overage: feature.overage ?? null,
    combine: feature.combine ?? COMBINE[feature.type],
    whenDenied: feature.whenDenied ?? 'locked',
    onDowngrade: compileDowngrade(feature.onDowngrade),
    onPlanChange: resets ? (feature.onPlanChange ?? 'carry') : 'carry',
    rollover:
      !resets || feature.rollover === undefined ? null : { minimum: 0, periods: 1, ...feature.rollover },
    measure,
    settle: { more: feature.settle?.more ?? 'refuse', late: feature.settle?.late ?? 'refuse' },
    onStoreAway: (feature.enforcement ?? 'hard') === 'hard' ? 'closed' : (feature.onStoreAway ?? 'closed'),
    aggregation: feature.aggregation ?? 'sum',
    uniqueBy: feature.uniqueBy ?? null,
    lateEvents: {
      milliseconds: (feature.lateEvents?.days ?? DEFAULT_LATE_DAYS) * DAY_MILLISECONDS,
      after: feature.lateEvents?.after ?? 'current',
    },
    dimensions: feature.dimensions ?? [],
    noticeLevels: feature.type === 'metered' ? noticeLevels(feature.warnAt ?? []) : [],
    document: feature,
    broken,
  };
}
