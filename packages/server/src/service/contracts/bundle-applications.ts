import type { GrantKind, Instant } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import type {
  ApiBundleApplication,
  BundleApplicationListQuery,
  BundleExtend,
} from '@pennon/protocol/management/bundles';
import { readApplications } from '../../store/bundle-lists.js';
import { fromInstant, fromInstantOrNull, toInstantOrNull } from '../../store/instant.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId } from '../new-id.js';
import { type Page, toPage } from '../page.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import { type ApplicationRow, toApiApplication } from './bundle-record.js';
import type { BundleScope } from './bundles.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { endCursorOf, endPositionOf } from './end-cursor.js';
import type { GrantRow } from './grant-record.js';
import {
  checkNewEnd,
  checkTerms,
  daysAfter,
  type GrantColumns,
  type GrantServices,
  type GrantTarget,
  updateGrants,
} from './make-grants.js';
import { notFound, refuse } from './refusals.js';
import { touchTarget } from './touch-target.js';

export interface ApplicationName {
  readonly environment: string;
  readonly application: string;
}

/** The application of a bundle to a target that is in force or to come; of several the one that ends last. */
export async function findRunning(
  change: DataChange,
  { environment, product }: BundleScope,
  bundleKey: string,
  target: GrantTarget,
): Promise<ApplicationRow | null> {
  const rows = await readApplications(change.transaction, {
    environmentId: environment.id,
    productId: product.id,
    bundleKey,
    target,
    liveAt: fromInstant(change.now),
    limit: 1000,
  });
  return rows.at(-1) ?? null;
}

export async function recordApplication(
  change: DataChange,
  row: ApplicationRow,
  product: ProductRecord,
  grants: readonly GrantRow[],
  action: 'bundle.apply' | 'bundle.extend' | 'bundle.revoke',
): Promise<ApiBundleApplication> {
  const item = toApiApplication(row, product.key, grants);
  await change.record({
    action,
    productId: product.id,
    objectKind: 'bundle-application',
    objectId: row.id,
    objectVersion: row.version,
    after: item as unknown as JsonObject,
  });
  return item;
}

/** Lets everything that an application gave end at another time that lies ahead; what was revoked by itself stays revoked. */
export async function extendApplication(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: ApplicationName,
  body: BundleExtend,
  precondition: Precondition,
): Promise<Changed<ApiBundleApplication>> {
  return changeApplication(services, credential, context, named, precondition, (change, row) => {
    if (row.revoked_at !== null) throw alreadyRevoked(row, row.revoked_at);
    const endsAt = newEndOf(row, body, change.now);
    const endAt = body.days === undefined ? '/endsAt' : '/days';
    const startsAt = row.starts_at.getTime();
    const { contract_reference: contractReference } = row;
    const kind = row.kind as GrantKind;
    checkTerms({ kind, startsAt, endsAt, contractReference }, 'An application', endAt);
    checkNewEnd(endsAt, change.now, endAt);
    return { columns: { ends_at: fromInstantOrNull(endsAt) }, action: 'extend' };
  });
}

/** `days` count from the end so far, or from now where that has passed. */
function newEndOf(row: ApplicationRow, body: BundleExtend, now: Instant): Instant | null {
  const { days, endsAt } = body;
  if (days !== undefined && endsAt !== undefined) {
    throw refuse('invalid', 'END_TWICE', 'Send `days` or `endsAt`, not both.', '/days');
  }
  if (endsAt === null) return null;
  if (endsAt !== undefined) return fromTime(endsAt, '/endsAt');
  if (days === undefined) {
    throw refuse('invalid', 'END_MISSING', 'Say until when: send `days` or `endsAt`.', '/endsAt');
  }
  const end = toInstantOrNull(row.ends_at);
  if (end === null) {
    throw refuse(
      'unprocessable',
      'NO_END',
      'It has no end that `days` could be added to. Send an `endsAt`.',
      '/days',
    );
  }
  return daysAfter(Math.max(end, now), days);
}

/** Takes back at once everything that an application gave. Taking back what was taken back is no fault. */
export async function revokeApplication(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: ApplicationName,
  precondition: Precondition,
): Promise<Changed<ApiBundleApplication>> {
  return changeApplication(services, credential, context, named, precondition, (change, row) =>
    row.revoked_at !== null
      ? 'nothing to do'
      : {
          columns: { revoked_at: fromInstant(change.now), revoke_reason: context.reason },
          action: 'revoke',
        },
  );
}

function alreadyRevoked(row: ApplicationRow, revokedAt: Date): ServiceError {
  return new ServiceError(
    'conflict',
    'APPLICATION_REVOKED',
    `The application \`${row.id}\` was revoked at ${revokedAt.toISOString()} and stays so. Apply the bundle again.`,
  );
}

