import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Catalog, Flag } from '../model/catalog.js';
import { canonicalText } from './canonical.js';
import { canonicalJson } from './canonical-json.js';
import { toCatalogYaml } from './catalog-yaml.js';
import { EMPTY_CATALOG } from './draft.js';
import { findItem, fromItems, toItems, withItem, withoutItem } from './items.js';
import { parseCatalog } from './parse-catalog.js';
import { sha256 } from './sha256.js';

const full = readFileSync(new URL('../../test/data/full-catalog.yaml', import.meta.url), 'utf8');

function parsed(text: string, name = 'c.yaml'): Catalog {
  const result = parseCatalog([{ name, text }]);
  if (result.catalog === null) throw new Error(`${JSON.stringify(result.issues, null, 1)}\n${text}`);
  return result.catalog;
}

describe('sha256', () => {
  it('gives the published vectors', () => {
    expect(sha256('')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(sha256('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(sha256('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq')).toBe(
      '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
    );
  });

  it('agrees with the platform on any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => {
        expect(sha256(text)).toBe(createHash('sha256').update(text, 'utf8').digest('hex'));
      }),
      { numRuns: 500 },
    );
  });
});

describe('canonical text', () => {
  it('is the same for YAML, JSON and any order of members', () => {
    const yaml =
      "flags:\n  - default: false\n    type: boolean\n    key: f\n    variants: { 'off': false, 'on': true }\n";
    const json =
      '{"flags":[{"key":"f","variants":{"on":true,"off":false},"type":"boolean","default":false}]}';
    const [left] = toItems(parsed(yaml));
    const [right] = toItems(parsed(json, 'c.json'));
    expect(left).toEqual(right);
    expect(left?.text).toBe(
      '{"key":"f","type":"boolean","variants":{"off":false,"on":true},"default":false}',
    );
  });

  it('keeps weights in order: their order is content', () => {
    const flag = (weights: string) =>
      `flags: [{ key: f, type: boolean, rules: [{ rollout: { weights: { ${weights} } } }] }]`;
    const [left] = toItems(parsed(flag("'on': 1, 'off': 2")));
    const [right] = toItems(parsed(flag("'off': 2, 'on': 1")));
    expect(left?.hash).not.toBe(right?.hash);
  });

  it('writes free JSON as RFC 8785 does', () => {
    expect(canonicalJson({ b: [1.0, 1e21, -0, 'é\n'], a: null, '10': 1, '9': 2 })).toBe(
      '{"10":1,"9":2,"a":null,"b":[1,1e+21,0,"é\\n"]}',
    );
  });
});

describe('items', () => {
  it('make the same catalog again, in whatever order they come', () => {
    const catalog = parsed(full);
    const items = toItems(catalog);
    expect(fromItems(items)).toEqual(catalog);
    expect(fromItems([...items].reverse())).toEqual(catalog);
    expect(items.map(({ kind, key }) => `${kind} ${key}`)).toContain('plan office@1');
    expect(new Set(items.map(({ kind, key }) => `${kind} ${key}`)).size).toBe(items.length);
  });

  it('change one by one: in place, at the end, away', () => {
    const catalog = parsed(full);
    const flag: Flag = { key: 'new-shell', type: 'boolean' };
    const changed = withItem(catalog, { kind: 'flag', value: flag });
    expect(changed.flags.map(({ key }) => key)).toEqual(catalog.flags.map(({ key }) => key));
    expect(findItem(changed, 'flag', 'new-shell')?.value).toEqual(flag);
    const added = withItem(catalog, { kind: 'flag', value: { key: 'z', type: 'boolean' } });
    expect(added.flags.at(-1)?.key).toBe('z');
    expect(withoutItem(added, 'flag', 'z')).toEqual(catalog);
    const product = withItem(catalog, { kind: 'product', value: { key: 'mailroom' } });
    expect(product.product).toEqual({ key: 'mailroom' });
  });
});

