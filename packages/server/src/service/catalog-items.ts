import {
  type Addon,
  type Catalog,
  type CatalogAssertion,
  type Feature,
  type Flag,
  type Group,
  ITEM_KINDS,
  type ItemKind,
  type Plan,
  type ProductDocument,
  type Segment,
} from '@pennon/engine/model/catalog';
import type { JsonObject } from '@pennon/engine/model/json';
import type { StoredItem } from '../store/catalog-rows.js';

/** A stored item with what its text says. The document object stays the same as long as the text does. */
export interface LiveItem extends StoredItem {
  readonly document: object;
}

export type ItemsByKind = ReadonlyMap<ItemKind, readonly LiveItem[]>;

/** In catalog order: by position, then key, so that every process agrees where two positions are equal. */
export function byKind(items: Iterable<LiveItem>): ItemsByKind {
  const lists = new Map<ItemKind, LiveItem[]>(ITEM_KINDS.map((kind) => [kind, []]));
  for (const item of items) lists.get(item.kind)?.push(item);
  for (const list of lists.values()) {
    list.sort((left, right) => left.position - right.position || (left.key < right.key ? -1 : 1));
  }
  return lists;
}

/**
 * The catalog that the items are, made of their very documents: the compiler of the next revision recognises what stayed by
 * identity, without reading it again.
 */
export function catalogOf(items: Iterable<LiveItem>): Catalog {
  const lists = byKind(items);
  const documents = <Document>(kind: ItemKind): readonly Document[] =>
    (lists.get(kind) ?? []).map((item) => item.document as Document);
  const [product] = documents<ProductDocument>('product');
  const [context] = documents<Readonly<Record<string, JsonObject>>>('context');
  return {
    ...(product === undefined ? {} : { product }),
    ...(context === undefined ? {} : { context }),
    features: documents<Feature>('feature'),
    plans: documents<Plan>('plan'),
    addons: documents<Addon>('addon'),
    groups: documents<Group>('group'),
    segments: documents<Segment>('segment'),
    flags: documents<Flag>('flag'),
    tests: documents<CatalogAssertion>('test'),
  };
}
