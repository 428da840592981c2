import { describe, expect, it } from 'vitest';
import { type Fill, fit, fitting } from './room.js';

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
  it('9 a sum that JSON cannot carry exactly fits nowhere: check says what consume says', () => {
    for (const enforcement of ['hard', 'soft', 'observe'] as const) {
      for (const limit of [{ kind: 'unlimited' }, { kind: 'finite', value: MOST }] as const) {
        const almost = fill({ limit, enforcement, used: MOST - 3, reserved: 1 });
        expect([fit(almost, 2), fit(almost, 3), fit(almost, MOST)]).toEqual(['within', 'beyond', 'beyond']);
        expect([fitting(almost, 1), fitting(almost, 2), fitting(almost, MOST)]).toEqual([1, 2, 2]);
      }
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
