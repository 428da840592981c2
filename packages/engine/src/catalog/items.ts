import type { Catalog, ItemKind } from '../model/catalog.js';
import { canonicalText, itemHash } from './canonical.js';
import { type AnyItem, catalogOf, itemKey, itemsOf, mergeCatalogs } from './draft.js';

/** One row of a catalog. `key` is `pro@1` for plans and add-ons, the name for tests, `context` for the context. */
export interface CatalogItem {
  readonly kind: ItemKind;
  readonly key: string;
  /** The place in its list, from 0. Not part of the text: moving an item does not change it. */
  readonly position: number;
  /** Canonical text. */
  readonly text: string;
  /** `itemHash` of the text. */
  readonly hash: string;
}

export function toItem(item: AnyItem, position: number): CatalogItem {
  const text = canonicalText(item);
  return { kind: item.kind, key: itemKey(item), position, text, hash: itemHash(text) };
}

/** Every item of a catalog as a row, in the order of the document. */
export function toItems(catalog: Catalog): CatalogItem[] {
  const positions = new Map<ItemKind, number>();
  return itemsOf(catalog).map((item) => {
    const position = positions.get(item.kind) ?? 0;
    positions.set(item.kind, position + 1);
    return toItem(item, position);
  });
}

/**
 * The catalog that rows make, in the order of their positions whatever order they come in. Rows were validated before they
 * were stored and are not validated here; `parseItems` does.
 *
 * @throws SyntaxError when a text is not JSON
 */
export function fromItems(rows: Iterable<Pick<CatalogItem, 'kind' | 'position' | 'text'>>): Catalog {
  const sorted = [...rows].sort((left, right) => left.position - right.position);
  return catalogOf(sorted.map(({ kind, text }) => ({ kind, value: JSON.parse(text) }) as AnyItem));
}

/** The catalog with one item laid over it: it takes its namesake's place, or comes last. */
export function withItem(catalog: Catalog, item: AnyItem): Catalog {
  // The product is replaced whole here: what a REST body leaves out is taken away.
  const base =
    item.kind === 'product' || item.kind === 'context'
      ? withoutItem(catalog, item.kind, itemKey(item))
      : catalog;
  return mergeCatalogs(base, catalogOf([item]));
}

export function withoutItem(catalog: Catalog, kind: ItemKind, key: string): Catalog {
  return catalogOf(itemsOf(catalog).filter((item) => item.kind !== kind || itemKey(item) !== key));
}

export function findItem(catalog: Catalog, kind: ItemKind, key: string): AnyItem | undefined {
  return itemsOf(catalog).find((item) => item.kind === kind && itemKey(item) === key);
}
