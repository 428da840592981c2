import { Temporal } from 'temporal-polyfill';
import { CelDuration, CelError, CelTimestamp } from './values.js';

const SECONDS_PER_DAY = 86_400;
const NANOS_PER_SECOND = 1_000_000_000;
/** 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z. */
const FIRST_SECOND = -62_135_596_800;
const LAST_SECOND = 253_402_300_799;
/** Durations are nanoseconds of 64 bits, as in the reference implementation: about ±292 years. */
const DURATION_LIMIT = 2n ** 63n;

function outOfRange(what: string): CelError {
  return new CelError('OVERFLOW', `The ${what} is out of range`);
}

/** A timestamp of any whole nanoseconds, carried into seconds; an error outside the years 1 to 9999. */
export function makeTimestamp(seconds: number, nanos: number): CelTimestamp | CelError {
  const carried = seconds + Math.floor(nanos / NANOS_PER_SECOND);
  if (!(carried >= FIRST_SECOND && carried <= LAST_SECOND)) return outOfRange('timestamp');
  return new CelTimestamp(carried, nanos - Math.floor(nanos / NANOS_PER_SECOND) * NANOS_PER_SECOND);
}

export function makeDuration(seconds: number, nanos: number): CelDuration | CelError {
  const carry = Math.floor(nanos / NANOS_PER_SECOND);
  const duration = new CelDuration(seconds + carry, nanos - carry * NANOS_PER_SECOND);
  if (!Number.isSafeInteger(duration.seconds)) return outOfRange('duration');
  const total = duration.toNanos();
  return total >= -DURATION_LIMIT && total < DURATION_LIMIT ? duration : outOfRange('duration');
}

/** Days since 1970-01-01 of a proleptic Gregorian date; the year is counted from March, so that the leap day is last. */
function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

interface Civil {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
}

function civilFromDays(days: number): Civil {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = marchMonth + (marchMonth < 10 ? 3 : -9);
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return { year, month, day: dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1 };
}

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/** RFC 3339 text, at most nine decimals. */
export function parseTimestamp(text: string): CelTimestamp | CelError {
  const match = text.length <= 64 ? RFC3339.exec(text) : null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = (match ?? [])
    .slice(1, 7)
    .map(Number);
  const days = daysFromCivil(year, month, day);
  const civil = civilFromDays(days);
  const exists = civil.month === month && civil.day === day && hour < 24 && minute < 60 && second < 60;
  const offset = parseOffset(match?.[8] ?? '');
  if (match === null || !exists || offset === undefined) {
    const message = `\`${text.slice(0, 64)}\` is not a timestamp; write one like \`2027-01-31T10:00:00Z\``;
    return new CelError('INVALID_ARGUMENT', message);
  }
  const nanos = Number((match[7] ?? '').padEnd(9, '0'));
  return makeTimestamp(days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset, nanos);
}

/** Seconds east of UTC of `Z`, `UTC`, `+02:00` or `02:00`. */
function parseOffset(text: string): number | undefined {
  if (text === 'Z' || text === 'UTC') return 0;
  const match = /^([+-]?)(\d\d):(\d\d)$/.exec(text);
  if (match === null) return undefined;
  const [hours, minutes] = [Number(match[2]), Number(match[3])];
  if (hours > 23 || minutes > 59) return undefined;
  return (match[1] === '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

const pad = (value: number, width: number): string => String(value).padStart(width, '0');

function decimals(nanos: number): string {
  return nanos === 0 ? '' : `.${pad(nanos, 9).replace(/0+$/, '')}`;
}

/** RFC 3339 in UTC. */
export function formatTimestamp(timestamp: CelTimestamp): string {
  const { civil, secondOfDay } = splitDay(timestamp.seconds);
  const clock = [Math.floor(secondOfDay / 3600), Math.floor(secondOfDay / 60) % 60, secondOfDay % 60];
  const date = `${pad(civil.year, 4)}-${pad(civil.month, 2)}-${pad(civil.day, 2)}`;
  return `${date}T${clock.map((part) => pad(part, 2)).join(':')}${decimals(timestamp.nanos)}Z`;
}

function splitDay(seconds: number): { civil: Civil; days: number; secondOfDay: number } {
  const days = Math.floor(seconds / SECONDS_PER_DAY);
  return { civil: civilFromDays(days), days, secondOfDay: seconds - days * SECONDS_PER_DAY };
}

const UNIT_NANOS: Readonly<Record<string, bigint>> = {
  h: 3_600_000_000_000n,
  m: 60_000_000_000n,
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1_000n,
  µs: 1_000n,
  ns: 1n,
};

const DURATION = /^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|h|m|s))+)$/;

