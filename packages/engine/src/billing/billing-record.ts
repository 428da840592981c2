import { type BillingStatus, OVER_STATUSES } from '../model/billing.js';
import type {
  BillingMark,
  BillingRecord,
  BillingReport,
  BillingScheduleReport,
  BillingSighting,
} from '../model/billing-subscription.js';
import type { Instant } from '../model/customer.js';
import { LIMITS } from '../model/limits.js';

/*
 * Providers deliver at least once and in any order. What is known of a subscription is therefore a fold that does not look at the
 * order: each part is the greatest of a total order over everything that was said.
 *
 * INVARIANT: `withReport` and `withSchedule` are idempotent, and commute with themselves and each other.
 */

export const EMPTY_RECORD: BillingRecord = { latest: null, schedule: null, sightings: [] };

export function compareMarks(left: BillingMark, right: BillingMark): number {
  if (left.at !== right.at) return left.at - right.at;
  if (left.rank !== right.rank) return left.rank - right.rank;
  return left.id === right.id ? 0 : left.id < right.id ? -1 : 1;
}

export function saidAtOf({ at, saidAt }: BillingMark): Instant {
  return saidAt ?? at;
}

/** Takes in what was said of the subscription. The same record comes back where it says nothing new. */
export function withReport(record: BillingRecord, report: BillingReport): BillingRecord {
  const { mark, subscription } = report;
  const isNewest = record.latest === null || compareReports(report, record.latest) > 0;
  const sightings = withSighting(record.sightings, { mark, status: subscription.status });
  if (!isNewest && sightings === record.sightings) return record;
  return { ...record, latest: isNewest ? report : record.latest, sightings };
}

export function withSchedule(record: BillingRecord, report: BillingScheduleReport): BillingRecord {
  const isNewest = record.schedule === null || compareMarks(report.mark, record.schedule.mark) > 0;
  return isNewest ? { ...record, schedule: report } : record;
}

export function isOver(status: BillingStatus): boolean {
  return (OVER_STATUSES as readonly BillingStatus[]).includes(status);
}

/**
 * INVARIANT: what is over stays over, whatever is said to have happened later. Within one instant and rank, a first payment that
 * is open comes before everything else.
 */
function compareReports(left: BillingReport, right: BillingReport): number {
  const over = Number(isOver(left.subscription.status)) - Number(isOver(right.subscription.status));
  if (over !== 0) return over;
  if (left.mark.at !== right.mark.at || left.mark.rank !== right.mark.rank)
    return compareMarks(left.mark, right.mark);
  const open = Number(isOpen(right)) - Number(isOpen(left));
  return open === 0 ? compareMarks(left.mark, right.mark) : open;
}

function isOpen({ subscription }: BillingReport): boolean {
  return subscription.status === 'incomplete';
}

/** The greatest so many of everything seen: also what is dropped does not depend on the order. */
function withSighting(
  sightings: readonly BillingSighting[],
  sighting: BillingSighting,
): readonly BillingSighting[] {
  const index = sightings.findIndex(({ mark }) => compareMarks(mark, sighting.mark) >= 0);
  const at = index === -1 ? sightings.length : index;
  const found = sightings[at];
  if (found !== undefined && compareMarks(found.mark, sighting.mark) === 0) return sightings;
  const most = LIMITS.billingSightings.value;
  if (at === 0 && sightings.length >= most) return sightings;
  return [...sightings.slice(0, at), sighting, ...sightings.slice(at)].slice(-most);
}

/**
 * Since when the subscription has had its status without a break, as far as is known: graces are counted from there, and not from
 * when somebody got to hear of it.
 */
export function statusSince(record: BillingRecord): Instant | null {
  const { latest, sightings } = record;
  if (latest === null) return null;
  let since = saidAtOf(latest.mark);
  for (let index = sightings.length - 1; index >= 0; index -= 1) {
    const sighting = sightings[index];
    if (sighting === undefined || compareMarks(sighting.mark, latest.mark) > 0) continue;
    if (sighting.status !== latest.subscription.status) break;
    since = Math.min(since, saidAtOf(sighting.mark));
  }
  return since;
}
