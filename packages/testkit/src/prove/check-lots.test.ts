import { describe, expect, it } from 'vitest';
import { checkLots, type LotsQuestion } from './check-lots.js';

const ending = {
  id: 'a',
  kind: 'topup',
  amount: 3,
  remaining: 0,
  startsAt: 0,
  endsAt: 50,
  voidedAt: null,
} as const;
const lasting = {
  id: 'b',
  kind: 'topup',
  amount: 5,
  remaining: 4,
  startsAt: 10,
  endsAt: null,
  voidedAt: null,
} as const;
/** Ten are allowed; `a` is used first, then the allowance, then `b`, which was being made when 20 was decided. */
const SOUND: LotsQuestion = {
  allowance: 10,
  stored: [ending, lasting],
  made: [
    { id: 'a', knownAt: 5 },
    { id: 'b', knownAt: 30 },
  ],
  decisions: [
    { key: 'one', decidedAt: 20, limit: 13, consumed: 4, usedAfter: 4 },
    { key: 'two', decidedAt: 40, limit: 18, consumed: 8, usedAfter: 14 },
    { key: 'three', decidedAt: 60, limit: 18, consumed: 0, usedAfter: 14 },
  ],
  // One of them in the millisecond of a decision, before it.
  events: [
    { id: 'first', recordedAt: 22, amount: 1 },
    { id: 'second', recordedAt: 40, amount: 1 },
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
    { decisions: [{ key: 'late', decidedAt: 55, limit: 18, consumed: 0, usedAfter: 0 }] },
  ],
  ['an event is not counted', { events: SOUND.events.slice(1) }],
  ['an event is counted twice', { events: [...SOUND.events, ...SOUND.events.slice(1)] }],
  [
    'more was taken than there is',
    { decisions: [{ key: 'much', decidedAt: 40, limit: 18, consumed: 19, usedAfter: 19 }] },
  ],
];

/** `b` was voided between the two decisions that it mattered to, with four left. */
const VOIDED: LotsQuestion = {
  allowance: 10,
  stored: [{ ...lasting, remaining: 4, voidedAt: 35 }],
  made: [{ id: 'b', knownAt: 12, voidKnownAt: 50 }],
  decisions: [
    { key: 'one', decidedAt: 30, limit: 15, consumed: 11, usedAfter: 11 },
    { key: 'two', decidedAt: 60, limit: 11, consumed: 0, usedAfter: 11 },
  ],
  events: [],
  covered: 1,
};

describe('the ledger of lots', () => {
  it('takes nothing out of a lot that is voided, from its void on', () => {
    expect(checkLots(VOIDED)).toEqual([]);
    const [one, two] = VOIDED.decisions;
    if (one === undefined || two === undefined) throw new Error('Two decisions are needed.');
    const counted = { ...two, limit: 15 };
    // While it is being voided it may still count, and no longer than that.
    expect(checkLots({ ...VOIDED, decisions: [one, { ...counted, decidedAt: 40 }] })).toEqual([]);
    expect(checkLots({ ...VOIDED, decisions: [one, counted] })).not.toEqual([]);
    expect(checkLots({ ...VOIDED, stored: [{ ...lasting, remaining: 3, voidedAt: 35 }] })).not.toEqual([]);
    expect(checkLots({ ...VOIDED, stored: [{ ...lasting, remaining: 4 }] })).not.toEqual([]);
  });

  it('agrees with what is right', () => {
    expect(checkLots(SOUND)).toEqual([]);
  });

  it('takes what was recorded above all there is for overage, and what comes later from a later lot', () => {
    const late = { ...lasting, remaining: 2 };
    const question: LotsQuestion = {
      ...SOUND,
      stored: [late],
      made: [{ id: 'b', knownAt: 30 }],
      events: [{ id: 'much', recordedAt: 5, amount: 12 }],
      decisions: [{ key: 'one', decidedAt: 40, limit: 15, consumed: 3, usedAfter: 15 }],
      covered: 3,
    };
    expect(checkLots(question)).toEqual([]);
    expect(checkLots({ ...question, covered: 5, stored: [{ ...late, remaining: 0 }] })).not.toEqual([]);
  });

  it.each(wrong)('notices that %s', (_, change) => {
    expect(checkLots({ ...SOUND, ...change })).not.toEqual([]);
  });
});
