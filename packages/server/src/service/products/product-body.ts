import type { ProductBody } from '@pennon/protocol/management/products';
import type { Selectable } from 'kysely';
import { toInstant } from '../../store/instant.js';
import type { ProductTable } from '../../store/tables.js';
import { toTime } from '../times.js';

export function toProductBody(row: Selectable<ProductTable>): ProductBody {
  return {
    id: row.id,
    key: row.key,
    name: row.name,
    headRevision: row.head_revision,
    version: row.version,
    createdAt: toTime(toInstant(row.created_at)),
  };
}
