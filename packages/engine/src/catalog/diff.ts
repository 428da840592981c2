import type { Addon, Catalog, Plan, Rule } from '../model/catalog.js';
import { isJsonObject, type JsonValue } from '../model/json.js';
import { memberOrder, resolveSchema, schemaOfKind } from './canonical.js';
import { canonicalJson } from './canonical-json.js';
import { diffBillingItems } from './diff-billing.js';
import { diffRules } from './diff-rules.js';
import { describe, type MemberChange, percentText } from './diff-words.js';
import { type AnyItem, itemKey, itemReference, itemsOf } from './draft.js';
import type { ItemReference } from './issue.js';
import type { JsonSchema } from './json-schema.js';

export interface CatalogChange {
  readonly kind: 'added' | 'removed' | 'changed' | 'moved';
  readonly item: ItemReference;
  /** A JSON pointer within the item; empty for the whole item. Entries of keyed lists are named by key. */
  readonly path: string;
  /** `null`: was not there. */
  readonly before: JsonValue | null;
  /** `null`: is gone. */
  readonly after: JsonValue | null;
  /** A sentence for a person: "plan `pro` version 1: calling-minutes 3000 → 2500". */
  readonly text: string;
}

/** What differs between two catalogs, in the words of a person and in the order of the newer document. */
export function diffCatalogs(before: Catalog, after: Catalog): CatalogChange[] {
  const old = new Map(itemsOf(before).map((item) => [identity(item), item]));
  const changes: CatalogChange[] = [];
  for (const item of itemsOf(after)) {
    const was = old.get(identity(item));
    old.delete(identity(item));
    if (was === undefined) changes.push(wholeItem('added', item));
    else changes.push(...changesOfItem(was, item));
  }
  for (const item of old.values()) changes.push(wholeItem('removed', item));
  return [...changes, ...movedGroups(before, after)];
}

function identity(item: AnyItem): string {
  return item.kind === 'product' || item.kind === 'context' ? item.kind : `${item.kind} ${itemKey(item)}`;
}

/** "plan `pro` version 1", "flag `x`". */
export function itemLabel(item: AnyItem): string {
  switch (item.kind) {
    case 'plan':
    case 'addon':
      return versionLabel(item.kind, item.value);
    case 'context':
      return 'context';
    default:
      return `${item.kind} \`${itemKey(item)}\``;
  }
}

function versionLabel(kind: 'plan' | 'addon', value: Plan | Addon): string {
  return `${kind === 'addon' ? 'add-on' : 'plan'} \`${value.key}\` version ${value.version ?? 0}`;
}

function wholeItem(kind: 'added' | 'removed', item: AnyItem): CatalogChange {
  const value = item.value as unknown as JsonValue;
  const [before, after] = kind === 'added' ? [null, value] : [value, null];
  return { kind, item: itemReference(item), path: '', before, after, text: `${itemLabel(item)} ${kind}` };
}

function changesOfItem(before: AnyItem, after: AnyItem): CatalogChange[] {
  const schema = schemaOfKind(after.kind);
  const found = memberChanges(
    schema,
    before.value as unknown as JsonValue,
    after.value as unknown as JsonValue,
    '',
  );
  const label = itemLabel(after);
  return found.map((change) => ({
    kind: change.kind,
    item: itemReference(after),
    path: change.path,
    before: change.before,
    after: change.after,
    text: `${label}: ${change.words}`,
  }));
}

