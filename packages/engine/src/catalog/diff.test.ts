import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Catalog } from '../model/catalog.js';
import { diffCatalogs } from './diff.js';
import { EMPTY_CATALOG } from './draft.js';
import { frozenViolations } from './frozen.js';
import { lintCatalog } from './lint.js';
import { FLAG_BUDGET, LINT_RULE_NAMES, LINT_RULES } from './lint-rules.js';
import { parseCatalog } from './parse-catalog.js';
import { readSkuPattern, splitSku } from './sku-pattern.js';

const full = readFileSync(new URL('../../test/data/full-catalog.yaml', import.meta.url), 'utf8');

function parsed(text: string): Catalog {
  const result = parseCatalog([{ name: 'c.yaml', text }], { partial: true });
  if (result.catalog === null) throw new Error(JSON.stringify(result.issues, null, 1));
  return result.catalog;
}

function words(before: string, after: string): string[] {
  return diffCatalogs(parsed(before), parsed(after)).map(({ text }) => text);
}

/** The whole example with one text in place of another. */
function changed(from: string, to: string): string[] {
  expect(full).toContain(from);
  return words(full, full.replace(from, to));
}

describe('diffCatalogs', () => {
  it('finds nothing between a catalog and itself', () => {
    expect(words(full, full)).toEqual([]);
  });

  it('says what changed in the words of a person', () => {
    expect(changed('{ feature: mails, value: 5000 }', '{ feature: mails, value: 4500 }')).toEqual([
      'plan `office` version 0: mails 5000 → 4500',
    ]);
    expect(changed('percentage: 12.125', 'percentage: 50')).toEqual([
      'flag `new-composer`: rule 3: rollout 12.125 % → 50 %',
    ]);
    expect(changed('weights: { "on": 25, "off": 75 }', 'weights: { "on": 1, "off": 1 }')).toEqual([
      'flag `new-composer`: rule 2: rollout on 25 % / off 75 % → on 50 % / off 50 %',
    ]);
    expect(changed('owner: ai@example.com', 'owner: ml@example.com')).toEqual([
      'feature `assistant-tokens`: owner "ai@example.com" → "ml@example.com"',
    ]);
    expect(changed('production: { enabled: false', 'production: { enabled: true')).toEqual([
      'flag `new-composer`: environments.production.enabled false → true',
    ]);
    expect(changed('requires: [send-later, mails]', 'requires: [send-later, theme]')).toEqual([
      'flag `new-composer`: requires + "theme", − "mails"',
    ]);
    expect(changed('{ feature: mails, add: 1000 }', '{ feature: mails, add: 2000 }')).toEqual([
      'add-on `mail-pack` version 0: mails +1000 → +2000',
    ]);
    expect(changed('      - { feature: assistant-tokens, value: 100000 }\n', '')).toEqual([
      'plan `office` version 1: assistant-tokens removed (was 100000)',
    ]);
    expect(
      changed('weight: 50 }, { value: 4000, weight: 50 }', 'weight: 75 }, { value: 4000, weight: 25 }'),
    ).toEqual([
      'plan `office` version 1: mails split by customer.key (seed mails-test): 5000 50 %, 4000 50 % → split by customer.key (seed mails-test): 5000 75 %, 4000 25 %',
    ]);
  });

  it('tells a moved rule from a changed one', () => {
    const flag = (...rules: string[]) => `flags: [{ key: x, type: boolean, rules: [${rules.join(', ')}] }]`;
    const [a, b, c] = [
      "{ if: 'user.a == 1', serve: true }",
      "{ if: 'user.b == 1', serve: true }",
      '{ rollout: { percentage: 25 } }',
    ];
    expect(words(flag(a, b, c), flag(b, a, c))).toEqual([
      expect.stringMatching(/^flag `x`: rule [12] moved (up|down) to [12]$/),
    ]);
    expect(words(flag(a, b, c), flag(c, a, b))).toEqual(['flag `x`: rule 3 moved up to 1']);
    expect(words(flag(a, b), flag(a, c, b))).toEqual(['flag `x`: rule 2 added: everybody: rollout 25 %']);
    expect(words(flag(a, b), flag(b))).toEqual(['flag `x`: rule 1 removed: if user.a == 1: serve true']);
    expect(words(flag(a), flag(a.replace('true', 'false')))).toEqual([
      'flag `x`: rule 1: serve true → false',
    ]);
  });

  it('names what came and went, with its value', () => {
    const changes = diffCatalogs(EMPTY_CATALOG, parsed(full));
    expect(
      changes.every(({ kind, before, after }) => kind === 'added' && before === null && after !== null),
    ).toBe(true);
    expect(changes.map(({ text }) => text)).toContain('plan `office` version 1 added');
    expect(diffCatalogs(parsed(full), EMPTY_CATALOG).map(({ text }) => text)).toContain(
      'flag `layout` removed',
    );
  });

  it('sees that groups changed places', () => {
    const groups = (...keys: string[]) =>
      `groups: [${keys.map((key) => `{ key: ${key}, entitlements: [] }`).join(', ')}]`;
    expect(words(groups('a', 'b'), groups('b', 'a'))).toEqual([
      'the order of groups is now `b`, `a`; the last one wins',
    ]);
    expect(words(groups('a', 'b'), groups('c', 'a', 'b'))).toEqual(['group `c` added']);
  });
});

