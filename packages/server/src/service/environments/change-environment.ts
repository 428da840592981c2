import type { ChangeEnvironmentBody, EnvironmentBody } from '@pennon/protocol/management/environments';
import { inChange, type Made, type ManagementDependencies } from '../change.js';
import type { ChangeContext, Credential } from '../credential.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, environmentNotFound } from '../scope.js';
import { toEnvironmentBody } from './environment-body.js';

/** Renames or protects an environment; its key stays, because keys and settings name it. */
export async function changeEnvironment(
  dependencies: ManagementDependencies,
  credential: Credential,
  context: ChangeContext,
  keyOrId: string,
  precondition: Precondition,
  input: ChangeEnvironmentBody,
): Promise<Made<EnvironmentBody>> {
  const { id } = environmentInReach(dependencies.directory, credential, keyOrId);
  return inChange(dependencies, context, async (transaction, notify) => {
    const row = await transaction
      .selectFrom('environment')
      .selectAll()
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    if (row === undefined) {
      throw environmentNotFound(keyOrId);
    }
    const current = { tag: String(row.version), item: toEnvironmentBody(row) };
    checkPrecondition(precondition, current, `The environment \`${keyOrId}\``);
    const changed = await transaction
      .updateTable('environment')
      .set((values) => ({
        version: values('version', '+', 1),
        ...(input.name === undefined ? {} : { name: input.name }),
        ...(input.protected === undefined ? {} : { protected: input.protected }),
      }))
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow();
    const body = toEnvironmentBody(changed);
    await dependencies.audit.recordChange(transaction, context, {
      action: 'environment.change',
      environmentId: id,
      productId: null,
      objectKind: 'environment',
      objectId: id,
      objectVersion: changed.version,
      after: body,
    });
    await notify({ kind: 'directory' });
    return { item: body, created: false };
  });
}
