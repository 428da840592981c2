import type { ApiMembership } from '@pennon/protocol/management/memberships';
import { toInstantOrNull } from '../../store/instant.js';
import type { MembershipRow } from '../../store/member-rows.js';
import { toTime, toTimeOrNull } from '../times.js';

export function toApiMembership(row: MembershipRow, productKey: string): ApiMembership {
  return {
    product: productKey,
    container: { kind: row.container_kind, key: row.container_key },
    member: { kind: row.member_kind, key: row.member_key },
    startsAt: toTime(row.starts_at.getTime()),
    endsAt: toTimeOrNull(toInstantOrNull(row.ends_at)),
    reason: row.reason,
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}
