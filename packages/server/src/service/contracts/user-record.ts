import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiUser } from '@pennon/protocol/management/customers';
import type { Selectable } from 'kysely';
import type { CustomerUserTable } from '../../store/tables.js';
import { toTime } from '../times.js';
import type { DataEntry } from './data-change.js';

export type UserRow = Selectable<CustomerUserTable>;

export function toApiUser(row: UserRow, customerKey: string): ApiUser {
  return {
    id: row.id,
    key: row.key,
    customer: customerKey,
    name: row.name,
    email: row.email,
    attributes: row.attributes,
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}

/** Whatever could say who it is enters the trail only encrypted under that person's key: their key is often a mail address. */
export function userEntry(user: ApiUser, action: string): DataEntry {
  const { key, name, email, attributes, ...rest } = user;
  const members = { key, name, email, attributes: attributes as JsonObject };
  const removed = action === 'user.remove';
  return {
    action,
    productId: null,
    objectKind: 'user',
    objectId: user.id,
    objectVersion: removed ? user.version + 1 : user.version,
    after: removed ? null : rest,
    ...(removed ? {} : { personal: { subjectKind: 'user', subjectId: user.id, members } }),
  };
}
