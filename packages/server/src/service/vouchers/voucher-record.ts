import type { GrantEffect, Instant } from '@pennon/engine/model/customer';
import type {
  ApiRedemption,
  ApiVoucher,
  ApiVoucherCode,
  VoucherState,
} from '@pennon/protocol/management/vouchers';
import type { Selectable } from 'kysely';
import { toInstantOrNull } from '../../store/instant.js';
import type { VoucherCodeTable, VoucherRedemptionTable, VoucherTable } from '../../store/voucher-tables.js';
import { toTime, toTimeOrNull } from '../times.js';

export type VoucherRow = Selectable<VoucherTable>;
export type VoucherCodeRow = Selectable<VoucherCodeTable>;
export type RedemptionRow = Selectable<VoucherRedemptionTable>;

const DAY_MILLISECONDS = 86_400_000;

/** What was decided stands in the row; what time and count say is told here and stored nowhere. */
export function stateOf(row: VoucherRow, now: Instant): VoucherState {
  if (row.state !== 'active') return row.state;
  if (isExpired(row, now)) return 'expired';
  return isExhausted(row) ? 'exhausted' : 'active';
}

/** Also where everything that it could give is over. */
export function isExpired({ ends_at, lasts_until }: VoucherRow, now: Instant): boolean {
  return (
    (ends_at !== null && now >= ends_at.getTime()) || (lasts_until !== null && now >= lasts_until.getTime())
  );
}

export function isExhausted({ redeemed, max_redemptions }: VoucherRow): boolean {
  return max_redemptions !== null && redeemed >= max_redemptions;
}

export function effectsOf(row: VoucherRow): readonly GrantEffect[] {
  return JSON.parse(row.effects) as GrantEffect[];
}

export function plansOf(row: VoucherRow): readonly string[] | null {
  return row.plans === null ? null : (JSON.parse(row.plans) as string[]);
}

/** When what is given at that instant ends; `null`: never. */
export function endOf({ lasts_days, lasts_until }: VoucherRow, now: Instant): Instant | null {
  if (lasts_days !== null) return now + lasts_days * DAY_MILLISECONDS;
  return toInstantOrNull(lasts_until);
}

export function toApiVoucher(row: VoucherRow, productKey: string, now: Instant): ApiVoucher {
  const { lasts_days: days, lasts_until: until } = row;
  return {
    id: row.id,
    product: productKey,
    key: row.key,
    name: row.name,
    kind: row.kind,
    state: stateOf(row, now),
    effects: JSON.parse(row.effects) as Record<string, unknown>[],
    target: row.target_kind,
    lasts: days !== null ? { days } : until !== null ? { until: toTime(until.getTime()) } : 'forever',
    startsAt: toTime(row.starts_at.getTime()),
    endsAt: toTimeOrNull(toInstantOrNull(row.ends_at)),
    maxRedemptions: row.max_redemptions,
    maxPerCustomer: row.max_per_customer,
    redeemed: row.redeemed,
    eligibility: row.eligibility,
    plans: row.plans === null ? null : (JSON.parse(row.plans) as string[]),
    firstTimeOnly: row.first_time_only,
    stacking: row.stacking,
    stackingGroup: row.stacking_group,
    contractReference: row.contract_reference,
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}

export function toApiCode(row: VoucherCodeRow): ApiVoucherCode {
  return {
    id: row.id,
    batch: row.batch_id,
    kind: row.kind,
    hint: row.hint,
    redemptionsPerCode: row.max_redemptions,
    redeemed: row.redeemed,
    createdAt: toTime(row.created_at.getTime()),
    withdrawnAt: toTimeOrNull(toInstantOrNull(row.withdrawn_at)),
    withdrawReason: row.withdraw_reason,
    version: row.version,
  };
}

/** A grant that a redemption made, as its row remembers it. */
export interface GivenGrant {
  readonly id: string;
  readonly effect: GrantEffect;
}

export function givenGrants(row: RedemptionRow): readonly GivenGrant[] {
  return JSON.parse(row.grants) as GivenGrant[];
}

/** Whose keys a redemption is shown by. */
export interface RedemptionNames {
  readonly voucher: string;
  readonly product: string;
  readonly customer: string;
}

export function toApiRedemption(row: RedemptionRow, names: RedemptionNames): ApiRedemption {
  return {
    id: row.id,
    ...names,
    target: { kind: row.target_kind, key: row.target_key },
    codeHint: row.code_hint,
    grants: JSON.parse(row.grants) as ApiRedemption['grants'],
    redeemedAt: toTime(row.redeemed_at.getTime()),
    endsAt: toTimeOrNull(toInstantOrNull(row.ends_at)),
    revokedAt: toTimeOrNull(toInstantOrNull(row.revoked_at)),
    revokeReason: row.revoke_reason,
    kept: JSON.parse(row.kept) as ApiRedemption['kept'],
    version: row.version,
  };
}
