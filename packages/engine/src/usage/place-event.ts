import type { LatePolicy } from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import { LIMITS } from '../model/limits.js';

interface PlacedSpan {
  readonly start: Instant;
  readonly end: Instant;
}

export interface PlaceQuestion<Span extends PlacedSpan> {
  /** When it happened; `null`: nobody said, so now. */
  readonly occurredAt: Instant | null;
  /** The database's clock. */
  readonly now: Instant;
  /** The period that `now` is in; `null` where nothing resets. */
  readonly period: PlacedSpan | null;
  /** The period that an instant before it was in. Asked only of late events. */
  readonly periodAt: (instant: Instant) => Span | null;
  readonly late: { readonly milliseconds: number; readonly after: LatePolicy };
}

export type Place<Span extends PlacedSpan> =
  /** Into the period that is under way, at that instant. */
  | { readonly kind: 'current'; readonly at: Instant }
  /** Into a period that has ended and still accepts events, at the instant at which it happened. */
  | { readonly kind: 'earlier'; readonly at: Instant; readonly period: Span }
  /** Told too late for its own period: into the current one, as of now. */
  | { readonly kind: 'moved'; readonly at: Instant }
  | { readonly kind: 'refused'; readonly errorCode: 'EVENT_IN_FUTURE' | 'EVENT_TOO_LATE' };

const FUTURE_MILLISECONDS = LIMITS.usageFutureMinutes.value * 60_000;

/** The period into which an event counts (OEP rule 5). A sender's clock may be a little ahead; what it calls later is then now. */
export function placeEvent<Span extends PlacedSpan>(question: PlaceQuestion<Span>): Place<Span> {
  const { now, period, late } = question;
  const occurredAt = question.occurredAt ?? now;
  if (occurredAt > now + FUTURE_MILLISECONDS) return { kind: 'refused', errorCode: 'EVENT_IN_FUTURE' };
  const at = Math.min(occurredAt, now);
  if (period === null || at >= period.start) return { kind: 'current', at };
  const own = question.periodAt(at);
  // An anchor that moved may put the instant into no period of its own; then it is the current one's.
  if (own === null || own.start >= period.start || at < own.start || at >= own.end) {
    return { kind: 'current', at };
  }
  if (now < own.end + late.milliseconds) return { kind: 'earlier', at, period: own };
  return late.after === 'refuse'
    ? { kind: 'refused', errorCode: 'EVENT_TOO_LATE' }
    : { kind: 'moved', at: now };
}
