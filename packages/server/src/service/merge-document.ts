import { canonicalText } from '@pennon/engine/catalog/canonical';
import { type AnyItem, itemKey, itemsOf } from '@pennon/engine/catalog/draft';
import type { Catalog, ItemKind, ProductDocument } from '@pennon/engine/model/catalog';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import { itemId, type StoredItem } from '../store/catalog-rows.js';
import { assignPositions } from './assign-positions.js';
import { byKind, type LiveItem } from './catalog-items.js';
import { hashOf } from './item-hash.js';
import type { ItemConflict, NamedItem, PlannedChange } from './publish-plan.js';

export type LiveItems = ReadonlyMap<string, LiveItem>;

export interface DocumentMerge {
  readonly changes: readonly PlannedChange[];
  readonly conflicts: readonly ItemConflict[];
  readonly lacking: readonly NamedItem[];
}

interface Wanted extends NamedItem {
  readonly document: JsonObject;
  readonly text: string;
  readonly hash: string;
}

/** The kinds of which a catalog has one; a document that leaves them out says nothing about them. */
const SINGLE: ReadonlySet<ItemKind> = new Set(['product', 'context']);

/**
 * A whole document against the head, item by item. `base` is what the author began with: whatever only others changed since
 * stays as they left it, and what both changed is a conflict. Without a base the document wins.
 */
export function mergeDocument(
  catalog: Catalog,
  head: LiveItems,
  base: ReadonlyMap<string, StoredItem> | null,
  prune: boolean,
  product: { readonly key: string },
): DocumentMerge {
  const wanted = wantedItems(catalog, head, prune, product);
  const changes = new Map<string, PlannedChange>();
  const conflicts: ItemConflict[] = [];
  for (const [id, item] of wanted) {
    const live = head.get(id);
    if (live?.hash === item.hash) continue;
    const started = base === null ? live?.hash : base.get(id)?.hash;
    if (live?.hash === started) changes.set(id, changeOf(item, live, live?.position ?? 0));
    else if (item.hash !== started) conflicts.push(conflictOf(item, live, item.document));
  }
  const lacking: NamedItem[] = [];
  for (const [id, live] of head) {
    if (wanted.has(id) || live.kind === 'product') continue;
    const started = base === null ? live.hash : base.get(id)?.hash;
    if (started === undefined) continue;
    lacking.push({ kind: live.kind, key: live.key });
    if (!prune) continue;
    if (live.hash === started) changes.set(id, removalOf(live));
    else conflicts.push(conflictOf(live, live, null));
  }
  orderItems(wanted, head, changes);
  return { changes: [...changes.values()], conflicts, lacking };
}

function wantedItems(
  catalog: Catalog,
  head: LiveItems,
  prune: boolean,
  product: { readonly key: string },
): ReadonlyMap<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  const add = (item: AnyItem): void => {
    const one = wantedItem(item, head, prune);
    wanted.set(itemId(one), one);
  };
  for (const item of itemsOf(catalog)) add(item);
  // INVARIANT: a published catalog always has its product item; a catalog without any row was lost (see load-snapshot).
  if (catalog.product === undefined) {
    const live = head.get(itemId({ kind: 'product', key: product.key }));
    add({ kind: 'product', value: (live?.document as ProductDocument | undefined) ?? { key: product.key } });
  }
  return wanted;
}

/** What a document leaves out of the product and the context keeps what is there (spec: the catalog document). */
function wantedItem(item: AnyItem, head: LiveItems, prune: boolean): Wanted {
  const named = { kind: item.kind, key: itemKey(item) };
  const live = SINGLE.has(item.kind) ? head.get(itemId(named)) : undefined;
  const keep = live !== undefined && (item.kind === 'product' || !prune) ? live.document : {};
  return wantedOf({ ...item, value: { ...keep, ...item.value } } as AnyItem);
}

export function wantedOf(item: AnyItem): Wanted {
  const text = canonicalText(item);
  const document = item.value as unknown as JsonObject;
  return { kind: item.kind, key: itemKey(item), document, text, hash: hashOf(text) };
}

export function changeOf(item: Wanted, live: LiveItem | undefined, position: number): PlannedChange {
  return {
    kind: item.kind,
    key: item.key,
    before: live?.hash ?? null,
    after: { text: item.text, hash: item.hash, position, version: (live?.version ?? 0) + 1 },
    document: item.document,
    previous: live === undefined ? null : (live.document as JsonValue),
  };
}

export function removalOf(live: LiveItem): PlannedChange {
  return {
    kind: live.kind,
    key: live.key,
    before: live.hash,
    after: null,
    document: null,
    previous: live.document as JsonValue,
  };
}

function conflictOf(named: NamedItem, live: LiveItem | undefined, mine: JsonValue | null): ItemConflict {
  return {
    kind: named.kind,
    key: named.key,
    mine,
    theirs: live === undefined ? null : (live.document as JsonValue),
    theirHash: live?.hash ?? null,
  };
}

/** Gives every item its place: those of the document in its order, each of the others behind the one it stood behind. */
function orderItems(
  wanted: ReadonlyMap<string, Wanted>,
  head: LiveItems,
  changes: Map<string, PlannedChange>,
): void {
  const present = byKind(head.values());
  for (const [kind, live] of present) {
    const ofDocument = [...wanted.values()].filter((item) => item.kind === kind).map(itemId);
    if (ofDocument.length === 0 || SINGLE.has(kind)) continue;
    const stays = (id: string) => (changes.has(id) ? changes.get(id)?.after !== null : head.has(id));
    const order = interleave(ofDocument, live.map(itemId)).filter(stays);
    const positions = new Map(live.map((item) => [itemId(item), item.position]));
    for (const [id, position] of assignPositions(order, positions)) place(id, position, head, changes);
  }
}

function interleave(ofDocument: readonly string[], ofHead: readonly string[]): string[] {
  const inDocument = new Set(ofDocument);
  const followers = new Map<string | null, string[]>();
  let anchor: string | null = null;
  for (const id of ofHead) {
    if (inDocument.has(id)) anchor = id;
    else if (!followers.get(anchor)?.push(id)) followers.set(anchor, [id]);
  }
  return [...(followers.get(null) ?? []), ...ofDocument.flatMap((id) => [id, ...(followers.get(id) ?? [])])];
}

function place(id: string, position: number, head: LiveItems, changes: Map<string, PlannedChange>): void {
  const change = changes.get(id);
  if (change?.after) {
    changes.set(id, { ...change, after: { ...change.after, position } });
    return;
  }
  const live = head.get(id);
  if (live === undefined) return;
  const { kind, key, text, hash, version } = live;
  const document = live.document as JsonValue;
  const after = { text, hash, position, version: version + 1 };
  changes.set(id, { kind, key, before: hash, after, document, previous: document });
}
