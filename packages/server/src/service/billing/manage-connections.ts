import type { Instant } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import type {
  ApiBillingConnection,
  BillingConnectionCreate,
  BillingConnectionPatch,
  BillingSecretCreate,
} from '@pennon/protocol/management/billing';
import type { PageQuery } from '@pennon/protocol/management/common';
import { countHeldLicenses, removeConnectionRows } from '../../store/billing-rows.js';
import { type BillingConnectionRow, noteReconciled } from '../../store/inbox-rows.js';
import { fromInstant } from '../../store/instant.js';
import {
  type Changed,
  type ContractServices,
  changeData,
  type DataChange,
} from '../contracts/data-change.js';
import { notFound, refuse } from '../contracts/refusals.js';
import type { ChangeContext, Credential } from '../credential.js';
import { isId, newId } from '../new-id.js';
import { fromCursor, type Page, toPage } from '../page.js';
import type { EnvironmentRecord } from '../ports.js';
import { checkPrecondition, type Precondition } from '../precondition.js';
import { ServiceError } from '../service-error.js';
import { type BillingSecret, secretsOf } from './billing-secrets.js';
import { toApiConnection } from './connection-record.js';
import { reachedWhole } from './reached-whole.js';

const STANDARD_PREFIX = 'whsec_';
const BASE_64 = /^[A-Za-z0-9+/]+={0,2}$/;

export interface ConnectionName {
  readonly environment: string;
  /** An id or a key. */
  readonly connection: string;
}

