import type { ConsumptionDecision, EntitlementDecision } from '@pennon/engine/model/decision';
import { decideConsumption } from '@pennon/engine/usage/decide-consumption';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createAnswerEncoder, decodeAnswer, referenceOf, rowText } from './consumption-record.js';

const ENTITLEMENT: EntitlementDecision = {
  kind: 'entitlement',
  key: 'minutes',
  type: 'metered',
  granted: true,
  hasAccess: true,
  reason: 'PLAN',
  accessReason: 'PLAN',
  value: null,
  limit: { kind: 'finite', value: 10 },
  enforcement: 'hard',
  overageAllowance: null,
  usage: 0,
  reserved: 0,
  balance: 10,
  overage: 0,
  period: { start: 0, end: 10, interval: 'P1M', anchor: '2026-01-31T00:00:00[UTC]', timeZone: 'UTC' },
  scope: '',
  // Keys of users may hold any character, those of the encoding among them.
  sources: [{ type: 'plan', key: 'pro@0;#"\\', effect: 'set', value: 10, until: null }],
  whenDenied: 'locked',
  revision: 3,
  customerVersion: 4,
  validUntil: 10,
  customerNotProven: false,
} as EntitlementDecision;

function columnsOf(decision: ConsumptionDecision) {
  const { key, allowed, reason, requested, consumed, usedAfter, reservedAfter } = decision;
  const { limitAtDecision, enforcement } = decision;
  return {
    feature: key,
    allowed,
    reason,
    requested,
    consumed,
    usedAfter,
    reservedAfter,
    limitAtDecision,
    enforcement,
  };
}

/** Keys may hold the characters of the encoding. */
function rowOf(index: number) {
  return { item: index % 2, operation: 'consume', idempotencyKey: `.#@;key.${index}` };
}

/** Denials name a remedy, in one batch not always the same. */
function denied(decision: ConsumptionDecision, index: number): ConsumptionDecision {
  const remedy = index % 3 === 0 ? null : { kind: 'wait' as const, at: index % 2, options: [] as const };
  return { ...decision, entitlement: { ...decision.entitlement, remedy } };
}

describe('a recorded consumption', () => {
  it('X-5 decodes to the decision it was, spelt out or by reference', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ amount: fc.nat(20), used: fc.nat(12), other: fc.boolean() }), {
          minLength: 1,
          maxLength: 20,
        }),
        (calls) => {
          const encoder = createAnswerEncoder();
          const sold = { ...ENTITLEMENT, whenDenied: 'hidden' } as const;
          const rows = calls.map(({ amount, used, other }, index) => {
            const entitlement = { ...(other ? sold : ENTITLEMENT), usage: used };
            const decided = decideConsumption({ entitlement, amount, mode: 'all' });
            const decision = decided.allowed ? decided : denied(decided, index);
            const row = rowOf(index);
            return { decision, name: rowText(row), answer: encoder.encode(decision, row) };
          });
          for (const { decision, answer } of rows) {
            const reference = referenceOf(answer);
            const framed =
              reference === null ? answer : rows.find((row) => row.name === rowText(reference))?.answer;
            expect(decodeAnswer(columnsOf(decision), answer, framed ?? '')).toEqual(decision);
          }
        },
      ),
    );
  });

  it('spells out once what a batch has in common', () => {
    const encoder = createAnswerEncoder();
    const answers = [0, 1, 2].map((used) =>
      encoder.encode(
        decideConsumption({ entitlement: { ...ENTITLEMENT, usage: used }, amount: 1, mode: 'all' }),
        rowOf(used),
      ),
    );
    expect(referenceOf(answers[0] ?? '')).toBeNull();
    expect(answers.slice(1).map(referenceOf)).toEqual([rowOf(0), rowOf(0)]);
  });
});
