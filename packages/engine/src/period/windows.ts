import type { Instant } from '../model/customer.js';
import { asUtc, epochDay, plusMonths, toInstant, toLocal } from './calendar.js';

/* Windows of the calendar in which usage is shown: hours of UTC, days and months of a time zone. */

export const HISTORY_WINDOWS = ['hour', 'day', 'month'] as const;
export type HistoryWindow = (typeof HISTORY_WINDOWS)[number];

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

interface WindowsInput {
  readonly window: HistoryWindow;
  readonly timeZone: string;
  /** `[from, to)`: every window that has an instant of it is given whole. */
  readonly from: Instant;
  readonly to: Instant;
  readonly most: number;
}

/**
 * The edges of the windows, ascending: window n is `[edges[n], edges[n + 1])`. Empty where the span is; `null`: more than `most`. Where a
 * zone's clocks skip a whole day, that day is no window.
 */
export function windowEdges({ window, timeZone, from, to, most }: WindowsInput): readonly Instant[] | null {
  if (from >= to) return [];
  const startOf = starts(window, timeZone, from);
  // The first guess is by the local clock: where midnight does not exist, the window before it holds the instant.
  let n = 0;
  while (startOf(n) > from) n -= 1;
  const edges: Instant[] = [];
  for (; ; n += 1) {
    const edge = startOf(n);
    if (edge !== edges.at(-1)) edges.push(edge);
    if (edge >= to) return edges;
    if (edges.length > most) return null;
  }
}

/** The n-th start, counted from the window that holds `from` by the zone's clocks. */
function starts(window: HistoryWindow, timeZone: string, from: Instant): (n: number) => Instant {
  if (window === 'hour') {
    const first = from - (from % HOUR);
    return (n) => first + n * HOUR;
  }
  const { year, month, day } = toLocal(from, timeZone);
  if (window === 'day') {
    const first = epochDay(year, month, day) * DAY;
    return (n) => toInstant(first + n * DAY, timeZone);
  }
  const first = { year, month, day: 1, millisecond: 0 };
  return (n) => toInstant(asUtc(plusMonths(first, n)), timeZone);
}
