import type { EnvironmentBody } from '@pennon/protocol/management/environments';
import type { Selectable } from 'kysely';
import { toInstant } from '../../store/instant.js';
import type { EnvironmentTable } from '../../store/tables.js';
import { toTime } from '../times.js';

type EnvironmentRow = Omit<Selectable<EnvironmentTable>, 'subject_version' | 'shared_version'>;

export function toEnvironmentBody(row: EnvironmentRow): EnvironmentBody {
  return {
    id: row.id,
    key: row.key,
    name: row.name,
    protected: row.protected,
    version: row.version,
    createdAt: toTime(toInstant(row.created_at)),
  };
}
