import type { GrantEffect, Instant, TargetKind } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import type { ApiGrant, GrantCreate, GrantExtend } from '@pennon/protocol/management/grants';
import { fromInstant, fromInstantOrNull } from '../../store/instant.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import type { EnvironmentRecord, ProductRecord, Snapshots } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { readEffect } from './grant-effect.js';
import { alsoGrantedBy, type GrantRow, toApiGrant } from './grant-record.js';
import { productNamed } from './named-product.js';
import { PublishedItems } from './published-items.js';
import { checkSpan, notFound, refuse, timeOr, unknownName } from './refusals.js';
import { touchTarget } from './touch-target.js';

export interface GrantServices extends ContractServices {
  readonly snapshots: Pick<Snapshots, 'current'>;
}
export interface GrantName {
  readonly environment: string;
  readonly grant: string;
}

const DAY_MILLISECONDS = 86_400_000;

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
    const startsAt = body.startsAt === undefined ? change.now : fromTime(body.startsAt, '/startsAt');
    const endsAt = timeOr(body.endsAt, '/endsAt', null);
    checkGrantSpan(body.kind, startsAt, endsAt);
    if (body.kind === 'contract' && (body.contractReference ?? null) === null) {
      throw refuse(
        'unprocessable',
        'CONTRACT_REFERENCE_MISSING',
        'A grant of kind `contract` names the contract that it rests on: send `contractReference`.',
        '/contractReference',
      );
    }
    const target = await readTarget(change, items, body.target);
    checkForgeable(services, product, environment, target);
    const effect = await readEffect(items, body.effect, target.kind);
    await checkCount(change, product, target);
    const row = await change.transaction
      .insertInto('access_grant')
      .values({
        id: newId(),
        environment_id: environment.id,
        product_id: product.id,
        target_kind: target.kind,
        target_key: target.key,
        kind: body.kind,
        effect: JSON.stringify(effect),
        starts_at: fromInstant(startsAt),
        ends_at: fromInstantOrNull(endsAt),
        reason: body.reason,
        owner: body.owner ?? null,
        contract_reference: body.contractReference ?? null,
        source: body.source ?? null,
        revoked_at: null,
        revoke_reason: null,
        version: 1,
        created_at: fromInstant(change.now),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    return { item: await finish(services, change, row, product, 'grant.create'), created: true };
  });
}

/** Everything temporary ends by the clock; a demo that lasts for years is a contract. */
function checkGrantSpan(kind: string, startsAt: Instant, endsAt: Instant | null): void {
  checkSpan(startsAt, endsAt);
  if (kind !== 'demo') return;
  const longest = LIMITS.demoDays.value;
  if (endsAt === null || endsAt - startsAt > longest * DAY_MILLISECONDS) {
    throw refuse(
      'unprocessable',
      'DEMO_TOO_LONG',
      `A grant of kind \`demo\` ends within ${longest} days: send an \`endsAt\`, or another \`kind\`.`,
      '/endsAt',
    );
  }
}

type Target = { readonly kind: TargetKind; readonly key: string };

/** Groups and segments must exist; customers, users and instances need not be known yet. An instance is stored by its key. */
async function readTarget(change: DataChange, items: PublishedItems, target: Target): Promise<Target> {
  if (target.kind === 'group' || target.kind === 'segment') {
    if ((await items.findOne(target.kind, target.key)) === null) {
      const code = target.kind === 'group' ? 'GROUP_UNKNOWN' : 'SEGMENT_UNKNOWN';
      throw unknownName(code, target.kind, target.key, await items.keysOf(target.kind), '/target/key');
    }
    return target;
  }
  if (target.kind !== 'instance' || !isId(target.key)) return target;
  const row = await change.transaction
    .selectFrom('instance')
    .select('key')
    .where('environment_id', '=', change.environmentId)
    .where('id', '=', target.key)
    .executeTakeFirst();
  return row === undefined ? target : { kind: 'instance', key: row.key };
}

/** A condition over what callers say of themselves gives nothing, so a grant to such a segment would not reach whom its reader expects. */
function checkForgeable(
  { snapshots }: GrantServices,
  product: ProductRecord,
  environment: EnvironmentRecord,
  target: Target,
): void {
  if (target.kind !== 'segment') return;
  const segment = snapshots.current(product.id, environment.id)?.segments.get(target.key);
  if (segment === undefined || segment.condition === null || segment.trusted) return;
  throw refuse(
    'unprocessable',
    'SEGMENT_FORGEABLE',
    `The condition of the segment \`${target.key}\` rests on what a caller can forge, so a grant to it would reach its stored members only. Name a segment without such a condition, or ask \`segment("${target.key}")\` in a rule of the flag.`,
    '/target/key',
  );
}

