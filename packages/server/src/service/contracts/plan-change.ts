import { type Plan, versionedKey } from '@pennon/engine/model/catalog';
import type { Instant } from '@pennon/engine/model/customer';
import { periodAt } from '@pennon/engine/period/period-at';
import { fromInstant } from '../../store/instant.js';
import { toTime } from '../times.js';
import { anchorFrom, type LicenseRow, movedAnchor, withEarlier, withoutNext } from './license-record.js';

/* The change of one license's plan, as a license and a move of many make it: a row before, and what is to be written. */

export interface WantedPlan {
  readonly plan: string;
  readonly planVersion: number;
  /** `null`: at once. */
  readonly at: Instant | null;
  readonly usage: 'carry' | 'reset';
  readonly moveId: string | null;
}

export const PLAN_CHANGE_REFUSALS = [
  'LICENSE_ENDED',
  'PLAN_UNCHANGED',
  'PLAN_CHANGE_PENDING',
  'ENDS_BEFORE',
  'AT_NOT_AHEAD',
] as const;
export type PlanChangeRefusal = (typeof PLAN_CHANGE_REFUSALS)[number];

export type PlanChange =
  | { readonly ok: true; readonly row: LicenseRow; readonly at: Instant }
  | { readonly ok: false; readonly code: PlanChangeRefusal; readonly message: string };

function no(code: PlanChangeRefusal, message: string): PlanChange {
  return { ok: false, code, message };
}

/** @param row as `settledAt` gives it. */
export function changePlan(row: LicenseRow, wanted: WantedPlan, now: Instant): PlanChange {
  const { plan, planVersion, usage } = wanted;
  const endsAt = row.ends_at?.getTime() ?? null;
  if (row.status === 'ended' || (endsAt !== null && endsAt <= now)) {
    return no('LICENSE_ENDED', `The license \`${row.id}\` has ended. Give the customer a new one.`);
  }
  if (row.plan_key === plan && row.plan_version === planVersion) {
    const name = versionedKey(plan, planVersion);
    return no('PLAN_UNCHANGED', `The license \`${row.id}\` is to \`${name}\` already.`);
  }
  const at = wanted.at ?? now;
  const anchor = usage === 'carry' ? row.anchor : anchorFrom(row, at);
  if (wanted.at === null) {
    const changed = {
      plan_key: plan,
      plan_version: planVersion,
      ...movedAnchor(row, anchor, now),
      sku: null,
    };
    const earlier_plans = withEarlier(row, now) as never;
    return { ok: true, at, row: { ...row, ...withoutNext, ...changed, earlier_plans } };
  }
  if (at <= now) {
    return no(
      'AT_NOT_AHEAD',
      `\`at\` is ${toTime(at)}, which is not ahead. Send \`now\` to change the plan at once.`,
    );
  }
  if (row.next_plan_at !== null) {
    const when = toTime(row.next_plan_at.getTime());
    return no(
      'PLAN_CHANGE_PENDING',
      `The license \`${row.id}\` changes its plan at ${when} already. Take that back first: DELETE …/licenses/{license}/plan-change.`,
    );
  }
  if (endsAt !== null && endsAt <= at) {
    return no(
      'ENDS_BEFORE',
      `The license \`${row.id}\` ends at ${toTime(endsAt)}, before its plan would change.`,
    );
  }
  return {
    ok: true,
    at,
    row: {
      ...row,
      next_plan_key: plan,
      next_plan_version: planVersion,
      next_plan_at: fromInstant(at),
      next_anchor: anchor,
      next_move_id: wanted.moveId,
    },
  };
}

/**
 * The end of the period that the license is paid for: counted from its anchor in the interval of its plan's price, a month where
 * the plan names none.
 */
export function billingPeriodEnd(row: LicenseRow, plan: Pick<Plan, 'price'> | null, now: Instant): Instant {
  const every = plan?.price?.every;
  const period = periodAt({
    reset: { every: every === undefined || every === 'once' ? 'month' : every },
    anchor: row.anchor,
    now: Math.max(now, row.starts_at.getTime()),
    ...(row.time_zone === null ? {} : { timeZone: row.time_zone }),
  });
  if (period === null) throw new TypeError(`The license ${row.id} has no anchor that can be read.`);
  return period.end;
}
