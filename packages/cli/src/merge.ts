import { mergeCatalogs } from '@pennon/engine/catalog/draft';
import { type CatalogItem, toItems } from '@pennon/engine/catalog/items';
import type { Catalog } from '@pennon/engine/model/catalog';

export interface MergedCatalog {
  readonly after: Catalog;
  /** What the server has and the files lack. */
  readonly lacking: readonly CatalogItem[];
}

/** The files over what the server has, item by item. Nothing is removed unless `prune` says so. */
export function layOver(remote: Catalog, local: Catalog, prune: boolean): MergedCatalog {
  const nameOf = (item: CatalogItem) => `${item.kind} ${item.key}`;
  const localNames = new Set(toItems(local).map(nameOf));
  const lacking = toItems(remote).filter(
    (item) => item.kind !== 'product' && item.kind !== 'context' && !localNames.has(nameOf(item)),
  );
  const merged = mergeCatalogs(remote, local);
  if (!prune) return { after: merged, lacking };
  const kept = {
    ...(merged.product && { product: merged.product }),
    ...(merged.context && { context: merged.context }),
  };
  return { after: { ...local, ...kept }, lacking };
}
