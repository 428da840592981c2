import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../model/limits.js';
import {
  decideNotices,
  levelAmount,
  NOTHING_TOLD,
  type NoticeLevel,
  noticeLevels,
  type Told,
  tellsReset,
} from './notices.js';

const HOUR = LIMITS.noticeAgainSeconds.value * 1000;

function nameOf({ kind, percent }: NoticeLevel): string {
  return kind === 'warned' ? `warned ${percent}` : kind;
}

/** An account over a time: every call is one change, and answers what is told of it. */
function account(warnAt: readonly number[], from: { limit: number | null; used?: number }) {
  let { limit, used = 0 } = from;
  let told: Told = NOTHING_TOLD;
  let now = 1_000_000;
  function change(to: { used?: number; limit?: number | null; after?: number }): string[] {
    const usedBefore = used;
    used = to.used ?? used;
    limit = to.limit === undefined ? limit : to.limit;
    now += to.after ?? 1;
    const answer = decideNotices({ levels: noticeLevels(warnAt), told, limit, usedBefore, used, now });
    told = answer.told;
    return answer.notices.map(nameOf);
  }
  return { change, told: () => told, used: () => used, limit: () => limit, now: () => now };
}

describe('notices of usage (K-14)', () => {
  it.each([0, 10])(
    'tell nothing of a limit that rises from %i to exactly what is used, and all that follows',
    (from) => {
      const { change } = account([80], { limit: from });
      expect(change({ used: 15 })).toContain('exceeded');
      expect(change({ limit: 15 })).toEqual([]);
      expect(change({ used: 16 })).toEqual(['exceeded']);
      expect(change({ limit: 40 })).toEqual([]);
      expect(change({ used: 40 })).toEqual(['warned 80', 'reached']);
    },
  );

  it('tell each level once, at the amount that comes to it', () => {
    const { change } = account([90, 80], { limit: 10 });
    expect(change({ used: 7 })).toEqual([]);
    expect(change({ used: 8 })).toEqual(['warned 80']);
    expect(change({ used: 8 })).toEqual([]);
    expect(change({ used: 9 })).toEqual(['warned 90']);
    expect(change({ used: 10 })).toEqual(['reached']);
    expect(change({ used: 11 })).toEqual(['exceeded']);
    expect(change({ used: 500 })).toEqual([]);
  });

  it('tell all levels that one change comes to, in the order of their amounts', () => {
    const { change } = account([150, 50, 100, 80, 80], { limit: 10 });
    expect(change({ used: 15 })).toEqual([
      'warned 50',
      'warned 80',
      'warned 100',
      'reached',
      'exceeded',
      'warned 150',
    ]);
  });

  it('warn at the first unit at or above the percentage, rounded up', () => {
    expect(
      [1, 2, 3, 7, 10, 101].map((limit) => levelAmount(noticeLevels([80])[0] as NoticeLevel, limit)),
    ).toEqual([1, 2, 3, 6, 8, 81]);
    const vast = Number.MAX_SAFE_INTEGER;
    expect(levelAmount(noticeLevels([100])[0] as NoticeLevel, vast)).toBe(vast);
  });

  it('know nothing to come near to where nothing is allowed, and nothing at all without a limit', () => {
    expect(account([80], { limit: 0 }).change({ used: 1 })).toEqual(['exceeded']);
    expect(account([80], { limit: 0 }).change({ used: 0 })).toEqual([]);
    expect(account([80], { limit: null }).change({ used: 1e15 })).toEqual([]);
  });

  it('tell a limit that fell to or below what is used', () => {
    const { change } = account([80], { limit: 100, used: 0 });
    expect(change({ used: 50 })).toEqual([]);
    expect(change({ limit: 60 })).toEqual(['warned 80']);
    expect(change({ limit: 50 })).toEqual(['reached']);
    expect(change({ limit: 49 })).toEqual(['exceeded']);
  });

  it('are no flood where a seat is given and taken: again after an hour at the earliest', () => {
    const { change } = account([], { limit: 3 });
    expect(change({ used: 3 })).toEqual(['reached']);
    for (let round = 0; round < 50; round += 1) {
      expect(change({ used: 2, after: 1000 })).toEqual([]);
      expect(change({ used: 3, after: 1000 })).toEqual([]);
    }
    expect(change({ used: 2 })).toEqual([]);
    expect(change({ used: 3, after: HOUR })).toEqual(['reached']);
  });

  it('tell again at once what a raised limit made another limit of, and not for one that goes up and down', () => {
    const { change } = account([80], { limit: 100 });
    expect(change({ used: 100 })).toEqual(['warned 80', 'reached']);
    expect(change({ limit: 200 })).toEqual([]);
    expect(change({ used: 200 })).toEqual(['warned 80', 'reached']);
    expect(change({ limit: null })).toEqual([]);
    expect(change({ limit: 200 })).toEqual(['warned 80', 'reached']);
    expect(change({ limit: null })).toEqual([]);
    expect(change({ limit: 200 })).toEqual([]);
  });

  it('tell that a period began after one in which anything was told', () => {
    expect(tellsReset(NOTHING_TOLD)).toBe(false);
    const one = account([], { limit: 1 });
    one.change({ used: 1 });
    one.change({ used: 0, after: HOUR });
    expect(one.told().rank).toBe(0);
    expect(tellsReset(one.told())).toBe(true);
  });
});

