import type { Feature } from '@pennon/engine/model/catalog';
import { DEFAULT_LOT_PRIORITY, LIMITS } from '@pennon/engine/model/limits';
import type { ApiTopUp, TopUpCreate, TopUpListQuery } from '@pennon/protocol/management/top-ups';
import type { Kysely } from 'kysely';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import type { ProductRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { fromTime } from '../times.js';
import { customerNotFound, findCustomer } from './customer-record.js';
import type { CustomerName } from './customers.js';
import { type Changed, type ContractServices, changeData, type DataChange } from './data-change.js';
import { type LotNames, type LotRow, toApiTopUp } from './lot-record.js';
import { checkCountsFor, lockLot, makeLot, voidLot } from './make-lots.js';
import { productNamed } from './named-product.js';
import { PublishedItems } from './published-items.js';
import { checkSpan, notFound, refuse, timeOr, unknownName } from './refusals.js';

export interface TopUpName extends CustomerName {
  readonly topUp: string;
}

/** Gives a customer, or one of its users or instances, an amount of a metered feature besides what its periods allow. */
export async function createTopUp(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: CustomerName,
  body: TopUpCreate,
): Promise<Changed<ApiTopUp>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const product = productNamed(services.directory, credential, body.product);
  return changeData(services, context, environment.id, async (change) => {
    const customer = await change.lockCustomer(named.customer);
    if (customer === null) throw customerNotFound(named.customer);
    const items = await PublishedItems.open(change.transaction, product, environment);
    const feature = await items.findOne('feature', body.feature);
    if (feature === null) {
      throw unknownName(
        'FEATURE_UNKNOWN',
        'feature',
        body.feature,
        await items.keysOf('feature'),
        '/feature',
      );
    }
    const target = body.target ?? { kind: 'customer', key: customer.key };
    checkCountsFor(feature, target.kind, { feature: '/feature', target: '/target' });
    if (target.kind === 'instance') await checkInstance(change, customer, target.key);
    const startsAt = body.startsAt === undefined ? change.now : fromTime(body.startsAt, '/startsAt');
    const bought = boughtOf(body, feature);
    const endsAt = timeOr(
      body.endsAt,
      '/endsAt',
      bought.endsAfter === null ? null : startsAt + bought.endsAfter,
    );
    checkSpan(startsAt, endsAt);
    if (endsAt !== null && endsAt <= change.now) throw endPassed();
    const item = await makeLot(change, {
      customer,
      target,
      product,
      feature: feature.key,
      kind: body.kind ?? 'topup',
      priority: body.priority ?? bought.priority,
      amount: bought.amount,
      startsAt,
      endsAt,
      source: body.source === undefined ? bought.source : body.source,
      reason: body.reason,
      grantId: null,
    });
    await change.touchCustomer(customer.key);
    return { item, created: true };
  });
}

interface Bought {
  readonly amount: number;
  readonly priority: number;
  /** Milliseconds after its start; `null`: never. */
  readonly endsAfter: number | null;
  readonly source: string | null;
}

const DAY_MILLISECONDS = 86_400_000;

/** How much: as the call says, or as the catalog says of the pack that it names. What is sold no more may still be delivered. */
function boughtOf({ amount, pack: key, quantity }: TopUpCreate, feature: Feature): Bought {
  if (key === undefined) {
    if (amount === undefined || quantity !== undefined) throw amountOrPack(feature);
    return { amount, priority: DEFAULT_LOT_PRIORITY, endsAfter: null, source: null };
  }
  if (amount !== undefined) throw amountOrPack(feature);
  const packs = feature.topUps ?? [];
  const pack = packs.find((one) => one.key === key);
  if (pack === undefined) {
    const keys = packs.map((one) => one.key);
    throw unknownName('TOP_UP_PACK_UNKNOWN', `top-up of \`${feature.key}\``, key, keys, '/pack');
  }
  const total = pack.amount * (quantity ?? 1);
  if (!Number.isSafeInteger(total)) {
    const message = `${quantity} times \`${key}\` are more than ${LIMITS.quantity.value}. Send a smaller \`quantity\`.`;
    throw refuse('unprocessable', 'TOP_UP_TOO_LARGE', message, '/quantity');
  }
  return {
    amount: total,
    priority: pack.priority ?? DEFAULT_LOT_PRIORITY,
    endsAfter: pack.validDays === undefined ? null : pack.validDays * DAY_MILLISECONDS,
    source: `pack ${key}`,
  };
}

function amountOrPack({ key }: Feature): ServiceError {
  const message = `Send either how much of \`${key}\` it is as \`amount\`, or a \`pack\` of its \`topUps\` with a \`quantity\`.`;
  return refuse('invalid', 'AMOUNT_OR_PACK', message, '/amount');
}

function endPassed(): ServiceError {
  return refuse(
    'unprocessable',
    'END_PASSED',
    'That end has passed, so nothing of it could be used. Send a later `endsAt`, or none.',
    '/endsAt',
  );
}

async function checkInstance(
  change: DataChange,
  customer: { readonly id: string; readonly key: string },
  key: string,
): Promise<void> {
  const row = await change.transaction
    .selectFrom('instance')
    .select('id')
    .where('environment_id', '=', change.environmentId)
    .where('customer_id', '=', customer.id)
    .where('key', '=', key)
    .executeTakeFirst();
  if (row !== undefined) return;
  throw refuse(
    'unprocessable',
    'INSTANCE_UNKNOWN',
    `The customer \`${customer.key}\` has no instance \`${key}\`. Create it first, or name one that it has.`,
    '/target/key',
  );
}

