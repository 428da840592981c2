import type { Instant } from '@pennon/engine/model/customer';
import type { JsonObject } from '@pennon/engine/model/json';
import type { ApiTopUp } from '@pennon/protocol/management/top-ups';
import type { Selectable } from 'kysely';
import { toInstantOrNull } from '../../store/instant.js';
import type { CreditLotTable } from '../../store/lot-tables.js';
import { toTime, toTimeOrNull } from '../times.js';
import type { DataEntry } from './data-change.js';

export type LotRow = Selectable<CreditLotTable>;

/** Whose a lot is, for its reader: the scope says only which user or instance. */
export interface LotNames {
  readonly customer: string;
  readonly product: string;
  readonly target: ApiTopUp['target'];
}

function stateOf(row: LotRow, now: Instant): ApiTopUp['state'] {
  if (row.voided_at !== null) return 'voided';
  if (row.ends_at !== null && row.ends_at.getTime() <= now) return 'ended';
  if (row.remaining === 0) return 'used-up';
  return row.starts_at.getTime() > now ? 'scheduled' : 'open';
}

export function toApiTopUp(row: LotRow, names: LotNames, now: Instant): ApiTopUp {
  return {
    id: row.id,
    customer: names.customer,
    product: names.product,
    feature: row.feature,
    target: names.target,
    kind: row.kind,
    priority: row.priority,
    amount: row.amount,
    remaining: row.remaining,
    state: stateOf(row, now),
    startsAt: toTime(row.starts_at.getTime()),
    endsAt: toTimeOrNull(toInstantOrNull(row.ends_at)),
    source: row.source,
    reason: row.reason,
    grant: row.grant_id,
    voidedAt: toTimeOrNull(toInstantOrNull(row.voided_at)),
    voidReason: row.void_reason,
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}

export function lotEntry(
  row: LotRow,
  item: ApiTopUp,
  action: 'top-up.create' | 'top-up.void' | 'top-up.extend',
): DataEntry {
  return {
    action,
    productId: row.product_id,
    objectKind: 'top-up',
    objectId: row.id,
    objectVersion: row.version,
    after: item as unknown as JsonObject,
  };
}
