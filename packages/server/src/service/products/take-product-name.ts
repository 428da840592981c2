import type { Transaction } from 'kysely';
import type { Tables } from '../../store/tables.js';
import type { ChangeContext } from '../credential.js';
import type { AuditTrail } from '../ports.js';
import type { PlannedChange } from '../publish-plan.js';
import { toProductBody } from './product-body.js';

/** A published document that names its product anew renames it where products are listed; one that says no name leaves it. */
export async function takeProductName(
  audit: AuditTrail,
  transaction: Transaction<Tables>,
  context: ChangeContext,
  productId: string,
  changes: readonly PlannedChange[],
): Promise<void> {
  const document = changes.find(({ kind }) => kind === 'product')?.document;
  const name = (document as { readonly name?: unknown } | null | undefined)?.name;
  if (typeof name !== 'string') return;
  const renamed = await transaction
    .updateTable('product')
    .set((values) => ({ version: values('version', '+', 1), name }))
    .where('id', '=', productId)
    .where('name', '!=', name)
    .returningAll()
    .executeTakeFirst();
  if (renamed === undefined) return;
  await audit.recordChange(transaction, context, {
    action: 'product.change',
    environmentId: null,
    productId,
    objectKind: 'product',
    objectId: productId,
    objectVersion: renamed.version,
    after: toProductBody(renamed),
  });
}
