import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalText } from './canonical.js';
import { itemsOf } from './draft.js';
import { toItems } from './items.js';
import { lintCatalog } from './lint.js';
import { type CatalogFile, parseCatalog, parseCatalogItem, parseItems } from './parse-catalog.js';
import { CATALOG_SCHEMA } from './schema.js';

const root = new URL('../../../../', import.meta.url);
const full = readFileSync(new URL('packages/engine/test/data/full-catalog.yaml', root), 'utf8');
const yaml = (text: string): CatalogFile[] => [{ name: 'c.yaml', text }];

function parsed(text: string) {
  const result = parseCatalog(yaml(text));
  if (result.catalog === null) throw new Error(JSON.stringify(result.issues, null, 1));
  return result.catalog;
}

describe('parseCatalog', { timeout: 120_000 }, () => {
  it('reads a catalog with every part, without an issue', () => {
    const result = parseCatalog(yaml(full));
    expect(result.issues).toEqual([]);
    expect(result.catalog?.plans.map(({ key, version }) => `${key}@${version}`)).toEqual([
      'hobby@undefined',
      'office@0',
      'office@1',
    ]);
    expect(result.positions.get('plan office@1')?.line).toBe(full.split('\n').indexOf('    version: 1'));
    expect(lintCatalog(parsed(full), { now: Date.UTC(2027, 0, 1) })).toEqual([]);
  });

  it('K-4 keeps weights in their written order, integer-like keys too', () => {
    const palette = parsed(full).flags.find(({ key }) => key === 'palette');
    expect(palette?.rules?.[0]?.rollout?.weights).toEqual([
      { variant: '10', weight: 1 },
      { variant: '2', weight: 2 },
      { variant: 'yes', weight: 3 },
    ]);
    const json =
      '{"flags":[{"key":"f","type":"string","variants":{"2":"a","10":"b"},"off":"2","default":"2","rules":[{"rollout":{"weights":{"10":1,"2":3}}}]}]}';
    const weights = parseCatalog([{ name: 'c.json', text: json }]).catalog?.flags[0]?.rules?.[0]?.rollout
      ?.weights;
    expect(weights?.map(({ variant }) => variant)).toEqual(['10', '2']);
  });

  it('fills in no default and keeps booleans for variants as authored', () => {
    expect(
      parsed('flags: [{ key: f, type: boolean, default: true, rules: [{ serve: off }] }]'),
    ).toMatchObject({
      flags: [{ key: 'f', type: 'boolean', default: true, rules: [{ serve: 'off' }] }],
    });
    expect(Object.keys(parsed('plans: [{ key: p, entitlements: [] }]').plans[0] ?? {})).toEqual([
      'key',
      'entitlements',
    ]);
  });

  it('K-2 takes 1 and 1.0 for a float, and 1.0 but not 1.5 for an integer', () => {
    const flag = (type: string, value: string) =>
      parseCatalog(
        yaml(`flags: [{ key: f, type: ${type}, off: a, default: a, variants: { a: ${value} } }]`),
      ).issues.map(({ code }) => code);
    expect([
      flag('float', '1'),
      flag('float', '1.0'),
      flag('integer', '1.0'),
      flag('integer', '1.5'),
    ]).toEqual([[], [], [], ['VARIANT_TYPE']]);
  });

  it('joins files, and names both places of a key that is defined twice', () => {
    const files = [
      { name: 'one.yaml', text: 'features:\n  - { key: a, type: boolean }\n' },
      { name: 'two.json', text: '{"features": [\n  {"key": "a", "type": "boolean"}]}' },
    ];
    const { catalog, issues } = parseCatalog(files);
    expect(catalog).toBeNull();
    expect(issues).toMatchObject([
      {
        code: 'DUPLICATE_DEFINITION',
        file: 'two.json',
        line: 2,
        column: 11,
        item: { kind: 'feature', key: 'a' },
      },
    ]);
    expect(issues[0]?.message).toContain('`one.yaml`, line 2, column 5');
  });

  it('suggests the member and the key that was meant, with a pointer', () => {
    const text =
      'features: [{ key: send-later, type: boolean, onwer: me }]\nflags: [{ key: f, type: boolean, requires: [send-latr] }]';
    expect(parseCatalog(yaml(text)).issues).toMatchObject([
      { path: '/features/0/onwer', suggestion: 'owner' },
      { path: '/flags/0/requires/0', suggestion: 'send-later', item: { kind: 'flag', key: 'f' } },
    ]);
  });

  it('accepts references to what is known, and lets an item replace its namesake there', () => {
    const known = parsed(full);
    const text =
      'flags: [{ key: retries, type: integer, variants: { one: 1 }, off: one, default: one, requires: [send-later], rules: [{ if: \'user.emial == "x"\', serve: one }] }]';
    expect(parseCatalog(yaml(text), { known }).issues).toMatchObject([
      { code: 'EXPRESSION', suggestion: 'email' },
    ]);
    expect(parseCatalog(yaml(text.replace('emial', 'email')), { known })).toMatchObject({
      issues: [],
      catalog: { flags: [{ key: 'retries' }] },
    });
    expect(parseCatalog(yaml('flags: [{ key: mails, type: boolean }]'), { known }).issues).toMatchObject([
      { code: 'DUPLICATE_DEFINITION' },
    ]);
    const circle =
      'flags: [{ key: new-shell, type: boolean, prerequisites: [{ flag: new-composer, variant: true }] }]';
    expect(parseCatalog(yaml(circle), { known }).issues).toMatchObject([{ code: 'CYCLE', line: 1 }]);
  });

  it('accepts unknown references in a part that stands alone', () => {
    const text =
      'flags: [{ key: f, type: boolean, requires: [x], rules: [{ if: \'segment("s") && plan.country == "us"\', serve: true }] }]';
    expect(parseCatalog(yaml(text)).issues.map(({ code }) => code)).toEqual([
      'UNKNOWN_REFERENCE',
      'UNKNOWN_REFERENCE',
      'EXPRESSION',
    ]);
    expect(parseCatalog(yaml(text), { partial: true }).issues).toEqual([]);
  });

  it('10 finds a chain of ten thousand flags without a circle, and the circle at its end', () => {
    const flags = Array.from({ length: 9_999 }, (_, index) => ({
      key: `f${index}`,
      type: 'boolean',
      prerequisites: [{ flag: `f${index + 1}`, variant: true }],
    }));
    const last = { key: 'f9999', type: 'boolean' };
    const chain = JSON.stringify({ flags: [...flags, last] });
    const tooDeep = parseCatalog([{ name: 'c.json', text: chain }]).issues;
    expect(new Set(tooDeep.map(({ code }) => code))).toEqual(new Set(['DEPENDENCY_DEPTH']));
    expect(tooDeep[0]?.message).toContain('more than 50 levels deep');
    const circle = JSON.stringify({
      flags: [...flags, { ...last, prerequisites: [{ flag: 'f0', variant: true }] }],
    });
    expect(parseCatalog([{ name: 'c.json', text: circle }]).issues.map(({ code }) => code)).toContain(
      'CYCLE',
    );
  });

  it('10 accepts a chain of flags as deep as the limit, and refuses one more at its place, also above what is known', () => {
    const chain = (length: number) =>
      Array.from({ length }, (_, index) => {
        const below = { prerequisites: [{ flag: `f${index - 1}`, variant: true }] };
        return { key: `f${index}`, type: 'boolean' as const, ...(index === 0 ? {} : below) };
      });
    const read = (length: number) =>
      parseCatalog([{ name: 'c.json', text: JSON.stringify({ flags: chain(length) }) }]);
    expect(read(50).issues).toEqual([]);
    expect(read(51).issues).toMatchObject([{ code: 'DEPENDENCY_DEPTH', line: 1 }]);
    const known = read(50).catalog ?? undefined;
    if (known === undefined) throw new Error('refused');
    const top = '[{ key: top, type: boolean, prerequisites: [{ flag: f49, variant: true }] }]';
    expect(parseCatalog(yaml(`flags: ${top}`), { known }).issues).toMatchObject([
      { code: 'DEPENDENCY_DEPTH', line: 1 },
    ]);
    const segments = Array.from({ length: 51 }, (_, index) => ({
      key: `s${index}`,
      condition: index === 0 ? 'user.key == "a"' : `segment("s${index - 1}")`,
    }));
    expect(
      parseCatalog([{ name: 'c.json', text: JSON.stringify({ segments }) }]).issues.map(({ code }) => code),
    ).toEqual(['DEPENDENCY_DEPTH']);
  });

  it.each([
    ['JSON lists', 'c.json', '['.repeat(100_000), 33],
    ['JSON objects', 'c.json', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`, 161],
    ['YAML flow lists', 'c.yaml', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 33],
    ['YAML flow objects', 'c.yaml', '{a: '.repeat(100_000), 129],
    ['YAML flow keys', 'c.yaml', '[? '.repeat(100_000), 97],
    ['YAML block lists in one line', 'c.yaml', `${'- '.repeat(100_000)}a\n`, 65],
    ['YAML block keys in one line', 'c.yaml', `${'? '.repeat(100_000)}a\n`, 65],
    [
      'YAML block objects',
      'c.yaml',
      Array.from({ length: 3900 }, (_, at) => `${' '.repeat(at)}a:\n`).join(''),
      33,
    ],
  ])('refuses absurdly deep %s where they are one level too deep', (_, name, text, column) => {
    expect(parseCatalog([{ name, text }])).toMatchObject({
      catalog: null,
      issues: [{ code: 'DOCUMENT_TOO_DEEP', file: name, column }],
    });
  });

  it('refuses a document that is too large or has too many items, unread', () => {
    const large = { name: 'c.yaml', text: ' '.repeat(8 * 1024 * 1024 + 1) };
    expect(parseCatalog([large]).issues).toMatchObject([{ code: 'DOCUMENT_TOO_LARGE' }]);
    const segments = Array.from({ length: 1001 }, (_, index) => ({ key: `s${index}` }));
    const issues = parseCatalog([{ name: 'c.json', text: JSON.stringify({ segments }) }]).issues;
    expect(issues).toMatchObject([{ code: 'TOO_MANY' }]);
  });

  it('ends hostile nesting as a fault, quickly', () => {
    for (const sign of ['[', '{a: ', '- ', '? ']) {
      for (const name of ['c.yaml', 'c.json']) {
        const started = performance.now();
        const { issues } = parseCatalog([{ name, text: sign.repeat(20_000) }]);
        expect(issues.length, `${sign} ${name}`).toBeGreaterThan(0);
        expect(performance.now() - started).toBeLessThan(5_000);
      }
    }
  });
});

describe('the short form', () => {
  const shape = new URL('examples/kaiten-shape/', root);
  const names = readdirSync(shape)
    .filter((name) => name.endsWith('.yaml'))
    .sort();
  const files = names.map((name) => ({ name, text: readFileSync(new URL(name, shape), 'utf8') }));

  it('K-11 declares features by use and expands flags, bucketed by the subject', () => {
    const { catalog, issues } = parseCatalog(files);
    expect(issues).toEqual([]);
    expect(catalog?.features).toEqual([
      { key: 'audit-export', type: 'boolean' },
      { key: 'seats', type: 'limit' },
      {
        key: 'exports-per-month',
        type: 'metered',
        reset: { every: 'month', anchor: 'license' },
        enforcement: 'hard',
      },
      { key: 'branding', type: 'config' },
    ]);
    expect(catalog?.flags[0]).toMatchObject({
      type: 'boolean',
      off: false,
      default: false,
      rules: [
        {
          if: '(entitlement("audit-export") == true) && (limit("seats") >= 10)',
          rollout: { percentage: 25 },
        },
      ],
    });
    expect(catalog?.flags[1]?.rules).toEqual([{ serve: true }]);
    expect(catalog?.plans.map(({ key }) => key)).toEqual(['pro', 'team']);
  });

  it('K-11 does not depend on the order of files', () => {
    const backwards = parseCatalog([...files].reverse()).catalog;
    const features = (catalog: typeof backwards) =>
      catalog?.features.map((feature) => JSON.stringify(feature)).sort();
    expect(features(backwards)).toEqual(features(parseCatalog(files).catalog));
  });

  it('K-11 refuses two uses that contradict each other, and agrees with a declaration', () => {
    const plan = (key: string, more: string) =>
      `plan: { key: ${key}, entitlements: [{ feature: a, value: 1, ${more} }] }\n`;
    const two = `${plan('p', 'reset_period: MONTHLY')}---\n${plan('q', 'reset_period: DAILY')}`;
    expect(parseCatalog(yaml(two)).issues).toMatchObject([{ code: 'DUPLICATE_DEFINITION', line: 3 }]);
    const declared = `features: [{ key: a, type: metered, reset: { every: month } }]\n---\n${plan('p', 'type: NUMBER, reset_period: MONTHLY')}`;
    expect(parseCatalog(yaml(declared))).toMatchObject({ issues: [], catalog: { features: [{ key: 'a' }] } });
  });
});

describe('parseCatalogItem', () => {
  it('F-5 reads one item with the same checks', () => {
    const known = parsed(full);
    expect(
      parseCatalogItem('segment', '{"key":"s","condition":"segment(\\"staff\\")"}', { known }),
    ).toMatchObject({ key: 's', issues: [] });
    const refused = parseCatalogItem('flag', '{"key":"f","type":"boolean","requires":["tips"],"x":1}', {
      known,
    });
    expect(refused.item).toBeNull();
    expect(refused.issues.map(({ code, path, file }) => [code, path, file])).toEqual([
      ['UX_NOT_TRUSTED', '/requires/0', 'flag'],
      ['UNKNOWN_MEMBER', '/x', 'flag'],
    ]);
    expect(parseCatalogItem('plan', '{"key":"p","version":3,"entitlements":[]}').key).toBe('p@3');
    expect(parseCatalogItem('plan', 'key: p').issues).toMatchObject([{ code: 'SYNTAX' }]);
  });

  it('reads stored items as one catalog', () => {
    const rows = toItems(parsed(full)).map(({ kind, key, text }) => ({ kind, name: `${kind} ${key}`, text }));
    const again = parseItems(rows);
    expect(again.issues).toEqual([]);
    expect(again.catalog).toEqual(parsed(full));
  });
});

/** Characters that mean something to one of the readers. */
const noise = fc.constantFrom(
  '',
  ' ',
  '\n',
  '\t',
  ':',
  '-',
  '?',
  '[',
  ']',
  '{',
  '}',
  ',',
  '"',
  "'",
  '#',
  '&',
  '*',
  '!',
  '|',
  '>',
  '%',
  '@',
  '`',
  '~',
  '\\',
  '0',
  '-1',
  '1e999',
  '.inf',
  'on',
  'null',
  '__proto__',
  'é',
  '\u0000',
  '\ud800',
  '😀',
  '\u2028',
  '---\n',
  '...\n',
  '<<: *a',
  '!!str ',
  '&a ',
);

describe('hostile documents', { timeout: 180_000 }, () => {
  const seeds = [
    full,
    JSON.stringify(parsed(full)),
    ...itemsOf(parsed(full)).map((item) => canonicalText(item)),
  ];
  // Small documents reach every check many times over; the whole catalog is mutated less often because it is long.
  const small = [
    "flags:\n  - key: f\n    type: boolean\n    rules:\n      - if: 'user.key == \"a\"'\n        rollout: { by: team.key, weights: { 'on': 1, 'off': 2 } }\n",
    'features: [{ key: a, type: metered, reset: { every: month }, measure: x + y }]\nplans: [{ key: p, entitlements: [{ feature: a, value: 5 }] }]\n',
    "plan:\n  key: p\n  entitlements: [{ feature: a, value: 1, type: NUMBER, reset_period: DAILY }]\n---\nflag: { key: f, targeting: [{ constraint: 'true' }] }\n",
    "product: { key: a, sku: '{tier}-{x:int}' }\ncontext: { user: { properties: { a: { type: string } } } }\nsegments: [{ key: s, condition: 'user.a == \"x\"' }]\n",
    '{"flags":[{"key":"f","type":"integer","variants":{"1":1},"off":"1","default":"1"}],"tests":[{"name":"n","given":{},"expect":{"f":1}}]}',
  ];

  function mutate(text: string, cuts: readonly (readonly [number, number, string])[]): string {
    let result = text;
    for (const [where, length, insert] of cuts) {
      const at = Math.floor(where * result.length);
      result = result.slice(0, at) + insert + result.slice(at + length);
    }
    return result;
  }
  const cuts = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(4), noise), {
    minLength: 1,
    maxLength: 4,
  });

  function holds(text: string, json: boolean): void {
    const { catalog, issues } = parseCatalog([{ name: json ? 'c.json' : 'c.yaml', text }]);
    const refused = issues.some(({ severity }) => severity === 'error');
    expect(catalog === null).toBe(refused);
    const lines = text.split('\n').length;
    for (const { line, column } of issues) {
      expect(line >= 1 && line <= lines && column >= 1).toBe(true);
    }
  }

  it('never throw and never pass half-read: 20,000 mutations of small documents', () => {
    fc.assert(
      fc.property(fc.constantFrom(...small), cuts, fc.boolean(), (text, changes, json) =>
        holds(mutate(text, changes), json),
      ),
      { numRuns: 20_000 },
    );
  });

  it('never throw: 1,000 mutations of large documents and of items', () => {
    fc.assert(
      fc.property(fc.constantFrom(...seeds), cuts, fc.boolean(), (text, changes, json) =>
        holds(mutate(text, changes), json),
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('the published schema', () => {
  it('is the one that the parser uses (UPDATE_SCHEMA=1 writes it)', () => {
    const file = new URL('docs/schemas/catalog.schema.json', root);
    if (process.env.UPDATE_SCHEMA === '1')
      writeFileSync(file, `${JSON.stringify(CATALOG_SCHEMA, null, 2)}\n`);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(CATALOG_SCHEMA);
  });
});
