import type { PageQuery } from '@pennon/protocol/management/common';
import type { ApiKeyBody, CreateApiKeyBody } from '@pennon/protocol/management/keys';
import type { Selectable } from 'kysely';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import type { ApiKeyTable } from '../../store/tables.js';
import { inChange, type Made, type ManagementDependencies } from '../change.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import { isFixedKeyId } from './fixed-keys.js';
import { toApiKeyBody } from './key-body.js';
import { generateKey, hashKey, hintOf } from './key-text.js';
import { isWithinReach, reachOfNewKey } from './reach.js';

export interface CreatedApiKey extends ApiKeyBody {
  readonly key: string;
}

/** Makes a key and shows it this once; what is stored is its hash. */
export async function createKey(
  dependencies: ManagementDependencies,
  credential: Credential,
  context: ChangeContext,
  input: CreateApiKeyBody,
): Promise<Made<CreatedApiKey>> {
  if (input.kind !== 'admin' && input.environment === undefined) {
    throw invalid(
      'environment',
      `A \`${input.kind}\` key belongs to one environment: name it in \`environment\`.`,
    );
  }
  const now = dependencies.clock.now();
  const expiresAt = input.expiresAt === undefined ? null : fromTime(input.expiresAt, '/expiresAt');
  if (expiresAt !== null && expiresAt <= now) {
    throw invalid('expiresAt', '`expiresAt` lies in the past, so the key would never work.');
  }
  const reach = reachOfNewKey(dependencies, credential, input);
  const key = generateKey(input.kind);
  const row: Selectable<ApiKeyTable> = {
    id: newId(),
    kind: input.kind,
    environment_id: reach.environmentId,
    product_id: reach.productId,
    name: input.name,
    secret_hash: Buffer.from(hashKey(key), 'hex'),
    hint: hintOf(key),
    version: 1,
    created_at: fromInstant(now),
    expires_at: fromInstantOrNull(expiresAt),
    revoked_at: null,
  };
  const body = toApiKeyBody(row, dependencies.directory);
  return inChange(dependencies, context, async (transaction, notify) => {
    await transaction.insertInto('api_key').values(row).execute();
    await dependencies.audit.recordChange(transaction, context, {
      action: 'key.create',
      ...auditedAs(row, body),
    });
    await notify({ kind: 'keys' });
    return { item: { ...body, key }, created: true };
  });
}

function auditedAs(row: Selectable<ApiKeyTable>, body: ApiKeyBody) {
  return {
    environmentId: row.environment_id,
    productId: row.product_id,
    objectKind: 'key',
    objectId: row.id,
    objectVersion: row.version,
    after: body,
  };
}

function invalid(member: string, message: string): ServiceError {
  return new ServiceError('invalid', 'VALIDATION_FAILED', message, {
    items: [{ code: 'VALUE_REFUSED', message, pointer: `/${member}` }],
  });
}

export async function listKeys(
  dependencies: ManagementDependencies,
  credential: Credential,
  query: PageQuery,
): Promise<Page<ApiKeyBody>> {
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let rows = dependencies.database
    .selectFrom('api_key')
    .selectAll()
    .orderBy('id')
    .limit(limit + 1);
  if (credential.environmentId !== null) {
    rows = rows.where('environment_id', '=', credential.environmentId);
  }
  if (credential.productId !== null) {
    rows = rows.where('product_id', '=', credential.productId);
  }
  if (after !== undefined && isId(after)) {
    rows = rows.where('id', '>', after);
  }
  return toPage(
    await rows.execute(),
    limit,
    (row) => toApiKeyBody(row, dependencies.directory),
    (row) => [row.id],
  );
}

export async function readKey(
  dependencies: ManagementDependencies,
  credential: Credential,
  id: string,
): Promise<ApiKeyBody> {
  const row = isId(id)
    ? await dependencies.database.selectFrom('api_key').selectAll().where('id', '=', id).executeTakeFirst()
    : undefined;
  if (row === undefined || !isWithinReach(credential, row)) {
    throw keyNotFound(id);
  }
  return toApiKeyBody(row, dependencies.directory);
}

/** Ends a key for ever. This process refuses it when this resolves, the others within a second. */
export async function revokeKey(
  dependencies: ManagementDependencies,
  credential: Credential,
  context: ChangeContext,
  id: string,
  precondition: Precondition,
): Promise<Made<ApiKeyBody>> {
  if (isFixedKeyId(id)) {
    throw new ServiceError(
      'conflict',
      'KEY_FIXED',
      `\`${id}\` is a key of the settings. Change it in \`PENNON_*_KEY\` or \`keys.json\` and start again.`,
    );
  }
  if (!isId(id)) {
    throw keyNotFound(id);
  }
  return inChange(dependencies, context, async (transaction, notify) => {
    const row = await transaction
      .selectFrom('api_key')
      .selectAll()
      .where('id', '=', id)
      .forUpdate()
      .executeTakeFirst();
    if (row === undefined || !isWithinReach(credential, row)) {
      throw keyNotFound(id);
    }
    const current = toApiKeyBody(row, dependencies.directory);
    checkPrecondition(precondition, { tag: String(row.version), item: current }, `The key \`${id}\``);
    if (row.revoked_at !== null) {
      return { item: current, created: false };
    }
    const revoked = await transaction
      .updateTable('api_key')
      .set((values) => ({
        revoked_at: fromInstant(dependencies.clock.now()),
        version: values('version', '+', 1),
      }))
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow();
    const body = toApiKeyBody(revoked, dependencies.directory);
    await dependencies.audit.recordChange(transaction, context, {
      action: 'key.revoke',
      ...auditedAs(revoked, body),
    });
    await notify({ kind: 'keys' });
    return { item: body, created: false };
  });
}

function keyNotFound(id: string): ServiceError {
  return new ServiceError('not-found', 'KEY_NOT_FOUND', `The key \`${id.slice(0, 64)}\` does not exist.`);
}
