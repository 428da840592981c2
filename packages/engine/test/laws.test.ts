import { resolveAllEntitlements, resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import { StepRecorder } from '@pennon/engine/explain/recorder';
import { evaluateAll } from '@pennon/engine/flag/evaluate-all';
import { evaluateFlag } from '@pennon/engine/flag/evaluate-flag';
import { DENIAL_REASONS, type EntitlementDecision, type FlagDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { decideConsumption, entitlementAfter } from '@pennon/engine/usage/decide-consumption';
import { decideConsumptions } from '@pennon/engine/usage/decide-consumptions';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ORIGIN, request } from './arbitrary-request.js';
import { catalogNamed } from './conformance-cases.js';

const RUNS = { numRuns: 300 };

type Asked = EvaluationRequest<Snapshot>;

function everything(asked: Asked): readonly unknown[] {
  return [...evaluateAll(asked, { clientVisibleOnly: false }), ...resolveAllEntitlements(asked)];
}

function resolved(asked: Asked, key: string, amount?: number): EntitlementDecision | null {
  const decision = resolveEntitlement(asked, key, amount === undefined ? {} : { amount });
  return decision.kind === 'error' ? null : decision;
}

const featureKey = fc.constantFrom(...catalogNamed('pricing').features.map(({ key }) => key));
const flagKey = fc.constantFrom(...catalogNamed('pricing').flags.map(({ key }) => key));
const gatedKey = fc.constantFrom('analytics-ui', 'analytics-half', 'minutes-ui');
const meteredKey = fc.constantFrom(
  ...catalogNamed('pricing')
    .features.filter(({ type }) => type === 'metered')
    .map(({ key }) => key),
);

describe('laws', () => {
  it('5 same input, same answer: asked again, of a copy of the state, of a snapshot compiled anew, in another order', () => {
    const catalog = catalogNamed('pricing');
    fc.assert(
      fc.property(request, (asked) => {
        const first = everything(asked);
        expect(everything(asked)).toEqual(first);
        const copy = { ...asked, customer: structuredClone(asked.customer) };
        const keys = [...asked.snapshot.keys].reverse();
        const backwards = keys.map((key) => evaluateFlag(copy, key)).reverse();
        expect(backwards).toEqual(evaluateAll(asked, { clientVisibleOnly: false }));
        expect(everything(copy)).toEqual(first);
        const { snapshot } = compileSnapshot({
          catalog: structuredClone(catalog),
          environment: 'production',
          revision: 1,
          productId: 'pricing',
        });
        expect(everything({ ...copy, snapshot })).toEqual(first);
      }),
      { numRuns: 20 },
    );
  });

  it('X-4 what is remembered of one instant never answers for another: any order of instants, any state', () => {
    const days = fc.array(fc.integer({ min: -5, max: 45 }), { minLength: 2, maxLength: 5 });
    fc.assert(
      fc.property(request, days, (asked, offsets) => {
        for (const offset of offsets) {
          const now = ORIGIN + offset * 86_400_000;
          const fresh = { ...asked, customer: structuredClone(asked.customer), now };
          expect(everything({ ...asked, now })).toEqual(everything(fresh));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('P-6 with and without a recorder the decision is the same, and what decided is among the steps', () => {
    fc.assert(
      fc.property(request, flagKey, featureKey, (asked, flag, feature) => {
        const recorder = new StepRecorder();
        expect(evaluateFlag(asked, flag, recorder)).toEqual(evaluateFlag(asked, flag));
        expect(resolveEntitlement(asked, feature, {}, recorder)).toEqual(resolveEntitlement(asked, feature));
        expect(recorder.steps.some(({ outcome }) => outcome === 'decided')).toBe(true);
      }),
      RUNS,
    );
  });

  it('K-7 a gate that fails never serves without a grant of that flag, and a granted flag is entitled to what it requires', () => {
    const causes = new Set<string>();
    fc.assert(
      fc.property(request, gatedKey, (asked, key) => {
        const requires = asked.snapshot.flags.get(key)?.requires ?? [];
        const decision = evaluateFlag(asked, key);
        if (decision.kind === 'error') throw new Error(decision.message);
        if (requires.length > 0) causes.add(decision.cause);
        const rights = requires.map((feature) => evaluateFlag(asked, feature));
        const granted = rights.every((right) => right.kind === 'answer' && right.variant !== 'denied');
        expect(decision.cause === 'NOT_ENTITLED').toBe(!granted);
        if (!granted) expect(decision.value).toBe(false);
        if (decision.cause === 'GRANT') expect(granted).toBe(true);
      }),
      { numRuns: 2000, seed: 7 },
    );
    expect(causes.has('GRANT') && causes.has('NOT_ENTITLED') && causes.has('RULE')).toBe(true);
  });

  it('X-1 the flag of a feature and its entitlement never disagree', () => {
    fc.assert(
      fc.property(request, featureKey, (asked, key) => {
        const entitlement = resolved(asked, key);
        const flag = evaluateFlag(asked, key);
        if (entitlement === null || flag.kind === 'error') return;
        expect(flag.variant).toBe(
          !entitlement.granted ? 'denied' : entitlement.limit?.kind === 'unlimited' ? 'unlimited' : 'granted',
        );
        if (entitlement.limit?.kind === 'finite') expect(flag.value).toBe(entitlement.limit.value);
      }),
      RUNS,
    );
  });

  it('X-5 check agrees with consume, and what is consumed fits', () => {
    fc.assert(
      fc.property(request, meteredKey, fc.nat(150), (asked, key, amount) => {
        const checked = resolved(asked, key, amount);
        const entitlement = resolved(asked, key);
        if (checked === null || entitlement === null) return;
        const decision = decideConsumption({ entitlement, amount, mode: 'all' });
        expect(decision.allowed).toBe(checked.hasAccess);
        expect(decision.reason).toBe(checked.reason);
        const upTo = decideConsumption({ entitlement, amount, mode: 'upTo' });
        expect(upTo.consumed).toBeLessThanOrEqual(amount);
        if (decision.allowed) expect(upTo.consumed).toBe(amount);
        if (upTo.allowed && upTo.consumed < amount) {
          const more = decideConsumption({ entitlement, amount: upTo.consumed + 1, mode: 'all' });
          expect(more.allowed).toBe(false);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('2 a hard limit is never exceeded by any sequence of attempts', () => {
    const attempts = fc.array(
      fc.record({ amount: fc.nat(60), mode: fc.constantFrom('all' as const, 'upTo' as const) }),
      {
        maxLength: 30,
      },
    );
    fc.assert(
      fc.property(
        request,
        fc.constantFrom('minutes', 'tokens', 'professionals'),
        attempts,
        (asked, key, tries) => {
          let entitlement = resolved(asked, key);
          if (entitlement === null) return;
          for (const { amount, mode } of tries) {
            const decision = decideConsumption({ entitlement, amount, mode });
            const after = decision.usedAfter + decision.reservedAfter;
            if (decision.allowed && decision.limitAtDecision !== null) {
              expect(after).toBeLessThanOrEqual(decision.limitAtDecision);
            }
            if (!decision.allowed) expect(decision.usedAfter).toBe(decision.usedBefore);
            expect(decision.usedAfter).toBe(decision.usedBefore + decision.consumed);
            expect(decision.entitlement).toEqual(entitlementAfter(entitlement, decision.usedAfter));
            entitlement = decision.entitlement;
          }
        },
      ),
      RUNS,
    );
  });

  it('X-5 several: all or nothing, and who is refused never reads as having access', () => {
    const denials: ReadonlySet<string> = new Set(DENIAL_REASONS);
    const wanted = fc.array(fc.record({ key: meteredKey, amount: fc.nat(80) }), {
      minLength: 2,
      maxLength: 5,
    });
    let refusals = 0;
    fc.assert(
      fc.property(request, wanted, (asked, items) => {
        const inputs = items.flatMap(({ key, amount }) => {
          const entitlement = resolved(asked, key);
          return entitlement === null ? [] : [{ entitlement, amount, mode: 'all' as const }];
        });
        const { allowed, decisions } = decideConsumptions(inputs);
        expect(decisions.every((decision) => decision.allowed === allowed)).toBe(true);
        if (allowed) return;
        for (const { reason, refusedBy, consumed, usedAfter, usedBefore } of decisions) {
          expect(denials.has(reason)).toBe(true);
          expect([consumed, usedAfter]).toEqual([0, usedBefore]);
          const refused = refusedBy === null ? null : decisions[refusedBy];
          if (refused === null) continue;
          refusals += 1;
          expect(refused).toMatchObject({ reason, refusedBy: null });
        }
      }),
      { numRuns: 1000, seed: 5 },
    );
    expect(refusals).toBeGreaterThan(0);
  });

  it('X-12 an answer holds until `validUntil`: nothing changes by the clock before', () => {
    const bare = ({ validUntil, ...rest }: FlagDecision): unknown => rest;
    fc.assert(
      fc.property(
        request,
        fc.oneof(flagKey, featureKey),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (asked, key, part) => {
          const decision = evaluateFlag(asked, key);
          const end = decision.validUntil ?? asked.now + 90 * 86_400_000;
          expect(end).toBeGreaterThan(asked.now);
          const later = asked.now + Math.floor((end - 1 - asked.now) * part);
          expect(bare(evaluateFlag({ ...asked, now: later }, key))).toEqual(bare(decision));
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('X-12 an entitlement holds until `validUntil`', () => {
    fc.assert(
      fc.property(request, featureKey, fc.double({ min: 0, max: 1, noNaN: true }), (asked, key, part) => {
        const decision = resolved(asked, key);
        if (decision === null) return;
        const end = decision.validUntil ?? asked.now + 90 * 86_400_000;
        const later = asked.now + Math.floor((end - 1 - asked.now) * part);
        const then = resolved({ ...asked, now: later }, key);
        expect({ ...then, validUntil: null }).toEqual({ ...decision, validUntil: null });
      }),
      { numRuns: 1000 },
    );
  });
});
