import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HourSum, Standing, StoredPeriod } from '../../store/usage-history.js';
import { historyCuts, historyPoints, hourOf, sharedHours } from './history-points.js';

const HOUR = 3_600_000;

interface Happened {
  /** When it happened. */
  readonly at: number;
  readonly amount: number;
  /** How much later it was told; 0: at once. */
  readonly late: number;
}

interface HourRow {
  amount: number;
  events: number;
  standing: Standing | null;
}

/** What the tables hold after all that happened was told in its order, as the writers of usage leave them. */
function written(events: readonly Happened[], starts: readonly number[], now: number) {
  const startOf = (at: number) => Math.max(...starts.filter((start) => start <= at));
  const used = new Map(starts.map((start) => [start, 0]));
  const hours = new Map<number, HourRow>();
  const told = [...events].sort((left, right) => left.at + left.late - (right.at + right.late));
  for (const { at, amount, late } of told) {
    const start = startOf(at);
    const after = (used.get(start) ?? 0) + amount;
    used.set(start, after);
    const row = hours.get(hourOf(at)) ?? { amount: 0, events: 0, standing: null };
    row.amount += amount;
    row.events += 1;
    // Of the hour that runs and the period that runs alone.
    if (hourOf(at) === hourOf(at + late) && start === startOf(at + late)) {
      row.standing = { at, used: after, limit: 100 };
    }
    hours.set(hourOf(at), row);
  }
  const periods: StoredPeriod[] = starts
    .filter((start) => start <= now)
    .map((start, index) => ({
      start,
      end: starts[index + 1] ?? now + 1000 * HOUR,
      used: used.get(start) ?? 0,
    }));
  return { hours, periods };
}

function sumsOf(hours: ReadonlyMap<number, HourRow>, cuts: readonly number[]): readonly HourSum[] {
  const buckets = new Map<number, HourSum>();
  for (const [hour, { amount, events, standing }] of [...hours].sort(([left], [right]) => left - right)) {
    const bucket = cuts.filter((cut) => cut <= hour).length;
    const known = buckets.get(bucket);
    buckets.set(bucket, {
      bucket,
      aggregation: 'sum',
      sum: (known?.sum ?? 0) + amount,
      max: amount,
      latest: amount,
      events: (known?.events ?? 0) + events,
      standing: standing ?? known?.standing ?? null,
    });
  }
  return [...buckets.values()];
}

function pointsOf(
  events: readonly Happened[],
  starts: readonly number[],
  edges: readonly number[],
  now: number,
) {
  const { hours, periods } = written(events, starts, now);
  const cuts = historyCuts(edges, periods);
  const shared = new Map(
    sharedHours(edges, periods).flatMap((hour) => {
      const row = hours.get(hour);
      return row === undefined ? [] : [[hour, { sum: row.amount, standing: row.standing }] as const];
    }),
  );
  return historyPoints({
    now,
    edges,
    aggregation: 'sum',
    periods,
    cuts,
    sums: sumsOf(hours, cuts),
    shared,
    resolve: () => ({ limit: { kind: 'finite', value: 100 }, period: null }),
  });
}

/** In quarters of an hour, over four days. */
const quarter = fc.integer({ min: 0, max: 4 * 24 * 4 - 1 });

function historyOf(late: fc.Arbitrary<number>) {
  return fc.record({
    events: fc.array(fc.record({ at: quarter, amount: fc.integer({ min: 1, max: 9 }), late }), {
      maxLength: 40,
    }),
    starts: fc.uniqueArray(quarter, { maxLength: 6 }),
    window: fc.constantFrom(1, 2, 24),
  });
}

describe('history worked out of hours', () => {
  it('shows what was used and how each balance stood, over periods that begin at any time', () => {
    fc.assert(
      fc.property(historyOf(fc.constant(0)), ({ events, starts, window }) => {
        expectTrue(events, starts, window);
      }),
      { numRuns: 300 },
    );
  });

  it('and whatever is told late, where periods begin on the hour', () => {
    const late = fc.constantFrom(0, 0, 1, 5, 30).map((hours) => hours * HOUR);
    fc.assert(
      fc.property(historyOf(late), ({ events, starts, window }) => {
        const onTheHour = [...new Set(starts.map((start) => start - (start % 4)))];
        expectTrue(events, onTheHour, window);
      }),
      { numRuns: 300 },
    );
  });
});

/** Against the plainest reading: all that happened, added up. */
function expectTrue(told: readonly Happened[], quarters: readonly number[], windowHours: number): void {
  const first = 1_000_000 * HOUR;
  const toInstant = (value: number) => first + (value * HOUR) / 4;
  const events = told.map((event) => ({ ...event, at: toInstant(event.at) }));
  const starts = [first - 500 * HOUR, ...[...quarters].sort((left, right) => left - right).map(toInstant)];
  const now = first + 200 * HOUR;
  const edges = Array.from(
    { length: (4 * 24) / windowHours + 1 },
    (_, index) => first + index * windowHours * HOUR,
  );
  for (const { start, end, amount, events: count, usage } of pointsOf(events, starts, edges, now)) {
    const own = events.filter(({ at }) => at >= start && at < end);
    const period = Math.max(...starts.filter((one) => one < end));
    const sofar = events.filter(({ at }) => at >= period && at < end);
    const sum = (some: readonly Happened[]) => some.reduce((all, one) => all + one.amount, 0);
    expect([amount, count, usage]).toEqual([sum(own), own.length, sum(sofar)]);
  }
}
