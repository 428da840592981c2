import { Temporal } from 'temporal-polyfill';
import type { Instant } from '../model/customer.js';

const DAY_MILLISECONDS = 86_400_000;

/** A local date and time without a zone, as an anchor gives it. `millisecond` counts within the day. */
export interface LocalTime {
  readonly year: number;
  /** 1 … 12. */
  readonly month: number;
  readonly day: number;
  readonly millisecond: number;
}

function isLeap(year: number): boolean {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

export function daysInMonth(year: number, month: number): number {
  return month === 2 && isLeap(year) ? 29 : (MONTH_DAYS[month - 1] ?? 30);
}

/** Days since 1970-01-01 of a date of the proleptic Gregorian calendar, in integers. */
export function epochDay(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/** The anchor's local time moved by whole months and clamped to the month's last day. */
export function plusMonths(anchor: LocalTime, months: number): LocalTime {
  const index = anchor.year * 12 + (anchor.month - 1) + months;
  const year = Math.floor(index / 12);
  const month = index - year * 12 + 1;
  return {
    year,
    month,
    day: Math.min(anchor.day, daysInMonth(year, month)),
    millisecond: anchor.millisecond,
  };
}

/** Local time read as if it were UTC. */
export function asUtc(local: LocalTime): Instant {
  return epochDay(local.year, local.month, local.day) * DAY_MILLISECONDS + local.millisecond;
}

/**
 * Wall-clock milliseconds (local time read as UTC) in a zone as an instant, by Temporal's `compatible` rule: a gap resolves
 * to the later, an overlap to the earlier of the two.
 */
export function toInstant(wall: number, timeZone: string): Instant {
  if (timeZone === 'UTC') return wall;
  return Temporal.Instant.fromEpochMilliseconds(wall)
    .toZonedDateTimeISO('UTC')
    .toPlainDateTime()
    .toZonedDateTime(timeZone, { disambiguation: 'compatible' }).epochMilliseconds;
}

/** The local time that clocks of the zone show at an instant. */
export function toLocal(instant: Instant, timeZone: string): LocalTime {
  if (timeZone === 'UTC') return utcTime(instant);
  const local = Temporal.Instant.fromEpochMilliseconds(instant).toZonedDateTimeISO(timeZone);
  const millisecond = ((local.hour * 60 + local.minute) * 60 + local.second) * 1000 + local.millisecond;
  return { year: local.year, month: local.month, day: local.day, millisecond };
}

function utcTime(instant: Instant): LocalTime {
  const date = new Date(instant);
  const millisecond = instant - Math.floor(instant / DAY_MILLISECONDS) * DAY_MILLISECONDS;
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate(), millisecond };
}
