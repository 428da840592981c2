import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { STORE_AWAY_POLICIES } from '../model/catalog.js';
import type { EntitlementDecision } from '../model/decision.js';
import { LIMITS } from '../model/limits.js';
import { decideConsumption, entitlementAfter } from './decide-consumption.js';
import { countFallback, decideFallback, type FallbackInput } from './decide-fallback.js';

const amount = fc.integer({ min: 0, max: 50 });
const entitlement: fc.Arbitrary<EntitlementDecision> = fc
  .record({
    granted: fc.boolean(),
    enforcement: fc.constantFrom('hard', 'soft', 'observe'),
    limit: fc.oneof(
      fc.constant({ kind: 'unlimited' as const }),
      amount.map((value) => ({ kind: 'finite' as const, value })),
    ),
    overageAllowance: fc.oneof(
      fc.constant(null),
      amount.map((more) => ({ amount: more })),
    ),
    usage: amount,
    reserved: amount,
  })
  .map(({ usage, reserved, ...own }) =>
    entitlementAfter(
      {
        kind: 'entitlement',
        key: 'calls',
        type: 'metered',
        hasAccess: true,
        reason: 'PLAN',
        value: null,
        usage,
        reserved,
        balance: 0,
        overage: 0,
        period: null,
        scope: '',
        sources: [{ type: 'plan', key: 'pro@0', effect: 'set', value: 1, until: null }],
        whenDenied: 'locked',
        revision: 1,
        customerVersion: 1,
        validUntil: null,
        customerNotProven: false,
        ...own,
      },
      usage,
      reserved,
    ),
  );
const input: fc.Arbitrary<FallbackInput> = fc.record({
  entitlement,
  amount,
  mode: fc.constantFrom('all', 'upTo'),
  policy: fc.constantFrom(...STORE_AWAY_POLICIES),
  journaled: amount,
  at: fc.constant(7),
});

describe('an answer without the store', () => {
  it('K-5 is never one of a hard limit, never a denial, and says what it is', () => {
    fc.assert(
      fc.property(input, (asked) => {
        const decision = decideFallback(asked);
        const { enforcement, granted } = asked.entitlement;
        if (enforcement === 'hard' || asked.policy === 'closed' || !granted) {
          expect(decision).toBeNull();
        }
        if (decision === null) return;
        expect([decision.allowed, decision.reason]).toEqual([true, 'FALLBACK']);
        expect(decision.entitlement).toMatchObject({
          hasAccess: true,
          reason: 'FALLBACK',
          fallback: { policy: asked.policy, at: 7 },
        });
        expect(decision.consumed).toBeLessThanOrEqual(asked.amount);
      }),
    );
  });

  it('`open` takes all that was asked, `lastKnown` what a consume would take of the last known balance and the journal', () => {
    fc.assert(
      fc.property(input, (asked) => {
        const { entitlement: known, journaled, mode, policy } = asked;
        if (known.enforcement === 'hard' || !known.granted || policy === 'closed') return;
        const decision = decideFallback(asked);
        if (policy === 'open') {
          expect(decision?.consumed).toBe(asked.amount);
          return;
        }
        const standing = entitlementAfter(known, known.usage + journaled);
        const { allowed, consumed } = decideConsumption({
          entitlement: standing,
          amount: asked.amount,
          mode,
        });
        expect(decision?.consumed ?? null).toBe(allowed ? consumed : null);
      }),
    );
  });

  it('no amount that is none is taken', () => {
    fc.assert(
      fc.property(input, fc.constantFrom(-1, 0.5, Number.NaN), (asked, wrong) => {
        expect(decideFallback({ ...asked, amount: wrong })).toBeNull();
      }),
    );
  });
});

describe('what was answered without the store', () => {
  it('is counted whole, whatever room is left, and never as decided under a hard limit', () => {
    fc.assert(
      fc.property(input, entitlement, (asked, now) => {
        const told = decideFallback(asked);
        if (told === null) return;
        const counted = countFallback(now, told);
        expect([counted.allowed, counted.reason, counted.consumed]).toEqual([
          true,
          'FALLBACK',
          told.consumed,
        ]);
        expect(counted.usedAfter).toBe(now.usage + told.consumed);
        expect(counted.enforcement).not.toBe('hard');
        expect(counted.usedAfter + counted.reservedAfter).toBeLessThanOrEqual(LIMITS.quantity.value);
      }),
    );
  });
});