const limits = fc.option(fc.integer({ min: 0, max: 40 }), { nil: null, freq: 8 });
const steps = fc.array(
  fc.record(
    {
      used: fc.integer({ min: 0, max: 60 }),
      limit: limits,
      after: fc.oneof(fc.integer({ min: 0, max: 60_000 }), fc.integer({ min: 0, max: 3 * HOUR })),
    },
    { requiredKeys: [] },
  ),
  { maxLength: 60 },
);
const percents = fc.array(fc.integer({ min: 1, max: 160 }), { maxLength: 4 });

describe('notices of any history', () => {
  it('leave no level that is stood at untold, and tell in the order of amounts', () => {
    fc.assert(
      fc.property(percents, limits, steps, (warnAt, limit, changes) => {
        const one = account(warnAt, { limit });
        for (const change of changes) {
          const notices = one.change(change);
          const stands = noticeLevels(warnAt).filter(
            (level) => one.used() >= levelAmount(level, one.limit()),
          );
          expect(one.told().rank).toBeGreaterThanOrEqual(stands.at(-1)?.rank ?? 0);
          const order = noticeLevels(warnAt).map(nameOf);
          const places = notices.map((name) => order.indexOf(name));
          expect(places).toEqual([...places].sort((left, right) => left - right));
          for (const name of notices) expect(stands.map(nameOf)).toContain(name);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('tell each level at most once while usage only grows, and in one step what many steps tell', () => {
    fc.assert(
      fc.property(
        percents,
        fc.integer({ min: 0, max: 40 }),
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 20 }),
        (warnAt, limit, amounts) => {
          const walking = account(warnAt, { limit });
          const told: string[] = [];
          let used = 0;
          for (const amount of amounts) {
            used += amount;
            told.push(...walking.change({ used, after: HOUR }));
          }
          expect(new Set(told).size).toBe(told.length);
          expect(account(warnAt, { limit }).change({ used })).toEqual(told);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('tell no level again within the hour where the limit stays', () => {
    fc.assert(
      fc.property(percents, fc.integer({ min: 0, max: 40 }), steps, (warnAt, limit, changes) => {
        const one = account(warnAt, { limit });
        const last = new Map<string, number>();
        for (const change of changes) {
          for (const name of one.change({ ...change, limit })) {
            expect(one.now() - (last.get(name) ?? 0)).toBeGreaterThanOrEqual(last.has(name) ? HOUR : 0);
            last.set(name, one.now());
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('are at most all levels for each hour and each limit, however often limits go up and down', () => {
    const few = fc.constantFrom(3, 20, null);
    const quick = fc.array(fc.record({ used: fc.integer({ min: 0, max: 30 }), limit: few }), {
      minLength: 80,
      maxLength: 200,
    });
    fc.assert(
      fc.property(percents, few, quick, (warnAt, limit, changes) => {
        const one = account(warnAt, { limit });
        const told = changes.flatMap((change) => one.change(change));
        expect(told.length).toBeLessThanOrEqual(noticeLevels(warnAt).length * 4);
      }),
      { numRuns: 300 },
    );
  });
});
