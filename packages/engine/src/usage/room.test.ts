import { describe, expect, it } from 'vitest';
import { type Fill, fit, fitting, usedAfter } from './room.js';

const MOST = Number.MAX_SAFE_INTEGER;

function fill(over: Partial<Fill>): Fill {
  return {
    limit: { kind: 'unlimited' },
    used: 0,
    reserved: 0,
    enforcement: 'hard',
    overage: null,
    ...over,
  };
}

describe('room', () => {
  it('9 a limit beyond what JSON carries exactly is one at that point: check says what consume says', () => {
    const limit = { kind: 'finite', value: MOST } as const;
    const bounded: readonly Partial<Fill>[] = [
      { enforcement: 'hard' },
      { enforcement: 'soft', overage: { amount: 5 } },
    ];
    for (const one of bounded) {
      const almost = fill({ ...one, limit, used: MOST - 3, reserved: 1 });
      expect([fit(almost, 2), fit(almost, 3), fit(almost, MOST)]).toEqual(['within', 'beyond', 'beyond']);
      expect([fitting(almost, 1), fitting(almost, 2), fitting(almost, MOST)]).toEqual([1, 2, 2]);
    }
  });

  it('K-5 what nothing bounds never refuses for size, and is counted as far as JSON is exact', () => {
    const unbounded: readonly (readonly [Partial<Fill>, string])[] = [
      [{ limit: { kind: 'unlimited' } }, 'within'],
      [{ limit: { kind: 'finite', value: 3 }, enforcement: 'soft' }, 'over'],
      [{ limit: { kind: 'finite', value: 3 }, enforcement: 'observe' }, 'over'],
    ];
    for (const [one, expected] of unbounded) {
      const full = fill({ ...one, used: MOST - 1, reserved: 1 });
      expect([fit(full, 1), fit(full, MOST), fitting(full, MOST)]).toEqual([expected, expected, MOST]);
      expect(usedAfter(full, MOST)).toBe(MOST - 1);
      expect(usedAfter(fill({ ...one, used: MOST, reserved: 4 }), 1)).toBe(MOST);
      expect(usedAfter(fill({ ...one, used: MOST - 9, reserved: 4 }), 3)).toBe(MOST - 6);
    }
  });

  it('X-5 at the limit nothing fits but nothing, and below use not even that', () => {
    const limit = { kind: 'finite', value: 5 } as const;
    expect([fit(fill({ limit, used: 5 }), 0), fit(fill({ limit, used: 5 }), 1)]).toEqual([
      'within',
      'beyond',
    ]);
    expect(fit(fill({ limit, used: 4, reserved: 2 }), 0)).toBe('beyond');
    expect(fitting(fill({ limit, used: 6 }), 3)).toBe(0);
  });
});
