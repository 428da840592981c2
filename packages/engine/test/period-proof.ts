import { INTERVALS, type Interval } from '@pennon/engine/model/catalog';
import type { Period } from '@pennon/engine/model/decision';
import { calendarAnchor } from '@pennon/engine/period/anchor';
import { periodAt } from '@pennon/engine/period/period-at';
import { DateTime, IANAZone } from 'luxon';

/*
 * Law 9 against an independent reading: another library's calendar and another library's reading of the zones, stepping from the
 * anchor. Nothing here is shared with the engine but the question. Every instant that is asked about is one check.
 */

export interface PeriodProof {
  readonly checks: number;
  readonly series: number;
  readonly zones: number;
  /** The first few, as text; a right engine has none. */
  readonly faults: readonly string[];
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MOST_FAULTS = 10;
/** Consecutive periods of one series; asked about at their first, last and one more instant. */
const STEPS = 6;
const FIRST_YEAR = 1972;
const LAST_YEAR = 2060;

/** Numbers that a seed repeats: mulberry32. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

interface Series {
  readonly zone: string;
  readonly every: Interval;
  readonly count: number;
  /** The anchor's wall clock, as if it were UTC. */
  readonly wall: DateTime;
  readonly anchor: string;
}

/** By what the other library says of a zone: the offsets around a wall time, tried on it. A gap: later; an overlap: the earlier. */
function instantOf(wall: number, zone: IANAZone): number {
  if (zone.name === 'UTC') return wall;
  const before = zone.offset(wall - 26 * HOUR) * 60_000;
  const after = zone.offset(wall + 26 * HOUR) * 60_000;
  if (before === after) return wall - before;
  const instants = [before, after].map((offset) => wall - offset);
  const shown = instants.filter((instant) => instant + zone.offset(instant) * 60_000 === wall);
  return shown.length > 0 ? Math.min(...shown) : wall - offsetBeforeGap(wall, zone);
}

/** No clock showed the wall time: what was shown until the jump goes on. */
function offsetBeforeGap(wall: number, zone: IANAZone): number {
  let low = wall - 26 * HOUR;
  let high = wall + 26 * HOUR;
  // The jump is where local time passes over the wall time.
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (middle + zone.offset(middle) * 60_000 < wall) low = middle;
    else high = middle;
  }
  return zone.offset(low) * 60_000;
}

/** Start n: n intervals from the anchor on the other library's calendar. */
function startOf({ zone, every, count, wall }: Series, n: number): number {
  const iana = IANAZone.create(zone);
  const steps = n * count;
  if (every === 'hour') return instantOf(wall.toMillis(), iana) + steps * HOUR;
  const moved = wall.plus(
    every === 'day'
      ? { days: steps }
      : every === 'week'
        ? { weeks: steps }
        : every === 'month'
          ? { months: steps }
          : every === 'quarter'
            ? { quarters: steps }
            : { years: steps },
  );
  return instantOf(moved.toMillis(), iana);
}

const pick = <T>(values: readonly T[], random: (below: number) => number): T =>
  values[random(values.length)] as T;

/** Ends of months, leap days and the hours at which clocks change come up often: there the bugs are. */
function randomSeries(zones: readonly string[], random: (below: number) => number): Series {
  const zone = pick(zones, random);
  const every = pick(INTERVALS, random);
  const count = random(3) === 0 ? 1 + random(every === 'year' ? 4 : 18) : 1;
  if (random(5) === 0) {
    const anchor = calendarAnchor(zone);
    return { zone, every, count, anchor, wall: DateTime.utc(2001, 1, 1) };
  }
  const year = FIRST_YEAR + random(LAST_YEAR - FIRST_YEAR);
  const month = random(4) === 0 ? 2 : 1 + random(12);
  const last = DateTime.utc(year, month).daysInMonth ?? 28;
  const day = random(2) === 0 ? last - random(4) : 1 + random(last);
  const hour = random(2) === 0 ? random(4) : random(24);
  const minute = random(2) === 0 ? pick([0, 30], random) : random(60);
  const wall = DateTime.utc(year, month, day, hour, minute, random(60), random(1000));
  return { zone, every, count, wall, anchor: `${wall.toISO({ includeOffset: false })}[${zone}]` };
}

/** Where the series is looked at: some n, near and far, before the anchor too. */
function firstStep({ every, count }: Series, random: (below: number) => number): number {
  const reach = { hour: 24 * 365 * 20, day: 365 * 40, week: 52 * 40, month: 12 * 60, quarter: 240, year: 60 }[
    every
  ];
  const n = Math.floor(random(reach) / count);
  return random(3) === 0 ? -n : n;
}

function spanText(span: Pick<Period, 'start' | 'end'> | null): string {
  return span === null
    ? 'none'
    : `${new Date(span.start).toISOString()} … ${new Date(span.end).toISOString()}`;
}

/** At least so many checks. The same seed asks the same questions. */
export function provePeriods(cases: number, seed: number): PeriodProof {
  const random = randomOf(seed);
  const zones = Intl.supportedValuesOf('timeZone');
  const met = new Set<string>();
  const faults: string[] = [];
  let checks = 0;
  let series = 0;
  while (checks < cases && faults.length < MOST_FAULTS) {
    const one = randomSeries(zones, random);
    const { every, count, anchor } = one;
    const reset = { every, count };
    const begin = firstStep(one, random);
    series += 1;
    met.add(one.zone);
    let start = startOf(one, begin);
    for (let n = begin; n < begin + STEPS; n += 1) {
      const end = startOf(one, n + 1);
      // A zone that skipped a whole day has a period of no length there: it holds no instant.
      if (end > start) {
        for (const now of [start, start + random(Math.min(end - start, 366 * DAY)), end - 1]) {
          const period = periodAt({ reset, anchor, now });
          checks += 1;
          if (period?.start === start && period.end === end) continue;
          const where = `every ${count} ${every} from ${anchor} at ${new Date(now).toISOString()}`;
          faults.push(`${where}: ${spanText(period)}, expected ${spanText({ start, end })}`);
        }
      }
      start = Math.max(start, end);
    }
  }
  return { checks, series, zones: met.size, faults };
}
