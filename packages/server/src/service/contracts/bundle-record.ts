import type { GrantEffect } from '@pennon/engine/model/customer';
import type { ApiBundle, ApiBundleApplication } from '@pennon/protocol/management/bundles';
import type { Selectable } from 'kysely';
import { toInstantOrNull } from '../../store/instant.js';
import type { BundleApplicationTable, BundleTable } from '../../store/tables.js';
import { toTime, toTimeOrNull } from '../times.js';
import type { GrantRow } from './grant-record.js';

export type BundleRow = Selectable<BundleTable>;
export type ApplicationRow = Selectable<BundleApplicationTable>;

export function effectsOf(row: BundleRow): readonly GrantEffect[] {
  return JSON.parse(row.effects) as GrantEffect[];
}

export function toApiBundle(row: BundleRow, productKey: string): ApiBundle {
  return {
    id: row.id,
    key: row.key,
    product: productKey,
    name: row.name,
    description: row.description,
    kind: row.kind,
    days: row.days,
    owner: row.owner,
    effects: JSON.parse(row.effects) as Record<string, unknown>[],
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}

/** @param grants All that the application made, in the order of the bundle. */
export function toApiApplication(
  row: ApplicationRow,
  productKey: string,
  grants: readonly GrantRow[],
): ApiBundleApplication {
  return {
    id: row.id,
    bundle: row.bundle_key,
    bundleVersion: row.bundle_version,
    product: productKey,
    target: { kind: row.target_kind, key: row.target_key },
    kind: row.kind,
    grants: grants.map((grant) => ({
      id: grant.id,
      effect: JSON.parse(grant.effect) as Record<string, unknown>,
      endsAt: toTimeOrNull(toInstantOrNull(grant.ends_at)),
      revokedAt: toTimeOrNull(toInstantOrNull(grant.revoked_at)),
    })),
    startsAt: toTime(row.starts_at.getTime()),
    endsAt: toTimeOrNull(toInstantOrNull(row.ends_at)),
    reason: row.reason,
    owner: row.owner,
    contractReference: row.contract_reference,
    source: row.source,
    revokedAt: toTimeOrNull(toInstantOrNull(row.revoked_at)),
    revokeReason: row.revoke_reason,
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}
