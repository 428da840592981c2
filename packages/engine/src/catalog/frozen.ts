import type { Addon, Catalog, Feature, Plan } from '../model/catalog.js';
import { versionedKey } from '../model/catalog.js';
import type { JsonValue } from '../model/json.js';
import { canonicalJson } from './canonical-json.js';
import type { ItemReference } from './issue.js';

export const FROZEN_CODES = ['VERSION_FROZEN', 'FEATURE_FROZEN', 'KEY_RETIRED'] as const;
export type FrozenCode = (typeof FROZEN_CODES)[number];

export interface FrozenViolation {
  readonly code: FrozenCode;
  readonly item: ItemReference;
  /** A JSON pointer within the item. */
  readonly path: string;
  readonly message: string;
  /** The version that may carry the change. */
  readonly proposedVersion?: number;
}

/** A key that was published once and is no more; it never returns as something else. */
export interface RetiredKey {
  readonly kind: 'feature' | 'flag';
  readonly key: string;
  readonly type: string;
}

/**
 * What a publish may not change (P-8): entitlements and splits of published plan and add-on versions; type, unit, reset, `per` and aggregation
 * of a feature that a published plan or add-on names; the kind and type of a key, also of one that was retired.
 */
export function frozenViolations(
  published: Catalog,
  next: Catalog,
  retired: readonly RetiredKey[] = [],
): FrozenViolation[] {
  return [
    ...frozenVersions('plan', published.plans, next.plans),
    ...frozenVersions('addon', published.addons, next.addons),
    ...frozenFeatures(published, next),
    ...changedKinds(published, next, retired),
  ];
}

function frozenVersions(
  kind: 'plan' | 'addon',
  published: readonly (Plan | Addon)[],
  next: readonly (Plan | Addon)[],
): FrozenViolation[] {
  const fresh = new Map(next.map((offer) => [versionedKey(offer.key, offer.version), offer]));
  return published.flatMap((offer) => {
    const name = versionedKey(offer.key, offer.version);
    const now = fresh.get(name);
    const changed = now === undefined ? [] : changedFeatures(offer, now);
    if (changed.length === 0) return [];
    const versions = [...published, ...next]
      .filter(({ key }) => key === offer.key)
      .map(({ version }) => version ?? 0);
    const proposedVersion = Math.max(...versions) + 1;
    const word = kind === 'plan' ? 'plan' : 'add-on';
    const message = `The ${word} \`${offer.key}\` version ${offer.version ?? 0} is published, and its entitlements are frozen (changed: ${changed.map((key) => `\`${key}\``).join(', ')}); write the change as version ${proposedVersion}.`;
    return [
      { code: 'VERSION_FROZEN', item: { kind, key: name }, path: '/entitlements', message, proposedVersion },
    ];
  });
}

/** By feature: the order of entitlements is not content. */
function changedFeatures(before: Plan | Addon, after: Plan | Addon): string[] {
  const old = given(before);
  const fresh = given(after);
  return [...new Set([...old.keys(), ...fresh.keys()])].filter((key) => old.get(key) !== fresh.get(key));
}

function given(offer: Plan | Addon): Map<string, string> {
  const entitlements = offer.entitlements as readonly (Plan | Addon)['entitlements'][number][];
  return new Map(entitlements.map((entry) => [entry.feature, canonicalJson(entry as unknown as JsonValue)]));
}

const FROZEN_MEMBERS = [
  'type',
  'unit',
  'reset',
  'per',
  'aggregation',
  'uniqueBy',
] as const satisfies readonly (keyof Feature)[];

function frozenFeatures(published: Catalog, next: Catalog): FrozenViolation[] {
  const offers = [...published.plans, ...published.addons];
  const named = new Set(offers.flatMap((offer) => offer.entitlements.map(({ feature }) => feature)));
  const fresh = new Map(next.features.map((feature) => [feature.key, feature]));
  return published.features.flatMap((feature) => {
    const now = fresh.get(feature.key);
    if (now === undefined || !named.has(feature.key)) return [];
    return FROZEN_MEMBERS.filter((member) => text(feature[member]) !== text(now[member])).map((member) => ({
      code: 'FEATURE_FROZEN',
      item: { kind: 'feature', key: feature.key },
      path: `/${member}`,
      message: `\`${member}\` of the feature \`${feature.key}\` cannot change, because a published plan names it; declare a feature of another key.`,
    }));
  });
}

function text(value: Feature[(typeof FROZEN_MEMBERS)[number]]): string {
  return value === undefined ? '' : canonicalJson(value as unknown as JsonValue);
}

function changedKinds(published: Catalog, next: Catalog, retired: readonly RetiredKey[]): FrozenViolation[] {
  const before = new Map<string, RetiredKey>();
  for (const key of retired) before.set(key.key, key);
  for (const entry of keysOf(published)) before.set(entry.key, entry);
  const living = new Set([...published.features, ...published.flags].map(({ key }) => key));
  return keysOf(next).flatMap((entry) => {
    const was = before.get(entry.key);
    if (was === undefined || (was.kind === entry.kind && (was.type === entry.type || living.has(entry.key))))
      return [];
    const message = `\`${entry.key}\` was a ${was.kind} of type ${was.type} and never returns as a ${entry.kind} of type ${entry.type}, because code and records still mean the old one; choose another key.`;
    return [{ code: 'KEY_RETIRED', item: { kind: entry.kind, key: entry.key }, path: '/key', message }];
  });
}

function keysOf(catalog: Catalog): RetiredKey[] {
  return [
    ...catalog.features.map(({ key, type }) => ({ kind: 'feature' as const, key, type })),
    ...catalog.flags.map(({ key, type }) => ({ kind: 'flag' as const, key, type })),
  ];
}