export async function createConnection(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: { readonly environment: string },
  body: BillingConnectionCreate,
): Promise<Changed<ApiBillingConnection>> {
  const environment = reachedWhole(services, credential, named.environment);
  if (body.apiKey !== undefined && body.provider !== 'stripe') throw noApi(body.provider);
  checkSecret(body.provider, body.secret);
  return changeData(services, context, environment.id, async (change) => {
    await checkFree(change, body.key);
    await checkModes(change, body.mode === 'live');
    const row = await change.transaction
      .insertInto('billing_connection')
      .values({
        id: newId(),
        environment_id: environment.id,
        key: body.key,
        provider: body.provider,
        mapping: body.mapping ?? body.key,
        is_live: body.mode === 'live',
        account: body.account ?? '',
        secrets: JSON.stringify(body.secret === undefined ? [] : [newSecret(body.secret, change.now)]),
        api_key: body.apiKey ?? null,
        version: 1,
        created_at: fromInstant(change.now),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    return { item: await record(change, row, 'billing-connection.create'), created: true };
  });
}

/** Another mapping, account or API key. Provider and mode stay: another one is another connection. */
export function changeConnection(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: ConnectionName,
  body: BillingConnectionPatch,
  precondition: Precondition,
): Promise<Changed<ApiBillingConnection>> {
  return change(services, credential, context, named, precondition, 'billing-connection.change', (row) => {
    if (typeof body.apiKey === 'string' && row.provider !== 'stripe') throw noApi(row.provider);
    return {
      ...row,
      mapping: body.mapping ?? row.mapping,
      account: body.account ?? row.account,
      api_key: body.apiKey === undefined ? row.api_key : body.apiKey,
    };
  });
}

/** Adds a secret; those before are good for the overlap, which is none where one became known. */
export function rotateSecret(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: ConnectionName,
  body: BillingSecretCreate,
  precondition: Precondition,
): Promise<Changed<ApiBillingConnection>> {
  return change(
    services,
    credential,
    context,
    named,
    precondition,
    'billing-connection.rotate',
    (row, now) => {
      checkSecret(row.provider, body.secret);
      const ends = now + body.overlapSeconds * 1000;
      const before = secretsOf(row.secrets)
        .filter(({ endsAt }) => endsAt === null || now < endsAt)
        .map((one) => ({ ...one, endsAt: Math.min(one.endsAt ?? ends, ends) }));
      return { ...row, secrets: JSON.stringify([...before, newSecret(body.secret, now)]) };
    },
  );
}

export async function readConnection(
  services: ContractServices,
  credential: Credential,
  named: ConnectionName,
): Promise<ApiBillingConnection> {
  const environment = reachedWhole(services, credential, named.environment);
  const row = await findConnection(services.database, environment, named.connection);
  return toApiConnection(row, services.clock.now());
}

export async function listConnections(
  services: ContractServices,
  credential: Credential,
  named: { readonly environment: string },
  query: PageQuery,
): Promise<Page<ApiBillingConnection>> {
  const environment = reachedWhole(services, credential, named.environment);
  const limit = query.limit ?? 50;
  const [after] = fromCursor(query.cursor, 1) ?? [];
  let select = services.database
    .selectFrom('billing_connection')
    .selectAll()
    .where('environment_id', '=', environment.id)
    .orderBy('key')
    .limit(limit + 1);
  if (after !== undefined) select = select.where('key', '>', after);
  const now = services.clock.now();
  return toPage(
    await select.execute(),
    limit,
    (row) => toApiConnection(row, now),
    (row) => [row.key],
  );
}

/** With its inbox, links and what is known of its subscriptions. What it licensed must be over: nothing would end it any more. */
export function removeConnection(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: ConnectionName,
  precondition: Precondition,
): Promise<Changed<null>> {
  const environment = reachedWhole(services, credential, named.environment);
  return changeData(services, context, environment.id, async (held) => {
    const row = await findConnection(held.transaction, environment, named.connection, true);
    const item = toApiConnection(row, held.now);
    checkPrecondition(precondition, { tag: String(row.version), item }, `The connection \`${row.key}\``);
    const count = await countHeldLicenses(held.transaction, row.id, fromInstant(held.now));
    if (count > 0) throw holdsLicenses(row.key, count);
    await removeConnectionRows(held.transaction, row.id);
    await held.record({
      action: 'billing-connection.remove',
      productId: null,
      objectKind: 'billing-connection',
      objectId: row.id,
      objectVersion: row.version + 1,
      after: null,
    });
    return { item: null, created: false };
  });
}

/** Asks the provider for everything soon, and not only by schedule. */
export function askForEverything(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: ConnectionName,
): Promise<Changed<ApiBillingConnection>> {
  const environment = reachedWhole(services, credential, named.environment);
  return changeData(services, context, environment.id, async (held) => {
    const row = await findConnection(held.transaction, environment, named.connection, true);
    if (row.api_key === null) throw withoutKey(row.key);
    await noteReconciled(held.transaction, row.id, null);
    return { item: await record(held, row, 'billing-connection.reconcile'), created: false };
  });
}

async function change(
  services: ContractServices,
  credential: Credential,
  context: ChangeContext,
  named: ConnectionName,
  precondition: Precondition,
  action: string,
  work: (row: BillingConnectionRow, now: Instant) => BillingConnectionRow,
): Promise<Changed<ApiBillingConnection>> {
  const environment = reachedWhole(services, credential, named.environment);
  return changeData(services, context, environment.id, async (held) => {
    const row = await findConnection(held.transaction, environment, named.connection, true);
    const item = toApiConnection(row, held.now);
    checkPrecondition(precondition, { tag: String(row.version), item }, `The connection \`${row.key}\``);
    const { mapping, account, api_key, secrets } = work(row, held.now);
    const written = await held.transaction
      .updateTable('billing_connection')
      .set({ mapping, account, api_key, secrets, version: row.version + 1 })
      .where('id', '=', row.id)
      .returningAll()
      .executeTakeFirstOrThrow();
    return { item: await record(held, written, action), created: false };
  });
}

/** By key or id. @throws ServiceError `BILLING_CONNECTION_NOT_FOUND` (404) */
export async function findConnection(
  database: ContractServices['database'],
  environment: EnvironmentRecord,
  name: string,
  isHeld = false,
): Promise<BillingConnectionRow> {
  const row = await database
    .selectFrom('billing_connection')
    .selectAll()
    .where('environment_id', '=', environment.id)
    .where(isId(name) ? 'id' : 'key', '=', name)
    .$if(isHeld, (select) => select.forUpdate())
    .executeTakeFirst();
  if (row !== undefined) return row;
  throw notFound(
    'BILLING_CONNECTION_NOT_FOUND',
    `The connection \`${name.slice(0, 128)}\``,
    'GET …/billing-connections lists those that exist.',
  );
}

/**
 * INVARIANT: an environment takes live mode or test mode, never both: what is bought with a test card must not open anything of a
 * customer who pays.
 */
async function checkModes(change: DataChange, isLive: boolean): Promise<void> {
  // Two that are made at once would both find nobody of the other mode.
  await change.transaction
    .selectFrom('environment')
    .select('id')
    .where('id', '=', change.environmentId)
    .forUpdate()
    .execute();
  const found = await change.transaction
    .selectFrom('billing_connection')
    .select('key')
    .where('environment_id', '=', change.environmentId)
    .where('is_live', '=', !isLive)
    .executeTakeFirst();
  if (found === undefined) return;
  const [wanted, taken] = isLive ? ['live', 'test'] : ['test', 'live'];
  throw refuse(
    'conflict',
    'BILLING_MODES_MIXED',
    `The connection \`${found.key}\` of this environment is of ${taken} mode. Connect ${wanted} mode in an environment of its own.`,
    '/mode',
  );
}

async function checkFree(change: DataChange, key: string): Promise<void> {
  const found = await change.transaction
    .selectFrom('billing_connection')
    .select('id')
    .where('environment_id', '=', change.environmentId)
    .where('key', '=', key)
    .executeTakeFirst();
  if (found === undefined) return;
  throw refuse(
    'conflict',
    'BILLING_CONNECTION_EXISTS',
    `There is a connection \`${key}\` in this environment. Choose another key, or change that one.`,
    '/key',
  );
}

async function record(
  change: DataChange,
  row: BillingConnectionRow,
  action: string,
): Promise<ApiBillingConnection> {
  const item = toApiConnection(row, change.now);
  await change.record({
    action,
    productId: null,
    objectKind: 'billing-connection',
    objectId: row.id,
    objectVersion: row.version,
    after: item as unknown as JsonObject,
  });
  return item;
}

/** A secret that cannot be read would fail each delivery, those of the other secrets too. */
function checkSecret(provider: string, secret: string | undefined): void {
  if (provider !== 'standard' || secret === undefined) return;
  const text = secret.startsWith(STANDARD_PREFIX) ? secret.slice(STANDARD_PREFIX.length) : secret;
  if (text.length % 4 === 0 && BASE_64.test(text)) return;
  throw refuse(
    'unprocessable',
    'BILLING_SECRET_INVALID',
    'The secret is not base64. Standard Webhooks need it so, with `whsec_` or without: encode what the provider shows.',
    '/secret',
  );
}

function newSecret(secret: string, now: Instant): BillingSecret {
  return { id: newId(now), secret, createdAt: now, endsAt: null };
}

function noApi(provider: string): ServiceError {
  return refuse(
    'unprocessable',
    'BILLING_API_UNKNOWN',
    `Nothing is fetched of \`${provider}\`: its events say all that there is. Leave \`apiKey\` out.`,
    '/apiKey',
  );
}

function holdsLicenses(key: string, count: number): ServiceError {
  const message = `The connection \`${key}\` made ${count} licenses that are not over. Let their subscriptions end, or end the licenses, before it is removed.`;
  return new ServiceError('conflict', 'BILLING_CONNECTION_HOLDS_LICENSES', message);
}

function withoutKey(key: string): ServiceError {
  const message = `The connection \`${key}\` has no key of the provider’s API, so that nothing can be asked. Set its \`apiKey\`.`;
  return new ServiceError('unprocessable', 'BILLING_API_KEY_MISSING', message);
}