describe('frozenViolations', () => {
  const after = (from: string, to: string) => frozenViolations(parsed(full), parsed(full.replace(from, to)));

  it('P-8 refuses other entitlements in a published version and proposes the next', () => {
    expect(after('{ feature: mails, value: 5000 }', '{ feature: mails, value: 4500 }')).toMatchObject([
      { code: 'VERSION_FROZEN', item: { kind: 'plan', key: 'office@0' }, proposedVersion: 2 },
    ]);
    expect(after('weight: 50 }, { value: 4000', 'weight: 60 }, { value: 4000')).toMatchObject([
      { item: { key: 'office@1' } },
    ]);
    expect(after('max: 500', 'max: 600')).toMatchObject([
      { code: 'VERSION_FROZEN', item: { kind: 'addon', key: 'big-files@2' }, proposedVersion: 3 },
    ]);
  });

  it('lets texts, rank, price and offers change, and new versions come', () => {
    for (const [from, to] of [
      ['description: For small teams', 'description: For teams'],
      ['rank: 0', 'rank: 9'],
      ['amount: 1500', 'amount: 1'],
      ['offered: false', 'offered: true'],
      ['version: 2', 'version: 3'],
      ['warnAt: [80, 100]', 'warnAt: [90]'],
    ] as const) {
      expect(after(from, to), from).toEqual([]);
    }
  });

  it('refuses another type, unit, reset or per of a feature that a published plan names', () => {
    expect(after('unit: { one: mail, other: mails }', 'unit: { one: letter, other: letters }')).toMatchObject(
      [{ code: 'FEATURE_FROZEN', path: '/unit' }],
    );
    expect(after('per: customer', 'per: user')).toMatchObject([{ path: '/per' }]);
    expect(after('every: week', 'every: day')).toMatchObject([{ path: '/reset' }]);
  });

  it('never lets a retired key return as something else', () => {
    const flag = parsed('flags: [{ key: old, type: boolean }]');
    expect(
      frozenViolations(EMPTY_CATALOG, flag, [{ kind: 'feature', key: 'old', type: 'boolean' }]),
    ).toMatchObject([{ code: 'KEY_RETIRED' }]);
    expect(
      frozenViolations(EMPTY_CATALOG, flag, [{ kind: 'flag', key: 'old', type: 'string' }]),
    ).toMatchObject([{ code: 'KEY_RETIRED' }]);
    expect(frozenViolations(EMPTY_CATALOG, flag, [{ kind: 'flag', key: 'old', type: 'boolean' }])).toEqual(
      [],
    );
    expect(frozenViolations(parsed('features: [{ key: old, type: boolean }]'), flag)).toMatchObject([
      { code: 'KEY_RETIRED' },
    ]);
  });
});

