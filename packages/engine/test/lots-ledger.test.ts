import type { CreditLot, LotKind } from '@pennon/engine/model/customer';
import { burn, refill, remainingOf, type Stock } from '@pennon/engine/usage/lots';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ledger } from './ledger.js';

/*
 * The identities of a ledger of credits, of the engine's lots and of a reference that shares no line with them: (I1) what remains is the balance and
 * never below 0; (I2) of each lot, what was given is what remains, was used, ended and was voided; (I3) usage is what was taken out of
 * something plus overage; (I4) any split of the same use into steps gives the same state; (I5) a hard limit has no overage.
 */

const RANKS: Record<LotKind, number> = { promotional: 0, rollover: 1, topup: 3 };
const PERIOD_END = 1_000;

type Step =
  | {
      readonly kind: 'make';
      readonly lot: Omit<CreditLot, 'id' | 'createdAt' | 'startsAt' | 'remaining'>;
      readonly after: number;
    }
  | { readonly kind: 'consume' | 'giveBack'; readonly units: number }
  | { readonly kind: 'wait'; readonly time: number }
  | { readonly kind: 'void'; readonly index: number };

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('make' as const),
      lot: fc.record({
        kind: fc.constantFrom<LotKind>('promotional', 'rollover', 'topup'),
        priority: fc.constantFrom(0, 50, 100),
        amount: fc.integer({ min: 1, max: 12 }),
        endsAt: fc.option(fc.constantFrom(200, 500, PERIOD_END, 1_400), { nil: null }),
      }),
      after: fc.integer({ min: 0, max: 60 }),
    }),
    fc.record({ kind: fc.constant('consume' as const), units: fc.integer({ min: 0, max: 14 }) }),
    fc.record({ kind: fc.constant('giveBack' as const), units: fc.integer({ min: 0, max: 9 }) }),
    fc.record({ kind: fc.constant('wait' as const), time: fc.integer({ min: 1, max: 150 }) }),
    fc.record({ kind: fc.constant('void' as const), index: fc.nat(6) }),
  ),
  { maxLength: 25 },
);

/** One account in one period, told twice. */
class Pair {
  stock: Stock;
  voided: CreditLot[] = [];
  now = 0;
  used = 0;
  readonly ledger = new Ledger();
  readonly hard: boolean;
  readonly #chunks: number;
  readonly #given = new Map<string, number>();

  constructor(allowance: number, hard: boolean, chunks = Number.POSITIVE_INFINITY) {
    this.hard = hard;
    this.#chunks = chunks;
    this.stock = { allowance, allowanceUsed: 0, periodEnd: PERIOD_END, covered: 0, lots: [] };
    this.ledger.grant({
      id: 'allowance',
      priority: 50,
      startsAt: 0,
      endsAt: PERIOD_END,
      rank: 2,
      createdAt: 0,
      units: allowance,
    });
  }

  room(): number {
    const { allowance, allowanceUsed, lots } = this.stock;
    return allowance - allowanceUsed + remainingOf(lots, this.now);
  }

  take(step: Step): void {
    switch (step.kind) {
      case 'make': {
        const id = `lot ${String(this.#given.size).padStart(3, '0')}`;
        const startsAt = this.now + step.after;
        const lot: CreditLot = { ...step.lot, id, createdAt: this.now, startsAt, remaining: step.lot.amount };
        this.#given.set(id, lot.amount);
        this.stock = { ...this.stock, lots: [...this.stock.lots, lot] };
        const { priority, createdAt, amount: units } = lot;
        const endsAt = lot.endsAt ?? Number.POSITIVE_INFINITY;
        this.ledger.grant({ id, priority, startsAt, endsAt, rank: RANKS[lot.kind], createdAt, units });
        this.ledger.advance(this.now);
        return;
      }
      case 'consume': {
        if (this.hard && step.units > this.room()) return;
        for (let left = step.units; left > 0; left -= this.#chunks) {
          this.stock = burn(this.stock, Math.min(left, this.#chunks), this.now, !this.hard);
        }
        this.used += step.units;
        this.ledger.consume(step.units, this.now, !this.hard);
        return;
      }
      case 'giveBack': {
        const units = Math.min(step.units, this.used);
        // What came out of an ended lot cannot go back anywhere: the reference says how much can.
        const before = this.ledger.entries.length;
        this.ledger.giveBack(units, this.now);
        const back = this.ledger.entries.length - before;
        for (let left = back; left > 0; left -= this.#chunks) {
          this.stock = refill(this.stock, Math.min(left, this.#chunks), this.now);
        }
        this.used -= back;
        return;
      }
      case 'wait':
        this.now = Math.min(this.now + step.time, PERIOD_END - 1);
        this.ledger.advance(this.now);
        return;
      case 'void': {
        const lot = this.stock.lots[step.index % Math.max(1, this.stock.lots.length)];
        if (lot === undefined || (lot.endsAt !== null && lot.endsAt <= this.now)) return;
        this.voided.push(lot);
        this.stock = { ...this.stock, lots: this.stock.lots.filter((one) => one !== lot) };
        this.ledger.void(lot.id);
      }
    }
  }

  check(): void {
    const { stock, ledger, now } = this;
    const { allowance, allowanceUsed, covered, lots } = stock;
    const overage = Math.max(0, allowanceUsed - allowance);
    // I1
    const balance = Math.max(0, allowance - allowanceUsed) + remainingOf(lots, now);
    expect(balance).toBe(ledger.balance(now));
    for (const { remaining, amount } of lots) {
      expect(remaining).toBeGreaterThanOrEqual(0);
      expect(remaining).toBeLessThanOrEqual(amount);
    }
    // I2
    for (const lot of [...lots, ...this.voided]) {
      const ended = lot.endsAt !== null && lot.endsAt <= now;
      const gone = ended || this.voided.includes(lot);
      expect(lot.amount - lot.remaining).toBe(ledger.consumed(lot.id));
      expect(gone ? 0 : lot.remaining).toBe(ledger.remaining(lot.id));
      expect(gone ? lot.remaining : 0).toBe(ledger.count('expire', lot.id) + ledger.count('void', lot.id));
      expect(this.#given.get(lot.id)).toBe(lot.amount);
    }
    // I3
    expect(overage).toBe(ledger.overage());
    expect(this.used).toBe(Math.min(allowanceUsed, allowance) + covered + overage);
    // I5
    if (this.hard) expect(overage).toBe(0);
  }
}

const allowances = fc.integer({ min: 0, max: 20 });

describe('K-5 lots against a reference ledger', () => {
  it.each([
    ['hard', true],
    ['soft', false],
  ])('%s: the identities hold after every step', (_name, hard) => {
    fc.assert(
      fc.property(allowances, steps, (allowance, list) => {
        const pair = new Pair(allowance, hard);
        for (const step of list) {
          pair.take(step);
          pair.check();
        }
      }),
      { numRuns: 600 },
    );
  });

  it('I4: unit by unit or all at once, the state is the same', () => {
    fc.assert(
      fc.property(
        allowances,
        steps,
        fc.boolean(),
        fc.integer({ min: 1, max: 4 }),
        (allowance, list, hard, chunks) => {
          const whole = new Pair(allowance, hard);
          const split = new Pair(allowance, hard, chunks);
          for (const step of list) {
            whole.take(step);
            split.take(step);
            expect(split.stock).toEqual(whole.stock);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
