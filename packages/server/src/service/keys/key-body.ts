import type { ApiKeyBody, TokenKeyBody } from '@pennon/protocol/management/keys';
import type { Selectable } from 'kysely';
import { toInstant, toInstantOrNull } from '../../store/instant.js';
import type { ApiKeyTable, TokenKeyTable } from '../../store/tables.js';
import type { Directory } from '../ports.js';
import { toTime, toTimeOrNull } from '../times.js';

export function toApiKeyBody(row: Selectable<ApiKeyTable>, directory: Directory): ApiKeyBody {
  return {
    id: row.id,
    kind: row.kind,
    environment: environmentKey(row.environment_id, directory),
    product: productKey(row.product_id, directory),
    name: row.name,
    hint: row.hint,
    source: 'api',
    version: row.version,
    createdAt: toTime(toInstant(row.created_at)),
    expiresAt: toTimeOrNull(toInstantOrNull(row.expires_at)),
    revokedAt: toTimeOrNull(toInstantOrNull(row.revoked_at)),
  };
}

export function toTokenKeyBody(row: Selectable<TokenKeyTable>, directory: Directory): TokenKeyBody {
  return {
    id: row.id,
    environment: environmentKey(row.environment_id, directory) ?? row.environment_id,
    product: productKey(row.product_id, directory),
    name: row.name,
    publicJwk: JSON.parse(row.public_jwk) as TokenKeyBody['publicJwk'],
    version: row.version,
    createdAt: toTime(toInstant(row.created_at)),
    retiresAt: toTimeOrNull(toInstantOrNull(row.retires_at)),
    revokedAt: toTimeOrNull(toInstantOrNull(row.revoked_at)),
  };
}

function environmentKey(id: string | null, directory: Directory): string | null {
  return id === null ? null : (directory.environment(id)?.key ?? id);
}

function productKey(id: string | null, directory: Directory): string | null {
  return id === null ? null : (directory.product(id)?.key ?? id);
}
