import { CelError } from '../cel/values.js';
import { aboutCustomer } from '../entitlement/customer-condition.js';
import type { Level } from '../entitlement/level.js';
import { termsAt } from '../evaluation/license-terms.js';
import { beginEvaluation } from '../flag/layers.js';
import { type EntitlementValue, type UsageScope, versionedKey } from '../model/catalog.js';
import type {
  AccountState,
  CustomerState,
  Grant,
  Instant,
  License,
  SegmentMembership,
} from '../model/customer.js';
import type { JsonObject } from '../model/json.js';
import type { CompiledFeature, CompiledPlan, Snapshot } from '../snapshot/snapshot.js';
import { type Balance, balanceOf } from '../usage/balance.js';

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

/** What one account would use above its limit. */
export interface AccountOver {
  readonly usage: number;
  readonly limit: number;
  readonly over: number;
}

/** How far a feature would be over: of several accounts, one per user or instance, the one that is furthest. */
export interface WouldBeOver extends AccountOver {
  readonly feature: string;
  readonly per: UsageScope;
  /** How many accounts of the customer would be over. Nobody is named: an effect is kept, and a person can be erased. */
  readonly accounts: number;
}

export interface PlanChangeEffect {
  readonly gains: readonly FeatureChange[];
  readonly loses: readonly FeatureChange[];
  /** A config value that is another one. */
  readonly changes: readonly FeatureChange[];
  readonly over: readonly WouldBeOver[];
}

/** What can be told of the customer alone, and the features of which its users or instances have accounts to look at. */
export interface PlanChangeComparison {
  readonly effect: PlanChangeEffect;
  readonly shrinking: readonly CompiledFeature[];
}

/** The account of one user or instance, with what that one has of its own. */
export interface ScopedHolding {
  readonly account: AccountState;
  /** The instance's own; empty for a user. */
  readonly metadata: JsonObject;
  readonly memberships: readonly SegmentMembership[];
  readonly grants: readonly Grant[];
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

/** The state as it would stand then, without and with the change. */
function statesOf(state: CustomerState, change: PlannedChange): readonly [CustomerState, CustomerState] {
  const { at, plan, planVersion, usage } = change;
  const present = state.licenses.map((license) => plain(license, at));
  const changed = present.map((license): License => {
    if (license.id !== change.licenseId) return license;
    const anchor = usage === 'reset' ? change.anchor : license.anchor;
    return { ...license, plan, planVersion, anchor, sku: null };
  });
  return [
    { ...state, licenses: present },
    { ...state, licenses: changed },
  ];
}

/** Above the new limit, and more so than above the old one. */
function newlyOver(balance: Balance, old: Level, next: Level): AccountOver | null {
  const used = balance.used + balance.reserved;
  const over = overOf(used, next);
  return over > overOf(used, old) ? { usage: used, limit: next.amount, over } : null;
}

function shrinks(old: Level, next: Level): boolean {
  return !next.unlimited && (old.unlimited || next.amount < old.amount);
}

/** Compares one customer with and without a change of one of its licenses. */
export function comparePlanChange(
  snapshot: Snapshot,
  state: CustomerState,
  change: PlannedChange,
  features: readonly CompiledFeature[],
): PlanChangeComparison {
  const [present, changed] = statesOf(state, change);
  const before = beginEvaluation(aboutCustomer(snapshot, present, change.at));
  const after = beginEvaluation(aboutCustomer(snapshot, changed, change.at));
  const effect = {
    gains: [] as FeatureChange[],
    loses: [] as FeatureChange[],
    changes: [] as FeatureChange[],
    over: [] as WouldBeOver[],
  };
  const shrinking: CompiledFeature[] = [];
  for (const feature of features) {
    const [old, next] = [before.level(feature), after.level(feature)];
    if (old instanceof CelError || next instanceof CelError) continue;
    const one = { feature: feature.key, before: grantedOf(feature, old), after: grantedOf(feature, next) };
    if (!same(one.before, one.after)) {
      const [was, is] = [rankOf(one.before), rankOf(one.after)];
      (is > was ? effect.gains : is < was ? effect.loses : effect.changes).push(one);
    }
    if (feature.type !== 'metered') continue;
    if (feature.per !== 'customer') {
      if (shrinks(old, next)) shrinking.push(feature);
      continue;
    }
    const over = newlyOver(balanceOf(after, feature, next), old, next);
    if (over !== null) effect.over.push({ feature: feature.key, ...over, per: 'customer', accounts: 1 });
  }
  return { effect, shrinking };
}

/** The same of one user's or instance's account: `null` where it would not be over, or is as far over as things are. */
export function compareAccount(
  snapshot: Snapshot,
  state: CustomerState,
  change: PlannedChange,
  feature: CompiledFeature,
  held: ScopedHolding,
): AccountOver | null {
  const own: CustomerState = {
    ...state,
    accounts: [held.account],
    memberships: [...state.memberships, ...held.memberships],
    grants: [...state.grants, ...held.grants],
  };
  const [before, after] = statesOf(own, change).map((one) => {
    const request = aboutCustomer(snapshot, one, change.at);
    const { scope } = held.account;
    const named =
      feature.per === 'user'
        ? { userKey: scope }
        : { instance: { key: scope, id: null, metadata: held.metadata } };
    return beginEvaluation({ ...request, subject: { ...request.subject, ...named } });
  });
  if (before === undefined || after === undefined) return null;
  const [old, next] = [before.level(feature), after.level(feature)];
  if (old instanceof CelError || next instanceof CelError) return null;
  return newlyOver(balanceOf(after, feature, next), old, next);
}

/** Adds what was found of the accounts of users and instances. */
export function withAccountsOver(
  effect: PlanChangeEffect,
  found: readonly { readonly feature: CompiledFeature; readonly over: AccountOver }[],
): PlanChangeEffect {
  if (found.length === 0) return effect;
  const worst = new Map<string, WouldBeOver>();
  for (const { feature, over } of found) {
    const known = worst.get(feature.key);
    const furthest = known === undefined || over.over > known.over ? over : known;
    const { usage, limit } = furthest;
    worst.set(feature.key, {
      feature: feature.key,
      usage,
      limit,
      over: furthest.over,
      per: feature.per,
      accounts: (known?.accounts ?? 0) + 1,
    });
  }
  const scoped = [...worst.values()].sort((one, other) => (one.feature < other.feature ? -1 : 1));
  return { ...effect, over: [...effect.over, ...scoped] };
}
