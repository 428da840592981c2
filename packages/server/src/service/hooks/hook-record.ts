import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiWebhook } from '@pennon/protocol/management/webhooks';
import type { HookEventType } from '@pennon/protocol/webhooks/events';
import type { WebhookRow } from '../../store/hook-rows.js';
import { toInstantOrNull } from '../../store/instant.js';
import type { DataEntry } from '../contracts/data-change.js';
import type { Directory } from '../ports.js';
import { toTime, toTimeOrNull } from '../times.js';

export function toApiWebhook(row: WebhookRow, directory: Directory): ApiWebhook {
  return {
    id: row.id,
    url: row.url,
    description: row.description,
    product: row.product_id === null ? null : (directory.product(row.product_id)?.key ?? row.product_id),
    types: row.types === null ? null : (JSON.parse(row.types) as HookEventType[]),
    state: row.state === 'enabled' ? 'enabled' : 'disabled',
    stateReason: row.state_reason,
    failingSince: toTimeOrNull(toInstantOrNull(row.failing_since)),
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
    changedAt: toTime(row.changed_at.getTime()),
  };
}

/** A URL may carry what lets its caller in, so that the trail keeps its host only. */
export function webhookEntry(
  row: WebhookRow,
  action: string,
  directory: Directory,
  isThere = true,
): DataEntry {
  const { url, failingSince: _, ...shown } = toApiWebhook(row, directory);
  return {
    action,
    productId: row.product_id,
    objectKind: 'webhook',
    objectId: row.id,
    objectVersion: row.version,
    after: isThere ? ({ ...shown, host: new URL(url).host } as unknown as JsonObject) : null,
  };
}
