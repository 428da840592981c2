import { evaluateFlag } from '@pennon/engine/flag/evaluate-flag';
import type { Catalog, Weight } from '@pennon/engine/model/catalog';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const NAMES = ['a', 'b', 'c', 'd'];

function served(
  weights: readonly Weight[],
  people: readonly string[],
  seed = 's',
): readonly (string | null)[] {
  const catalog: Catalog = {
    product: { key: 'p' },
    features: [],
    plans: [],
    addons: [],
    groups: [],
    segments: [],
    billing: [],
    tests: [],
    flags: [
      {
        key: 'f',
        type: 'string',
        seed,
        variants: { a: 'a', b: 'b', c: 'c', d: 'd' },
        off: 'd',
        default: 'd',
        rules: [{ rollout: { weights } }],
      },
    ],
  };
  const { snapshot } = compileSnapshot({ catalog, environment: 'production', revision: 1, productId: 'p' });
  const subject = {
    proven: true,
    customerKey: null,
    instance: null,
    userKey: null,
    teamKey: null,
    sku: null,
  };
  return people.map((targetingKey) => {
    const decision = evaluateFlag(
      { snapshot, customer: null, subject, context: { targetingKey, parts: {} }, now: 0 },
      'f',
    );
    return decision.kind === 'answer' ? decision.variant : null;
  });
}

const people = Array.from({ length: 400 }, (_, index) => `person-${index}`);

describe('law 6', () => {
  it('K-4 widening a variant at its neighbour’s expense moves nobody else', () => {
    const weights = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(
        weights,
        fc.integer({ min: 0, max: 2 }),
        fc.integer({ min: 0, max: 50 }),
        (list, at, wanted) => {
          const moved = Math.min(wanted, list[at + 1] ?? 0);
          if (list.every((weight) => weight === 0)) return;
          const wider = list.map((weight, index) =>
            index === at ? weight + moved : index === at + 1 ? weight - moved : weight,
          );
          const named = (numbers: readonly number[]): Weight[] =>
            numbers.map((weight, index) => ({ variant: NAMES[index] ?? '', weight }));
          const before = served(named(list), people);
          const after = served(named(wider), people);
          for (const [index, variant] of before.entries()) {
            if (after[index] === variant) continue;
            expect(variant).toBe(NAMES[at + 1]);
            expect(after[index]).toBe(NAMES[at]);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it('K-4 shares come out as weighed', () => {
    const crowd = Array.from({ length: 20_000 }, (_, index) => `u${index}`);
    const variants = served(
      [
        { variant: 'a', weight: 25 },
        { variant: 'b', weight: 75 },
      ],
      crowd,
    );
    const share = variants.filter((variant) => variant === 'a').length / crowd.length;
    expect(Math.abs(share - 0.25)).toBeLessThan(0.012);
  });
});
