import type { GrantEffect } from '@pennon/engine/model/customer';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { ApiGrant } from '@pennon/protocol/management/grants';
import type { Selectable } from 'kysely';
import { toInstantOrNull } from '../../store/instant.js';
import type { AccessGrantTable } from '../../store/tables.js';
import type { Snapshots } from '../ports.js';
import { toTime, toTimeOrNull } from '../times.js';

export type GrantRow = Selectable<AccessGrantTable>;

function toApiGrant(row: GrantRow, productKey: string, alsoGrants: readonly string[]): ApiGrant {
  return {
    id: row.id,
    product: productKey,
    target: { kind: row.target_kind, key: row.target_key },
    kind: row.kind,
    effect: JSON.parse(row.effect) as Record<string, unknown>,
    alsoGrants: [...alsoGrants],
    startsAt: toTime(row.starts_at.getTime()),
    endsAt: toTimeOrNull(toInstantOrNull(row.ends_at)),
    reason: row.reason,
    owner: row.owner,
    contractReference: row.contract_reference,
    source: row.source,
    application: row.application_id,
    revokedAt: toTimeOrNull(toInstantOrNull(row.revoked_at)),
    revokeReason: row.revoke_reason,
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}

/** The grant with what goes along with it by the catalog of its environment. */
export function toGrantOf(
  snapshots: Pick<Snapshots, 'current'>,
  row: GrantRow,
  productKey: string,
): ApiGrant {
  const snapshot = snapshots.current(row.product_id, row.environment_id);
  return toApiGrant(row, productKey, alsoGrantedBy(JSON.parse(row.effect) as GrantEffect, snapshot));
}

/** What goes along with a granted flag by what is published now: the very rule by which the engine decides. */
function alsoGrantedBy(effect: GrantEffect, snapshot: Snapshot | null): string[] {
  if (effect.type !== 'flag' || effect.requires === 'respect') return [];
  const required = snapshot?.flags.get(effect.flag)?.requires ?? [];
  return required.filter((key) => {
    const feature = snapshot?.features.get(key);
    if (feature === undefined) return false;
    return feature.type === 'boolean' || (effect.limits !== undefined && Object.hasOwn(effect.limits, key));
  });
}
