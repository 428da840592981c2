import { type CatalogItem, fromItems, toItems } from '@pennon/engine/catalog/items';
import type { Catalog } from '@pennon/engine/model/catalog';

export interface MergedCatalog {
  readonly after: Catalog;
  /** What the server has and the files lack. */
  readonly lacking: readonly CatalogItem[];
}

/** The files over what the server has, item by item. Nothing is removed unless `prune` says so. */
export function mergeCatalogs(remote: Catalog, local: Catalog, prune: boolean): MergedCatalog {
  const nameOf = (item: CatalogItem) => `${item.kind} ${item.key}`;
  const localItems = toItems(local);
  const localNames = new Set(localItems.map(nameOf));
  const lacking = toItems(remote).filter((item) => !localNames.has(nameOf(item)));
  const kept = prune ? lacking.filter((item) => item.kind === 'product' || item.kind === 'context') : lacking;
  return {
    after: fromItems([...localItems, ...kept]),
    lacking: lacking.filter((item) => item.kind !== 'product' && item.kind !== 'context'),
  };
}
