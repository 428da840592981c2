import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AttemptResult,
  HOOK_ATTEMPTS,
  nextStep,
  retryDelayMilliseconds,
  toAttemptResult,
} from './retry-schedule.js';

const HOUR = 3_600_000;
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const chances = fc.array(chance, { minLength: HOOK_ATTEMPTS, maxLength: HOOK_ATTEMPTS });
const FAILED: AttemptResult = { kind: 'failed', retryAfterSeconds: null };

/** Runs a delivery whose attempts end as told, the last result again and again. */
function run(results: readonly AttemptResult[], random: readonly number[]) {
  let waited = 0;
  for (let attempt = 1; ; attempt += 1) {
    const result = results[Math.min(attempt, results.length) - 1] ?? FAILED;
    const step = nextStep(result, attempt, random[attempt - 1] ?? 0);
    if (step.state !== 'waiting') return { step, attempts: attempt, waited };
    waited += step.delayMilliseconds;
  }
}

describe('when a delivery is tried again', () => {
  it('a listener that never answers is given up after twelve attempts, within 24 hours and not before 14', () => {
    fc.assert(
      fc.property(chances, (random) => {
        const { step, attempts, waited } = run([FAILED], random);
        expect(step).toEqual({ state: 'dead', disablesEndpoint: false });
        expect(attempts).toBe(HOOK_ATTEMPTS);
        expect(waited).toBeLessThanOrEqual(24 * HOUR);
        expect(waited).toBeGreaterThan(14 * HOUR);
      }),
    );
  });

  it('the first attempts come soon: five within half an hour', () => {
    let waited = 0;
    for (let attempt = 1; attempt <= 4; attempt += 1) waited += retryDelayMilliseconds(attempt, 0.999) ?? 0;
    expect(waited).toBeLessThan(HOUR / 2);
    expect(retryDelayMilliseconds(1, 0.5)).toBe(5000);
  });

  it('each delay is spread by a fifth either way, and no chance makes it shorter than the one before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: HOOK_ATTEMPTS - 1 }), chance, chance, (attempt, one, other) => {
        const middle = retryDelayMilliseconds(attempt, 0.5) ?? 0;
        const delay = retryDelayMilliseconds(attempt, one) ?? 0;
        expect(Math.abs(delay - middle)).toBeLessThanOrEqual(middle * 0.2 + 1);
        const later = retryDelayMilliseconds(attempt + 1, other);
        // The last two are as long as each other.
        if (later !== null && attempt < HOOK_ATTEMPTS - 2) expect(later).toBeGreaterThanOrEqual(delay);
      }),
    );
    expect(retryDelayMilliseconds(1, 0)).not.toBe(retryDelayMilliseconds(1, 0.999));
    expect(retryDelayMilliseconds(HOOK_ATTEMPTS, 0.5)).toBeNull();
  });

  it('an answer that accepts ends it, at whichever attempt', () => {
    fc.assert(
      fc.property(chances, fc.integer({ min: 1, max: HOOK_ATTEMPTS }), (random, at) => {
        const results = [...Array.from({ length: at - 1 }, () => FAILED), { kind: 'accepted' } as const];
        expect(run(results, random)).toMatchObject({ step: { state: 'delivered' }, attempts: at });
      }),
    );
  });

  it('a listener that names a later time is believed, up to an hour and never to come sooner', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: HOOK_ATTEMPTS - 1 }),
        fc.nat(),
        chance,
        (attempt, asked, random) => {
          const step = nextStep({ kind: 'failed', retryAfterSeconds: asked }, attempt, random);
          const own = retryDelayMilliseconds(attempt, random) ?? 0;
          expect(step).toEqual({
            state: 'waiting',
            delayMilliseconds: Math.max(own, Math.min(asked * 1000, HOUR)),
          });
        },
      ),
    );
  });

  it('what every status means', () => {
    for (let status = 100; status <= 599; status += 1) {
      const result = toAttemptResult(status, 60);
      if (status >= 200 && status < 300) expect(result.kind).toBe('accepted');
      else if (status === 410)
        expect(nextStep(result, 1, 0)).toEqual({ state: 'dead', disablesEndpoint: true });
      else {
        const retryAfterSeconds = status === 429 || status === 503 ? 60 : null;
        expect(result).toEqual({ kind: 'failed', retryAfterSeconds });
      }
    }
  });
});