describe('lintCatalog', () => {
  const now = Date.UTC(2027, 0, 2);
  const rules = (text: string) =>
    lintCatalog(parsed(text), { now }).map(({ rule, severity }) => `${rule} ${severity}`);
  const good = 'owner: o, purpose: p, removal: r';

  it('C-5 asks for owner, purpose, removal and a plan', () => {
    expect(rules('features: [{ key: a, type: boolean }]').sort()).toEqual([
      'owner warning',
      'plan-mapping warning',
      'purpose warning',
      'removal warning',
    ]);
    expect(rules(`features: [{ key: a, type: boolean, category: ux, ${good} }]`)).toEqual([]);
    expect(
      rules(
        `features: [{ key: a, type: boolean, ${good} }]\nplans: [{ key: p, entitlements: [{ feature: a, value: true }] }]`,
      ),
    ).toEqual([]);
  });

  it('C-5 asks experimental ones for an end and a way back, and reports what has expired', () => {
    const flag = (more: string) => rules(`flags: [{ key: a, type: boolean, ${good}, ${more} }]`);
    expect(flag('category: experimental')).toEqual([
      'experimental-expiry warning',
      'experimental-rollback warning',
    ]);
    expect(flag("category: experimental, expires: '2027-01-02', rollback: off")).toEqual([]);
    expect(flag("category: release, expires: '2027-01-01'")).toEqual(['expired warning']);
    expect(flag("category: release, expires: '2027-01-02'")).toEqual([]);
  });

  it('C-5 checks names only where the product asks, at its severity', () => {
    const named = (key: string, type: string) =>
      rules(
        `product: { key: x, lint: { naming: error, plan-mapping: 'off' } }\nfeatures: [{ key: ${key}, type: ${type}, reset: never, ${good} }]`.replace(
          type === 'metered' ? '' : ', reset: never',
          '',
        ),
      );
    expect(named('can_export_report', 'boolean')).toEqual([]);
    expect(named('has_export', 'boolean')).toEqual([]);
    expect(named('export', 'boolean')).toEqual(['naming error']);
    expect(named('max_seats', 'metered')).toEqual([]);
    expect(named('seats', 'metered')).toEqual(['naming error']);
    expect(named('max_seats', 'limit')).toEqual(['max-limit warning']);
  });

  it('C-1 reports a rule that trusts a ux item, at a severity that no product lowers', () => {
    const text = `features: [{ key: tips, type: boolean, category: ux, ${good} }]\nflags: [{ key: a, type: boolean, ${good}, rules: [{ if: 'entitlement("tips") == true', serve: true }] }]`;
    expect(rules(text)).toEqual(['ux-trusted error']);
    expect(
      parseCatalog([{ name: 'c', text: 'product: { key: x, lint: { ux-trusted: off } }' }]).issues,
    ).toMatchObject([{ code: 'UNKNOWN_MEMBER' }]);
  });

  it('C-10 has a budget of temporary flags', () => {
    const flags = Array.from(
      { length: FLAG_BUDGET + 1 },
      (_, index) => `{ key: f${index}, type: boolean, ${good} }`,
    );
    expect(rules(`flags: [${flags.join(', ')}]`)).toEqual(['flag-budget warning']);
    expect(rules(`flags: [${flags.slice(1).join(', ')}]`)).toEqual([]);
  });

  it('gives every rule a reason, and findings their place', () => {
    for (const rule of LINT_RULE_NAMES) expect(LINT_RULES[rule].reason).toMatch(/[.]$/);
    const result = parseCatalog([
      { name: 'c.yaml', text: 'flags:\n  - { key: a, type: boolean, owner: o, purpose: p }' },
    ]);
    const findings = lintCatalog(result.catalog ?? EMPTY_CATALOG, { now, positions: result.positions });
    expect(findings).toMatchObject([
      { rule: 'removal', item: { kind: 'flag', key: 'a' }, place: { file: 'c.yaml', line: 2, column: 5 } },
    ]);
  });
});

describe('billing keys', () => {
  const split = (pattern: string, sku: string) => {
    const read = readSkuPattern(pattern);
    return read.ok ? splitSku(read, sku) : null;
  };

  it('P-2 are split by the pattern', () => {
    const pattern = '{country}-{tier}-{product}-{payment:int}-v{version:int}';
    expect(split(pattern, 'us-starter-myproduct-01-v0')).toEqual({
      country: 'us',
      tier: 'starter',
      product: 'myproduct',
      payment: 1,
      version: 0,
    });
    for (const sku of [
      '',
      'us-starter-myproduct-01',
      'us-starter-my-product-01-v0',
      'us-starter-myproduct-x-v0',
      'us--myproduct-01-v0',
      'us-starter-myproduct-01-v0-x',
    ]) {
      expect(split(pattern, sku), sku).toBeNull();
    }
    expect(split('sku:{plan}', 'sku:pro')).toEqual({ plan: 'pro' });
    expect(split('sku:{plan}', 'pro')).toBeNull();
  });
});