/** Takes back what is left of a balance, at once. What was used out of it stays used. Again: the same answer. */
export async function voidTopUp(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: TopUpName,
  precondition: Precondition,
): Promise<Changed<ApiTopUp>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  return changeData(services, context, environment.id, async (change) => {
    const customer = await change.lockCustomer(named.customer);
    if (customer === null) throw customerNotFound(named.customer);
    const { row: found, names } = await findLot(services, credential, change.transaction, customer, named);
    const row = await lockLot(change, found);
    const item = toApiTopUp(row, names, change.now);
    if (row.voided_at !== null) return { item, created: false };
    if (precondition.kind !== 'none') {
      checkPrecondition(precondition, { tag: String(row.version), item }, `The top-up \`${row.id}\``);
    }
    if (item.state === 'ended' || row.closed_at !== null) throw isOver(item);
    const voided = await voidLot(change, row, names, context.reason);
    await change.touchCustomer(customer.key);
    return { item: voided, created: false };
  });
}

function isOver({ id, state, endsAt }: ApiTopUp): ServiceError {
  const how = state === 'ended' ? `ended at ${endsAt}` : 'is used up';
  return new ServiceError(
    'conflict',
    'TOP_UP_OVER',
    `The top-up \`${id}\` ${how}, so there is nothing of it to take back.`,
  );
}

/** INVARIANT (law 11): a balance of another customer, or of a product beyond the credential's reach, does not exist. */
async function findLot(
  services: ContractServices,
  credential: Credential,
  database: Kysely<Tables>,
  customer: { readonly id: string; readonly key: string },
  named: TopUpName,
): Promise<{ readonly row: LotRow; readonly names: LotNames }> {
  const row = isId(named.topUp)
    ? await database
        .selectFrom('credit_lot')
        .selectAll()
        .where('customer_id', '=', customer.id)
        .where('id', '=', named.topUp)
        .executeTakeFirst()
    : undefined;
  if (row === undefined || (credential.productId !== null && credential.productId !== row.product_id)) {
    throw notFound(
      'TOP_UP_NOT_FOUND',
      `The top-up \`${named.topUp}\` of the customer \`${named.customer}\``,
      'GET …/top-ups lists those that exist.',
    );
  }
  const product = productInReach(services.directory, credential, row.product_id);
  return { row, names: await namesOf(database, customer, product, row) };
}

async function namesOf(
  database: Kysely<Tables>,
  customer: { readonly id: string; readonly key: string },
  product: ProductRecord,
  row: LotRow,
): Promise<LotNames> {
  const instances =
    row.scope === '' ? new Set<string>() : await instancesOf(database, customer.id, [row.scope]);
  return {
    customer: customer.key,
    product: product.key,
    target: targetOf(row.scope, customer.key, instances),
  };
}

/** A scope is a user's or an instance's key; which of them, the customer's instances tell. */
async function instancesOf(
  database: Kysely<Tables>,
  customerId: string,
  keys: readonly string[],
): Promise<ReadonlySet<string>> {
  if (keys.length === 0) return new Set();
  const rows = await database
    .selectFrom('instance')
    .select('key')
    .where('customer_id', '=', customerId)
    .where('key', 'in', keys)
    .execute();
  return new Set(rows.map(({ key }) => key));
}

function targetOf(scope: string, customerKey: string, instances: ReadonlySet<string>): LotNames['target'] {
  if (scope === '') return { kind: 'customer', key: customerKey };
  return { kind: instances.has(scope) ? 'instance' : 'user', key: scope };
}

export async function getTopUp(
  services: ContractServices,
  credential: Credential,
  named: TopUpName,
): Promise<ApiTopUp> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const customer = await findCustomer(services.database, environment.id, named.customer);
  const { row, names } = await findLot(services, credential, services.database, customer, named);
  return toApiTopUp(row, names, services.clock.now());
}

/** The balances of a customer, the oldest first; those that are over only where they are asked for. */
export async function listTopUps(
  services: ContractServices,
  credential: Credential,
  named: CustomerName,
  query: TopUpListQuery,
): Promise<Page<ApiTopUp>> {
  const { database, directory, clock } = services;
  const environment = environmentInReach(directory, credential, named.environment);
  const customer = await findCustomer(database, environment.id, named.customer);
  const limit = query.limit ?? 50;
  const now = clock.now();
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let select = database
    .selectFrom('credit_lot')
    .innerJoin('product', 'product.id', 'credit_lot.product_id')
    .selectAll('credit_lot')
    .select('product.key as product_key')
    .where('credit_lot.customer_id', '=', customer.id)
    .orderBy('credit_lot.id')
    .limit(limit + 1);
  if (credential.productId !== null) {
    select = select.where('credit_lot.product_id', '=', credential.productId);
  }
  if (query.product !== undefined) {
    select = select.where(
      'credit_lot.product_id',
      '=',
      productInReach(directory, credential, query.product).id,
    );
  }
  if (query.feature !== undefined) select = select.where('credit_lot.feature', '=', query.feature);
  if (query.closed !== true) {
    select = select
      .where('credit_lot.closed_at', 'is', null)
      .where((where) =>
        where.or([
          where('credit_lot.ends_at', 'is', null),
          where('credit_lot.ends_at', '>', fromInstant(now)),
        ]),
      );
  }
  if (after !== undefined && isId(after)) select = select.where('credit_lot.id', '>', after);
  const rows = await select.execute();
  const scopes = rows.flatMap(({ scope }) => (scope === '' ? [] : [scope]));
  const instances = await instancesOf(database, customer.id, scopes);
  return toPage(
    rows,
    limit,
    (row) => {
      const target = targetOf(row.scope, customer.key, instances);
      return toApiTopUp(row, { customer: customer.key, product: row.product_key, target }, now);
    },
    (row) => [row.id],
  );
}
