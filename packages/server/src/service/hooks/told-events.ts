import { isJsonObject, type JsonObject } from '@pennon/engine/model/json';
import type { ToldEvent } from '@pennon/protocol/webhooks/cloud-event';
import { isHookEventType } from '@pennon/protocol/webhooks/events';
import type { Kysely } from 'kysely';
import { type ClaimedDelivery, readTold, type ToldRow } from '../../store/hook-deliveries.js';
import { fromSubjectText, keysOfSubjects, renameSubjects } from '../../store/subject-names.js';
import type { Tables } from '../../store/tables.js';
import type { Directory } from '../ports.js';
import { toTime } from '../times.js';

/**
 * The events of deliveries in words, by id. Those that are kept no longer are absent. `null`: this process has no words for it, because it
 * is of a later release or of an environment that this process has not heard of yet; another process, or this one later, has.
 */
export async function readToldEvents(
  database: Kysely<Tables>,
  directory: Directory,
  asked: readonly Pick<ClaimedDelivery, 'event_id' | 'environment_id' | 'occurred_at'>[],
): Promise<ReadonlyMap<string, ToldEvent | null>> {
  const rows = [...(await readTold(database, asked)).values()].map((row) => ({ row, data: dataOf(row) }));
  const keys = new Map<string, string>();
  for (const environmentId of new Set(rows.map(({ row }) => row.environment_id))) {
    const ids = rows.flatMap(({ row, data }) => (row.environment_id === environmentId ? idsIn(data) : []));
    for (const [id, key] of await keysOfSubjects(database, environmentId, ids)) keys.set(id, key);
  }
  const told = new Map<string, ToldEvent | null>();
  for (const { row, data } of rows) {
    told.set(row.id, toToldEvent(directory, row, named(data, keys)));
  }
  return told;
}

function dataOf(row: ToldRow): JsonObject {
  const data: unknown = JSON.parse(row.data);
  return isJsonObject(data) ? data : {};
}

function idsIn(data: JsonObject): string[] {
  const ids: string[] = [];
  renameSubjects(data, ({ key }) => {
    const id = fromSubjectText(key);
    if (id !== null) ids.push(id);
    return key;
  });
  return ids;
}

/** Whoever was erased keeps the word that names nobody. */
function named(data: JsonObject, keys: ReadonlyMap<string, string>): JsonObject {
  const renamed = renameSubjects(data, ({ key }) => {
    const id = fromSubjectText(key);
    return id === null ? key : (keys.get(id) ?? key);
  });
  return isJsonObject(renamed) ? renamed : {};
}

function toToldEvent(directory: Directory, row: ToldRow, data: JsonObject): ToldEvent | null {
  const environment = directory.environment(row.environment_id);
  const product = row.product_id === null ? null : directory.product(row.product_id);
  if (environment === null || !isHookEventType(row.type)) return null;
  if (row.product_id !== null && product === null) return null;
  return {
    id: row.id,
    type: row.type,
    occurredAt: toTime(row.occurred_at.getTime()),
    environment: environment.key,
    product: product?.key ?? null,
    customer: row.customer_key,
    subject: row.subject ?? '',
    scope: row.scope,
    sequence: row.sequence,
    data,
  };
}