interface ApplicationChange {
  readonly columns: Pick<GrantColumns, 'ends_at' | 'revoked_at' | 'revoke_reason'>;
  readonly action: 'extend' | 'revoke';
}

async function changeApplication(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: ApplicationName,
  precondition: Precondition,
  changeOf: (change: DataChange, row: ApplicationRow) => ApplicationChange | 'nothing to do',
): Promise<Changed<ApiBundleApplication>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const { transaction } = change;
    const { row, product } = await findApplication(
      services,
      credential,
      transaction,
      environment,
      named,
      true,
    );
    const grants = await grantsOf(transaction, [row.id], true);
    // What a repeated call finds is what it left itself, whatever tag it was sent with.
    if (precondition.kind !== 'none' && row.revoked_at === null) {
      const current = { tag: String(row.version), item: toApiApplication(row, product.key, grants) };
      checkPrecondition(precondition, current, `The application \`${row.id}\``);
    }
    const wanted = changeOf(change, row);
    if (wanted === 'nothing to do') {
      return { item: toApiApplication(row, product.key, grants), created: false };
    }
    const { columns, action } = wanted;
    const living = grants.filter((grant) => grant.revoked_at === null);
    await updateGrants(services, change, living, product, columns, `grant.${action}`);
    const saved = await transaction
      .updateTable('bundle_application')
      .set({ ...columns, version: row.version + 1 })
      .where('id', '=', row.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    await touchTarget(change, { kind: row.target_kind, key: row.target_key });
    const after = await grantsOf(transaction, [row.id]);
    return {
      item: await recordApplication(change, saved, product, after, `bundle.${action}`),
      created: false,
    };
  });
}

/** All that the applications made, in the order in which they made them. */
async function grantsOf(
  database: ContractServices['database'],
  applicationIds: readonly string[],
  lock = false,
): Promise<GrantRow[]> {
  if (applicationIds.length === 0) return [];
  const select = database
    .selectFrom('access_grant')
    .selectAll()
    .where('application_id', 'in', applicationIds)
    .orderBy('id');
  return (lock ? select.forUpdate() : select).execute();
}

/** INVARIANT (law 11): an application in another environment, or of a product beyond the reach, does not exist. */
async function findApplication(
  services: GrantServices,
  credential: Credential,
  database: ContractServices['database'],
  environment: EnvironmentRecord,
  named: ApplicationName,
  lock: boolean,
): Promise<{ readonly row: ApplicationRow; readonly product: ProductRecord }> {
  const select = database
    .selectFrom('bundle_application')
    .selectAll()
    .where('id', '=', named.application)
    .where('environment_id', '=', environment.id);
  const row = isId(named.application)
    ? await (lock ? select.forUpdate() : select).executeTakeFirst()
    : undefined;
  const inReach =
    row !== undefined && (credential.productId === null || credential.productId === row.product_id);
  if (row === undefined || !inReach) {
    throw notFound(
      'APPLICATION_NOT_FOUND',
      `The application \`${named.application}\` of a bundle`,
      'GET …/bundle-applications lists those that exist.',
    );
  }
  return { row, product: productInReach(services.directory, credential, row.product_id) };
}

export async function getApplication(
  services: GrantServices,
  credential: Credential,
  named: ApplicationName,
): Promise<ApiBundleApplication> {
  const { database } = services;
  const environment = environmentInReach(services.directory, credential, named.environment);
  const { row, product } = await findApplication(services, credential, database, environment, named, false);
  return toApiApplication(row, product.key, await grantsOf(database, [row.id]));
}

/** Applications in force or to come, those that end first first. */
export async function listApplications(
  services: GrantServices,
  credential: Credential,
  named: { readonly environment: string },
  query: BundleApplicationListQuery,
): Promise<Page<ApiBundleApplication>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product =
    query.product === undefined ? null : productInReach(services.directory, credential, query.product);
  const { targetKind, targetKey } = query;
  if ((targetKind === undefined) !== (targetKey === undefined)) {
    throw refuse('invalid', 'QUERY_INVALID', 'Send `targetKind` and `targetKey` together.', 'targetKind');
  }
  const limit = query.limit ?? 50;
  const rows = await readApplications(services.database, {
    environmentId: environment.id,
    productId: product?.id ?? credential.productId ?? undefined,
    bundleKey: query.bundle,
    kind: query.kind,
    target:
      targetKind === undefined || targetKey === undefined ? undefined : { kind: targetKind, key: targetKey },
    liveAt: query.revoked === true ? undefined : fromInstant(services.clock.now()),
    after: endPositionOf(query.cursor),
    limit: limit + 1,
  });
  const grants = await grantsOf(
    services.database,
    rows.slice(0, limit).map((row) => row.id),
  );
  return toPage(
    rows,
    limit,
    (row) =>
      toApiApplication(
        row,
        row.product_key,
        grants.filter((grant) => grant.application_id === row.id),
      ),
    endCursorOf,
  );
}
