const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;
const DATE_TIME =
  /^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(\.[0-9]{1,9})?)?([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$/;

/** Midnight UTC of a calendar day `2027-03-01`, in milliseconds since the epoch; `null` when there is no such day. */
export function readDay(text: string): number | null {
  const [, year, month, day] = (DATE.exec(text) ?? []).map(Number);
  if (year === undefined || month === undefined || day === undefined) return null;
  const date = new Date(Date.UTC(year, month - 1, day));
  if (date.getUTCFullYear() !== year || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day)
    return null;
  return date.getTime();
}

/** An RFC 3339 instant with its zone, in milliseconds since the epoch; `null` when it is none. */
export function readInstant(text: string): number | null {
  const match = DATE_TIME.exec(text);
  if (match === null) return null;
  const [, day = '', hours, minutes, seconds = '0', fraction = '0', zone = 'Z'] = match;
  const midnight = readDay(day);
  if (midnight === null) return null;
  const offset = /^[zZ]$/.test(zone)
    ? 0
    : (zone.startsWith('-') ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4)));
  const milliseconds = Math.floor(Number(fraction) * 1000);
  return (
    midnight + ((Number(hours) * 60 + Number(minutes) - offset) * 60 + Number(seconds)) * 1000 + milliseconds
  );
}

export function isTimeZone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return true;
  } catch {
    return false;
  }
}
