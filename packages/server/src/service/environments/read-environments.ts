import type { PageQuery } from '@pennon/protocol/management/common';
import type { EnvironmentBody } from '@pennon/protocol/management/environments';
import type { ManagementDependencies } from '../change.js';
import type { Credential } from '../credential.js';
import { fromCursor, type Page, toPage } from '../page.js';
import { environmentInReach, environmentNotFound } from '../scope.js';
import { toEnvironmentBody } from './environment-body.js';

export async function listEnvironments(
  dependencies: ManagementDependencies,
  credential: Credential,
  query: PageQuery,
): Promise<Page<EnvironmentBody>> {
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let rows = dependencies.database
    .selectFrom('environment')
    .selectAll()
    .orderBy('key')
    .limit(limit + 1);
  if (credential.environmentId !== null) {
    rows = rows.where('id', '=', credential.environmentId);
  }
  if (after !== undefined) {
    rows = rows.where('key', '>', after);
  }
  return toPage(await rows.execute(), limit, toEnvironmentBody, (row) => [row.key]);
}

export async function readEnvironment(
  dependencies: ManagementDependencies,
  credential: Credential,
  keyOrId: string,
): Promise<EnvironmentBody> {
  const { id } = environmentInReach(dependencies.directory, credential, keyOrId);
  const row = await dependencies.database
    .selectFrom('environment')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined) {
    throw environmentNotFound(keyOrId);
  }
  return toEnvironmentBody(row);
}
