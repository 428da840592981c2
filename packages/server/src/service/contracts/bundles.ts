import type { GrantEffect, GrantKind } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import { LIMITS } from '@pennon/engine/model/limits';
import type { ApiBundle, BundleListQuery, BundleWrite } from '@pennon/protocol/management/bundles';
import { fromInstant } from '../../store/instant.js';
import type { ChangeContext, Credential } from '../credential.js';
import { newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import type { EnvironmentRecord, ProductRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { type BundleRow, toApiBundle } from './bundle-record.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { readEffect } from './grant-effect.js';
import { mustEnd } from './make-grants.js';
import { productNamed } from './named-product.js';
import { PublishedItems } from './published-items.js';
import { notFound, refuse } from './refusals.js';

export interface BundleName {
  readonly environment: string;
  readonly bundle: string;
  /** As sent; bundles of two products may share a key. */
  readonly product: string | undefined;
}

export interface BundleScope {
  readonly environment: EnvironmentRecord;
  readonly product: ProductRecord;
}

export function bundleScope(
  services: ContractServices,
  credential: Credential,
  named: Pick<BundleName, 'environment' | 'product'>,
): BundleScope {
  return {
    environment: environmentInReach(services.directory, credential, named.environment),
    product: productNamed(services.directory, credential, named.product),
  };
}

/** Says what a bundle gives from now on. What was applied before keeps what it gave. */
export async function putBundle(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: BundleName,
  body: BundleWrite,
  precondition: Precondition,
): Promise<Changed<ApiBundle>> {
  const { environment, product } = bundleScope(services, credential, named);
  return changeData(services, context, environment.id, async (change) => {
    const items = await PublishedItems.open(change.transaction, product, environment);
    const row = await findBundle(change.transaction, { environment, product }, named.bundle, true);
    checkBundle(precondition, row, named.bundle, product);
    const kind = body.kind ?? 'demo';
    const days = body.days ?? null;
    checkDays(kind, days);
    const columns = {
      name: body.name ?? named.bundle,
      description: body.description ?? null,
      kind,
      days,
      owner: body.owner ?? null,
      effects: JSON.stringify(await readEffects(items, body.effects)),
    };
    const saved = await save(change, product, named.bundle, row, columns);
    const action = row === null ? 'bundle.create' : 'bundle.replace';
    return { item: await record(change, saved, product, action), created: row === null };
  });
}

function checkBundle(
  precondition: Precondition,
  row: BundleRow | null,
  key: string,
  product: ProductRecord,
): void {
  const current = row === null ? null : { tag: String(row.version), item: toApiBundle(row, product.key) };
  checkPrecondition(precondition, current, `The bundle \`${key}\``);
}

function checkDays(kind: GrantKind, days: number | null): void {
  if (days === null || !mustEnd(kind) || days <= LIMITS.demoDays.value) return;
  throw refuse(
    'unprocessable',
    'SPAN_TOO_LONG',
    `What is of kind \`${kind}\` ends within ${LIMITS.demoDays.value} days: send fewer \`days\`, or another \`kind\`.`,
    '/days',
  );
}

/** Each as it would be granted to a customer; whether it fits another target is seen when it is applied to one. */
async function readEffects(items: PublishedItems, effects: BundleWrite['effects']): Promise<GrantEffect[]> {
  const read: GrantEffect[] = [];
  for (const [index, effect] of effects.entries()) {
    const one = await readEffect(items, effect, 'customer', `/effects/${index}`);
    const same = read.findIndex((other) => sameness(other) !== null && sameness(other) === sameness(one));
    if (same !== -1) throw twice(one, index, same);
    read.push(one);
  }
  return read;
}

/** What two effects of one bundle would contradict each other, or repeat each other, about; amounts and factors stack. */
function sameness(effect: GrantEffect): string | null {
  switch (effect.type) {
    case 'flag':
      return `flag ${effect.flag}`;
    case 'add':
    case 'multiply':
    case 'topUp':
      return null;
    case 'set':
    case 'unlimited':
    case 'deny':
      return `feature ${effect.feature}`;
  }
}

function twice(effect: GrantEffect, index: number, earlier: number): ServiceError {
  const key = effect.type === 'flag' ? effect.flag : effect.feature;
  return refuse(
    'unprocessable',
    'EFFECT_TWICE',
    `The effects ${earlier} and ${index} both say what \`${key}\` is to be. Keep one of them.`,
    `/effects/${index}`,
  );
}

async function save(
  change: DataChange,
  product: ProductRecord,
  key: string,
  row: BundleRow | null,
  columns: Pick<BundleRow, 'name' | 'description' | 'kind' | 'days' | 'owner' | 'effects'>,
): Promise<BundleRow> {
  const { transaction, environmentId } = change;
  if (row !== null) {
    return transaction
      .updateTable('bundle')
      .set({ ...columns, version: row.version + 1 })
      .where('environment_id', '=', environmentId)
      .where('product_id', '=', product.id)
      .where('key', '=', key)
      .returningAll()
      .executeTakeFirstOrThrow();
  }
  await checkCount(change, product);
  return transaction
    .insertInto('bundle')
    .values({
      ...columns,
      environment_id: environmentId,
      product_id: product.id,
      key,
      id: newId(),
      version: 1,
      created_at: fromInstant(change.now),
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

async function checkCount({ transaction, environmentId }: DataChange, product: ProductRecord): Promise<void> {
  const { count } = await transaction
    .selectFrom('bundle')
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .where('environment_id', '=', environmentId)
    .where('product_id', '=', product.id)
    .executeTakeFirstOrThrow();
  if (count < LIMITS.bundles.value) return;
  throw new ServiceError(
    'unprocessable',
    'TOO_MANY_BUNDLES',
    `The product \`${product.key}\` has ${count} bundles here, which is the limit. Remove some that nobody applies any more.`,
  );
}

async function record(
  change: DataChange,
  row: BundleRow,
  product: ProductRecord,
  action: string,
): Promise<ApiBundle> {
  const item = toApiBundle(row, product.key);
  await change.record({
    action,
    productId: product.id,
    objectKind: 'bundle',
    objectId: row.id,
    objectVersion: row.version,
    after: item as unknown as JsonObject,
  });
  return item;
}

/** Takes the name from the list. What was applied keeps its grants, and can be extended and taken back as before. */
export async function removeBundle(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: BundleName,
  precondition: Precondition,
): Promise<Changed<null>> {
  const scope = bundleScope(services, credential, named);
  return changeData(services, context, scope.environment.id, async (change) => {
    const row = await findBundle(change.transaction, scope, named.bundle, true);
    if (row === null) throw bundleNotFound(named.bundle);
    checkBundle(precondition, row, named.bundle, scope.product);
    await change.transaction
      .deleteFrom('bundle')
      .where('id', '=', row.id)
      .where('environment_id', '=', row.environment_id)
      .where('product_id', '=', row.product_id)
      .where('key', '=', row.key)
      .execute();
    await change.record({
      action: 'bundle.remove',
      productId: scope.product.id,
      objectKind: 'bundle',
      objectId: row.id,
      objectVersion: row.version + 1,
      after: null,
    });
    return { item: null, created: false };
  });
}

export function bundleNotFound(key: string): ServiceError {
  return notFound(
    'BUNDLE_NOT_FOUND',
    `The bundle \`${key}\``,
    'GET …/bundles lists those that exist; of another product, name it with `?product=`.',
  );
}

export async function findBundle(
  database: ContractServices['database'],
  { environment, product }: BundleScope,
  key: string,
  lock: boolean,
): Promise<BundleRow | null> {
  const select = database
    .selectFrom('bundle')
    .selectAll()
    .where('environment_id', '=', environment.id)
    .where('product_id', '=', product.id)
    .where('key', '=', key);
  return (await (lock ? select.forUpdate() : select).executeTakeFirst()) ?? null;
}

export async function getBundle(
  services: ContractServices,
  credential: Credential,
  named: BundleName,
): Promise<ApiBundle> {
  const scope = bundleScope(services, credential, named);
  const row = await findBundle(services.database, scope, named.bundle, false);
  if (row === null) throw bundleNotFound(named.bundle);
  return toApiBundle(row, scope.product.key);
}

export async function listBundles(
  services: ContractServices,
  credential: Credential,
  named: { readonly environment: string },
  query: BundleListQuery,
): Promise<Page<ApiBundle>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product =
    query.product === undefined ? null : productInReach(services.directory, credential, query.product);
  const productId = product?.id ?? credential.productId;
  const limit = query.limit ?? 50;
  const [key, id] = fromCursor(query.cursor, 2) ?? [];
  let select = services.database
    .selectFrom('bundle')
    .innerJoin('product', 'product.id', 'bundle.product_id')
    .selectAll('bundle')
    .select('product.key as product_key')
    .where('bundle.environment_id', '=', environment.id)
    .orderBy('bundle.key')
    .orderBy('product.key')
    .limit(limit + 1);
  if (productId !== null) select = select.where('bundle.product_id', '=', productId);
  if (key !== undefined && id !== undefined) {
    select = select.where(({ eb, refTuple, tuple }) =>
      eb(refTuple('bundle.key', 'product.key'), '>', tuple(key, id)),
    );
  }
  return toPage(
    await select.execute(),
    limit,
    (row) => toApiBundle(row, row.product_key),
    (row) => [row.key, row.product_key],
  );
}
