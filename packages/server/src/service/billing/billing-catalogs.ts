import type { BillingCatalog } from '@pennon/engine/billing/map-items';
import type { BillingMapping } from '@pennon/engine/model/billing';
import { DEFAULT_PAST_DUE_DAYS } from '@pennon/engine/model/limits';
import type { DataChange } from '../contracts/data-change.js';
import { PublishedItems } from '../contracts/published-items.js';
import type { Directory, EnvironmentRecord, ProductRecord } from '../ports.js';

/** The catalog of one product as it is published to the environment. */
export interface PublishedBilling {
  readonly product: ProductRecord;
  readonly timeZone: string | null;
  /**
   * `null`: the product maps nothing of that connection. Where something is `held` all the same, its entry was removed since: it is
   * read as an empty one, so that what is held is kept and ends when its subscription does.
   */
  catalogOf(mapping: string, isHeld: boolean): BillingCatalog | null;
}

/** Every product that is published to the environment: a subscription may hold items of several. */
export async function readBillingCatalogs(
  change: DataChange,
  directory: Directory,
  environment: EnvironmentRecord,
): Promise<readonly PublishedBilling[]> {
  const rows = await change.transaction
    .selectFrom('environment_revision')
    .select('product_id')
    .where('environment_id', '=', environment.id)
    // Always in one order, as their locks are taken.
    .orderBy('product_id')
    .execute();
  const published: PublishedBilling[] = [];
  for (const { product_id } of rows) {
    const product = directory.product(product_id);
    if (product !== null) published.push(await readOne(change, product, environment));
  }
  return published;
}

async function readOne(
  change: DataChange,
  product: ProductRecord,
  environment: EnvironmentRecord,
): Promise<PublishedBilling> {
  const items = await PublishedItems.open(change.transaction, product, environment);
  const mappings: ReadonlyMap<string, BillingMapping> = await items.all('billing');
  const document = await items.product();
  const [plans, addons] =
    mappings.size === 0
      ? [[], []]
      : [[...(await items.all('plan')).values()], [...(await items.all('addon')).values()]];
  return {
    product,
    timeZone: document?.timeZone ?? null,
    catalogOf(key, isHeld) {
      const mapping = mappings.get(key) ?? (isHeld ? { key, items: [] } : undefined);
      if (mapping === undefined) return null;
      const pastDueGraceDays = document?.pastDueGraceDays ?? DEFAULT_PAST_DUE_DAYS;
      return { product: product.key, mapping, plans, addons, pastDueGraceDays };
    },
  };
}
