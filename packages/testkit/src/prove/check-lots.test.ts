import { describe, expect, it } from 'vitest';
import { checkLots, type LotsQuestion } from './check-lots.js';

const ending = { id: 'a', kind: 'topup', amount: 3, remaining: 0, startsAt: 0, endsAt: 50 } as const;
const lasting = { id: 'b', kind: 'topup', amount: 5, remaining: 4, startsAt: 10, endsAt: null } as const;
/** Ten are allowed; `a` is used first, then the allowance, then `b`, which was being made when 20 was decided. */
const SOUND: LotsQuestion = {
  allowance: 10,
  stored: [ending, lasting],
  made: [
    { id: 'a', knownAt: 5 },
    { id: 'b', knownAt: 30 },
  ],
  decisions: [
    { key: 'one', decidedAt: 20, limit: 13, consumed: 4 },
    { key: 'two', decidedAt: 40, limit: 18, consumed: 10 },
    { key: 'three', decidedAt: 60, limit: 18, consumed: 0 },
  ],
  covered: 4,
};

const wrong: readonly (readonly [string, Partial<LotsQuestion>])[] = [
  ['a lot is lost', { stored: [ending] }],
  ['a lot was used twice', { stored: [ending, { ...lasting, remaining: 3 }] }],
  ['a lot was not used', { stored: [{ ...ending, remaining: 3 }, lasting] }],
  ['the account knows nothing of it', { covered: 0 }],
  ['a lot is not in the limit', { decisions: SOUND.decisions.map((one) => ({ ...one, limit: 13 })) }],
  [
    'a lot that has ended still counts',
    { decisions: [{ key: 'late', decidedAt: 55, limit: 18, consumed: 0 }] },
  ],
  ['more was taken than there is', { decisions: [{ key: 'much', decidedAt: 40, limit: 18, consumed: 19 }] }],
];

describe('the ledger of lots', () => {
  it('agrees with what is right', () => {
    expect(checkLots(SOUND)).toEqual([]);
  });

  it.each(wrong)('notices that %s', (_, change) => {
    expect(checkLots({ ...SOUND, ...change })).not.toEqual([]);
  });
});
