import { type Kysely, type Selectable, sql } from 'kysely';
import type { WebhookTable } from './hook-tables.js';
import type { Tables } from './tables.js';

/* Webhooks themselves, as the jobs read them. */

export type WebhookRow = Selectable<WebhookTable>;

/** All that are enabled, of every environment or of those that are named. */
export function readEnabledWebhooks(
  database: Kysely<Tables>,
  environmentIds: readonly string[] | null = null,
): Promise<WebhookRow[]> {
  let select = database.selectFrom('webhook').selectAll().where('state', '=', 'enabled').orderBy('id');
  if (environmentIds !== null) select = select.where('environment_id', 'in', [...environmentIds]);
  return select.execute();
}

/** Of each webhook the secrets that are in force, the newest first. */
export async function readSecrets(
  database: Kysely<Tables>,
  webhookIds: readonly string[],
  now: Date,
): Promise<ReadonlyMap<string, readonly Buffer[]>> {
  if (webhookIds.length === 0) return new Map();
  const rows = await database
    .selectFrom('webhook_secret')
    .select(['webhook_id', 'secret'])
    .where('webhook_id', 'in', [...webhookIds])
    .where((where) => where.or([where('ends_at', 'is', null), where('ends_at', '>', now)]))
    .orderBy('id', 'desc')
    .execute();
  const secrets = new Map<string, Buffer[]>();
  for (const { webhook_id, secret } of rows) {
    const known = secrets.get(webhook_id);
    if (known === undefined) secrets.set(webhook_id, [secret]);
    else known.push(secret);
  }
  return secrets;
}

/** Its listener began to fail, or accepts again: for whoever looks, and no change of anybody's. */
export async function noteFailing(
  database: Kysely<Tables>,
  webhookId: string,
  isFailing: boolean,
): Promise<void> {
  await database
    .updateTable('webhook')
    .set({ failing_since: isFailing ? sql<Date>`coalesce(failing_since, now())` : null })
    .where('id', '=', webhookId)
    .where('failing_since', isFailing ? 'is' : 'is not', null)
    .execute();
}
