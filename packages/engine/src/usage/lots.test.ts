import { describe, expect, it } from 'vitest';
import type { CreditLot } from '../model/customer.js';
import { burn, refill, type Stock } from './lots.js';

const NOW = 1_000;

function lot(id: string, over: Partial<CreditLot> = {}): CreditLot {
  const amount = over.amount ?? 10;
  return {
    id,
    kind: 'topup',
    priority: 50,
    remaining: amount,
    createdAt: 0,
    startsAt: 0,
    endsAt: null,
    ...over,
    amount,
  };
}

function stock(lots: readonly CreditLot[], over: Partial<Stock> = {}): Stock {
  return { allowance: 0, allowanceUsed: 0, periodEnd: 5_000, covered: 0, lots, ...over };
}

/** The order in which lots lose their first unit. */
function orderOf(lots: readonly CreditLot[], over: Partial<Stock> = {}): string[] {
  const order: string[] = [];
  let now = stock(lots, over);
  for (;;) {
    const next = burn(now, 1, NOW, false);
    const moved = next.lots.find((one, index) => one.remaining !== now.lots[index]?.remaining);
    const name = moved?.id ?? 'allowance';
    if (name === 'allowance' && next.allowanceUsed > next.allowance) return order;
    if (!order.includes(name)) order.push(name);
    now = next;
  }
}

describe('lots', () => {
  it('K-5 are used by priority, soonest to end first, promotional before paid, then oldest', () => {
    const lots = [
      lot('never'),
      lot('soon', { endsAt: 2_000 }),
      lot('soon, given', { endsAt: 2_000, kind: 'promotional' }),
      lot('older', { endsAt: 3_000, createdAt: 1 }),
      lot('younger', { endsAt: 3_000, createdAt: 2 }),
      lot('first', { priority: 0 }),
      lot('last', { priority: 100, endsAt: 1_500 }),
    ];
    const expected = ['first', 'soon, given', 'soon', 'older', 'younger', 'never', 'last'];
    expect(orderOf(lots)).toEqual(expected);
    expect(orderOf([...lots].reverse())).toEqual(expected);
  });

  it('the allowance is one of them, which ends with the period', () => {
    const lots = [
      lot('before', { endsAt: 4_999 }),
      lot('given', { endsAt: 5_000, kind: 'promotional' }),
      lot('left', { endsAt: 5_000, kind: 'rollover' }),
      lot('paid', { endsAt: 5_000 }),
      lot('after', { endsAt: 5_001 }),
    ];
    const expected = ['before', 'given', 'left', 'allowance', 'paid', 'after'];
    expect(orderOf(lots, { allowance: 10 })).toEqual(expected);
  });

  it('those that have not begun or have ended give nothing', () => {
    const lots = [
      lot('early', { startsAt: NOW + 1 }),
      lot('late', { endsAt: NOW }),
      lot('now', { startsAt: NOW }),
    ];
    expect(orderOf(lots)).toEqual(['now']);
  });

  it('giving back goes the other way round, and what came out of an ended lot is gone', () => {
    const lots = [lot('soon', { endsAt: 2_000 }), lot('never')];
    const used = burn(stock(lots, { allowance: 5 }), 22, NOW, false);
    expect(used).toMatchObject({ allowanceUsed: 5, covered: 17 });
    const back = refill(used, 8, NOW);
    expect(back).toMatchObject({ allowanceUsed: 4, covered: 10 });
    expect(back.lots.map((one) => one.remaining)).toEqual([0, 10]);
    const later = refill(back, 14, 3_000);
    expect(later).toMatchObject({ allowanceUsed: 0, covered: 0 });
    expect(later.lots.map((one) => one.remaining)).toEqual([0, 10]);
  });

  it('of a hard limit no credit is spent on what a lowered allowance left uncovered; of a soft one it is overage', () => {
    const lowered = stock([lot('one', { amount: 100 })], { allowance: 20, allowanceUsed: 100 });
    expect(burn(lowered, 3, NOW, false)).toMatchObject({ allowanceUsed: 100, covered: 3 });
    expect(burn(lowered, 3, NOW, true)).toMatchObject({ allowanceUsed: 20, covered: 83 });
  });

  it('what neither the allowance nor a lot has left is overage, and is given back first', () => {
    const over = burn(stock([lot('one')], { allowance: 5 }), 20, NOW, true);
    expect(over).toMatchObject({ allowanceUsed: 10, covered: 10 });
    expect(refill(over, 6, NOW)).toMatchObject({ allowanceUsed: 5, covered: 9 });
  });
});
