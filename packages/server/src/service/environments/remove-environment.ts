import type { Transaction } from 'kysely';
import type { PlanMoveStatus, Tables } from '../../store/tables.js';
import { inChange, type Made, type ManagementDependencies } from '../change.js';
import type { ChangeContext, Credential } from '../credential.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, environmentNotFound } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { toEnvironmentBody } from './environment-body.js';

/** The first environment; fixed keys of the settings belong to it. */
const FIRST_ENVIRONMENT = 'production';
const ON_RECORD = 'Those stay on record, so the environment stays, too.';
/** What keeps an environment, in the order in which it is told, and what to do about it. */
const HOLDERS = {
  customer: `customers. ${ON_RECORD}`,
  membership: 'members of groups or segments. Take them out first.',
  bundle: 'bundles. Delete them first.',
  access_grant: `grants. ${ON_RECORD}`,
  consumption: `consumptions. ${ON_RECORD}`,
  voucher: `vouchers. ${ON_RECORD}`,
  webhook: 'webhooks. Remove them, and try again in a minute.',
} as const;

const OVER = ['finished', 'undone', 'discarded'] as const satisfies readonly PlanMoveStatus[];

/** Removes an environment that holds nothing; one with keys in force or with customers cannot be removed (DESIGN: storage). */
export async function removeEnvironment(
  dependencies: ManagementDependencies,
  credential: Credential,
  context: ChangeContext,
  keyOrId: string,
  precondition: Precondition,
): Promise<Made<null>> {
  const { id, key } = environmentInReach(dependencies.directory, credential, keyOrId);
  if (key === FIRST_ENVIRONMENT) {
    throw new ServiceError(
      'conflict',
      'ENVIRONMENT_IN_USE',
      'The environment `production` cannot be removed.',
    );
  }
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
    await refuseWhatHolds(transaction, id, key);
    await removePlanMoves(transaction, id);
    await transaction.deleteFrom('api_key').where('environment_id', '=', id).execute();
    await transaction.deleteFrom('token_key').where('environment_id', '=', id).execute();
    await transaction.deleteFrom('environment_revision').where('environment_id', '=', id).execute();
    await transaction.deleteFrom('event_stream').where('environment_id', '=', id).execute();
    for (const table of ['state_due', 'state_told', 'state_walk'] as const) {
      await transaction.deleteFrom(table).where('environment_id', '=', id).execute();
    }
    await transaction.deleteFrom('clock_told').where('environment_id', '=', id).execute();
    await transaction.deleteFrom('environment').where('id', '=', id).execute();
    await dependencies.audit.recordChange(transaction, context, {
      action: 'environment.remove',
      environmentId: id,
      productId: null,
      objectKind: 'environment',
      objectId: id,
      objectVersion: row.version + 1,
      after: null,
    });
    await notify({ kind: 'directory' });
    await notify({ kind: 'keys' });
    return { item: null, created: false };
  });
}

async function refuseWhatHolds(transaction: Transaction<Tables>, id: string, key: string): Promise<void> {
  for (const table of ['api_key', 'token_key'] as const) {
    const held = await transaction
      .selectFrom(table)
      .select('id')
      .where('environment_id', '=', id)
      .where('revoked_at', 'is', null)
      .limit(1)
      .executeTakeFirst();
    if (held !== undefined) {
      throw inUse(key, 'keys that are not revoked. Revoke them first.');
    }
  }
  for (const table of Object.keys(HOLDERS) as (keyof typeof HOLDERS)[]) {
    const held = await transaction
      .selectFrom(table)
      .select('environment_id')
      .where('environment_id', '=', id)
      .limit(1)
      .executeTakeFirst();
    if (held !== undefined) {
      throw inUse(key, HOLDERS[table]);
    }
  }
  const move = await transaction
    .selectFrom('plan_move')
    .select('id')
    .where('environment_id', '=', id)
    .where('status', 'not in', OVER)
    .limit(1)
    .executeTakeFirst();
  if (move !== undefined) {
    throw inUse(key, `the plan move \`${move.id}\`, which is not over. Take it back first: POST …/undo.`);
  }
}

/** Moves that are over and concern nobody who is left go as keys that are revoked do; the audit trail keeps what they were. */
async function removePlanMoves(transaction: Transaction<Tables>, environmentId: string): Promise<void> {
  await transaction
    .deleteFrom('plan_move_item')
    .where('move_id', 'in', (moves) =>
      moves.selectFrom('plan_move').select('id').where('environment_id', '=', environmentId),
    )
    .execute();
  await transaction.deleteFrom('plan_move').where('environment_id', '=', environmentId).execute();
}

function inUse(key: string, what: string): ServiceError {
  return new ServiceError('conflict', 'ENVIRONMENT_IN_USE', `The environment \`${key}\` still has ${what}`);
}
