import { Temporal } from 'temporal-polyfill';
import type { Instant } from '../model/customer.js';
import { asUtc, type LocalTime, toLocal } from './calendar.js';

/** The original anchor of a series of periods, read once. */
export interface Anchor {
  /** RFC 9557 text, for example `2027-01-31T10:00:00[America/New_York]`. */
  readonly text: string;
  readonly timeZone: string;
  readonly local: LocalTime;
  readonly instant: Instant;
}

/**
 * Calendar periods start at this local time: the first of a month, a quarter and a year, and a Monday, so one anchor serves
 * every interval, n-fold ones too.
 */
const CALENDAR_START = '2001-01-01T00:00:00';

const MAX_CACHED = 10_000;

/** Anchors are a function of their text; parsing one costs microseconds and is asked for in every consume. */
const cache = new Map<string, Anchor | null>();

function remember(text: string, anchor: Anchor | null): Anchor | null {
  if (cache.size >= MAX_CACHED) cache.clear();
  cache.set(text, anchor);
  return anchor;
}

/** `null`: the text is no anchor. `2027-01-31T10:00:00[Zone]`, with an offset too, or an instant with `Z`, which reads as UTC. */
export function parseAnchor(text: string): Anchor | null {
  const known = cache.get(text);
  if (known !== undefined) return known;
  return remember(text, readAnchor(text));
}

function readAnchor(text: string): Anchor | null {
  try {
    const zoned = text.includes('[')
      ? Temporal.ZonedDateTime.from(text, { offset: 'prefer', disambiguation: 'compatible' })
      : Temporal.Instant.from(text).toZonedDateTimeISO('UTC');
    const timeZone = zoned.timeZoneId;
    // The wall clock as written counts, also where it fell into a gap: later periods start at that time of day again.
    const plain = text.includes('[') ? Temporal.PlainDateTime.from(text) : zoned.toPlainDateTime();
    const local = {
      year: plain.year,
      month: plain.month,
      day: plain.day,
      millisecond: ((plain.hour * 60 + plain.minute) * 60 + plain.second) * 1000 + plain.millisecond,
    };
    return { text, timeZone, local, instant: zoned.epochMilliseconds };
  } catch {
    return null;
  }
}

/** Whether two texts say the same anchor: with an offset or without, with the seconds or without, the zone in capitals or not. */
export function isSameAnchor(left: string, right: string): boolean {
  if (left === right) return true;
  const [one, other] = [parseAnchor(left), parseAnchor(right)];
  return (
    one !== null &&
    other !== null &&
    one.timeZone === other.timeZone &&
    one.instant === other.instant &&
    asUtc(one.local) === asUtc(other.local)
  );
}

const zones = new Map<string, boolean>();

/** Whether a name is a time zone that this runtime knows. */
export function isTimeZone(name: string): boolean {
  let known = zones.get(name);
  if (known === undefined) {
    known = readZone(name);
    if (zones.size >= MAX_CACHED) zones.clear();
    zones.set(name, known);
  }
  return known;
}

function readZone(name: string): boolean {
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return true;
  } catch {
    return false;
  }
}

function localText(local: LocalTime): string {
  return new Date(asUtc(local)).toISOString().replace(/\.000Z$|Z$/, '');
}

/** The anchor text of an instant as clocks of the zone show it: how a license's or a customer's start is stored once. */
export function anchorAt(instant: Instant, timeZone: string): string {
  return `${localText(toLocal(instant, timeZone))}[${timeZone}]`;
}

export function calendarAnchor(timeZone: string): string {
  return `${CALENDAR_START}[${timeZone}]`;
}

/** The same instant on the clocks of another zone; the same anchor where the zone is its own. */
export function inTimeZone(anchor: Anchor, timeZone: string): Anchor {
  if (anchor.timeZone === timeZone || !isTimeZone(timeZone)) return anchor;
  return parseAnchor(anchorAt(anchor.instant, timeZone)) ?? anchor;
}
