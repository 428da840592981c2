import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { INTERVALS, type Interval } from '../model/catalog.js';
import { anchorAt, calendarAnchor, isTimeZone, parseAnchor } from './anchor.js';
import { periodAt } from './period-at.js';

const ZONES = [
  'UTC',
  'America/New_York',
  'Europe/Berlin',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'America/Sao_Paulo',
  'Africa/Casablanca',
];

const DURATIONS: Record<Interval, (count: number) => Temporal.DurationLike> = {
  hour: (hours) => ({ hours }),
  day: (days) => ({ days }),
  week: (weeks) => ({ weeks }),
  month: (months) => ({ months }),
  quarter: (count) => ({ months: count * 3 }),
  year: (years) => ({ years }),
};

/** Start n by the library's own calendar: an implementation that shares nothing with ours. */
function steppedStart(anchor: string, every: Interval, count: number, n: number): number {
  const zoned = Temporal.ZonedDateTime.from(anchor);
  if (every === 'hour') return zoned.add({ hours: n * count }).epochMilliseconds;
  const plain = Temporal.PlainDateTime.from(anchor).add(DURATIONS[every](n * count));
  return plain.toZonedDateTime(zoned.timeZoneId, { disambiguation: 'compatible' }).epochMilliseconds;
}

const FIRST = Date.parse('1995-01-01T00:00:00Z');
const LAST = Date.parse('2045-01-01T00:00:00Z');

const asked = fc.record({
  zone: fc.constantFrom(...ZONES),
  start: fc.integer({ min: FIRST, max: LAST }),
  every: fc.constantFrom(...INTERVALS),
  count: fc.integer({ min: 1, max: 5 }),
  now: fc.integer({ min: FIRST, max: LAST }),
});

describe('periodAt', () => {
  it('law 9: holds the instant, and its neighbours begin where it ends (no gap, no overlap)', () => {
    fc.assert(
      fc.property(asked, ({ zone, start, every, count, now }) => {
        const anchor = anchorAt(start, zone);
        const reset = { every, count };
        const period = periodAt({ reset, anchor, now });
        if (period === null) throw new Error(anchor);
        expect(period.start).toBeLessThanOrEqual(now);
        expect(now).toBeLessThan(period.end);
        expect(periodAt({ reset, anchor, now: period.start })).toEqual(period);
        expect(periodAt({ reset, anchor, now: period.end - 1 })).toEqual(period);
        expect(periodAt({ reset, anchor, now: period.end })?.start).toBe(period.end);
        expect(periodAt({ reset, anchor, now: period.start - 1 })?.end).toBe(period.start);
      }),
      { numRuns: 500 },
    );
  });

  it('law 9: every start is the original anchor plus n intervals, however far (no drift)', () => {
    fc.assert(
      fc.property(asked, fc.integer({ min: -300, max: 300 }), ({ zone, start, every, count }, n) => {
        const anchor = anchorAt(start, zone);
        const begin = steppedStart(anchor, every, count, n);
        const end = steppedStart(anchor, every, count, n + 1);
        if (end <= begin) return;
        const period = periodAt({ reset: { every, count }, anchor, now: begin });
        expect({ start: period?.start, end: period?.end }).toEqual({ start: begin, end });
      }),
      { numRuns: 500 },
    );
  });

  it('law 9: chained adding would drift from the 31st, and this does not', () => {
    const anchor = '2027-01-31T10:00:00[America/New_York]';
    const starts: string[] = [];
    let now = Date.parse('2027-02-01T00:00:00Z');
    for (let index = 0; index < 14; index += 1) {
      const period = periodAt({ reset: { every: 'month' }, anchor, now });
      if (period === null) throw new Error('no period');
      starts.push(new Date(period.start).toISOString().slice(5, 10));
      now = period.end;
    }
    expect(starts.slice(0, 6)).toEqual(['01-31', '02-28', '03-31', '04-30', '05-31', '06-30']);
    expect(starts[13]).toBe('02-29');
  });

  it('the zone of a reset moves the clock, not the anchor', () => {
    const anchor = '2027-01-31T23:00:00[America/New_York]';
    const period = periodAt({
      reset: { every: 'month' },
      anchor,
      timeZone: 'UTC',
      now: Date.parse('2027-02-10T00:00:00Z'),
    });
    // The anchor is the first of February in UTC: so are all starts.
    expect(new Date(period?.start ?? 0).toISOString()).toBe('2027-02-01T04:00:00.000Z');
    expect(new Date(period?.end ?? 0).toISOString()).toBe('2027-03-01T04:00:00.000Z');
    expect(period?.timeZone).toBe('UTC');
  });

  it('calendar periods begin with the week on Monday, the month, quarter and year on their first', () => {
    const anchor = calendarAnchor('Europe/Berlin');
    const now = Date.parse('2027-08-18T12:00:00Z');
    const starts = (['week', 'month', 'quarter', 'year'] as const).map((every) => {
      const period = periodAt({ reset: { every }, anchor, now });
      return Temporal.Instant.fromEpochMilliseconds(period?.start ?? 0)
        .toZonedDateTimeISO('Europe/Berlin')
        .toPlainDateTime()
        .toString();
    });
    expect(starts).toEqual([
      '2027-08-16T00:00:00',
      '2027-08-01T00:00:00',
      '2027-07-01T00:00:00',
      '2027-01-01T00:00:00',
    ]);
  });

  it('a text that is no anchor has no period, and no zone is invented', () => {
    for (const anchor of ['', 'soon', '2027-13-01T00:00:00[UTC]', '2027-01-01T00:00:00[Mars/Base]']) {
      expect(parseAnchor(anchor)).toBeNull();
      expect(periodAt({ reset: { every: 'day' }, anchor, now: 0 })).toBeNull();
    }
    expect([isTimeZone('Europe/Berlin'), isTimeZone('Mars/Base')]).toEqual([true, false]);
  });
});
