import type { Addon, EntitlementValue, Feature, Group, Plan, Segment, Split } from '../model/catalog.js';
import { LIMITS } from '../model/limits.js';
import type { CheckScope } from './check-scope.js';
import { quoted } from './issue-sink.js';
import { checkValueAgainstSchema } from './value-schema.js';

/** Plans, add-ons, groups and segments: what they give, and to whom. */

interface Given {
  readonly feature: string;
}

export function checkPlan(plan: Plan, scope: CheckScope): void {
  if (plan.defaultGroup !== undefined) scope.refer('group', plan.defaultGroup, plan, 'defaultGroup');
  checkOnce(plan.entitlements, scope);
  for (const entitlement of plan.entitlements) {
    const feature = featureOf(entitlement, scope);
    if (entitlement.split !== undefined) checkSplit(entitlement.split, feature, scope);
    if (feature !== undefined && entitlement.value !== undefined) {
      checkValue(entitlement.value, feature, entitlement, 'value', scope);
    }
  }
}

export function checkAddon(addon: Addon, scope: CheckScope): void {
  for (const [index, plan] of (addon.plans ?? []).entries())
    scope.refer('plan', plan, addon.plans ?? [], index);
  checkOnce(addon.entitlements, scope);
  for (const entitlement of addon.entitlements) {
    const feature = featureOf(entitlement, scope);
    if (typeof entitlement.max === 'string' && entitlement.max !== 'unlimited') {
      scope.fault(
        entitlement,
        'max',
        'ENTITLEMENT_VALUE',
        `\`max\` is an integer or \`unlimited\`, and this is ${quoted(entitlement.max)}.`,
      );
    }
    if (feature === undefined) continue;
    if (entitlement.override !== undefined)
      checkValue(entitlement.override, feature, entitlement, 'override', scope);
    const member = entitlement.add === undefined ? 'max' : 'add';
    if (entitlement[member] !== undefined && feature.type !== 'limit' && feature.type !== 'metered') {
      const message = `\`${member}\` changes a limit, and ${quoted(feature.key)} is ${feature.type}; use \`override\`.`;
      scope.fault(entitlement, member, 'NOT_FOR_TYPE', message);
    }
  }
}

export function checkGiven(item: Group | Segment, scope: CheckScope): void {
  const entitlements = item.entitlements ?? [];
  checkOnce(entitlements, scope);
  for (const entitlement of entitlements) {
    const feature = featureOf(entitlement, scope);
    if (feature !== undefined) checkValue(entitlement.value, feature, entitlement, 'value', scope);
  }
}

function featureOf(given: Given, scope: CheckScope): Feature | undefined {
  scope.refer('feature', given.feature, given, 'feature');
  return scope.features.get(given.feature);
}

function checkOnce(entitlements: readonly Given[], scope: CheckScope): void {
  const seen = new Set<string>();
  for (const entitlement of entitlements) {
    if (seen.has(entitlement.feature)) {
      const message = `${quoted(entitlement.feature)} is given twice here; keep one.`;
      scope.fault(entitlement, 'feature', 'DUPLICATE_DEFINITION', message);
    }
    seen.add(entitlement.feature);
  }
}

/** The value must be of the feature's type; what is a limit is an integer or `unlimited`, never −1. */
export function checkValue(
  value: EntitlementValue,
  feature: Feature,
  holder: object,
  member: string,
  scope: CheckScope,
): void {
  const wanted = wantedValue(value, feature);
  if (wanted !== null) {
    const hint = value === -1 ? ' Unlimited is written `unlimited`.' : '';
    const message = `${quoted(feature.key)} is ${feature.type}, so its value is ${wanted}, and this is ${quoted(value)}.${hint}`;
    scope.fault(holder, member, 'ENTITLEMENT_VALUE', message, value === -1 ? 'unlimited' : undefined);
    return;
  }
  const node = scope.nodeOf(holder, member);
  if (feature.schema !== undefined && node)
    checkValueAgainstSchema(feature.schema, node, scope.issues, feature.key);
}

function wantedValue(value: EntitlementValue, feature: Feature): string | null {
  switch (feature.type) {
    case 'boolean':
      return typeof value === 'boolean' ? null : '`true` or `false`';
    case 'limit':
    case 'metered': {
      const fits =
        value === 'unlimited' || (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0);
      return fits ? null : 'an integer of at least 0, or `unlimited`';
    }
    case 'config':
      return typeof value === 'object' ? null : 'an object';
  }
}

const SPLIT_BY =
  /^(?:customer\.key|team\.key|targetingKey|license\.id|customer(?:\.[A-Za-z_][A-Za-z0-9_]*){1,5})$/;

/** An experiment on a value is sticky on something that only the server sets (P-9): a caller cannot choose its share. */
function checkSplit(split: Split, feature: Feature | undefined, scope: CheckScope): void {
  if (!SPLIT_BY.test(split.by)) {
    const message = `${quoted(split.by)} is not known to the server, so a caller could choose its share; use \`customer.key\`, \`license.id\` or a customer attribute such as \`customer.region\`.`;
    scope.fault(split, 'by', 'SPLIT_BY', message, 'customer.key');
  }
  let total = 0;
  for (const share of split.values) {
    total += share.weight;
    if (feature !== undefined) checkValue(share.value, feature, share, 'value', scope);
  }
  checkTotal(total, split, 'values', split.values, scope);
}

/** A share that was refused is a fault already, and the sum without it says nothing. */
export function checkTotal(
  total: number,
  holder: object,
  member: string,
  shares: readonly object[],
  scope: CheckScope,
): void {
  const node = scope.nodeOf(shares);
  const written =
    node?.kind === 'array' ? node.items.length : node?.kind === 'object' ? node.members.length : 0;
  if (written !== shares.length) return;
  const maximum = LIMITS.rolloutTotal.value;
  if (total >= 1 && total <= maximum) return;
  const message = `The weights add up to ${total}; together they must be from 1 to ${maximum}.`;
  scope.fault(holder, member, 'ROLLOUT_TOTAL', message);
}
