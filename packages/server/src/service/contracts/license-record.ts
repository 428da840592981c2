import type {
  EarlierPlan,
  Instant,
  LicenseAddon,
  LicenseKind,
  LicenseStatus,
} from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import { anchorAt, isSameAnchor, parseAnchor } from '@pennon/engine/period/anchor';
import type { ApiLicense } from '@pennon/protocol/management/licenses';
import type { Selectable } from 'kysely';
import { fromInstant, fromInstantOrNull, toInstantOrNull } from '../../store/instant.js';
import type { LicenseTable } from '../../store/tables.js';
import { fromTime, toTime, toTimeOrNull } from '../times.js';
import type { LicenseTerms } from './license-terms.js';

export type LicenseRow = Selectable<LicenseTable>;

/** What a license was before it was canceled. */
export interface BeforeCancel {
  readonly status: LicenseStatus;
  readonly endsAt: string | null;
}

export function earlierPlansOf(row: LicenseRow): readonly EarlierPlan[] {
  return row.earlier_plans as unknown as readonly EarlierPlan[];
}

export function beforeCancelOf(row: LicenseRow): BeforeCancel | null {
  return row.before_cancel as unknown as BeforeCancel | null;
}

/**
 * The row as the clock sees it: a plan change whose instant has come is what the license is to. Every change of a license begins
 * with this, so that it is written down the next time that anything is; until then the engine reads it by the clock.
 */
export function settledAt(row: LicenseRow, now: Instant): LicenseRow {
  const { next_plan_key: plan, next_plan_version: version, next_plan_at: at, next_anchor: anchor } = row;
  if (plan === null || version === null || at === null || at.getTime() > now) return row;
  return {
    ...row,
    ...withoutNext,
    earlier_plans: withEarlier(row, at.getTime()) as never,
    ...movedAnchor(row, anchor ?? row.anchor, at.getTime()),
    plan_key: plan,
    plan_version: version,
    sku: null,
  };
}

export const withoutNext = {
  next_plan_key: null,
  next_plan_version: null,
  next_plan_at: null,
  next_anchor: null,
  next_move_id: null,
} as const;

/** The earlier plans with the present one, which ends at that instant. One that never was in force is none. */
export function withEarlier(row: LicenseRow, until: Instant): readonly EarlierPlan[] {
  const earlier = earlierPlansOf(row);
  const since = Math.max(row.starts_at.getTime(), earlier.at(-1)?.until ?? 0);
  if (until <= since) return earlier;
  const one = { plan: row.plan_key, planVersion: row.plan_version, until };
  return [...earlier, one].slice(-LIMITS.earlierPlansPerLicense.value);
}

/**
 * Another anchor ends the period that runs, and one begins: when that was is remembered with it. INVARIANT: the same anchor in other
 * words moves nothing, because what is used would be forgotten with the period.
 */
export function movedAnchor(
  row: LicenseRow,
  anchor: string,
  at: Instant,
): Pick<LicenseRow, 'anchor' | 'anchor_since'> {
  return isSameAnchor(anchor, row.anchor)
    ? { anchor: row.anchor, anchor_since: row.anchor_since }
    : { anchor, anchor_since: fromInstant(at) };
}

/** An anchor that somebody moves: a planned change of plan that carries the periods on, carries these. */
export function moveAnchor(row: LicenseRow, anchor: string, at: Instant): Partial<LicenseRow> {
  const moved = movedAnchor(row, anchor, at);
  return row.next_anchor === row.anchor ? { ...moved, next_anchor: moved.anchor } : moved;
}

/** The anchor of a period that begins at an instant, on the clocks of the license's own anchor. */
export function anchorFrom(row: LicenseRow, at: Instant): string {
  return anchorAt(at, row.time_zone ?? parseAnchor(row.anchor)?.timeZone ?? 'UTC');
}

export function toApiLicense(
  stored: LicenseRow,
  customerKey: string,
  productKey: string,
  now: Instant,
): ApiLicense {
  const row = settledAt(stored, now);
  return {
    id: row.id,
    customer: customerKey,
    product: productKey,
    plan: row.plan_key,
    planVersion: row.plan_version,
    quantity: row.quantity,
    kind: row.kind as LicenseKind,
    status: row.status as LicenseStatus,
    startsAt: toTime(row.starts_at.getTime()),
    endsAt: toTimeOrNull(toInstantOrNull(row.ends_at)),
    graceEndsAt: toTimeOrNull(toInstantOrNull(row.grace_ends_at)),
    anchor: row.anchor,
    anchorSince: toTimeOrNull(toInstantOrNull(row.anchor_since)),
    timeZone: row.time_zone,
    sku: row.sku,
    contractReference: row.contract_reference,
    addons: row.addons as unknown as LicenseAddon[],
    nextPlan: toNextPlan(row),
    earlierPlans: earlierPlansOf(row).map(({ plan, planVersion, until }) => ({
      plan,
      planVersion,
      until: toTime(until),
    })),
    beforeCancel: toBeforeCancel(row),
    version: row.version,
    createdAt: toTime(row.created_at.getTime()),
  };
}

/** jsonb keeps no order of members; answers have one. */
function toBeforeCancel(row: LicenseRow): BeforeCancel | null {
  const before = beforeCancelOf(row);
  return before === null ? null : { status: before.status, endsAt: before.endsAt };
}

function toNextPlan(row: LicenseRow): ApiLicense['nextPlan'] {
  const { next_plan_key: plan, next_plan_version: planVersion, next_plan_at: at } = row;
  if (plan === null || planVersion === null || at === null) return null;
  const usage = row.next_anchor === row.anchor ? 'carry' : 'reset';
  return { plan, planVersion, at: toTime(at.getTime()), usage, move: row.next_move_id };
}

export function termsOf(row: LicenseRow): LicenseTerms {
  return {
    plan: row.plan_key,
    planVersion: row.plan_version,
    quantity: row.quantity,
    kind: row.kind as LicenseKind,
    status: row.status as LicenseStatus,
    startsAt: row.starts_at.getTime(),
    endsAt: toInstantOrNull(row.ends_at),
    graceEndsAt: toInstantOrNull(row.grace_ends_at),
    timeZone: row.time_zone,
    sku: row.sku,
    contractReference: row.contract_reference,
    addons: row.addons as unknown as LicenseAddon[],
  };
}

export function columnsOf(terms: LicenseTerms) {
  return {
    plan_key: terms.plan,
    plan_version: terms.planVersion,
    quantity: terms.quantity,
    kind: terms.kind,
    status: terms.status,
    starts_at: fromInstant(terms.startsAt),
    ends_at: fromInstantOrNull(terms.endsAt),
    grace_ends_at: fromInstantOrNull(terms.graceEndsAt),
    time_zone: terms.timeZone,
    sku: terms.sku,
    contract_reference: terms.contractReference,
    addons: JSON.stringify(terms.addons),
  };
}

/** What stands in a row besides its terms, as an update writes it. */
export function historyOf(row: LicenseRow) {
  return {
    anchor: row.anchor,
    anchor_since: row.anchor_since,
    earlier_plans: JSON.stringify(row.earlier_plans),
    next_plan_key: row.next_plan_key,
    next_plan_version: row.next_plan_version,
    next_plan_at: row.next_plan_at,
    next_anchor: row.next_anchor,
    next_move_id: row.next_move_id,
    before_cancel: row.before_cancel === null ? null : JSON.stringify(row.before_cancel),
  };
}

export function endBeforeCancel({ endsAt }: BeforeCancel): Instant | null {
  return endsAt === null ? null : fromTime(endsAt, '/endsAt');
}
