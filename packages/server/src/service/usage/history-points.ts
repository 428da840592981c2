import type { Aggregation } from '@pennon/engine/model/catalog';
import type { Instant } from '@pennon/engine/model/customer';
import type { Limit } from '@pennon/engine/model/decision';
import type { HourSum, Standing, StoredPeriod } from '../../store/usage-history.js';

/*
 * From the sums of hours to what each window shows. Usage at an instant is worked out backwards, from what its period came to in the
 * end: that figure holds whatever was told late or corrected, and however much of the hours before is not kept any more.
 */

const HOUR = 3_600_000;

export interface HistoryPoint {
  readonly start: Instant;
  readonly end: Instant;
  /** What was used in the window. */
  readonly amount: number;
  readonly events: number;
  /** Of the period that runs at the window's end, up to there. */
  readonly usage: number;
  readonly limit: Limit;
  /** A period began in the window. */
  readonly reset: boolean;
  readonly period: Span | null;
}

interface Span {
  readonly start: Instant;
  readonly end: Instant;
}

export interface HistoryInput {
  readonly now: Instant;
  readonly edges: readonly Instant[];
  /** Of the feature as it is now. */
  readonly aggregation: Aggregation;
  /** By their start; of a feature that never resets the one that has none. */
  readonly periods: readonly StoredPeriod[];
  /** As `historyCuts` says. */
  readonly cuts: readonly Instant[];
  readonly sums: readonly HourSum[];
  /** Of `sharedHours`, by hour. */
  readonly shared: ReadonlyMap<Instant, { readonly sum: number; readonly standing: Standing | null }>;
  /** What the engine says of an instant: where no decision tells. */
  readonly resolve: (at: Instant) => { readonly limit: Limit; readonly period: Span | null };
}

/** Where sums have to be cut: at the windows' edges, and before the hour in which a period ends. */
export function historyCuts(edges: readonly Instant[], periods: readonly StoredPeriod[]): readonly Instant[] {
  const cuts = new Set(edges);
  for (const { end } of periods) {
    if (end !== null && end > (edges[0] ?? end)) cuts.add(hourOf(end));
  }
  return [...cuts].sort((left, right) => left - right);
}

/** Hours in which one period ends and another begins, so that their amounts belong to both. */
export function sharedHours(edges: readonly Instant[], periods: readonly StoredPeriod[]): readonly Instant[] {
  const hours = new Set<Instant>();
  for (const { end } of periods) {
    if (end !== null && end % HOUR !== 0 && end > (edges[0] ?? end)) hours.add(hourOf(end));
  }
  return [...hours];
}

export function hourOf(instant: Instant): Instant {
  return instant - (instant % HOUR);
}

export function historyPoints(input: HistoryInput): readonly HistoryPoint[] {
  const history = new History(input);
  const points: HistoryPoint[] = [];
  for (const [index, start] of input.edges.slice(0, -1).entries()) {
    if (start <= input.now) points.push(history.point(start, input.edges[index + 1] ?? start));
  }
  return points;
}

/** How amounts of parts of a window come together. */
export function addUp(parts: readonly Pick<HourSum, 'aggregation' | 'sum' | 'max' | 'latest' | 'events'>[]): {
  readonly amount: number;
  readonly events: number;
} {
  let amount = 0;
  let events = 0;
  let isFirst = true;
  for (const part of parts) {
    events += part.events;
    if (part.aggregation === 'latest') amount = part.latest;
    else if (part.aggregation === 'max') amount = isFirst ? part.max : Math.max(amount, part.max);
    else amount += part.sum;
    isFirst = false;
  }
  return { amount, events };
}

class History {
  readonly #input: HistoryInput;
  /** By cut: the number of the bucket that begins there. */
  readonly #buckets: ReadonlyMap<Instant, number>;
  readonly #sums: ReadonlyMap<number, HourSum>;
  /** What is in the bucket of that number and in all after it. */
  readonly #from: readonly number[];