describe('export', { timeout: 120_000 }, () => {
  it('of the whole example parses to the same catalog', () => {
    const catalog = parsed(full);
    const text = toCatalogYaml(catalog);
    expect(parsed(text)).toEqual(catalog);
    expect(toCatalogYaml(parsed(text))).toBe(text);
  });

  it('quotes what YAML 1.1 readers take for something else, and expressions', () => {
    const text = toCatalogYaml(parsed(full));
    expect(text).toContain("{ 'on': 25, 'off': 75 }");
    expect(text).toContain("'yes': 'no'");
    expect(text).toContain("'12:30'");
    expect(text).toContain("expires: '2028-01-01'");
    expect(text).toContain(`if: 'segment("staff")'`);
    expect(text).toContain("'off': false");
    expect(text).not.toMatch(/[{,\s](?:on|off|yes|no):/);
  });

  it('of nothing is empty', () => {
    expect(toCatalogYaml(EMPTY_CATALOG)).toBe('');
    expect(parsed('')).toEqual(EMPTY_CATALOG);
  });

  const key = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._~-]{0,9}$/);
  const awkward = fc.constantFrom(
    'on',
    'off',
    'y',
    'no',
    'null',
    '~',
    '1',
    '1.0',
    '1e3',
    '0x1f',
    '12:30:45',
    '2027-01-01',
    '- a',
    'a: b',
    '# x',
    "it's",
    '"q"',
    'a\nb',
    ' a',
    'a ',
    '\ta',
    'a\n\n b\n',
    '*a',
    '&a',
    '!a',
    '%a',
    '@a',
    '`a',
    '{',
    '[',
    '|',
    '>',
    '---',
    '...',
    '\u0085',
    '\u2028',
    '\ufeff',
    '\ud800',
    '\u0000',
    '<<',
    '=',
  );
  const anyText = fc.oneof(
    awkward,
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
    fc.array(awkward, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
  );
  const json = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.boolean(),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }).filter((x) => !Number.isInteger(x)),
      anyText,
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(anyText, tie('value'), { maxKeys: 3 }).map((record) => ({ ...record })),
    ),
  })).value;
  const flag = fc
    .record({
      key,
      purpose: anyText,
      values: fc.uniqueArray(
        fc.tuple(key, fc.dictionary(anyText, json, { maxKeys: 3 }), fc.integer({ min: 1, max: 1000 })),
        { selector: ([name]) => name, minLength: 1, maxLength: 5 },
      ),
    })
    .map(({ key, purpose, values }) => {
      const first = values[0]?.[0] ?? '';
      const variants = Object.fromEntries(values.map(([name, value]) => [name, { ...value }]));
      const weights = values.map(([variant, , weight]) => ({ variant, weight }));
      return {
        key,
        purpose,
        type: 'object',
        variants,
        off: first,
        default: first,
        rules: [{ name: purpose, if: `user.key == ${JSON.stringify(purpose)}`, rollout: { weights } }],
      };
    })
    .filter(({ off }) => off !== 'code-default');

  it('of any catalog parses to the same catalog', () => {
    fc.assert(
      fc.property(fc.uniqueArray(flag, { selector: ({ key }) => key, maxLength: 3 }), (flags) => {
        const read = parseCatalog([{ name: 'c.json', text: JSON.stringify({ flags }) }]);
        // Texts that are no CEL strings, and names such as `__proto__`, are refused before there is anything to export.
        fc.pre(read.catalog !== null);
        const catalog = read.catalog as Catalog;
        const text = toCatalogYaml(catalog);
        const again = parseCatalog([{ name: 'c.yaml', text }]);
        expect(again.catalog, `${text}\n${JSON.stringify(again.issues)}`).toEqual(catalog);
        const texts = (of: Catalog) => of.flags.map((value) => canonicalText({ kind: 'flag', value }));
        expect(texts(again.catalog as Catalog)).toEqual(texts(catalog));
      }),
      { numRuns: 1000 },
    );
  });
});
