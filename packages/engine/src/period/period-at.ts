import type { Interval, ResetDocument } from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import type { Period } from '../model/decision.js';
import { type Anchor, inTimeZone, parseAnchor } from './anchor.js';
import { asUtc, plusMonths, toInstant, toLocal } from './calendar.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

type Unit =
  | { readonly kind: 'absolute'; readonly milliseconds: number; readonly iso: (count: number) => string }
  | { readonly kind: 'days'; readonly days: number; readonly iso: (count: number) => string }
  | { readonly kind: 'months'; readonly months: number; readonly iso: (count: number) => string };

/** Hours are spans of absolute time; days and longer keep the wall clock of the zone. */
const UNITS: Record<Interval, Unit> = {
  hour: { kind: 'absolute', milliseconds: HOUR, iso: (count) => `PT${count}H` },
  day: { kind: 'days', days: 1, iso: (count) => `P${count}D` },
  week: { kind: 'days', days: 7, iso: (count) => `P${count}W` },
  month: { kind: 'months', months: 1, iso: (count) => `P${count}M` },
  quarter: { kind: 'months', months: 3, iso: (count) => `P${count * 3}M` },
  year: { kind: 'months', months: 12, iso: (count) => `P${count}Y` },
};

/**
 * INVARIANT (law 9): start(n) is a function of the ORIGINAL anchor and n alone, never of the period before, so no month-end is
 * ever lost and n periods later is where n periods later should be.
 */
function startOf(anchor: Anchor, unit: Unit, count: number, n: number): Instant {
  switch (unit.kind) {
    case 'absolute':
      return anchor.instant + n * count * unit.milliseconds;
    case 'days':
      return toInstant(asUtc(anchor.local) + n * count * unit.days * DAY, anchor.timeZone);
    case 'months':
      return toInstant(asUtc(plusMonths(anchor.local, n * count * unit.months)), anchor.timeZone);
  }
}

/** The index of the period by arithmetic on the local clock: right to within one, whatever the zone did in between. */
function estimate(anchor: Anchor, unit: Unit, count: number, now: Instant): number {
  switch (unit.kind) {
    case 'absolute':
      return Math.floor((now - anchor.instant) / (count * unit.milliseconds));
    case 'days': {
      const wall = asUtc(toLocal(now, anchor.timeZone));
      return Math.floor((wall - asUtc(anchor.local)) / (count * unit.days * DAY));
    }
    case 'months': {
      const local = toLocal(now, anchor.timeZone);
      const months = (local.year - anchor.local.year) * 12 + (local.month - anchor.local.month);
      return Math.floor(months / (count * unit.months));
    }
  }
}

export interface PeriodInput {
  readonly reset: ResetDocument | 'never';
  /** RFC 9557 text of the original anchor. */
  readonly anchor: string;
  /** Overrides the anchor's own zone; the anchor keeps its instant. */
  readonly timeZone?: string;
  readonly now: Instant;
}

/** How often the estimate may be corrected. One step is what arithmetic needs; two more are for zones that skipped a day. */
const MAX_CORRECTIONS = 3;

/** The period found last for each reset and anchor: it is asked for in every consume and holds for weeks. */
const found = new WeakMap<ResetDocument, Map<string, Period>>();
const MAX_FOUND = 10_000;

/**
 * The period that holds `now`, `start <= now < end`; `null` where nothing resets or the anchor cannot be read. Costs the same for an
 * anchor of yesterday and one of ten years ago.
 */
export function periodAt(input: PeriodInput): Period | null {
  const { reset, anchor, timeZone, now } = input;
  if (reset === 'never') return null;
  let periods = found.get(reset);
  if (periods === undefined) {
    periods = new Map();
    found.set(reset, periods);
  }
  const key = timeZone === undefined ? anchor : `${anchor} ${timeZone}`;
  const known = periods.get(key);
  if (known !== undefined && known.start <= now && now < known.end) return known;
  const period = computePeriod(reset, anchor, timeZone, now);
  if (period !== null) {
    if (periods.size >= MAX_FOUND) periods.clear();
    periods.set(key, period);
  }
  return period;
}

function computePeriod(
  reset: ResetDocument,
  text: string,
  timeZone: string | undefined,
  now: Instant,
): Period | null {
  const own = parseAnchor(text);
  if (own === null) return null;
  const anchor = timeZone === undefined ? own : inTimeZone(own, timeZone);
  const unit = UNITS[reset.every];
  const count = reset.count ?? 1;
  let n = estimate(anchor, unit, count, now);
  let start = startOf(anchor, unit, count, n);
  let end = startOf(anchor, unit, count, n + 1);
  for (let step = 0; step < MAX_CORRECTIONS && now < start; step += 1) {
    n -= 1;
    end = start;
    start = startOf(anchor, unit, count, n);
  }
  for (let step = 0; step < MAX_CORRECTIONS && now >= end; step += 1) {
    n += 1;
    start = end;
    end = startOf(anchor, unit, count, n + 1);
  }
  return { start, end, interval: unit.iso(count), anchor: anchor.text, timeZone: anchor.timeZone };
}