function pointer(path: string, segment: string): string {
  return `${path}/${segment.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

/** Members side by side; lists of entitlements by feature, rules by what they are. */
function memberChanges(given: JsonSchema, before: JsonValue, after: JsonValue, path: string): MemberChange[] {
  if (canonicalJson(before) === canonicalJson(after)) return [];
  const schema = resolveSchema(given, after);
  const descends = schema.properties !== undefined || typeof schema.additionalProperties === 'object';
  if (!descends || !isJsonObject(before) || !isJsonObject(after)) {
    return [describe(path, before, after)];
  }
  const changes: MemberChange[] = [];
  for (const name of memberOrder(schema, { ...before, ...after })) {
    const at = pointer(path, name);
    const [was, is] = [before[name], after[name]];
    if (name === 'rules') {
      changes.push(...diffRules(rules(was), rules(is), at));
    } else if (name === 'items' && given.$ref === '#/$defs/billing') {
      changes.push(...diffBillingItems(was, is, at));
    } else if (name === 'entitlements') {
      changes.push(...entitlementChanges(was, is, at));
    } else if (was === undefined || is === undefined) {
      if (was !== is) changes.push(describe(at, was ?? null, is ?? null));
    } else {
      const free = typeof schema.additionalProperties === 'object' ? schema.additionalProperties : {};
      changes.push(...memberChanges(schema.properties?.[name] ?? free, was, is, at));
    }
  }
  return changes;
}

function rules(value: JsonValue | undefined): readonly Rule[] {
  return (value ?? []) as unknown as readonly Rule[];
}

type ByFeature = Readonly<Record<string, JsonValue>>;

function entitlementChanges(
  before: JsonValue | undefined,
  after: JsonValue | undefined,
  path: string,
): MemberChange[] {
  const old = byFeature(before);
  const fresh = byFeature(after);
  const changes: MemberChange[] = [];
  for (const [feature, entry] of fresh) {
    const was = old.get(feature);
    const at = pointer(path, feature);
    if (was === undefined) {
      const words = `${feature} added: ${given(entry)}`;
      changes.push({ kind: 'added', path: at, before: null, after: entry, words });
    } else if (canonicalJson(was) !== canonicalJson(entry)) {
      const words = `${feature} ${given(was)} → ${given(entry)}`;
      changes.push({ kind: 'changed', path: at, before: was, after: entry, words });
    }
  }
  for (const [feature, entry] of old) {
    if (fresh.has(feature)) continue;
    const words = `${feature} removed (was ${given(entry)})`;
    changes.push({ kind: 'removed', path: pointer(path, feature), before: entry, after: null, words });
  }
  return changes;
}

function byFeature(value: JsonValue | undefined): Map<string, ByFeature> {
  const list = (value ?? []) as unknown as readonly ByFeature[];
  return new Map(list.map((entry) => [String(entry.feature), entry]));
}

/** What an entitlement gives: `3000`, `+1000`, `split by customer.key: 3000 50 %, 2500 50 %`. */
function given(entry: ByFeature): string {
  if (entry.add !== undefined) return `+${entry.add}`;
  if (entry.max !== undefined) return `at least ${entry.max}`;
  if (entry.override !== undefined) return `override ${plain(entry.override)}`;
  if (!isJsonObject(entry.split)) return plain(entry.value ?? null);
  const shares = (entry.split.values ?? []) as unknown as readonly { value: JsonValue; weight: number }[];
  const total = shares.reduce((sum, { weight }) => sum + weight, 0);
  const texts = shares.map(({ value, weight }) => `${plain(value)} ${percentText(weight, total)}`);
  return `split by ${String(entry.split.by)}${entry.split.seed === undefined ? '' : ` (seed ${String(entry.split.seed)})`}: ${texts.join(', ')}`;
}

function plain(value: JsonValue): string {
  return typeof value === 'string' ? value : canonicalJson(value);
}

/** Groups apply in the order of the document, so their order is content. */
function movedGroups(before: Catalog, after: Catalog): CatalogChange[] {
  const old = before.groups
    .map(({ key }) => key)
    .filter((key) => after.groups.some((group) => group.key === key));
  const fresh = after.groups.map(({ key }) => key).filter((key) => old.includes(key));
  if (old.join(' ') === fresh.join(' ')) return [];
  const first = fresh.find((key, index) => old[index] !== key) ?? '';
  const words = `the order of groups is now ${fresh.map((key) => `\`${key}\``).join(', ')}; the last one wins`;
  return [
    { kind: 'moved', item: { kind: 'group', key: first }, path: '', before: old, after: fresh, text: words },
  ];
}
