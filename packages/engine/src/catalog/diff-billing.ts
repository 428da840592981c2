import type { BillingItemMapping } from '../model/billing.js';
import { versionedKey } from '../model/catalog.js';
import type { JsonValue } from '../model/json.js';
import { canonicalJson } from './canonical-json.js';
import type { MemberChange } from './diff-words.js';

/** What differs between two lists of mapped items, by what names them at the provider. Their order is not content. */
export function diffBillingItems(
  before: JsonValue | undefined,
  after: JsonValue | undefined,
  path: string,
): MemberChange[] {
  const old = byName(before);
  const changes: MemberChange[] = [];
  for (const [name, item] of byName(after)) {
    const was = old.get(name);
    old.delete(name);
    const at = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    if (was === undefined) {
      const words = `${name} added: ${bought(item)}`;
      changes.push({ kind: 'added', path: at, before: null, after: json(item), words });
    } else if (canonicalJson(json(was)) !== canonicalJson(json(item))) {
      const words = `${name} ${bought(was)} → ${bought(item)}`;
      changes.push({ kind: 'changed', path: at, before: json(was), after: json(item), words });
    }
  }
  for (const [name, item] of old) {
    const at = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    const words = `${name} removed (was ${bought(item)})`;
    changes.push({ kind: 'removed', path: at, before: json(item), after: null, words });
  }
  return changes;
}

function byName(value: JsonValue | undefined): Map<string, BillingItemMapping> {
  const list = (value ?? []) as unknown as readonly BillingItemMapping[];
  return new Map(list.map((item) => [nameOf(item), item]));
}

function nameOf(item: BillingItemMapping): string {
  if (item.price !== undefined) return `price ${item.price}`;
  return item.lookupKey === undefined ? `product ${item.product ?? ''}` : `lookupKey ${item.lookupKey}`;
}

function json(item: BillingItemMapping): JsonValue {
  return item as unknown as JsonValue;
}

/** `pro@1, minutes-pack@0 × 2 each`. */
function bought(item: BillingItemMapping): string {
  if (item.ignore === true) return 'ignored';
  const plan = item.plan === undefined ? [] : [versionedKey(item.plan, item.version)];
  const addons = (item.addons ?? []).map(({ addon, version, each, quantity }) => {
    const many = quantity === undefined ? (each === undefined ? '' : ` × ${each} each`) : ` × ${quantity}`;
    return `${versionedKey(addon, version)}${many}`;
  });
  return [...plan, ...addons].join(', ');
}
