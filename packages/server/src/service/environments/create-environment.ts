import type { CreateEnvironmentBody, EnvironmentBody } from '@pennon/protocol/management/environments';
import { violatedUniqueIndex } from '../../store/database-error.js';
import { fromInstant } from '../../store/instant.js';
import { inChange, type Made, type ManagementDependencies } from '../change.js';
import type { ChangeContext } from '../credential.js';
import { newId } from '../new-id.js';
import { ServiceError } from '../service-error.js';
import { toEnvironmentBody } from './environment-body.js';

/** Makes an environment. Nothing is published there until a publish names it or moves all that are not protected. */
export async function createEnvironment(
  dependencies: ManagementDependencies,
  context: ChangeContext,
  input: CreateEnvironmentBody,
): Promise<Made<EnvironmentBody>> {
  const row = {
    id: newId(),
    key: input.key,
    name: input.name,
    protected: input.protected ?? false,
    version: 1,
    created_at: fromInstant(dependencies.clock.now()),
  };
  const body = toEnvironmentBody(row);
  try {
    return await inChange(dependencies, context, async (transaction, notify) => {
      await transaction.insertInto('environment').values(row).execute();
      await dependencies.audit.recordChange(transaction, context, {
        action: 'environment.create',
        environmentId: row.id,
        productId: null,
        objectKind: 'environment',
        objectId: row.id,
        objectVersion: 1,
        after: body,
      });
      await notify({ kind: 'directory' });
      return { item: body, created: true };
    });
  } catch (error) {
    if (violatedUniqueIndex(error) === 'environment_key_key') {
      throw new ServiceError(
        'conflict',
        'ENVIRONMENT_EXISTS',
        `An environment \`${input.key}\` exists already.`,
      );
    }
    throw error;
  }
}
