import { generateKeyPairSync } from 'node:crypto';
import type { PageQuery } from '@pennon/protocol/management/common';
import type { CreateTokenKeyBody, RotateTokenKeyBody, TokenKeyBody } from '@pennon/protocol/management/keys';
import type { Selectable, Transaction } from 'kysely';
import { fromInstant } from '../../store/instant.js';
import type { Tables, TokenKeyTable } from '../../store/tables.js';
import { inChange, type Made, type ManagementDependencies } from '../change.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { ServiceError } from '../service-error.js';
import { toTokenKeyBody } from './key-body.js';
import { isWithinReach, type KeyReach, reachOfNewKey } from './reach.js';

type PublicJwk = TokenKeyBody['publicJwk'];

export interface CreatedTokenKey extends TokenKeyBody {
  readonly privateJwk: PublicJwk & { readonly d: string };
  readonly privatePem: string;
}

interface NewPair {
  readonly row: Selectable<TokenKeyTable>;
  readonly created: CreatedTokenKey;
}

/** Makes an Ed25519 pair; the private half is in the answer and nowhere else. */
export async function createTokenKey(
  dependencies: ManagementDependencies,
  credential: Credential,
  context: ChangeContext,
  input: CreateTokenKeyBody,
): Promise<Made<CreatedTokenKey>> {
  const reach = reachOfNewKey(dependencies, credential, input);
  const pair = newPair(dependencies, reach, input.name);
  return inChange(dependencies, context, async (transaction, notify) => {
    await insertPair(dependencies, transaction, context, pair, 'token-key.create');
    await notify({ kind: 'keys' });
    return { item: pair.created, created: true };
  });
}

function newPair(dependencies: ManagementDependencies, reach: KeyReach, name: string): NewPair {
  if (reach.environmentId === null) {
    throw new TypeError('A token key belongs to one environment.');
  }
  const id = newId();
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const exported = privateKey.export({ format: 'jwk' });
  const { x } = publicKey.export({ format: 'jwk' });
  const publicJwk: PublicJwk = {
    kty: 'OKP',
    crv: 'Ed25519',
    x: x ?? '',
    kid: id,
    alg: 'EdDSA',
    use: 'sig',
  };
  const row = {
    id,
    environment_id: reach.environmentId,
    product_id: reach.productId,
    name,
    public_jwk: JSON.stringify(publicJwk),
    version: 1,
    created_at: fromInstant(dependencies.clock.now()),
    retires_at: null,
    revoked_at: null,
  };
  const created = {
    ...toTokenKeyBody(row, dependencies.directory),
    privateJwk: { ...publicJwk, d: exported.d ?? '' },
    privatePem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  };
  return { row, created };
}

async function insertPair(
  dependencies: ManagementDependencies,
  transaction: Transaction<Tables>,
  context: ChangeContext,
  { row }: NewPair,
  action: string,
): Promise<void> {
  await transaction.insertInto('token_key').values(row).execute();
  await record(dependencies, transaction, context, action, row);
}

async function record(
  dependencies: ManagementDependencies,
  transaction: Transaction<Tables>,
  context: ChangeContext,
  action: string,
  row: Selectable<TokenKeyTable>,
): Promise<void> {
  await dependencies.audit.recordChange(transaction, context, {
    action,
    environmentId: row.environment_id,
    productId: row.product_id,
    objectKind: 'token-key',
    objectId: row.id,
    objectVersion: row.version,
    after: toTokenKeyBody(row, dependencies.directory),
  });
}

export async function listTokenKeys(
  dependencies: ManagementDependencies,
  credential: Credential,
  query: PageQuery,
): Promise<Page<TokenKeyBody>> {
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let rows = dependencies.database
    .selectFrom('token_key')
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
    (row) => toTokenKeyBody(row, dependencies.directory),
    (row) => [row.id],
  );
}

export async function readTokenKey(
  dependencies: ManagementDependencies,
  credential: Credential,
  id: string,
): Promise<TokenKeyBody> {
  const row = isId(id)
    ? await dependencies.database.selectFrom('token_key').selectAll().where('id', '=', id).executeTakeFirst()
    : undefined;
  if (row === undefined || !isWithinReach(credential, row)) {
    throw tokenKeyNotFound(id);
  }
  return toTokenKeyBody(row, dependencies.directory);
}

/** Makes the successor of a pair; tokens of the old one are accepted until the overlap ends. */
export async function rotateTokenKey(
  dependencies: ManagementDependencies,
  credential: Credential,
  context: ChangeContext,
  id: string,
  precondition: Precondition,
  input: RotateTokenKeyBody,
): Promise<Made<CreatedTokenKey>> {
  return inChange(dependencies, context, async (transaction, notify) => {
    const row = await lockTokenKey(dependencies, transaction, credential, id, precondition);
    const retiresAt = fromInstant(dependencies.clock.now() + input.overlapSeconds * 1000);
    if (row.revoked_at !== null || row.retires_at !== null) {
      throw new ServiceError(
        'conflict',
        'TOKEN_KEY_ENDED',
        `The token key \`${id}\` was rotated or revoked before. Rotate its successor, or make a new one.`,
      );
    }
    const retired = await transaction
      .updateTable('token_key')
      .set((values) => ({ retires_at: retiresAt, version: values('version', '+', 1) }))
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await record(dependencies, transaction, context, 'token-key.retire', retired);
    const reach = { environmentId: row.environment_id, productId: row.product_id };
    const pair = newPair(dependencies, reach, row.name);
    await insertPair(dependencies, transaction, context, pair, 'token-key.create');
    await notify({ kind: 'keys' });
    return { item: pair.created, created: true };
  });
}

/** Ends a pair at once: every token signed with it is refused from now on. */
export async function revokeTokenKey(
  dependencies: ManagementDependencies,
  credential: Credential,
  context: ChangeContext,
  id: string,
  precondition: Precondition,
): Promise<Made<TokenKeyBody>> {
  return inChange(dependencies, context, async (transaction, notify) => {
    const row = await lockTokenKey(dependencies, transaction, credential, id, precondition);
    if (row.revoked_at !== null) {
      return { item: toTokenKeyBody(row, dependencies.directory), created: false };
    }
    const revoked = await transaction
      .updateTable('token_key')
      .set((values) => ({
        revoked_at: fromInstant(dependencies.clock.now()),
        version: values('version', '+', 1),
      }))
      .where('id', '=', id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await record(dependencies, transaction, context, 'token-key.revoke', revoked);
    await notify({ kind: 'keys' });
    return { item: toTokenKeyBody(revoked, dependencies.directory), created: false };
  });
}

async function lockTokenKey(
  dependencies: ManagementDependencies,
  transaction: Transaction<Tables>,
  credential: Credential,
  id: string,
  precondition: Precondition,
): Promise<Selectable<TokenKeyTable>> {
  const row = isId(id)
    ? await transaction
        .selectFrom('token_key')
        .selectAll()
        .where('id', '=', id)
        .forUpdate()
        .executeTakeFirst()
    : undefined;
  if (row === undefined || !isWithinReach(credential, row)) {
    throw tokenKeyNotFound(id);
  }
  const current = { tag: String(row.version), item: toTokenKeyBody(row, dependencies.directory) };
  checkPrecondition(precondition, current, `The token key \`${id}\``);
  return row;
}

function tokenKeyNotFound(id: string): ServiceError {
  return new ServiceError(
    'not-found',
    'TOKEN_KEY_NOT_FOUND',
    `The token key \`${id.slice(0, 64)}\` does not exist.`,
  );
}
