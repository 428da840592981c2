import type { ApiHolder, HolderListQuery } from '@pennon/protocol/management/holders';
import { sql } from 'kysely';
import type { Credential } from '../credential.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { environmentInReach, productInReach } from '../scope.js';
import { findCustomer } from './customer-record.js';
import type { CustomerName } from './customers.js';
import type { ContractServices } from './data-change.js';

/** Who holds the seats (K-5): of features that never reset, the things that consumed with a `holder` and did not give back. */
export async function listHolders(
  services: ContractServices,
  credential: Credential,
  named: CustomerName,
  query: HolderListQuery,
): Promise<Page<ApiHolder>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product =
    query.product === undefined ? null : productInReach(services.directory, credential, query.product);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const limit = query.limit ?? 50;
  const productId = product?.id ?? credential.productId;
  const after = fromCursor(query.cursor, 4);
  let select = services.database
    .selectFrom('usage_holder as h')
    .innerJoin('product as p', 'p.id', 'h.product_id')
    .select(['p.key as product', 'h.feature', 'h.scope', 'h.holder', 'h.amount', 'h.since'])
    .where('h.customer_id', '=', customer.id)
    .orderBy('p.key')
    .orderBy('h.feature')
    .orderBy('h.scope')
    .orderBy('h.holder')
    .limit(limit + 1);
  if (productId !== null) select = select.where('h.product_id', '=', productId);
  if (query.feature !== undefined) select = select.where('h.feature', '=', query.feature);
  if (after !== null) {
    const [afterProduct = '', feature = '', scope = '', holder = ''] = after;
    select = select.where(
      sql<boolean>`(p.key, h.feature, h.scope, h.holder) > (${afterProduct}, ${feature}, ${scope}, ${holder})`,
    );
  }
  return toPage(
    await select.execute(),
    limit,
    ({ since, ...row }) => ({ ...row, since: since.toISOString() }),
    (row) => [row.product, row.feature, row.scope, row.holder],
  );
}
