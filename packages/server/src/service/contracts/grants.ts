import type { GrantKind } from '@pennon/engine/model/customer';
import type { ApiGrant, GrantCreate, GrantExtend, GrantPatch } from '@pennon/protocol/management/grants';
import { fromInstant, fromInstantOrNull, toInstantOrNull } from '../../store/instant.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId } from '../new-id.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { readEffect } from './grant-effect.js';
import { type GrantRow, toGrantOf } from './grant-record.js';
import {
  checkNewEnd,
  checkTerms,
  type GrantColumns,
  type GrantServices,
  makeGrants,
  readTarget,
  updateGrants,
} from './make-grants.js';
import { productNamed } from './named-product.js';
import { PublishedItems } from './published-items.js';
import { notFound, refuse, timeOr } from './refusals.js';
import { touchTarget } from './touch-target.js';

export interface GrantName {
  readonly environment: string;
  readonly grant: string;
}

/** Makes an exception for a user, instance, customer, group or segment: dated, reasoned, audited, ending by the clock. */
export async function createGrant(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: { readonly environment: string },
  body: GrantCreate,
): Promise<Changed<ApiGrant>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product = productNamed(services.directory, credential, body.product);
  return changeData(services, context, environment.id, async (change) => {
    const items = await PublishedItems.open(change.transaction, product, environment);
    const terms = {
      kind: body.kind,
      startsAt: body.startsAt === undefined ? change.now : fromTime(body.startsAt, '/startsAt'),
      endsAt: timeOr(body.endsAt, '/endsAt', null),
      contractReference: body.contractReference ?? null,
    };
    checkTerms(terms, 'A grant');
    const target = await readTarget(services, change, items, body.target, { product, environment });
    const effect = await readEffect(items, body.effect, target.kind);
    const [row] = await makeGrants(services, change, product, [
      {
        ...terms,
        target,
        effect,
        reason: body.reason,
        owner: body.owner ?? null,
        source: body.source ?? null,
        applicationId: null,
      },
    ]);
    if (row === undefined) throw new Error('A grant that was made is there.');
    await touchTarget(change, target);
    return { item: toGrantOf(services.snapshots, row, product.key), created: true };
  });
}

/** Lets a grant end at another time that lies ahead: later, earlier, or never where its kind allows it. */
export async function extendGrant(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: GrantName,
  body: GrantExtend,
  precondition: Precondition,
): Promise<Changed<ApiGrant>> {
  const endsAt = body.endsAt === null ? null : fromTime(body.endsAt, '/endsAt');
  return changeGrant(services, credential, context, named, precondition, 'grant.extend', (change, row) => {
    checkTerms({ ...termsOf(row), endsAt }, 'A grant');
    checkNewEnd(endsAt, change.now);
    return { ends_at: fromInstantOrNull(endsAt) };
  });
}

/**
 * Changes what is said about a grant. For whom it is, what it does and when it began stay: another effect is another grant, so
 * that the trail tells what held when.
 */
export async function patchGrant(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: GrantName,
  body: GrantPatch,
  precondition: Precondition,
): Promise<Changed<ApiGrant>> {
  return changeGrant(services, credential, context, named, precondition, 'grant.change', (_change, row) => {
    const before = termsOf(row);
    const { contractReference = before.contractReference, kind = before.kind } = body;
    if (before.kind === 'voucher' && kind !== 'voucher') throw keepsItsKind(row);
    checkTerms({ ...before, kind, contractReference }, 'A grant');
    return {
      kind,
      contract_reference: contractReference,
      owner: body.owner === undefined ? row.owner : body.owner,
      source: body.source === undefined ? row.source : body.source,
    };
  });
}

function keepsItsKind(row: GrantRow): ServiceError {
  return refuse(
    'unprocessable',
    'VOUCHER_GRANT',
    `${nameOf(row)} was made by redeeming a voucher, so its \`kind\` stays. Revoke it and make another one.`,
    '/kind',
  );
}

