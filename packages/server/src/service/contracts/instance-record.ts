import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiInstance } from '@pennon/protocol/management/customers';
import type { Selectable } from 'kysely';
import type { InstanceTable } from '../../store/tables.js';
import { toTime } from '../times.js';
import type { DataChange, DataEntry } from './data-change.js';

export type InstanceRow = Selectable<InstanceTable>;

export function toApiInstance(row: InstanceRow, customerKey: string): ApiInstance {
  return {
    id: row.id,
    key: row.key,
    customer: customerKey,
    name: row.name,
    metadata: row.metadata,
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}

export function touchInstance(change: DataChange, instance: { readonly key: string; readonly id: string }) {
  change.touchSubject('instance', instance.key);
  // Whoever names the instance by its id must hear of it too.
  change.touchSubject('instance', instance.id);
}

/** What people wrote of a deployment may say whose it is, so that it is forgotten with its customer. */
export function instanceEntry(customerId: string, instance: ApiInstance, action: string): DataEntry {
  const { key, name, metadata, ...rest } = instance;
  const members = { key, name, metadata: metadata as JsonObject };
  const removed = action === 'instance.remove';
  return {
    action,
    productId: null,
    objectKind: 'instance',
    objectId: instance.id,
    objectVersion: removed ? instance.version + 1 : instance.version,
    after: removed ? null : rest,
    ...(removed ? {} : { personal: { subjectKind: 'customer', subjectId: customerId, members } }),
  };
}
