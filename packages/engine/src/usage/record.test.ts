import { array, boolean, constantFrom, integer, property, assert as prove, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AGGREGATIONS } from '../model/catalog.js';
import { LIMITS } from '../model/limits.js';
import { countEvent, type Meter } from './count-event.js';
import { percentOf } from './percent.js';
import { type PlaceQuestion, placeEvent } from './place-event.js';

const MOST = LIMITS.quantity.value;
const events = array(
  record({
    aggregation: constantFrom(...AGGREGATIONS),
    amount: integer({ min: -1000, max: 1000 }),
    at: integer({ min: 0, max: 50 }),
    isNew: boolean(),
  }),
  { maxLength: 30 },
);
const EMPTY: Meter = { used: 0, reserved: 0, latestAt: null };

describe('what an event counts', () => {
  it('OEP 3 usage is never below 0 nor beyond what JSON carries, and every change of it is told', () => {
    prove(
      property(events, integer({ min: 0, max: MOST }), (told, used) => {
        let meter: Meter = { ...EMPTY, used };
        for (const event of told) {
          const counted = countEvent(meter, event);
          expect(counted.used - meter.used).toBe(counted.delta);
          expect(counted.used).toBeGreaterThanOrEqual(0);
          expect(counted.used).toBeLessThanOrEqual(MOST);
          meter = counted;
        }
      }),
      { numRuns: 300 },
    );
  });

  it('adds up to what a reader of the list would say', () => {
    const positive = array(record({ amount: integer({ min: 0, max: 99 }), at: integer({ min: 0, max: 9 }) }));
    prove(
      property(positive, (list) => {
        const of = (aggregation: (typeof AGGREGATIONS)[number]) =>
          list.reduce<Meter>(
            (meter, event) => countEvent(meter, { ...event, aggregation, isNew: true }),
            EMPTY,
          ).used;
        expect(of('sum')).toBe(list.reduce((sum, { amount }) => sum + amount, 0));
        expect(of('unique')).toBe(list.length);
        expect(of('max')).toBe(Math.max(0, ...list.map(({ amount }) => amount)));
        // Of those that happened last, the one told last.
        const last = Math.max(0, ...list.map(({ at }) => at));
        expect(of('latest')).toBe(list.filter(({ at }) => at === last).at(-1)?.amount ?? 0);
      }),
      { numRuns: 200 },
    );
  });

  it('a meter that stands at the end of what is exact stays there', () => {
    const full = { ...EMPTY, used: MOST };
    expect(countEvent(full, { aggregation: 'sum', amount: 5, at: 0, isNew: false }).delta).toBe(0);
    expect(countEvent(full, { aggregation: 'sum', amount: -5, at: 0, isNew: false }).used).toBe(MOST - 5);
  });
});

describe('where an event counts', () => {
  const own = { start: 100_000, end: 200_000 };
  const ask = (over: Partial<PlaceQuestion<typeof own>>) =>
    placeEvent({
      occurredAt: 150_000,
      now: 250_000,
      period: { start: 200_000, end: 300_000 },
      periodAt: () => own,
      late: { milliseconds: 60_000, after: 'current' },
      ...over,
    });

  it('OEP 5 into its own period while that accepts, at the edges exactly', () => {
    expect(ask({})).toEqual({ kind: 'earlier', at: 150_000, period: own });
    expect(ask({ now: 259_999 })).toMatchObject({ kind: 'earlier' });
    expect(ask({ now: 260_000 })).toEqual({ kind: 'moved', at: 260_000 });
    expect(ask({ now: 260_000, late: { milliseconds: 60_000, after: 'refuse' } })).toEqual({
      kind: 'refused',
      errorCode: 'EVENT_TOO_LATE',
    });
    expect(ask({ occurredAt: 200_000 })).toEqual({ kind: 'current', at: 200_000 });
    expect(ask({ occurredAt: 199_999 })).toMatchObject({ kind: 'earlier' });
    expect(ask({ occurredAt: null })).toEqual({ kind: 'current', at: 250_000 });
  });

  it('OEP 5 what nothing resets is always the current one', () => {
    expect(ask({ period: null, occurredAt: 1 })).toEqual({ kind: 'current', at: 1 });
    expect(ask({ periodAt: () => null })).toEqual({ kind: 'current', at: 150_000 });
  });

  it('a clock that is a little ahead means now, and one that is far ahead is refused', () => {
    const ahead = LIMITS.usageFutureMinutes.value * 60_000;
    expect(ask({ occurredAt: 250_000 + ahead })).toEqual({ kind: 'current', at: 250_000 });
    expect(ask({ occurredAt: 250_001 + ahead })).toEqual({ kind: 'refused', errorCode: 'EVENT_IN_FUTURE' });
  });
});

describe('how near a limit', () => {
  it('is whole percent from a half on, exact for the largest numbers', () => {
    expect([percentOf(49, 100), percentOf(50, 100), percentOf(99, 100), percentOf(250, 100)]).toEqual([
      null,
      50,
      99,
      250,
    ]);
    expect([percentOf(5, null), percentOf(0, 0), percentOf(1, 0)]).toEqual([null, null, 1_000_000]);
    expect([percentOf(MOST, MOST), percentOf(MOST - 1, MOST)]).toEqual([100, 99]);
    // K-14 who is over by one is over.
    expect([percentOf(1000, 1000), percentOf(1001, 1000), percentOf(999, 1000)]).toEqual([100, 101, 99]);
    expect(percentOf(MOST, MOST - 1)).toBe(101);
    expect(percentOf(8e13 + 1, 8e13)).toBe(101);
  });
});
