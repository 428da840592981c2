import type { Level } from '../entitlement/level.js';
import { licenseLapse } from '../evaluation/edges.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import { termsAt } from '../evaluation/license-terms.js';
import type { PreparedCustomer } from '../evaluation/prepared-customer.js';
import { type EntitlementValue, versionedKey } from '../model/catalog.js';
import type { Instant, License } from '../model/customer.js';
import type { Period } from '../model/decision.js';
import { isCompiledSplit } from '../snapshot/compile-offers.js';
import type { CompiledFeature, CompiledSplit, Snapshot } from '../snapshot/snapshot.js';
import { anchorAt, calendarAnchor, isTimeZone, parseAnchor } from './anchor.js';
import { periodAt } from './period-at.js';

/** Whether a value of a plan or group is a right: 0 and `false` are none. */
function isRight(value: EntitlementValue | CompiledSplit | undefined): boolean {
  if (value === undefined || value === 0 || value === false) return false;
  if (typeof value !== 'object' || !isCompiledSplit(value)) return true;
  return value.values.some((share) => isRight(share.value));
}

/** Whether a license grants the feature: by its plan version with the default group over it, or by an add-on. */
function grants(license: License, feature: CompiledFeature, snapshot: Snapshot, now: Instant): boolean {
  const terms = termsAt(license, now);
  const plan = snapshot.plans.get(versionedKey(terms.plan, terms.planVersion));
  const group = plan?.defaultGroup == null ? undefined : snapshot.groups.get(plan.defaultGroup);
  const ofPlan = group?.mode === 'replace' ? undefined : plan?.entitlements.get(feature.key);
  if (isRight(group?.entitlements.get(feature.key) ?? ofPlan)) return true;
  return license.addons.some(({ addon, version, quantity }) => {
    return (
      quantity >= 1 &&
      snapshot.addons.get(versionedKey(addon, version))?.entitlements.has(feature.key) === true
    );
  });
}

/** The oldest license in force that grants the feature, else the oldest in force: its anchor is every period's. */
function anchoringLicense(
  prepared: PreparedCustomer,
  feature: CompiledFeature,
  now: Instant,
): License | null {
  let oldest: License | null = null;
  for (const license of prepared.licenses) {
    if (licenseLapse(license, now) !== null) continue;
    oldest ??= license;
    if (grants(license, feature, prepared.snapshot, now)) return license;
  }
  return oldest;
}

/** The first name that is a time zone; one that is none, forced into the data, is passed over. */
function firstZone(...names: readonly (string | null | undefined)[]): string | undefined {
  for (const name of names) if (name !== null && name !== undefined && isTimeZone(name)) return name;
  return undefined;
}

/**
 * Which anchor and zone a feature's periods follow (law 9). Zone: the feature's reset, else license, customer, product, UTC.
 * Anchor: the license's; without one the customer's creation; an unknown customer follows the calendar.
 */
function anchorOf(
  prepared: PreparedCustomer,
  feature: CompiledFeature,
  license: License | null,
  now: Instant,
): { readonly anchor: string; readonly timeZone: string | undefined } {
  const reset = feature.reset === 'never' ? null : feature.reset;
  const { state, snapshot } = prepared;
  const elsewhere = firstZone(state?.timeZone, snapshot.timeZone) ?? 'UTC';
  const own = firstZone(reset?.timeZone, license?.timeZone);
  if (reset?.anchor === 'calendar') return { anchor: calendarAnchor(own ?? elsewhere), timeZone: undefined };
  const anchor = license === null ? null : termsAt(license, now).anchor;
  if (anchor !== null && parseAnchor(anchor) !== null) {
    // An anchor that names no zone of its own is an instant; then the order goes on.
    const zone = own ?? (anchor.includes('[') ? undefined : elsewhere);
    return { anchor, timeZone: zone };
  }
  if (state?.createdAt != null)
    return { anchor: anchorAt(state.createdAt, own ?? elsewhere), timeZone: undefined };
  return { anchor: calendarAnchor(own ?? elsewhere), timeZone: undefined };
}

/** The instants at which a period of the license's ended early and another began, past and to come. */
function* breaksOf(license: License, feature: CompiledFeature): Generator<Instant> {
  const { next, anchorSince, earlier } = license;
  const resets = feature.onPlanChange === 'reset';
  const calendar = feature.reset !== 'never' && feature.reset.anchor === 'calendar';
  if (anchorSince != null && !calendar) yield anchorSince;
  if (next != null && (resets || (next.anchor !== license.anchor && !calendar))) yield next.at;
  if (resets) for (const { until } of earlier ?? []) yield until;
}

/**
 * The period of a feature that holds an instant; `null` where nothing resets. INVARIANT: where the anchor was moved or the plan
 * changed with `onPlanChange: reset`, the period that ran ends at that instant and the next one begins there, so that there is no
 * gap and no overlap, and nothing is opened a second time.
 */
export function spanOf(prepared: PreparedCustomer, feature: CompiledFeature, now: Instant): Period | null {
  if (feature.reset === 'never') return null;
  const license = anchoringLicense(prepared, feature, now);
  const { anchor, timeZone } = anchorOf(prepared, feature, license, now);
  const zone = timeZone === undefined ? {} : { timeZone };
  const period = periodAt({ reset: feature.reset, anchor, now, ...zone });
  if (period === null || license === null) return period;
  let { start, end } = period;
  for (const instant of breaksOf(license, feature)) {
    if (instant <= now && instant > start) start = instant;
    if (instant > now && instant < end) end = instant;
  }
  return start === period.start && end === period.end ? period : { ...period, start, end };
}

/** The zone in which a feature's days and months are those of the calendar: that of its periods, whether it has any or not (law 9). */
export function timeZoneOf(prepared: PreparedCustomer, feature: CompiledFeature, now: Instant): string {
  const { anchor, timeZone } = anchorOf(prepared, feature, anchoringLicense(prepared, feature, now), now);
  return timeZone ?? parseAnchor(anchor)?.timeZone ?? 'UTC';
}

/** Periods found last, by customer and feature: they hold for weeks, and are asked for in every evaluation that reads usage. */
const known = new WeakMap<
  PreparedCustomer,
  Map<number, { readonly period: Period; readonly level: Level }>
>();

/** The period of a feature's account that holds the evaluation's instant; `null` where nothing resets. */
export function periodOf(evaluation: Evaluation, feature: CompiledFeature, level: Level): Period | null {
  if (feature.reset === 'never') return null;
  const prepared = evaluation.customer;
  if (prepared === null) return null;
  const now = evaluation.nowMilliseconds;
  let periods = known.get(prepared);
  const found = periods?.get(feature.index);
  // The level's span bounds which license anchors; another level may mean another anchor.
  if (found !== undefined && found.level === level && found.period.start <= now && now < found.period.end) {
    return found.period;
  }
  const period = spanOf(prepared, feature, now);
  if (period === null) return null;
  if (periods === undefined) {
    periods = new Map();
    known.set(prepared, periods);
  }
  periods.set(feature.index, { period, level });
  return period;
}
