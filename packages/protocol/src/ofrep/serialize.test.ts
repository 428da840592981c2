import type { FlagAnswer, FlagDecision } from '@pennon/engine/model/decision';
import type { JsonValue } from '@pennon/engine/model/json';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ofrepStatusOf, toOfrepBulk, toOfrepEvaluation } from './evaluation.js';
import { floatText, serializeOfrepBulk, serializeOfrepEvaluation } from './serialize.js';

const ANSWER: FlagAnswer = {
  kind: 'answer',
  key: 'a',
  type: 'boolean',
  variant: 'on',
  value: true,
  reason: 'STATIC',
  cause: 'NO_RULES',
  ruleIndex: null,
  bucket: null,
  sources: [],
  faults: [],
  revision: 1,
  customerVersion: 1,
  validUntil: null,
  customerNotProven: false,
};

function answer(changed: Partial<FlagAnswer>): FlagAnswer {
  return { ...ANSWER, ...changed };
}

const arbitraryAnswer: fc.Arbitrary<FlagDecision> = fc
  .record({
    key: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~-]{0,20}$/),
    variant: fc.option(fc.string(), { nil: null }),
    value: fc.oneof(
      fc.boolean(),
      fc.string(),
      fc.maxSafeInteger(),
      // Integers beyond what JSON carries exactly are clamped on the wire, which has a test of its own.
      fc
        .jsonValue()
        .filter((value) => typeof value !== 'number' || Math.abs(value) <= Number.MAX_SAFE_INTEGER),
    ) as fc.Arbitrary<JsonValue>,
    type: fc.constantFrom('boolean', 'string', 'integer', 'object' as const),
    ruleIndex: fc.option(fc.nat(), { nil: null }),
    cause: fc.constantFrom('RULE', 'ENTITLEMENT', 'DISABLED' as const),
    reason: fc.constantFrom('STATIC', 'SPLIT', 'DEFAULT' as const),
    customerNotProven: fc.boolean(),
    over: fc.boolean(),
  })
  .map(({ over, ...changed }) =>
    answer({ ...changed, ...(over ? { overLimit: true } : {}) } as Partial<FlagAnswer>),
  );

describe('OFREP text', () => {
  it('K-2 keeps the point of a float, alone and in bulk', () => {
    const float = answer({ type: 'float', value: 1 });
    expect(serializeOfrepEvaluation(float)).toContain('"value":1.0,');
    expect(serializeOfrepBulk([float])).toContain('"value":1.0,');
    expect(serializeOfrepEvaluation(answer({ type: 'integer', value: 1 }))).toContain('"value":1,');
    expect([0, -0, 0.5, -3, 1e21, 5e-324, 123456789].map(floatText)).toEqual([
      '0.0',
      '0.0',
      '0.5',
      '-3.0',
      '1e+21',
      '5e-324',
      '123456789.0',
    ]);
  });

  it('K-2 every float text is a JSON number of the same value with a point or an exponent', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const text = floatText(value);
        expect(text).toMatch(/[.e]/);
        expect(JSON.parse(text)).toBe(value === 0 ? 0 : value);
      }),
    );
  });

  it('is the object of `toOfrepEvaluation`, member by member in the same order', () => {
    fc.assert(
      fc.property(arbitraryAnswer, (decision) => {
        expect(serializeOfrepEvaluation(decision)).toBe(JSON.stringify(toOfrepEvaluation(decision)));
      }),
    );
  });

  it('sorts bulk by key and leaves an unchanged item as it was, byte for byte', () => {
    fc.assert(
      fc.property(fc.uniqueArray(arbitraryAnswer, { selector: ({ key }) => key }), (decisions) => {
        const text = serializeOfrepBulk(decisions);
        expect(serializeOfrepBulk([...decisions].reverse())).toBe(text);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(toOfrepBulk(decisions))));
        for (const decision of decisions) {
          // Neither a publish nor another version of the customer touches an item.
          const later = { ...decision, revision: 99, customerVersion: 77, validUntil: 5 };
          expect(text).toContain(serializeOfrepEvaluation(later));
        }
      }),
    );
  });

  it('clamps integers to what JSON carries exactly', () => {
    expect(serializeOfrepEvaluation(answer({ type: 'integer', value: 2 ** 60 }))).toContain(
      `"value":${Number.MAX_SAFE_INTEGER},`,
    );
  });

  it('X-1 says unlimited in metadata, for entitlements only', () => {
    const unlimited = { type: 'integer', value: 2_147_483_647, variant: 'unlimited' } as const;
    expect(toOfrepEvaluation(answer({ ...unlimited, cause: 'ENTITLEMENT' })).metadata).toEqual({
      cause: 'ENTITLEMENT',
      unlimited: true,
    });
    expect(toOfrepEvaluation(answer({ ...unlimited, cause: 'RULE' })).metadata).toEqual({ cause: 'RULE' });
  });

  it('has no value where the code decides', () => {
    const decision = answer({ value: null, variant: null, reason: 'DISABLED', cause: 'DISABLED' });
    expect(serializeOfrepEvaluation(decision)).toBe(
      '{"key":"a","reason":"DISABLED","metadata":{"cause":"DISABLED"}}',
    );
  });

  it('gives every error its status and a code that clients know', () => {
    const { revision, customerVersion, validUntil, customerNotProven } = ANSWER;
    const stamp = { revision, customerVersion, validUntil, customerNotProven };
    const statuses = (
      ['FLAG_NOT_FOUND', 'TARGETING_KEY_MISSING', 'CUSTOMER_STATE_UNAVAILABLE', 'GENERAL'] as const
    ).map((errorCode) => {
      const error: FlagDecision = { kind: 'error', key: 'a', errorCode, message: 'why', ...stamp };
      return [ofrepStatusOf(error), JSON.parse(serializeOfrepEvaluation(error)).errorCode];
    });
    expect(statuses).toEqual([
      [404, 'FLAG_NOT_FOUND'],
      [400, 'TARGETING_KEY_MISSING'],
      [503, 'GENERAL'],
      [500, 'GENERAL'],
    ]);
  });
});
