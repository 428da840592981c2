import type { Instant } from '@pennon/engine/model/customer';
import { ServiceError } from './service-error.js';

const RFC_3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.\d{1,3})?(?:Z|[+-](\d{2}):(\d{2}))$/;

/** RFC 3339 in UTC with milliseconds. */
export function toTime(instant: Instant): string {
  return new Date(instant).toISOString();
}

export function toTimeOrNull(instant: Instant | null): string | null {
  return instant === null ? null : toTime(instant);
}

/** Reads RFC 3339 with an offset; `pointer` names the member in the refusal. A day that does not exist is refused. */
export function fromTime(text: string, pointer: string): Instant {
  const parts = RFC_3339.exec(text);
  const instant = parts === null ? Number.NaN : Date.parse(text);
  if (parts === null || Number.isNaN(instant) || !dayExists(parts)) {
    throw new ServiceError(
      'invalid',
      'TIME_INVALID',
      `\`${text.slice(0, 64)}\` is not a time. Write it like \`2027-01-31T10:00:00Z\` or with an offset, \`+01:00\`.`,
      { items: [{ code: 'TIME_INVALID', message: 'Not an RFC 3339 time with an offset.', pointer }] },
    );
  }
  return instant;
}

/** `Date.parse` moves the 30th of February into March; a contract must not move. */
function dayExists(parts: RegExpExecArray): boolean {
  const [year, month, day, hour, offsetHour, offsetMinute] = [1, 2, 3, 4, 7, 8].map((index) =>
    Number(parts[index] ?? 0),
  );
  if (year === undefined || month === undefined || day === undefined) {
    return false;
  }
  const lastDay = new Date(Date.UTC(year, month, 0)).getUTCDate();
  return (
    year >= 1970 &&
    day >= 1 &&
    day <= lastDay &&
    (hour ?? 0) < 24 &&
    (offsetHour ?? 0) < 24 &&
    (offsetMinute ?? 0) < 60
  );
}
