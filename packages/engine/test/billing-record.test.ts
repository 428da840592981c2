import {
  EMPTY_RECORD,
  isOver,
  statusSince,
  withReport,
  withSchedule,
} from '@pennon/engine/billing/billing-record';
import { effectiveItems } from '@pennon/engine/billing/effective-items';
import type {
  BillingRecord,
  BillingReport,
  BillingScheduleReport,
} from '@pennon/engine/model/billing-subscription';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arbitraryDelivery, arbitraryHistory, item, report, START } from './arbitrary-billing.js';

const fold = (reports: readonly BillingReport[]): BillingRecord => reports.reduce(withReport, EMPTY_RECORD);
const HOUR = 3_600_000;

describe('K-12 what is known of a subscription', () => {
  it('is the same in any order, with duplicates and gaps: 2,000 histories', () => {
    const deliveries = arbitraryHistory.chain((history) =>
      fc.tuple(fc.constant(history), arbitraryDelivery(history)),
    );
    fc.assert(
      fc.property(deliveries, ([history, delivery]) => {
        const inOrder = history.filter((one) => delivery.includes(one));
        expect(fold(delivery)).toEqual(fold(inOrder));
      }),
      { numRuns: 2_000 },
    );
  });

  it('is what was said last, when all of it came in the end', () => {
    const whole = arbitraryHistory.chain((history) =>
      fc.tuple(fc.constant(history), fc.shuffledSubarray([...history], { minLength: history.length })),
    );
    fc.assert(
      fc.property(whole, ([history, delivery]) => {
        const moments = history.filter(({ mark }) => mark.at === history.at(-1)?.mark.at);
        // Within one second the rank and an open payment decide before the order of ids, which is the order here.
        fc.pre(
          moments.every(({ subscription }) => subscription.status !== 'incomplete') || moments.length === 1,
        );
        expect(fold(delivery).latest).toEqual(history.at(-1));
      }),
    );
  });

  it('never comes back once it is over, however late something else is said to have happened', () => {
    fc.assert(
      fc.property(arbitraryHistory, fc.nat(), (history, place) => {
        const over = report(START - HOUR, { status: 'canceled', endedAt: START - HOUR }, 3, 'evt_over');
        const at = place % (history.length + 1);
        const record = fold([...history.slice(0, at), over, ...history.slice(at)]);
        expect(record.latest && isOver(record.latest.subscription.status)).toBe(true);
      }),
    );
  });

  it('says nothing new twice', () => {
    const record = fold([report(START), report(START + HOUR)]);
    expect(withReport(record, report(START))).toBe(record);
    expect(withReport(record, report(START + HOUR))).toBe(record);
  });

  it('takes the deleted before the paused before the changed before the created of one second', () => {
    const said = [
      report(START, { status: 'incomplete' }, 0, 'evt_d'),
      report(START, { status: 'active' }, 1, 'evt_c'),
      report(START, { status: 'paused' }, 2, 'evt_b'),
      report(START, { status: 'canceled' }, 3, 'evt_a'),
    ];
    for (let count = 1; count <= said.length; count += 1) {
      const some = said.slice(0, count);
      expect(fold([...some].reverse()).latest).toEqual(some.at(-1));
      expect(fold(some).latest).toEqual(some.at(-1));
    }
  });

  it('takes an open first payment for the earlier of two changes of one second', () => {
    const open = report(START, { status: 'incomplete' }, 1, 'evt_z');
    const paid = report(START, { status: 'active' }, 1, 'evt_a');
    expect(fold([open, paid]).latest).toEqual(paid);
    expect(fold([paid, open]).latest).toEqual(paid);
  });

  it('knows since when it has its status, whatever came first', () => {
    const said = [
      report(START, { status: 'past_due' }),
      report(START + HOUR, { status: 'active' }),
      report(START + 2 * HOUR, { status: 'past_due' }),
      report(START + 3 * HOUR, { status: 'past_due' }),
    ];
    expect(statusSince(fold(said))).toBe(START + 2 * HOUR);
    expect(statusSince(fold([...said].reverse()))).toBe(START + 2 * HOUR);
    const without = said.filter((_one, index) => index !== 1);
    expect(statusSince(fold(without))).toBe(START);
    expect(statusSince(EMPTY_RECORD)).toBeNull();
  });

  it('keeps the newest hundred states, the same ones in any order', () => {
    const said = Array.from({ length: 250 }, (_one, index) => report(START + index * HOUR));
    const record = fold(said);
    expect(record.sightings).toHaveLength(100);
    expect(record).toEqual(fold([...said].reverse()));
    expect(record.sightings[0]?.mark.at).toBe(START + 150 * HOUR);
  });
});

describe('K-12 a schedule', () => {
  const schedule = (at: number, ...starts: readonly number[]): BillingScheduleReport => ({
    mark: { at, rank: 1, id: `evt_s${at}` },
    phases: starts.map((startsAt) => ({ startsAt, items: [item({ price: `price_${startsAt}` })] })),
  });
  const known = withReport(EMPTY_RECORD, report(START));

  it('is the newest one said, and says nothing once it is released', () => {
    const planned = schedule(START + HOUR, START + 5 * HOUR);
    const released = schedule(START + 2 * HOUR);
    for (const order of [
      [planned, released],
      [released, planned],
      [released, planned, released],
    ]) {
      expect(effectiveItems(order.reduce(withSchedule, known), START + 3 * HOUR).next).toBeNull();
    }
  });

  it('plans what comes next, and holds by the clock while the event that says so is late', () => {
    const record = withSchedule(known, schedule(START, START, START + 5 * HOUR, START + 9 * HOUR));
    expect(effectiveItems(record, START + HOUR)).toMatchObject({
      items: [{ price: 'price_pro' }],
      next: { startsAt: START + 5 * HOUR },
    });
    expect(effectiveItems(record, START + 6 * HOUR)).toMatchObject({
      items: [{ price: `price_${START + 5 * HOUR}` }],
      next: { startsAt: START + 9 * HOUR },
    });
    const told = withReport(
      record,
      report(START + 5 * HOUR + 1000, { items: [item({ price: 'price_other' })] }),
    );
    expect(effectiveItems(told, START + 6 * HOUR)).toMatchObject({ items: [{ price: 'price_other' }] });
  });
});
