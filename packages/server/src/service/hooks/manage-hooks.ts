import { LIMITS } from '@pennon/engine/model/limits';
import type { PageQuery } from '@pennon/protocol/management/common';
import type {
  ApiCreatedWebhook,
  ApiWebhook,
  WebhookCreate,
  WebhookPatch,
  WebhookRotate,
} from '@pennon/protocol/management/webhooks';
import type { Kysely } from 'kysely';
import { checkHookUrl, type HookPolicy } from '../../outbound/hook-url.js';
import type { HookSender } from '../../outbound/send-hook.js';
import type { WebhookRow } from '../../store/hook-rows.js';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
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
import { environmentInReach, productInReach } from '../scope.js';
import { ServiceError } from '../service-error.js';
import { toApiWebhook, webhookEntry } from './hook-record.js';
import { newHookSecret, toSecretText } from './sign-hook.js';

export interface HookServices extends ContractServices {
  readonly policy: HookPolicy;
  readonly sender: HookSender;
  readonly userAgent: string;
  /** Called after a webhook changed. */
  readonly jobs: { refresh(): void };
}

export interface WebhookName {
  readonly environment: string;
  readonly webhook: string;
}

const DEFAULT_OVERLAP_SECONDS = 86_400;

/** Makes a webhook; its secret is in this answer and in no other. */
export async function createWebhook(
  services: HookServices,
  credential: Credential,
  context: ChangeContext,
  named: { readonly environment: string },
  body: WebhookCreate,
): Promise<Changed<ApiCreatedWebhook>> {
  const { directory } = services;
  const environment = environmentInReach(directory, credential, named.environment);
  const product = body.product ?? credential.productId;
  const productId = product === null ? null : productInReach(directory, credential, product).id;
  const url = readUrl(services, body.url);
  const made = await changeData(services, context, environment.id, async (change) => {
    await checkCount(change);
    const at = fromInstant(change.now);
    const row = await change.transaction
      .insertInto('webhook')
      .values({
        id: newId(),
        environment_id: environment.id,
        product_id: productId,
        url,
        description: body.description ?? '',
        types: typesText(body.types),
        state: 'enabled',
        state_reason: null,
        failing_since: null,
        version: 1,
        created_at: at,
        changed_at: at,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    const secret = await addSecret(change, row);
    await change.record(webhookEntry(row, 'webhook.create', directory));
    return { item: { ...toApiWebhook(row, directory), secret }, created: true };
  });
  services.jobs.refresh();
  return made;
}

function readUrl({ policy }: HookServices, text: string): string {
  const checked = checkHookUrl(text, policy);
  if ('url' in checked) return checked.url.href;
  throw refuse('unprocessable', checked.code, checked.message, '/url');
}

/** Sorted, so that the same wish is the same text. */
function typesText(types: readonly string[] | null | undefined): string | null {
  return types === null || types === undefined ? null : JSON.stringify([...types].sort());
}

async function checkCount(change: DataChange): Promise<void> {
  const { count } = await change.transaction
    .selectFrom('webhook')
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .where('environment_id', '=', change.environmentId)
    .where('state', '<>', 'removed')
    .executeTakeFirstOrThrow();
  if (count >= LIMITS.webhooksPerEnvironment.value) {
    throw new ServiceError(
      'unprocessable',
      'TOO_MANY_WEBHOOKS',
      `The environment has ${count} webhooks, which is the limit. Remove those that nobody listens to.`,
    );
  }
}

async function addSecret(change: DataChange, row: WebhookRow): Promise<string> {
  const secret = newHookSecret();
  const made = { webhook_id: row.id, id: newId(), environment_id: row.environment_id, secret };
  await change.transaction
    .insertInto('webhook_secret')
    .values({ ...made, created_at: fromInstant(change.now), ends_at: null })
    .execute();
  return toSecretText(secret);
}

export async function listWebhooks(
  services: ContractServices,
  credential: Credential,
  named: { readonly environment: string },
  { cursor, limit = 50 }: PageQuery,
): Promise<Page<ApiWebhook>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const [after] = fromCursor(cursor, 1) ?? [];
  let select = inReach(services.database, credential, environment)
    .orderBy('id')
    .limit(limit + 1);
  if (after !== undefined && isId(after)) select = select.where('id', '>', after);
  return toPage(
    await select.execute(),
    limit,
    (row) => toApiWebhook(row, services.directory),
    (row) => [row.id],
  );
}

/** INVARIANT (law 11): a webhook of another environment, or of products beyond the reach, does not exist. */
function inReach(database: Kysely<Tables>, { productId }: Credential, environment: EnvironmentRecord) {
  const select = database
    .selectFrom('webhook')
    .selectAll()
    .where('environment_id', '=', environment.id)
    .where('state', '<>', 'removed');
  return productId === null ? select : select.where('product_id', '=', productId);
}

export async function findWebhook(
  services: ContractServices,
  credential: Credential,
  named: WebhookName,
  transaction: Kysely<Tables> | null = null,
): Promise<WebhookRow> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const select = inReach(transaction ?? services.database, credential, environment).where(
    'id',
    '=',
    named.webhook,
  );
  const row = isId(named.webhook)
    ? await (transaction === null ? select : select.forUpdate()).executeTakeFirst()
    : undefined;
  if (row === undefined) {
    throw notFound('WEBHOOK_NOT_FOUND', nameOf(named.webhook), 'GET …/webhooks lists those that exist.');
  }
  return row;
}

