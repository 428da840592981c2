import { parseCatalog } from '@pennon/engine/catalog/parse-catalog';
import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { CustomerState } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Remedy } from '@pennon/engine/model/remedy';
import { RemedySearch } from '@pennon/engine/remedy/remedy-search';
import { compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { describe, expect, it } from 'vitest';

const NOW = Date.parse('2026-06-15T12:00:00Z');
const governed = 'category: limit, owner: a@example.com, purpose: A test, removal: permanent';
const catalogOf = (calls: string, plans: string) => `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: calls, type: metered, reset: { every: month }, topUps: [${calls}], ${governed} }
  - { key: exports, type: metered, per: user, reset: never, topUps: [{ key: five, amount: 5 }], ${governed} }
  - { key: soft, type: metered, enforcement: soft, overage: { amount: 2 }, reset: { every: month }, topUps: [{ key: ten, amount: 10 }], ${governed} }
plans:
  - { key: free, rank: 0, entitlements: [{ feature: calls, value: 10 }, { feature: exports, value: 1 }, { feature: soft, value: 10 }] }
  - { key: pro, rank: 1, ${plans} entitlements: [{ feature: calls, value: 100 }] }
`;

const PACKS = `{ key: small, name: 100 calls, amount: 100, price: { amount: 500, currency: EUR, source: list } },
      { key: large, amount: 1000, price: { amount: 4000, currency: EUR } },
      { key: gone, amount: 50, offered: false, price: { amount: 1, currency: EUR } },
      { key: for-pro, amount: 100, plans: [pro], price: { amount: 100, currency: EUR } }`;

function snapshotOf(text: string): Snapshot {
  const { catalog, issues } = parseCatalog([{ name: 'catalog.yaml', text }]);
  if (catalog === null) throw new Error(JSON.stringify(issues));
  return compileSnapshot({ catalog, environment: 'production', revision: 1, productId: 'p' }).snapshot;
}
const SOLD = snapshotOf(catalogOf(PACKS, 'offered: false,'));

function asked(
  used: Readonly<Record<string, number>>,
  snapshot = SOLD,
  more: Partial<CustomerState> = {},
): EvaluationRequest<Snapshot> {
  const customer: CustomerState = {
    ...{ id: 'c', key: 'acme', version: 1, createdAt: NOW - 1, timeZone: null, attributes: {} },
    ...{ licenses: [], groups: [], memberships: [], grants: [] },
    accounts: Object.entries(used).map(([name, amount]) => {
      const [feature = '', scope = ''] = name.split('/');
      return { feature, scope, periodStart: null, used: amount, reserved: 0 };
    }),
    ...more,
  };
  const subject = {
    ...{ proven: true, customerKey: 'acme', userKey: 'ada', teamKey: null, instance: null, sku: null },
  };
  return { snapshot, customer, subject, context: { parts: {} }, now: NOW };
}

function remedyOf(ask: EvaluationRequest<Snapshot>, key: string, amount = 1): Remedy | 'omitted' | null {
  const decision = resolveEntitlement(ask, key, { amount });
  if (decision.kind === 'error') throw new Error(decision.message);
  return new RemedySearch(ask).remedyFor(decision, amount);
}

const shown = (remedy: Remedy | 'omitted' | null) =>
  remedy === null || remedy === 'omitted'
    ? remedy
    : remedy.options.map((one) => (one.kind === 'topup' ? `${one.quantity} × ${one.topUp}` : one.kind));

describe('C-4 X-2 K-5 top-ups as a remedy', () => {
  it('names the offered ones of the customer’s plan, the cheapest first, with the limit that it would be', () => {
    const remedy = remedyOf(asked({ calls: 10 }), 'calls');
    expect(shown(remedy)).toEqual(['1 × small', '1 × large']);
    expect(remedy).toMatchObject({
      kind: 'topup',
      options: [
        {
          kind: 'topup',
          feature: 'calls',
          name: '100 calls',
          units: 100,
          limit: 110,
          price: { amount: 500, currency: 'EUR', every: 'once', source: 'list' },
        },
        { name: null, units: 1000, limit: 1010 },
      ],
    });
  });

  it('so many of them as are needed, and the one that is then the cheapest first', () => {
    const remedy = remedyOf(asked({ calls: 10 }), 'calls', 850);
    expect(shown(remedy)).toEqual(['1 × large', '9 × small']);
    expect(remedy).toMatchObject({ options: [{}, { units: 900, limit: 910, price: { amount: 4500 } }] });
  });

  it('what was used above the limit is made up for', () => {
    expect(shown(remedyOf(asked({ calls: 290 }), 'calls'))).toEqual(['3 × small', '1 × large']);
  });

  it('of a feature that counts per user for that user alone, and beyond what a soft limit allows', () => {
    expect(shown(remedyOf(asked({ 'exports/ada': 1 }), 'exports'))).toEqual(['1 × five']);
    expect(remedyOf(asked({ 'exports/bob': 1 }), 'exports')).toBeNull();
    expect(remedyOf(asked({ soft: 11 }), 'soft')).toBeNull();
    expect(shown(remedyOf(asked({ soft: 12 }), 'soft'))).toEqual(['1 × ten']);
  });

  it('none where more of it is not what is missing, or could not help', () => {
    const denied = {
      ...{ id: 'g', product: 'test', kind: 'support' as const, startsAt: 0, endsAt: null },
      target: { kind: 'customer' as const, key: 'acme' },
      effect: { type: 'deny' as const, feature: 'calls' },
    };
    expect(shown(remedyOf(asked({}, SOLD, { grants: [denied] }), 'calls'))).toEqual([]);
    expect(shown(remedyOf(asked({ calls: 10 }), 'calls', 900_000))).toEqual([]);
  });

  it('stands after what is paid again and again, as everything that is paid once', () => {
    const both = snapshotOf(catalogOf(PACKS, 'price: { amount: 900, currency: EUR, every: month },'));
    const remedy = remedyOf(asked({ calls: 10 }, both), 'calls');
    expect(shown(remedy)).toEqual(['upgrade', '1 × small', '1 × large']);
  });
});

describe('K-5 C-5 top-ups in the catalog', () => {
  const codes = (calls: string) =>
    parseCatalog([{ name: 'catalog.yaml', text: catalogOf(calls, '') }])
      .issues.filter(({ severity }) => severity === 'error')
      .map(({ code, line }) => [code, line]);

  it('a fault has its code and its line', () => {
    expect(codes('{ key: a, amount: 1 }, { key: a, amount: 2 }')).toEqual([['DUPLICATE_DEFINITION', 4]]);
    expect(codes('{ key: a, amount: 1, plans: [pri] }')).toEqual([['UNKNOWN_REFERENCE', 4]]);
    expect(codes('{ key: a, amount: 1, price: { amount: 1, currency: EUR, every: month } }')).toEqual([
      ['NOT_FOR_TYPE', 4],
    ]);
    expect(codes('{ key: a, amount: 0 }')).toHaveLength(1);
    expect(codes('{ key: a }')).toHaveLength(1);
    expect(codes('{ key: a, amount: 1, validDays: 30, priority: 0, plans: [pro], offered: false }')).toEqual(
      [],
    );
  });
});
