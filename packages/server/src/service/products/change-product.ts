import type { ChangeProductBody, ProductBody } from '@pennon/protocol/management/products';
import { inChange, type Made, type ManagementDependencies } from '../change.js';
import type { ChangeContext, Credential } from '../credential.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { productInReach, productNotFound } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { toProductBody } from './product-body.js';

/** Renames a product; its key stays, because catalogs and callers name it. */
export async function changeProduct(
  dependencies: ManagementDependencies,
  credential: Credential,
  context: ChangeContext,
  keyOrId: string,
  precondition: Precondition,
  input: ChangeProductBody,
): Promise<Made<ProductBody>> {
  const { id } = productInReach(dependencies.directory, credential, keyOrId);
  return inChange(dependencies, context, async (transaction) => {
    const row = await transaction
      .selectFrom('product')
      .selectAll()
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    if (row === undefined) {
      throw productNotFound(keyOrId);
    }
    const current = { tag: String(row.version), item: toProductBody(row) };
    checkPrecondition(precondition, current, `The product \`${keyOrId}\``);
    const changed = await transaction
      .updateTable('product')
      .set((values) => ({ version: values('version', '+', 1), name: input.name }))
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow();
    const body = toProductBody(changed);
    await dependencies.audit.recordChange(transaction, context, {
      action: 'product.change',
      environmentId: null,
      productId: id,
      objectKind: 'product',
      objectId: id,
      objectVersion: changed.version,
      after: body,
    });
    return { item: body, created: false };
  });
}

/** Removes a product that was never published and that nothing names; anything else is history that must stay readable. */
export async function removeProduct(
  dependencies: ManagementDependencies,
  credential: Credential,
  context: ChangeContext,
  keyOrId: string,
  precondition: Precondition,
): Promise<Made<null>> {
  const { id, key } = productInReach(dependencies.directory, credential, keyOrId);
  return inChange(dependencies, context, async (transaction, notify) => {
    const row = await transaction
      .selectFrom('product')
      .selectAll()
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    if (row === undefined) {
      throw productNotFound(keyOrId);
    }
    const current = { tag: String(row.version), item: toProductBody(row) };
    checkPrecondition(precondition, current, `The product \`${keyOrId}\``);
    for (const table of [
      'api_key',
      'token_key',
      'license',
      'membership',
      'access_grant',
      'revision',
    ] as const) {
      const held = await transaction
        .selectFrom(table)
        .select('product_id')
        .where('product_id', '=', id)
        .limit(1)
        .executeTakeFirst();
      if (held !== undefined) {
        throw new ServiceError(
          'conflict',
          'PRODUCT_IN_USE',
          `The product \`${key}\` was published or is named by keys, licenses, memberships or grants, so it stays.`,
        );
      }
    }
    await transaction.deleteFrom('product').where('id', '=', id).execute();
    await dependencies.audit.recordChange(transaction, context, {
      action: 'product.remove',
      environmentId: null,
      productId: id,
      objectKind: 'product',
      objectId: id,
      objectVersion: row.version + 1,
      after: null,
    });
    await notify({ kind: 'directory' });
    return { item: null, created: false };
  });
}
