import { describe, expect, it } from 'vitest';
import { toCatalogYaml } from './catalog-yaml.js';
import { diffCatalogs } from './diff.js';
import { mergeCatalogs } from './draft.js';
import { fromItems, toItems } from './items.js';
import { parseCatalog } from './parse-catalog.js';

const OFFERS = `
features: [{ key: seats, type: limit }]
plans:
  - { key: pro, version: 0, entitlements: [{ feature: seats, value: 1 }] }
  - { key: pro, version: 1, entitlements: [{ feature: seats, value: 2 }] }
  - { key: free, entitlements: [] }
addons: [{ key: seat, entitlements: [{ feature: seats, add: 1 }] }]
`;

function read(billing: string) {
  return parseCatalog([{ name: 'catalog.yaml', text: `${OFFERS}billing:\n${billing}` }]);
}

function billingOf(text: string) {
  const { catalog, issues } = read(text);
  if (catalog === null) throw new Error(JSON.stringify(issues));
  return catalog;
}

const FULL = `
  - key: stripe
    name: Our account
    items:
      - { price: price_1, plan: pro, version: 1 }
      - { lookupKey: team, plan: pro, version: 0, addons: [{ addon: seat, each: 2 }] }
      - { product: prod_1, addons: [{ addon: seat, quantity: 5 }] }
      - { lookupKey: usage, ignore: true }
    access: { past_due: { graceDays: 3 }, unpaid: grace, trialing: none }
    plans: [{ plan: pro, access: { past_due: full } }]
`;