async function checkCount(change: DataChange, product: ProductRecord, target: Target): Promise<void> {
  const { count } = await change.transaction
    .selectFrom('access_grant')
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .where('environment_id', '=', change.environmentId)
    .where('target_kind', '=', target.kind)
    .where('target_key', '=', target.key)
    .where('product_id', '=', product.id)
    .where('revoked_at', 'is', null)
    .where((where) =>
      where.or([where('ends_at', 'is', null), where('ends_at', '>', fromInstant(change.now))]),
    )
    .executeTakeFirstOrThrow();
  if (count >= LIMITS.grantsPerTarget.value) {
    throw new ServiceError(
      'unprocessable',
      'TOO_MANY_GRANTS',
      `The ${target.kind} \`${target.key}\` has ${count} grants in force or to come, which is the limit. Revoke some, or put what they give into a plan or a segment.`,
    );
  }
}

async function finish(
  services: GrantServices,
  change: DataChange,
  row: GrantRow,
  product: ProductRecord,
  action: string,
): Promise<ApiGrant> {
  await touchTarget(change, { kind: row.target_kind, key: row.target_key });
  const snapshot = services.snapshots.current(product.id, change.environmentId);
  const item = toApiGrant(row, product.key, alsoGrantedBy(JSON.parse(row.effect) as GrantEffect, snapshot));
  await change.record({
    action,
    productId: product.id,
    objectKind: 'grant',
    objectId: row.id,
    objectVersion: row.version,
    after: item as unknown as JsonObject,
  });
  return item;
}

/** Lets a grant end at another time: later, earlier, or never where its kind allows it. */
export async function extendGrant(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: GrantName,
  body: GrantExtend,
  precondition: Precondition,
): Promise<Changed<ApiGrant>> {
  const endsAt = body.endsAt === null ? null : fromTime(body.endsAt, '/endsAt');
  return changeGrant(services, credential, context, named, precondition, async (change, row, product) => {
    checkGrantSpan(row.kind, row.starts_at.getTime(), endsAt);
    const saved = await update(change, row, { ends_at: fromInstantOrNull(endsAt) });
    return finish(services, change, saved, product, 'grant.extend');
  });
}

/** Takes a grant back at once. What was used under it stays used. */
export async function revokeGrant(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: GrantName,
  precondition: Precondition,
): Promise<Changed<ApiGrant>> {
  return changeGrant(services, credential, context, named, precondition, async (change, row, product) => {
    const saved = await update(change, row, {
      revoked_at: fromInstant(change.now),
      revoke_reason: context.reason,
    });
    return finish(services, change, saved, product, 'grant.revoke');
  });
}

async function update(
  change: DataChange,
  row: GrantRow,
  columns: Partial<Pick<GrantRow, 'ends_at' | 'revoked_at' | 'revoke_reason'>>,
): Promise<GrantRow> {
  return change.transaction
    .updateTable('access_grant')
    .set({ ...columns, version: row.version + 1 })
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

async function changeGrant(
  services: GrantServices,
  credential: Credential,
  context: ChangeContext,
  named: GrantName,
  precondition: Precondition,
  work: (change: DataChange, row: GrantRow, product: ProductRecord) => Promise<ApiGrant>,
): Promise<Changed<ApiGrant>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const { row, product } = await findGrant(
      services,
      credential,
      change.transaction,
      environment,
      named,
      true,
    );
    if (precondition.kind !== 'none') {
      const current = { tag: String(row.version), item: itemOf(services, environment, row, product) };
      checkPrecondition(precondition, current, `The grant \`${row.id}\``);
    }
    if (row.revoked_at !== null) {
      throw new ServiceError(
        'conflict',
        'GRANT_REVOKED',
        `The grant \`${row.id}\` was revoked at ${row.revoked_at.toISOString()} and stays so. Make a new one.`,
      );
    }
    return { item: await work(change, row, product), created: false };
  });
}

function itemOf(
  services: GrantServices,
  environment: EnvironmentRecord,
  row: GrantRow,
  product: ProductRecord,
): ApiGrant {
  const snapshot = services.snapshots.current(product.id, environment.id);
  return toApiGrant(row, product.key, alsoGrantedBy(JSON.parse(row.effect) as GrantEffect, snapshot));
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
  const found = await findGrant(services, credential, services.database, environment, named, false);
  return itemOf(services, environment, found.row, found.product);
}