/** `1h30m`, `-1.5s`, `250ms`: the text of Go's durations. */
export function parseDuration(text: string): CelDuration | CelError {
  if (text.length > 64 || !DURATION.test(text)) {
    const message = `\`${text.slice(0, 64)}\` is not a duration; write one like \`1h30m\` or \`90s\``;
    return new CelError('INVALID_ARGUMENT', message);
  }
  let total = 0n;
  for (const [, whole = '', fraction = '', unit = ''] of text.matchAll(/(\d*)\.?(\d*)(ns|us|µs|ms|h|m|s)/g)) {
    const nanos = UNIT_NANOS[unit] ?? 0n;
    total +=
      BigInt(whole || '0') * nanos + (BigInt(fraction || '0') * nanos) / 10n ** BigInt(fraction.length);
  }
  if (text.startsWith('-')) total = -total;
  if (total < -DURATION_LIMIT || total >= DURATION_LIMIT) return outOfRange('duration');
  return CelDuration.fromNanos(total);
}

/** Seconds with as many decimals as needed: `5400s`, `-1.5s`. */
export function formatDuration(duration: CelDuration): string {
  const negative = duration.seconds < 0;
  const borrowed = negative && duration.nanos > 0;
  const seconds = Math.abs(duration.seconds + (borrowed ? 1 : 0));
  const nanos = borrowed ? NANOS_PER_SECOND - duration.nanos : duration.nanos;
  return `${negative ? '-' : ''}${seconds}${decimals(nanos)}s`;
}

/** Seconds east of UTC at that instant, for an IANA zone or a fixed offset. */
function zoneOffset(timestamp: CelTimestamp, zone: string): number | CelError {
  const fixed = parseOffset(zone);
  if (fixed !== undefined) return fixed;
  try {
    if (!/^[A-Za-z][A-Za-z0-9_+\-/]{0,63}$/.test(zone)) throw new RangeError(zone);
    const instant = Temporal.Instant.fromEpochMilliseconds(timestamp.toMilliseconds());
    return instant.toZonedDateTimeISO(zone).offsetNanoseconds / NANOS_PER_SECOND;
  } catch {
    const message = `\`${zone.slice(0, 64)}\` is not a time zone; write an IANA name such as \`Europe/Berlin\` or an offset such as \`+02:00\``;
    return new CelError('INVALID_ARGUMENT', message);
  }
}

export const TIMESTAMP_GETTERS = [
  'getFullYear',
  'getMonth',
  'getDate',
  'getDayOfMonth',
  'getDayOfWeek',
  'getDayOfYear',
  'getHours',
  'getMinutes',
  'getSeconds',
  'getMilliseconds',
] as const;
export type TimestampGetter = (typeof TIMESTAMP_GETTERS)[number];

/** Months, days of month (`getDayOfMonth`), of week and of year count from 0, `getDate` from 1, as CEL has it. */
export function timestampPart(
  timestamp: CelTimestamp,
  part: TimestampGetter,
  zone: string,
): bigint | CelError {
  const offset = zoneOffset(timestamp, zone);
  if (offset instanceof CelError) return offset;
  const { civil, days, secondOfDay } = splitDay(Math.floor(timestamp.seconds + offset));
  switch (part) {
    case 'getFullYear':
      return BigInt(civil.year);
    case 'getMonth':
      return BigInt(civil.month - 1);
    case 'getDate':
      return BigInt(civil.day);
    case 'getDayOfMonth':
      return BigInt(civil.day - 1);
    case 'getDayOfWeek':
      return BigInt((((days + 4) % 7) + 7) % 7);
    case 'getDayOfYear':
      return BigInt(days - daysFromCivil(civil.year, 1, 1));
    case 'getHours':
      return BigInt(Math.floor(secondOfDay / 3600));
    case 'getMinutes':
      return BigInt(Math.floor(secondOfDay / 60) % 60);
    case 'getSeconds':
      return BigInt(secondOfDay % 60);
    case 'getMilliseconds':
      return BigInt(Math.floor(timestamp.nanos / 1_000_000));
  }
}

const DURATION_UNITS = {
  getHours: 3_600_000_000_000n,
  getMinutes: 60_000_000_000n,
  getSeconds: 1_000_000_000n,
} as const;

/** The whole duration in that unit, toward zero; `getMilliseconds` is the part below a second. */
export function durationPart(
  duration: CelDuration,
  part: 'getHours' | 'getMinutes' | 'getSeconds' | 'getMilliseconds',
): bigint {
  const total = duration.toNanos();
  return part === 'getMilliseconds' ? (total / 1_000_000n) % 1000n : total / DURATION_UNITS[part];
}
