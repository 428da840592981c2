import { CelError } from '../cel/values.js';
import type { Level } from '../entitlement/level.js';
import { termsAt } from '../evaluation/license-terms.js';
import { beginEvaluation } from '../flag/layers.js';
import { type EntitlementValue, versionedKey } from '../model/catalog.js';
import type { CustomerState, Instant, License } from '../model/customer.js';
import type { CompiledFeature, CompiledPlan, Snapshot } from '../snapshot/snapshot.js';
import { balanceOf } from '../usage/balance.js';
import { aboutCustomer } from './customer-selector.js';

/*
 * What another plan version would mean for one customer (P-8, X-3): decided by the same steps as every answer, once with the license
 * as it is and once as it would be. What stands for a time after a downgrade is left out: told is what holds for good.
 */

export interface FeatureChange {
  readonly feature: string;
  /** `null`: nothing is granted. */
  readonly before: EntitlementValue | null;
  readonly after: EntitlementValue | null;
}

export interface WouldBeOver {
  readonly feature: string;
  readonly usage: number;
  readonly limit: number;
  readonly over: number;
}

export interface PlanChangeEffect {
  readonly gains: readonly FeatureChange[];
  readonly loses: readonly FeatureChange[];
  /** A config value that is another one. */
  readonly changes: readonly FeatureChange[];
  readonly over: readonly WouldBeOver[];
}

export interface PlannedChange {
  readonly licenseId: string;
  readonly plan: string;
  readonly planVersion: number;
  /** When it takes effect: resets until then count. */
  readonly at: Instant;
  readonly usage: 'carry' | 'reset';
  /** The anchor from then on, where usage is reset. */
  readonly anchor: string;
}

function* keysOf(plan: CompiledPlan | undefined, snapshot: Snapshot): Generator<string> {
  if (plan === undefined) return;
  yield* plan.entitlements.keys();
  const group = plan.defaultGroup === null ? undefined : snapshot.groups.get(plan.defaultGroup);
  if (group !== undefined) yield* group.entitlements.keys();
}

/**
 * The features that a change between two plan versions can touch: what either gives, all where one of them replaces by its default group,
 * and what segments give by a condition, which may read the plan. Found once for many customers.
 */
export function concernedFeatures(
  snapshot: Snapshot,
  ...plans: readonly { readonly plan: string; readonly planVersion: number }[]
): readonly CompiledFeature[] {
  const keys = new Set<string>();
  for (const { plan, planVersion } of plans) {
    const compiled = snapshot.plans.get(versionedKey(plan, planVersion));
    for (const key of keysOf(compiled, snapshot)) keys.add(key);
  }
  for (const segment of snapshot.segments.values()) {
    if (segment.condition === null) continue;
    for (const key of segment.entitlements.keys()) keys.add(key);
  }
  return snapshot.featureList.filter(({ key }) => keys.has(key));
}

/** A license as it is at an instant, without what came before or comes after. */
function plain(license: License, at: Instant): License {
  const { earlier, next, ...rest } = license;
  return { ...rest, ...plainTerms(license, at) };
}

function plainTerms(license: License, at: Instant) {
  const { plan, planVersion, anchor, sku } = termsAt(license, at);
  return { plan, planVersion, anchor, sku };
}

function grantedOf(feature: CompiledFeature, level: Level): EntitlementValue | null {
  if (!level.granted) return null;
  if (feature.numeric) return level.unlimited ? 'unlimited' : level.amount;
  return level.value;
}

function rankOf(value: EntitlementValue | null): number {
  if (value === 'unlimited') return Number.POSITIVE_INFINITY;
  return typeof value === 'number' ? value : value === null || value === false ? 0 : 1;
}

function same(before: EntitlementValue | null, after: EntitlementValue | null): boolean {
  if (typeof before !== 'object' || typeof after !== 'object') return before === after;
  return JSON.stringify(before) === JSON.stringify(after);
}

/** What is used and held of a pooled account above a level; `null` without a finite limit. */
function overOf(used: number, level: Level): number {
  return level.unlimited ? 0 : Math.max(0, used - level.amount);
}

/** Compares one customer with and without a change of one of its licenses. */
export function comparePlanChange(
  snapshot: Snapshot,
  state: CustomerState,
  change: PlannedChange,
  features: readonly CompiledFeature[],
): PlanChangeEffect {
  const { at, plan, planVersion, usage } = change;
  const present = state.licenses.map((license) => plain(license, at));
  const changed = present.map((license): License => {
    if (license.id !== change.licenseId) return license;
    const anchor = usage === 'reset' ? change.anchor : license.anchor;
    return { ...license, plan, planVersion, anchor, sku: null };
  });
  const before = beginEvaluation(aboutCustomer(snapshot, { ...state, licenses: present }, at));
  const after = beginEvaluation(aboutCustomer(snapshot, { ...state, licenses: changed }, at));
  const effect = {
    gains: [] as FeatureChange[],
    loses: [] as FeatureChange[],
    changes: [] as FeatureChange[],
    over: [] as WouldBeOver[],
  };
  for (const feature of features) {
    const [old, next] = [before.level(feature), after.level(feature)];
    if (old instanceof CelError || next instanceof CelError) continue;
    const one = { feature: feature.key, before: grantedOf(feature, old), after: grantedOf(feature, next) };
    if (!same(one.before, one.after)) {
      const [was, is] = [rankOf(one.before), rankOf(one.after)];
      (is > was ? effect.gains : is < was ? effect.loses : effect.changes).push(one);
    }
    if (feature.type !== 'metered') continue;
    const { used, reserved, scope } = balanceOf(after, feature, next);
    if (scope === null) continue;
    const over = overOf(used + reserved, next);
    if (over > overOf(used + reserved, old)) {
      effect.over.push({ feature: feature.key, usage: used + reserved, limit: next.amount, over });
    }
  }
  return effect;
}
