import { bucketSeed } from '../bucket/bucket.js';
import { SERVER_FACTS } from '../catalog/expression-environment.js';
import {
  type Addon,
  type EntitlementValue,
  type Group,
  type Plan,
  type Segment,
  type SetEntitlement,
  type Split,
  versionedKey,
} from '../model/catalog.js';
import type { CompileContext } from './compile-context.js';
import { BrokenItem } from './compile-rule.js';
import type { Condition } from './condition.js';
import type {
  CompiledAddon,
  CompiledGroup,
  CompiledPlan,
  CompiledSegment,
  CompiledSplit,
  OfferText,
} from './snapshot.js';

function compileSplit(split: Split, feature: string): CompiledSplit {
  let below = 0;
  const values = split.values.map(({ value, weight }) => {
    below += weight;
    return { value, below };
  });
  return { by: split.by, seed: bucketSeed(split.seed ?? feature), total: below, values };
}

export function isCompiledSplit(value: EntitlementValue | CompiledSplit): value is CompiledSplit {
  return typeof value === 'object' && 'values' in value && 'seed' in value && Array.isArray(value['values']);
}

function setsOf(entitlements: readonly SetEntitlement[] | undefined): ReadonlyMap<string, EntitlementValue> {
  return new Map((entitlements ?? []).map(({ feature, value }) => [feature, value]));
}

function showOf({ name, description, price }: Plan | Addon): OfferText {
  return { name: name ?? null, description: description ?? null, price: price ?? null };
}

export function compilePlan(plan: Plan): CompiledPlan {
  const entitlements = new Map<string, EntitlementValue | CompiledSplit>();
  for (const { feature, value, split } of plan.entitlements) {
    if (split !== undefined) entitlements.set(feature, compileSplit(split, feature));
    else if (value !== undefined) entitlements.set(feature, value);
  }
  return {
    key: plan.key,
    version: plan.version ?? 0,
    name: versionedKey(plan.key, plan.version),
    rank: plan.rank ?? 0,
    offered: plan.offered !== false,
    show: showOf(plan),
    defaultGroup: plan.defaultGroup ?? null,
    entitlements,
  };
}

export function compileAddon(addon: Addon, order: number): CompiledAddon {
  return {
    key: addon.key,
    version: addon.version ?? 0,
    name: versionedKey(addon.key, addon.version),
    order,
    offered: addon.offered !== false,
    show: showOf(addon),
    plans: addon.plans ?? null,
    maxQuantity: addon.maxQuantity ?? null,
    entitlements: new Map(addon.entitlements.map((one) => [one.feature, one])),
  };
}

export function compileGroup(group: Group, order: number): CompiledGroup {
  return { key: group.key, order, mode: group.mode ?? 'replace', entitlements: setsOf(group.entitlements) };
}

/** Parts that no caller can forge, whatever the credential. */
function restsOnServerFacts(condition: Condition): boolean {
  for (const part of condition.reads.parts) {
    if (!(SERVER_FACTS as readonly string[]).includes(part)) return false;
  }
  return true;
}

export function compileSegment(segment: Segment, order: number, context: CompileContext): CompiledSegment {
  let condition: Condition | null = null;
  let broken: string | null = null;
  try {
    condition = segment.condition === undefined ? null : context.condition(segment.condition, 'segment');
  } catch (error) {
    if (!(error instanceof BrokenItem)) throw error;
    broken = error.message;
  }
  return {
    key: segment.key,
    order,
    condition,
    trusted: condition !== null && restsOnServerFacts(condition),
    entitlements: setsOf(segment.entitlements),
    broken,
  };
}