  constructor(input: HistoryInput) {
    this.#input = input;
    this.#buckets = new Map(input.cuts.map((cut, index) => [cut, index + 1]));
    this.#sums = new Map(input.sums.map((sum) => [sum.bucket, sum]));
    const from = new Array<number>(input.cuts.length + 2).fill(0);
    for (let bucket = input.cuts.length; bucket >= 0; bucket -= 1) {
      from[bucket] = (from[bucket + 1] ?? 0) + (this.#sums.get(bucket)?.sum ?? 0);
    }
    this.#from = from;
  }

  point(start: Instant, end: Instant): HistoryPoint {
    const { now, resolve } = this.#input;
    const at = Math.min(end - 1, now);
    const resolved = resolve(at);
    const stored = this.#known(this.#periodAt(at), resolved.period, at);
    const period = stored === null ? resolved.period : spanOf(stored);
    const standing = stored === null ? null : this.#standingBefore(end, stored);
    return {
      start,
      end,
      ...addUp(this.#between(start, end)),
      usage: stored === null ? 0 : this.#usageAt(end, stored, standing),
      // Now it is what holds now; before, what the last decision knew.
      limit: end > now || standing === null ? resolved.limit : toLimit(standing.limit),
      reset: period !== null && period.start >= start && period.start < end,
      period,
    };
  }

  /** The stored period that an instant is in; `null`: none was used in. */
  #periodAt(at: Instant): StoredPeriod | null {
    const { periods } = this.#input;
    for (let index = periods.length - 1; index >= 0; index -= 1) {
      const period = periods[index];
      if (period !== undefined && (period.start === null || period.start <= at)) {
        return period.end === null || at < period.end ? period : null;
      }
    }
    return null;
  }

  /** As in every answer, a period that the engine says is over by now is closed, although nothing was used since (a plan that resets). */
  #known(stored: StoredPeriod | null, resolved: Span | null, at: Instant): StoredPeriod | null {
    const isOver = stored?.start != null && resolved !== null && stored.start < resolved.start;
    return isOver && at === this.#input.now ? null : stored;
  }

  #usageAt(end: Instant, period: StoredPeriod, standing: Standing | null): number {
    const { aggregation } = this.#input;
    if (aggregation === 'max' || aggregation === 'latest') {
      const later = this.#between(end, period.end);
      return later.length === 0 ? period.used : (standing?.used ?? this.#runningAt(end, period));
    }
    return Math.max(0, period.used - this.#usedAfter(end, period.end));
  }

  /** What a period, up to its end, counted from an instant on. */
  #usedAfter(instant: Instant, end: Instant | null): number {
    const all = this.#sumFrom(instant);
    if (end === null) return all;
    const last = hourOf(end);
    const whole = last > instant ? all - this.#sumFrom(last) : 0;
    return end === last || last < instant ? whole : whole + this.#partBefore(last, end);
  }

  /** Of the hour in which a period ends, what is the period's own: the rest is what the next one had after its last decision then. */
  #partBefore(hour: Instant, end: Instant): number {
    const shared = this.#input.shared.get(hour);
    if (shared === undefined) return 0;
    const { sum, standing } = shared;
    return standing !== null && standing.at >= end ? sum - standing.used : sum;
  }

  #sumFrom(instant: Instant): number {
    return this.#from[this.#buckets.get(instant) ?? this.#input.cuts.length + 1] ?? 0;
  }

  /** `null`: without an end. */
  #between(start: Instant, end: Instant | null): readonly HourSum[] {
    const first = this.#buckets.get(start) ?? this.#input.cuts.length + 1;
    const last = end === null ? undefined : (this.#buckets.get(end) ?? this.#buckets.get(hourOf(end)));
    const found: HourSum[] = [];
    for (let bucket = first; bucket < (last ?? this.#input.cuts.length + 1); bucket += 1) {
      const sum = this.#sums.get(bucket);
      if (sum !== undefined) found.push(sum);
    }
    return found;
  }

  /** Of what is told by the largest or the last value, where no decision stands: the hours of the period so far. */
  #runningAt(end: Instant, period: StoredPeriod): number {
    const found: HourSum[] = [];
    for (const [index, cut] of [Number.NEGATIVE_INFINITY, ...this.#input.cuts].entries()) {
      if (cut >= end) break;
      const sum = this.#sums.get(index);
      if (sum !== undefined && (period.start === null || cut + HOUR > period.start)) found.push(sum);
    }
    return addUp(found).amount;
  }

  /** The last decision before an instant, of the same period. */
  #standingBefore(end: Instant, { start }: StoredPeriod): Standing | null {
    const last = (this.#buckets.get(end) ?? this.#input.cuts.length + 1) - 1;
    for (let bucket = last; bucket >= 0; bucket -= 1) {
      const standing = this.#sums.get(bucket)?.standing ?? null;
      if (standing !== null) return start === null || standing.at >= start ? standing : null;
    }
    return null;
  }
}

function spanOf({ start, end }: StoredPeriod): Span | null {
  return start === null || end === null ? null : { start, end };
}

function toLimit(limit: number | null): Limit {
  return limit === null ? { kind: 'unlimited' } : { kind: 'finite', value: limit };
}
