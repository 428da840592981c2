import type { BillingCatalog } from '@pennon/engine/billing/map-items';
import type { BillingMapping } from '@pennon/engine/model/billing';
import { DEFAULT_PAST_DUE_DAYS } from '@pennon/engine/model/limits';
import type { Transaction } from 'kysely';
import type { Tables } from '../../store/tables.js';
import { PublishedItems } from '../contracts/published-items.js';
import type { Directory, EnvironmentRecord, ProductRecord } from '../ports.js';

/** The catalog of one product as it is published to the environment. */
export interface PublishedBilling {
  readonly product: ProductRecord;
  readonly timeZone: string | null;
  /**
   * `null`: the product maps nothing of that connection. Where something of it is `needed` all the same (what is held, and its entry
   * was removed since; what an item names itself), it is read as an empty one, so that what is held is kept and ends when its
   * subscription does.
   */
  catalogOf(mapping: string, isNeeded: boolean): BillingCatalog | null;
}

/**
 * Every product that is published to the environment: a subscription may hold items of several.
 * @param named keys of products that are meant without a mapping
 * @param isHeld false: it is only read, and nothing is written by it
 */
export async function readBillingCatalogs(
  transaction: Transaction<Tables>,
  directory: Directory,
  environment: EnvironmentRecord,
  named: ReadonlySet<string>,
  isHeld: boolean,
): Promise<readonly PublishedBilling[]> {
  const rows = await transaction
    .selectFrom('environment_revision')
    .select('product_id')
    .where('environment_id', '=', environment.id)
    // Always in one order, as their locks are taken.
    .orderBy('product_id')
    .execute();
  const published: PublishedBilling[] = [];
  for (const { product_id } of rows) {
    const product = directory.product(product_id);
    if (product !== null)
      published.push(await readOne(transaction, product, environment, named.has(product.key), isHeld));
  }
  return published;
}

async function readOne(
  transaction: Transaction<Tables>,
  product: ProductRecord,
  environment: EnvironmentRecord,
  isNamed: boolean,
  isHeld: boolean,
): Promise<PublishedBilling> {
  const items = await PublishedItems.open(transaction, product, environment, isHeld);
  const mappings: ReadonlyMap<string, BillingMapping> = await items.all('billing');
  const document = await items.product();
  const [plans, addons] =
    mappings.size === 0 && !isNamed
      ? [[], []]
      : [[...(await items.all('plan')).values()], [...(await items.all('addon')).values()]];
  return {
    product,
    timeZone: document?.timeZone ?? null,
    catalogOf(key, isNeeded) {
      const mapping = mappings.get(key) ?? (isNeeded ? { key, items: [] } : undefined);
      if (mapping === undefined) return null;
      const pastDueGraceDays = document?.pastDueGraceDays ?? DEFAULT_PAST_DUE_DAYS;
      return { product: product.key, mapping, plans, addons, pastDueGraceDays };
    },
  };
}