function nameOf(id: string): string {
  return `The webhook \`${id.slice(0, 64)}\``;
}

export async function readWebhook(
  services: ContractServices,
  credential: Credential,
  named: WebhookName,
): Promise<ApiWebhook> {
  return toApiWebhook(await findWebhook(services, credential, named), services.directory);
}

/** Changes what is named. Enabled again, it is sent what waited for it; what was told meanwhile comes by a replay. */
export function patchWebhook(
  services: HookServices,
  credential: Credential,
  context: ChangeContext,
  named: WebhookName,
  body: WebhookPatch,
  precondition: Precondition,
): Promise<Changed<ApiWebhook>> {
  return change(services, credential, context, named, precondition, async (held, row) => {
    const saved = await save(held, row, {
      url: body.url === undefined ? row.url : readUrl(services, body.url),
      description: body.description ?? row.description,
      types: body.types === undefined ? row.types : typesText(body.types),
      state: body.state ?? row.state,
      state_reason: body.state === undefined ? row.state_reason : null,
      // Of another listener nothing is known.
      failing_since: body.url === undefined && body.state === undefined ? row.failing_since : null,
    });
    await held.record(webhookEntry(saved, 'webhook.change', services.directory));
    return toApiWebhook(saved, services.directory);
  });
}

/** Makes another secret. Until the overlap ends both sign, so that the listener changes over when it likes. */
export function rotateWebhook(
  services: HookServices,
  credential: Credential,
  context: ChangeContext,
  named: WebhookName,
  body: WebhookRotate,
  precondition: Precondition,
): Promise<Changed<ApiCreatedWebhook>> {
  return change(services, credential, context, named, precondition, async (held, row) => {
    const { overlapSeconds = DEFAULT_OVERLAP_SECONDS } = body;
    const endsAt = fromInstant(held.now + overlapSeconds * 1000);
    const secrets = held.transaction.updateTable('webhook_secret').where('webhook_id', '=', row.id);
    // One that was leaving already leaves now: with three in force nobody would know which to keep.
    await secrets
      .set({ ends_at: fromInstant(held.now) })
      .where('ends_at', '>', fromInstant(held.now))
      .execute();
    await secrets.set({ ends_at: endsAt }).where('ends_at', 'is', null).execute();
    const secret = await addSecret(held, row);
    const saved = await save(held, row, {});
    await held.record(webhookEntry(saved, 'webhook.rotate', services.directory));
    return { ...toApiWebhook(saved, services.directory), secret };
  });
}

/** Ends it at once. What was put by for it is forgotten in the background. */
export function removeWebhook(
  services: HookServices,
  credential: Credential,
  context: ChangeContext,
  named: WebhookName,
  precondition: Precondition,
): Promise<Changed<null>> {
  return change(services, credential, context, named, precondition, async (held, row) => {
    const saved = await save(held, row, { state: 'removed' });
    await held.transaction.deleteFrom('webhook_secret').where('webhook_id', '=', row.id).execute();
    await held.record(webhookEntry(saved, 'webhook.remove', services.directory, false));
    return null;
  });
}

async function save(held: DataChange, row: WebhookRow, columns: Partial<WebhookRow>): Promise<WebhookRow> {
  return held.transaction
    .updateTable('webhook')
    .set({ ...columns, version: row.version + 1, changed_at: fromInstant(held.now) })
    .where('id', '=', row.id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

async function change<Item>(
  services: HookServices,
  credential: Credential,
  context: ChangeContext,
  named: WebhookName,
  precondition: Precondition,
  work: (held: DataChange, row: WebhookRow) => Promise<Item>,
): Promise<Changed<Item>> {
  const environment = environmentInReach(services.directory, credential, named.environment);
  const changed = await changeData(services, context, environment.id, async (held) => {
    const row = await findWebhook(services, credential, named, held.transaction);
    const current = { tag: String(row.version), item: toApiWebhook(row, services.directory) };
    checkPrecondition(precondition, current, nameOf(row.id));
    return { item: await work(held, row), created: false };
  });
  services.jobs.refresh();
  return changed;
}
