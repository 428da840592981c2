import { fromInstant } from '../../store/instant.js';
import { type ContractServices, changeData } from '../contracts/data-change.js';
import { systemContext } from '../seed.js';
import { webhookEntry } from './hook-record.js';

/**
 * Switches a webhook off whose listener says that it is gone for good (410). What waits for it waits on; somebody may know better. One that
 * was given another listener meanwhile stays: the old one's last word is not about the new one.
 */
export async function disableGone(services: ContractServices, webhookId: string, url: string): Promise<void> {
  const found = await services.database
    .selectFrom('webhook')
    .select('environment_id')
    .where('id', '=', webhookId)
    .where('url', '=', url)
    .where('state', '=', 'enabled')
    .executeTakeFirst();
  if (found === undefined) return;
  const context = systemContext('The listener answered 410: it is gone.');
  await changeData(services, context, found.environment_id, async (change) => {
    const row = await change.transaction
      .updateTable('webhook')
      .set((values) => ({
        state: 'disabled' as const,
        state_reason: 'gone',
        version: values('version', '+', 1),
        changed_at: fromInstant(change.now),
      }))
      .where('id', '=', webhookId)
      .where('url', '=', url)
      .where('state', '=', 'enabled')
      .returningAll()
      .executeTakeFirst();
    if (row !== undefined) await change.record(webhookEntry(row, 'webhook.disable', services.directory));
    return { item: null, created: false };
  });
}
