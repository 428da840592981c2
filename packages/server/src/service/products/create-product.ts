import type { CreateProductBody, ProductBody } from '@pennon/protocol/management/products';
import { violatedUniqueIndex } from '../../store/database-error.js';
import { fromInstant } from '../../store/instant.js';
import { inChange, type Made, type ManagementDependencies } from '../change.js';
import type { ChangeContext } from '../credential.js';
import { newId } from '../new-id.js';
import { ServiceError } from '../service-error.js';
import { toProductBody } from './product-body.js';

/** Makes a product with an empty catalog. */
export async function createProduct(
  dependencies: ManagementDependencies,
  context: ChangeContext,
  input: CreateProductBody,
): Promise<Made<ProductBody>> {
  const row = {
    id: newId(),
    key: input.key,
    name: input.name,
    head_revision: 0,
    version: 1,
    created_at: fromInstant(dependencies.clock.now()),
  };
  const body = toProductBody(row);
  try {
    return await inChange(dependencies, context, async (transaction, notify) => {
      await transaction.insertInto('product').values(row).execute();
      await dependencies.audit.recordChange(transaction, context, {
        action: 'product.create',
        environmentId: null,
        productId: row.id,
        objectKind: 'product',
        objectId: row.id,
        objectVersion: 1,
        after: body,
      });
      await notify({ kind: 'directory' });
      return { item: body, created: true };
    });
  } catch (error) {
    if (violatedUniqueIndex(error) === 'product_key_key') {
      throw new ServiceError('conflict', 'PRODUCT_EXISTS', `A product \`${input.key}\` exists already.`);
    }
    throw error;
  }
}
