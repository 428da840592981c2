import type { BillingMapping } from '@pennon/engine/model/billing';
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

function inOrder(left: LiveItem, right: LiveItem): boolean {
  return left.position < right.position || (left.position === right.position && left.key <= right.key);
}

/** So many items are looked at between two yields. */
const SLICE = 256;

/** In catalog order: by position, then key, so that every process agrees where two positions are equal. */
export function* byKindInSlices(items: Iterable<LiveItem>): Generator<void, ItemsByKind> {
  const lists = new Map<ItemKind, LiveItem[]>(ITEM_KINDS.map((kind) => [kind, []]));
  const unordered = new Set<LiveItem[]>();
  let seen = 0;
  for (const item of items) {
    const list = lists.get(item.kind);
    const last = list?.at(-1);
    if (list !== undefined && last !== undefined && !inOrder(last, item)) unordered.add(list);
    list?.push(item);
    seen += 1;
    if (seen % SLICE === 0) yield;
  }
  // Rare: something was added to the middle of a list since it was read in order.
  for (const list of unordered) {
    list.sort((left, right) => left.position - right.position || (left.key < right.key ? -1 : 1));
    yield;
  }
  return lists;
}

export function byKind(items: Iterable<LiveItem>): ItemsByKind {
  return atOnce(byKindInSlices(items));
}

/**
 * The catalog that the items are, made of their very documents: the compiler of the next revision recognises what stayed by
 * identity, without reading it again.
 */
export function* catalogInSlices(items: Iterable<LiveItem>): Generator<void, Catalog> {
  const lists = yield* byKindInSlices(items);
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
    billing: documents<BillingMapping>('billing'),
    tests: documents<CatalogAssertion>('test'),
  };
}

export function catalogOf(items: Iterable<LiveItem>): Catalog {
  return atOnce(catalogInSlices(items));
}

function atOnce<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
