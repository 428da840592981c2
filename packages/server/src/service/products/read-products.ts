import type { PageQuery } from '@pennon/protocol/management/common';
import type { ProductBody } from '@pennon/protocol/management/products';
import type { ManagementDependencies } from '../change.js';
import type { Credential } from '../credential.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { productInReach, productNotFound } from '../scope.js';
import { toProductBody } from './product-body.js';

export async function listProducts(
  dependencies: ManagementDependencies,
  credential: Credential,
  query: PageQuery,
): Promise<Page<ProductBody>> {
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let rows = dependencies.database
    .selectFrom('product')
    .selectAll()
    .orderBy('key')
    .limit(limit + 1);
  if (credential.productId !== null) {
    rows = rows.where('id', '=', credential.productId);
  }
  if (after !== undefined) {
    rows = rows.where('key', '>', after);
  }
  return toPage(await rows.execute(), limit, toProductBody, (row) => [row.key]);
}

export async function readProduct(
  dependencies: ManagementDependencies,
  credential: Credential,
  keyOrId: string,
): Promise<ProductBody> {
  const { id } = productInReach(dependencies.directory, credential, keyOrId);
  const row = await dependencies.database
    .selectFrom('product')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined) {
    throw productNotFound(keyOrId);
  }
  return toProductBody(row);
}