describe('K-12 the section `billing`', () => {
  it('is read, written and read again the same, as a document and as rows', () => {
    const catalog = billingOf(FULL);
    expect(catalog.billing[0]?.items[1]).toEqual({
      lookupKey: 'team',
      plan: 'pro',
      version: 0,
      addons: [{ addon: 'seat', each: 2 }],
    });
    expect(catalog.billing[0]?.access).toEqual({
      past_due: { graceDays: 3 },
      unpaid: 'grace',
      trialing: 'none',
    });
    expect(parseCatalog([{ name: 'a.yaml', text: toCatalogYaml(catalog) }]).catalog).toEqual(catalog);
    expect(fromItems(toItems(catalog))).toEqual(catalog);
    expect(toItems(catalog).find(({ kind }) => kind === 'billing')?.key).toBe('stripe');
  });

  it('merges by key', () => {
    const one = billingOf('  - { key: a, items: [{ price: p, plan: free }] }\n');
    const two = billingOf(
      '  - { key: b, items: [{ price: q, plan: free }] }\n  - { key: a, items: [{ price: r, ignore: true }] }\n',
    );
    expect(mergeCatalogs(one, two).billing.map(({ key, items }) => [key, items[0]?.price])).toEqual([
      ['a', 'r'],
      ['b', 'q'],
    ]);
  });

  it('tells a difference item by item, whatever their order', () => {
    const before = billingOf(
      '  - { key: s, items: [{ price: a, plan: free }, { lookupKey: b, plan: pro, version: 0 }, { product: c, ignore: true }] }\n',
    );
    const after = billingOf(
      '  - { key: s, items: [{ product: d, addons: [{ addon: seat, each: 3 }] }, { lookupKey: b, plan: pro, version: 1 }, { price: a, plan: free }] }\n',
    );
    expect(diffCatalogs(before, after).map(({ kind, path, text }) => [kind, path, text])).toEqual([
      ['added', '/items/product d', 'billing `s`: product d added: seat@0 × 3 each'],
      ['changed', '/items/lookupKey b', 'billing `s`: lookupKey b pro@0 → pro@1'],
      ['removed', '/items/product c', 'billing `s`: product c removed (was ignored)'],
    ]);
    const turned = {
      ...after,
      billing: after.billing.map((one) => ({ ...one, items: [...one.items].reverse() })),
    };
    expect(diffCatalogs(after, turned)).toEqual([]);
  });

  const REFUSED: readonly (readonly [what: string, items: string, code: string, column: number])[] = [
    ['nothing names the item', '{ plan: free }', 'ONE_OF', 28],
    ['two names', '{ price: a, product: b, plan: free }', 'ONE_OF', 40],
    ['it gives nothing', '{ price: a }', 'BILLING_MAPPING', 28],
    ['ignored, and gives', '{ price: a, ignore: true, plan: free }', 'BILLING_MAPPING', 48],
    ['a version of nothing', '{ price: a, version: 1, addons: [{ addon: seat }] }', 'BILLING_MAPPING', 49],
    ['a plan that is not there', '{ price: a, plan: fre }', 'UNKNOWN_REFERENCE', 46],
    ['a version that is not there', '{ price: a, plan: pro, version: 7 }', 'UNKNOWN_REFERENCE', 60],
    [
      'version 0 by default, which is not there',
      '{ price: a, addons: [{ addon: seat, version: 1 }] }',
      'UNKNOWN_REFERENCE',
      73,
    ],
    ['an add-on that is not there', '{ price: a, addons: [{ addon: saet }] }', 'UNKNOWN_REFERENCE', 58],
    [
      'each and quantity',
      '{ price: a, addons: [{ addon: seat, each: 1, quantity: 2 }] }',
      'BILLING_MAPPING',
      83,
    ],
    [
      'the same price twice',
      '{ price: a, plan: free }, { price: a, ignore: true }',
      'DUPLICATE_DEFINITION',
      63,
    ],
    ['no pieces', '{ price: a, addons: [{ addon: seat, each: 0 }] }', 'OUT_OF_RANGE', 70],
    ['an unknown member', '{ price: a, plam: free, plan: free }', 'UNKNOWN_MEMBER', 40],
  ];
  it.each(REFUSED)('refuses and points at it: %s', (_what, items, code, column) => {
    const { catalog, issues } = read(`  - { key: stripe, items: [${items}] }\n`);
    expect(catalog).toBeNull();
    expect(issues.map((issue) => [issue.code, issue.line, issue.column])).toEqual([[code, 9, column]]);
    expect(issues[0]?.message).toMatch(/`/);
  });

  it('suggests what was meant', () => {
    const { issues } = read('  - { key: s, items: [{ price: a, addons: [{ addon: saet }] }] }\n');
    expect(issues[0]).toMatchObject({ suggestion: 'seat', item: { kind: 'billing', key: 's' } });
  });

  it('refuses an access that no table has, and a plan said twice', () => {
    const refused = (more: string) =>
      read(`  - { key: s, items: [], ${more} }\n`).issues.map(({ code, path }) => `${code} ${path}`);
    expect(refused('access: { canceled: full }')).toEqual(['UNKNOWN_MEMBER /billing/0/access/canceled']);
    expect(refused('access: { unpaid: sometimes }')).toHaveLength(1);
    expect(refused('access: { unpaid: { graceDays: -1 } }')).toHaveLength(1);
    expect(refused('plans: [{ plan: pro, access: {} }, { plan: pro, access: {} }]')).toEqual([
      'DUPLICATE_DEFINITION /billing/0/plans/1/plan',
    ]);
    expect(refused('plans: [{ plan: gone, access: {} }]')).toEqual([
      'UNKNOWN_REFERENCE /billing/0/plans/0/plan',
    ]);
  });

  it('warns where a plan of several versions is named without one', () => {
    const { catalog, issues } = read('  - { key: s, items: [{ price: a, plan: pro }] }\n');
    expect(catalog).not.toBeNull();
    expect(issues.map(({ code, severity }) => [code, severity])).toEqual([['BILLING_MAPPING', 'warning']]);
  });

  it('a plan version that a mapping names cannot be left out of the document', () => {
    const text = `features: []\nplans: [{ key: free, entitlements: [] }]\nbilling: [{ key: s, items: [{ price: a, plan: pro }] }]\n`;
    expect(parseCatalog([{ name: 'a.yaml', text }]).issues.map(({ code }) => code)).toEqual([
      'UNKNOWN_REFERENCE',
    ]);
  });
});
