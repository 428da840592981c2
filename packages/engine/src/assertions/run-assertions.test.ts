import { describe, expect, it } from 'vitest';
import { parseCatalog } from '../catalog/parse-catalog.js';
import { type AssertionResult, runAssertions } from './run-assertions.js';

const CATALOG = `
product: { key: p, defaultPlan: free }
features: [{ key: paid, type: boolean }, { key: seats, type: limit }]
plans:
  - { key: free, entitlements: [] }
  - { key: pro, version: 0, entitlements: [{ feature: paid, value: true }, { feature: seats, value: 3 }] }
  - { key: pro, version: 1, entitlements: [{ feature: paid, value: true }, { feature: seats, value: unlimited }] }
flags:
  - key: told
    type: boolean
    rules:
      - { if: 'customer.region == "eu"', serve: true }
      - { if: 'instance.metadata.size == "big"', serve: true }
      - { if: 'user.age >= 18', serve: true }
  - { key: gated, type: boolean, requires: [paid], rules: [{ serve: true }] }
`;

function run(given: string, expected: string): AssertionResult {
  const text = `${CATALOG}tests: [{ name: t, given: ${given}, expect: ${expected} }]\n`;
  const { catalog, issues } = parseCatalog([{ name: 'c.yaml', text }]);
  if (catalog === null) throw new Error(JSON.stringify(issues));
  const result = runAssertions(catalog, { now: 1000 })[0];
  if (result === undefined) throw new Error('no assertion');
  return result;
}

describe('X-7 assertions', () => {
  it.each([
    ['{ plan: free }', '{ paid: false, seats: 0, gated: false }'],
    ['{ plan: pro }', '{ paid: true, seats: unlimited, gated: true }'],
    ['{ plan: pro@0 }', '{ seats: 3 }'],
    ['{}', '{ paid: false, told: false }'],
    ['{ customer: { key: acme, region: eu } }', '{ told: true }'],
    ['{ customer: { key: acme, attributes: { region: eu } } }', '{ told: true }'],
    ['{ customer: { key: acme, region: us } }', '{ told: false }'],
    ['{ instance: { key: i, metadata: { size: big } } }', '{ told: true }'],
    ['{ user: { age: 18 } }', '{ told: true }'],
  ])('hold: given %s expect %s', (given, expected) => {
    expect(run(given, expected).failures).toEqual([]);
  });

  it('a broken one names what it found', () => {
    expect(run('{ plan: pro@0 }', '{ seats: 5, paid: true }').failures).toEqual([
      { key: 'seats', expected: 5, actual: 3, message: '`seats` is 3, expected 5' },
    ]);
    expect(run('{ user: 7 }', '{ told: true }').failures).toMatchObject([{ key: 'given' }]);
  });
});