/**
 * Takes a grant back at once. What was used under it stays used. Taking back what was taken back is no fault, so that whoever did
 * not hear the answer asks again.
 */
export async function revokeGrant(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: GrantName,
  precondition: Precondition,
): Promise<Changed<ApiGrant>> {
  return changeGrant(services, credential, context, named, precondition, 'grant.revoke', (change, row) =>
    row.revoked_at === null
      ? { revoked_at: fromInstant(change.now), revoke_reason: context.reason }
      : 'nothing to do',
  );
}

function termsOf(row: GrantRow) {
  return {
    kind: row.kind as GrantKind,
    startsAt: row.starts_at.getTime(),
    endsAt: toInstantOrNull(row.ends_at),
    contractReference: row.contract_reference,
  };
}

function currentOf(services: GrantServices, row: GrantRow, product: ProductRecord) {
  return { tag: String(row.version), item: toGrantOf(services.snapshots, row, product.key) };
}

function nameOf(row: GrantRow): string {
  return `The grant \`${row.id}\``;
}

async function changeGrant(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: GrantName,
  precondition: Precondition,
  action: 'grant.extend' | 'grant.change' | 'grant.revoke',
  columnsOf: (change: DataChange, row: GrantRow) => GrantColumns | 'nothing to do',
): Promise<Changed<ApiGrant>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const { transaction } = change;
    const { row, product } = await findGrant(services, credential, transaction, environment, named, true);
    const revokedAt = row.revoked_at;
    if (revokedAt !== null && action !== 'grant.revoke') throw alreadyRevoked(nameOf(row), revokedAt);
    // What a repeated call finds is what it left itself, whatever tag it was sent with.
    if (revokedAt === null && (precondition.kind !== 'none' || action === 'grant.change')) {
      checkPrecondition(precondition, currentOf(services, row, product), nameOf(row));
    }
    const columns = columnsOf(change, row);
    if (columns === 'nothing to do') {
      return { item: toGrantOf(services.snapshots, row, product.key), created: false };
    }
    const [saved = row] = await updateGrants(services, change, [row], product, columns, action);
    await touchTarget(change, { kind: row.target_kind, key: row.target_key });
    return { item: toGrantOf(services.snapshots, saved, product.key), created: false };
  });
}

function alreadyRevoked(name: string, revokedAt: Date): ServiceError {
  return new ServiceError(
    'conflict',
    'GRANT_REVOKED',
    `${name} was revoked at ${revokedAt.toISOString()} and stays so. Make a new one.`,
  );
}

/** INVARIANT (law 11): a grant of another environment, or of a product beyond the reach, does not exist. */
async function findGrant(
  services: GrantServices,
  credential: Credential,
  database: ContractServices['database'],
  environment: EnvironmentRecord,
  named: GrantName,
  lock: boolean,
): Promise<{ readonly row: GrantRow; readonly product: ProductRecord }> {
  const select = database
    .selectFrom('access_grant')
    .selectAll()
    .where('id', '=', named.grant)
    .where('environment_id', '=', environment.id);
  const row = isId(named.grant) ? await (lock ? select.forUpdate() : select).executeTakeFirst() : undefined;
  const inReach =
    row !== undefined && (credential.productId === null || credential.productId === row.product_id);
  if (row === undefined || !inReach) {
    throw notFound('GRANT_NOT_FOUND', `The grant \`${named.grant}\``, 'GET …/grants lists those that exist.');
  }
  return { row, product: productInReach(services.directory, credential, row.product_id) };
}

export async function getGrant(
  services: GrantServices,
  credential: Credential,
  named: GrantName,
): Promise<ApiGrant> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const { row, product } = await findGrant(
    services,
    credential,
    services.database,
    environment,
    named,
    false,
  );
  return toGrantOf(services.snapshots, row, product.key);
}
