import { describe, expect, it } from 'vitest';
import { CATALOG_ISSUE_CODES, type CatalogIssueCode } from './issue.js';
import { type ParseOptions, parseCatalog } from './parse-catalog.js';

/*
 * Documents that are refused. `▲` stands in front of the character that the fault must point at and is taken out before
 * the document is read; the codes follow in reading order and are all that may be found.
 */
type Case = readonly [
  what: string,
  text: string,
  codes: readonly CatalogIssueCode[],
  options?: ParseOptions & { json?: boolean },
];

const feature = (more: string) => `features: [{ key: a, type: boolean${more} }]\n`;
const flag = (body: string) => `flags:\n  - key: f\n    type: boolean\n${body.replace(/^/gm, '    ')}\n`;
const given = (type: string, value: string) =>
  `features: [{ key: a, ${type} }]\nplans: [{ key: p, entitlements: [{ feature: a, value: ▲${value} }] }]\n`;
const rollout = (body: string) => flag(`rules:\n  - rollout: ${body}`);
const rule = (text: string) => flag(`rules:\n  - if: ${text}\n    serve: true`);

const TEXTS: readonly Case[] = [
  ['a document that is a list', '▲- a\n', ['WRONG_TYPE']],
  ['a document that is a text', '▲hello\n', ['WRONG_TYPE']],
  ['a document that is null', '▲null\n', ['WRONG_TYPE']],
  ['a document that is null, beside an empty one', '# nothing\n---\n---\n▲~\n', ['WRONG_TYPE']],
  ['an unclosed bracket', 'features: [\n▲', ['SYNTAX']],
  ['a tab as indentation', 'product:\n▲\tkey: a\n', ['SYNTAX']],
  ['YAML 1.1', '▲%YAML 1.1\n---\nproduct: { key: a }\n', ['YAML_VERSION']],
  ['an anchor and its alias', 'product: ▲&p { key: a }\ncontext: ▲*p\n', ['ANCHOR', 'ANCHOR']],
  ['a tag', 'product: { key: ▲!!str a }\n', ['TAG']],
  ['a local tag', 'product: { key: ▲!secret a }\n', ['TAG']],
  ['a member twice', 'product:\n  key: a\n  ▲key: b\n', ['DUPLICATE_MEMBER']],
  ['a section twice', 'features: []\n▲features: []\n', ['DUPLICATE_MEMBER']],
  ['a key that is a list', 'product: { key: a, ▲[x]: 1 }\n', ['BAD_KEY']],
  ['__proto__', 'product: { key: a, ▲__proto__: { x: 1 } }\n', ['BAD_KEY']],
  ['an integer beyond 2^53−1', given('type: limit', '9007199254740993'), ['BAD_NUMBER']],
  ['infinity', given('type: limit', '.inf'), ['BAD_NUMBER']],
  [
    'deep nesting',
    `context: { user: ${'{ a: '.repeat(30)}▲{ a: 1 }${' }'.repeat(31)}\n`,
    ['DOCUMENT_TOO_DEEP'],
  ],
  [
    'a bare expression that begins with a text',
    flag('rules:\n  - if: "pro" ▲in [plan.tier]\n    serve: true'),
    ['BARE_EXPRESSION'],
  ],
  [
    'a bare expression that begins with !',
    flag('rules:\n  - if: ▲!segment("x")\n    serve: true'),
    ['BARE_EXPRESSION'],
  ],
  [
    'a bare expression cut by a comment',
    flag('rules:\n  - if: user.key == ▲"a #b"\n    serve: true'),
    ['BARE_EXPRESSION'],
  ],
  ['JSON with a comma too many', '{ "features": [ ], ▲}', ['SYNTAX'], { json: true }],
  ['JSON that ends too early', '{ "features": [▲', ['SYNTAX'], { json: true }],
  ['JSON with two values', '{} ▲{}', ['SYNTAX'], { json: true }],
  ['JSON with a bad escape', '{ "product": { "key": ▲"\\x" } }', ['SYNTAX'], { json: true }],
  [
    'JSON with a member twice',
    '{ "product": { "key": "a", ▲"key": "b" } }',
    ['DUPLICATE_MEMBER'],
    { json: true },
  ],
  ['JSON with a big integer', '{ "product": { "key": ▲9007199254740992 } }', ['BAD_NUMBER'], { json: true }],
  ['JSON with single quotes', "{ ▲'product': 1 }", ['SYNTAX'], { json: true }],
];

const SHAPES: readonly Case[] = [
  ['an unknown section', '▲feature: []\n', ['UNKNOWN_MEMBER']],
  ['an unknown member', feature(', ▲onwer: me'), ['UNKNOWN_MEMBER']],
  ['two unknown members', feature(', ▲onwer: me, ▲purpos: x'), ['UNKNOWN_MEMBER', 'UNKNOWN_MEMBER']],
  ['a list that is an object', 'features: ▲{ key: a }\n', ['WRONG_TYPE']],
  ['a list entry that is a text', 'features: [▲a]\n', ['WRONG_TYPE']],
  ['nothing where a list belongs', 'plans: [{ key: p, entitlements: ▲~ }]\n', ['WRONG_TYPE']],
  ['a missing type', 'features: [▲{ key: a }]\n', ['MISSING_MEMBER']],
  ['a missing key', 'features: [▲{ type: boolean }]\n', ['MISSING_MEMBER']],
  ['an unknown type', 'features: [{ key: a, type: ▲bool }]\n', ['BAD_VALUE']],
  ['a bad key', 'features: [{ key: ▲my feature, type: boolean }]\n', ['BAD_KEY']],
  ['a key that is a number', 'features: [{ key: ▲12, type: boolean }]\n', ['WRONG_TYPE']],
  ['a key that is too long', `features: [{ key: ▲${'a'.repeat(129)}, type: boolean }]\n`, ['BAD_KEY']],
  ['a text that is too long', feature(`, purpose: ▲${'a'.repeat(2001)}`), ['TOO_LONG']],
  ['an empty text', feature(", owner: ▲''"), ['BAD_VALUE']],
  ['a number for a text', feature(', owner: ▲5'), ['WRONG_TYPE']],
  ['a day that does not exist', feature(', expires: ▲2027-02-30'), ['BAD_DATE']],
  ['a day in other words', feature(', expires: ▲soon'), ['BAD_DATE']],
  [
    'an interval that is none',
    'features: [{ key: a, type: metered, reset: { every: ▲fortnight } }]\n',
    ['BAD_VALUE'],
  ],
  ['a reset that is a word', 'features: [{ key: a, type: metered, reset: ▲monthly }]\n', ['BAD_VALUE']],
  ['a time zone that is none', 'product: { key: a, timeZone: ▲Mars/Base }\n', ['BAD_VALUE']],
  [
    'a currency that is none',
    'plans: [{ key: p, price: { amount: 1, currency: ▲euro }, entitlements: [] }]\n',
    ['BAD_VALUE'],
  ],
  [
    'a price with a fraction',
    'plans: [{ key: p, price: { amount: ▲9.99, currency: EUR }, entitlements: [] }]\n',
    ['WRONG_TYPE'],
  ],
  ['a negative version', 'plans: [{ key: p, version: ▲-1, entitlements: [] }]\n', ['OUT_OF_RANGE']],
  [
    'value and split',
    'features: [{ key: a, type: limit }]\nplans: [{ key: p, entitlements: [{ feature: a, value: 1, ▲split: { by: customer.key, values: [{ value: 1, weight: 1 }, { value: 2, weight: 1 }] } }] }]\n',
    ['ONE_OF'],
  ],
  [
    'neither value nor split',
    `${feature('')}plans: [{ key: p, entitlements: [▲{ feature: a }] }]\n`,
    ['ONE_OF'],
  ],
  ['a lint rule that is none', 'product: { key: a, lint: { ▲ownr: off } }\n', ['UNKNOWN_MEMBER']],
  ['an assertion that expects nothing', 'tests: [{ name: n, given: {}, expect: ▲{} }]\n', ['MISSING_MEMBER']],
  ['a context part with a dash', 'context: { ▲my-part: { type: object } }\n', ['BAD_KEY']],
  ['a reserved context part', 'context: { in: ▲{ type: object } }\n', ['BAD_KEY']],
  ['short and long form in one document', 'flag: { key: f }\n▲features: []\n', ['ONE_OF']],
  ['an unknown member of the short form', 'flag: { key: f, ▲rules: [] }\n', ['UNKNOWN_MEMBER']],
  [
    'a reset period that is none',
    'plan:\n  key: p\n  entitlements: [{ feature: a, value: 1, reset_period: ▲MONTLY }]\n',
    ['BAD_VALUE'],
  ],
  [
    'a reset period of a boolean',
    'plan:\n  key: p\n  entitlements: [{ feature: a, value: true, type: BOOLEAN, reset_period: ▲DAILY }]\n',
    ['NOT_FOR_TYPE'],
  ],
];

const REFERENCES: readonly Case[] = [
  [
    'too many required features',
    flag(`requires: ▲[${Array.from({ length: 21 }, (_, index) => `a${index}`).join(', ')}]`),
    ['TOO_MANY'],
  ],
  [
    'a feature twice',
    'features:\n  - { key: a, type: boolean }\n  - { key: ▲a, type: boolean }\n',
    ['DUPLICATE_DEFINITION'],
  ],
  [
    'a flag named as a feature',
    `${feature('')}flags: [{ key: ▲a, type: boolean }]\n`,
    ['DUPLICATE_DEFINITION'],
  ],
  [
    'a plan version twice',
    'plans: [{ key: p, entitlements: [] }, { key: ▲p, version: 0, entitlements: [] }]\n',
    ['DUPLICATE_DEFINITION'],
  ],
  ['a product twice', 'product: { key: a }\n---\nproduct: { key: ▲b }\n', ['DUPLICATE_DEFINITION']],
  ['a context twice', 'context: {}\n---\ncontext: ▲{}\n', ['DUPLICATE_DEFINITION']],
  [
    'an entitlement twice',
    `${feature('')}groups: [{ key: g, entitlements: [{ feature: a, value: true }, { feature: ▲a, value: true }] }]\n`,
    ['DUPLICATE_DEFINITION'],
  ],
  [
    'a feature that is not there',
    `${feature('')}plans: [{ key: p, entitlements: [{ feature: ▲b, value: true }] }]\n`,
    ['UNKNOWN_REFERENCE'],
  ],
  ['a default plan that is not there', 'product: { key: x, defaultPlan: ▲free }\n', ['UNKNOWN_REFERENCE']],
  [
    'a default group that is not there',
    'plans: [{ key: p, defaultGroup: ▲g, entitlements: [] }]\n',
    ['UNKNOWN_REFERENCE'],
  ],
  ['an add-on of no plan', 'addons: [{ key: x, plans: [▲p], entitlements: [] }]\n', ['UNKNOWN_REFERENCE']],
  ['a required feature that is not there', flag('requires: [▲a]'), ['UNKNOWN_REFERENCE']],
  [
    'a prerequisite that is not there',
    flag('prerequisites: [{ flag: ▲g, variant: true }]'),
    ['UNKNOWN_REFERENCE'],
  ],
  [
    'an environment that is not there',
    flag('environments: { staging: ▲{ enabled: false } }'),
    ['UNKNOWN_REFERENCE'],
    { environments: ['production'] },
  ],
  [
    'an assertion about nothing',
    'tests: [{ name: n, given: {}, expect: { a: ▲true } }]\n',
    ['UNKNOWN_REFERENCE'],
  ],
  [
    'an assertion with no such version',
    'plans: [{ key: p, entitlements: [] }]\nfeatures: [{ key: a, type: boolean }]\ntests: [{ name: n, given: { plan: ▲p@3 }, expect: { a: true } }]\n',
    ['UNKNOWN_REFERENCE'],
  ],
  ['a flag in a circle with itself', flag('prerequisites: [{ flag: ▲f, variant: true }]'), ['CYCLE']],
  [
    'a circle through a rule',
    `${flag('rules: [{ if: \'flag("g") == true\', serve: true }]')}  - { key: g, type: boolean, prerequisites: [{ flag: ▲f, variant: true }] }\n`,
    ['CYCLE'],
  ],
  [
    'segments in a circle',
    'segments:\n  - { key: a, condition: \'segment("b")\' }\n  - { key: b, condition: ▲\'segment("a")\' }\n',
    ['CYCLE'],
  ],
];

const VALUES: readonly Case[] = [
  ['a boolean for a limit', given('type: limit', 'true'), ['ENTITLEMENT_VALUE']],
  ['a number for a boolean', given('type: boolean', '1'), ['ENTITLEMENT_VALUE']],
  ['−1 for unlimited', given('type: limit', '-1'), ['ENTITLEMENT_VALUE']],
  ['a fraction for a limit', given('type: limit', '1.5'), ['WRONG_TYPE']],
  ['a word for a limit', given('type: limit', 'lots'), ['ENTITLEMENT_VALUE']],
  ['a number for a config', given('type: config', '3'), ['ENTITLEMENT_VALUE']],
  [
    'a config against its schema',
    given('type: config, schema: { properties: { n: { type: integer } } }', '{ n: x }').replace(
      '▲{ n: x',
      '{ n: ▲x',
    ),
    ['SCHEMA_MISMATCH'],
  ],
  [
    'a config without what its schema requires',
    given('type: config, schema: { required: [n] }', '{}'),
    ['SCHEMA_MISMATCH'],
  ],
  [
    'a schema with a type that is none',
    'features: [{ key: a, type: config, schema: { type: ▲text } }]\n',
    ['BAD_SCHEMA'],
  ],
  [
    'a schema with a pattern that is none',
    "features: [{ key: a, type: config, schema: { pattern: ▲'(' } }]\n",
    ['BAD_SCHEMA'],
  ],
  [
    'a schema keyword that is not checked',
    'features: [{ key: a, type: config, schema: { ▲oneOf: [] } }]\n',
    ['SCHEMA_KEYWORD'],
  ],
  ['per on a boolean', feature(', per: ▲user'), ['NOT_FOR_TYPE']],
  [
    'a hard limit of what is only recorded',
    'features: [{ key: a, type: metered, reset: never, aggregation: max, enforcement: ▲hard }]\n',
    ['NOT_FOR_TYPE'],
  ],
  [
    'the same unsaid',
    'features: [{ key: a, type: metered, reset: never, aggregation: ▲latest }]\n',
    ['NOT_FOR_TYPE'],
  ],
  [
    'unique of nothing',
    'features: [{ key: a, type: metered, reset: never, enforcement: soft, aggregation: ▲unique }]\n',
    ['NOT_FOR_TYPE'],
  ],
  [
    'values of a sum',
    'features: [{ key: a, type: metered, reset: never, uniqueBy: ▲user }]\n',
    ['NOT_FOR_TYPE'],
  ],
  [
    'a measure of a count',
    "features: [{ key: a, type: metered, reset: never, aggregation: count, measure: ▲'a + b' }]\n",
    ['NOT_FOR_TYPE'],
  ],
  [
    'a hard limit that is open while the store is away',
    'features: [{ key: a, type: metered, reset: never, onStoreAway: ▲open }]\n',
    ['HARD_IS_CLOSED'],
  ],
  [
    'a hard limit that goes by the last known balance',
    'features: [{ key: a, type: metered, reset: never, enforcement: hard, onStoreAway: ▲lastKnown }]\n',
    ['HARD_IS_CLOSED'],
  ],
  [
    'a store that is away from what is only recorded',
    'features: [{ key: a, type: metered, reset: never, enforcement: soft, aggregation: max, onStoreAway: ▲open }]\n',
    ['NOT_FOR_TYPE'],
  ],
  ['dimensions of a boolean', feature(', dimensions: ▲[a]'), ['NOT_FOR_TYPE']],
  ['reset on a limit', 'features: [{ key: a, type: limit, reset: ▲{ every: month } }]\n', ['NOT_FOR_TYPE']],
  ['enforcement on a config', 'features: [{ key: a, type: config, enforcement: ▲soft }]\n', ['NOT_FOR_TYPE']],
  [
    'overage of a hard limit',
    'features: [{ key: a, type: metered, reset: never, overage: ▲{ percent: 10 } }]\n',
    ['NOT_FOR_TYPE'],
  ],
  ['sum of booleans', feature(', combine: ▲sum'), ['NOT_FOR_TYPE']],
  ['a metered feature without reset', 'features: [{ key: a, type: ▲metered }]\n', ['MISSING_MEMBER']],
  [
    'add on a boolean',
    `${feature('')}addons: [{ key: x, entitlements: [{ feature: a, add: ▲1 }] }]\n`,
    ['NOT_FOR_TYPE'],
  ],
  [
    'max that is a word',
    'features: [{ key: a, type: limit }]\naddons: [{ key: x, entitlements: [{ feature: a, max: ▲most }] }]\n',
    ['ENTITLEMENT_VALUE'],
  ],
  [
    'a split by what a caller says',
    'features: [{ key: a, type: limit }]\nplans: [{ key: p, entitlements: [{ feature: a, split: { by: ▲user.key, values: [{ value: 1, weight: 1 }, { value: 2, weight: 1 }] } }] }]\n',
    ['SPLIT_BY'],
  ],
  [
    'a split without weight',
    'features: [{ key: a, type: limit }]\nplans: [{ key: p, entitlements: [{ feature: a, split: { by: customer.key, values: ▲[{ value: 1, weight: 0 }, { value: 2, weight: 0 }] } }] }]\n',
    ['ROLLOUT_TOTAL'],
  ],
  ['a SKU pattern without a plan', "product: { key: a, sku: '▲{country}-{version:int}' }\n", ['SKU_PATTERN']],
  ['a SKU pattern with a part twice', "product: { key: a, sku: '{tier}-{x}-▲{x}' }\n", ['SKU_PATTERN']],
  ['a SKU pattern whose parts touch', "product: { key: a, sku: '{tier}▲{x}' }\n", ['SKU_PATTERN']],
  ['a SKU pattern with an unknown type', "product: { key: a, sku: '▲{tier:text}' }\n", ['SKU_PATTERN']],
  ['a SKU pattern with an unclosed part', "product: { key: a, sku: '{tier}-▲{x' }\n", ['SKU_PATTERN']],
];

const FLAGS: readonly Case[] = [
  ['a flag without variants', 'flags: [▲{ key: f, type: string, off: a, default: a }]\n', ['MISSING_MEMBER']],
  [
    'a flag without off and default',
    'flags: [▲{ key: f, type: string, variants: { a: x } }]\n',
    ['MISSING_MEMBER', 'MISSING_MEMBER'],
  ],
  [
    'a fraction in an integer flag',
    'flags: [{ key: f, type: integer, off: a, default: a, variants: { a: ▲1.5 } }]\n',
    ['VARIANT_TYPE'],
  ],
  ['a text in a boolean flag', flag("variants: { 'on': ▲yes, 'off': false }"), ['VARIANT_TYPE']],
  [
    'a list in an object flag',
    'flags: [{ key: f, type: object, off: a, default: a, variants: { a: ▲[1] } }]\n',
    ['VARIANT_TYPE'],
  ],
  [
    'a variant called code-default',
    'flags: [{ key: f, type: string, off: a, default: a, variants: { a: x, code-default: ▲y } }]\n',
    ['BAD_KEY'],
  ],
  ['an unknown default', flag('default: ▲onn'), ['UNKNOWN_VARIANT']],
  ['code-default as the default', flag('default: ▲code-default'), ['UNKNOWN_VARIANT']],
  [
    'true in a string flag',
    'flags: [{ key: f, type: string, off: a, default: ▲true, variants: { a: x } }]\n',
    ['UNKNOWN_VARIANT'],
  ],
  ['an unknown variant served', flag('rules: [{ serve: ▲blue }]'), ['UNKNOWN_VARIANT']],
  [
    'an unknown variant of a prerequisite',
    `${flag('')}  - { key: g, type: boolean, prerequisites: [{ flag: f, variant: ▲blue }] }\n`,
    ['UNKNOWN_VARIANT'],
  ],
  ['a rule that does nothing', flag("rules: [▲{ if: 'true' }]"), ['ONE_OF']],
  ['a rule that serves twice', flag('rules: [{ serve: true, ▲rollout: { percentage: 5 } }]'), ['ONE_OF']],
  [
    'an unknown variant with weight',
    rollout('{ weights: { ▲blue: 1 } }').replace('▲blue: 1', 'blue: ▲1'),
    ['UNKNOWN_VARIANT'],
  ],
  ['weights without weight', rollout("{ weights: ▲{ 'on': 0 } }"), ['ROLLOUT_TOTAL']],
  ['weights above the total', rollout("{ weights: ▲{ 'on': 999999, 'off': 2 } }"), ['ROLLOUT_TOTAL']],
  [
    'a variant with two weights',
    rollout('{ weights: [{ variant: on, weight: 1 }, { variant: ▲on, weight: 1 }] }'),
    ['DUPLICATE_DEFINITION'],
  ],
  ['a weight with a fraction', rollout("{ weights: { 'on': ▲0.5 } }"), ['WRONG_TYPE']],
  ['a percentage above 100', rollout('{ percentage: ▲101 }'), ['OUT_OF_RANGE']],
  ['a percentage with 4 decimals', rollout('{ percentage: ▲0.0001 }'), ['PERCENTAGE_DECIMALS']],
  [
    'a percentage of a string flag',
    'flags: [{ key: f, type: string, off: a, default: a, variants: { a: x }, rules: [{ rollout: { percentage: ▲5 } }] }]\n',
    ['NOT_FOR_TYPE'],
  ],
  ['percentage and weights', rollout("{ percentage: 5, ▲weights: { 'on': 1 } }"), ['ONE_OF']],
  [
    'a ramp that goes back',
    rollout(
      '{ ramp: [{ at: 2027-01-02T00:00:00Z, percentage: 5 }, { at: ▲2027-01-01T00:00:00Z, percentage: 9 }] }',
    ),
    ['RAMP_ORDER'],
  ],
  [
    'a ramp step without zone',
    rollout('{ ramp: [{ at: ▲2027-01-02T00:00:00, percentage: 5 }] }'),
    ['BAD_DATE'],
  ],
  ['an empty ramp', rollout('{ ramp: ▲[] }'), ['MISSING_MEMBER']],
  ['a rollout by a computed text', rollout('{ by: ▲\'user.key + "x"\', percentage: 5 }'), ['EXPRESSION']],
  ['a required ux feature', `${feature(', category: ux')}${flag('requires: [▲a]')}`, ['UX_NOT_TRUSTED']],
  [
    'a ux prerequisite',
    `${flag('category: ux')}  - { key: g, type: boolean, prerequisites: [{ flag: ▲f, variant: true }] }\n`,
    ['UX_NOT_TRUSTED'],
  ],
  ['a feature required twice', `${feature('')}${flag('requires: [a, ▲a]')}`, ['DUPLICATE_DEFINITION']],
];

const EXPRESSIONS: readonly Case[] = [
  ['an expression that does not end', rule("'user.key == ▲'"), ['EXPRESSION']],
  ['an expression that is a boolean', rule('▲true'), ['BARE_EXPRESSION']],
  ['a bare expression with a fault', rule('user.key == ▲)'), ['BARE_EXPRESSION']],
  ['an expression that gives a text', rule('▲\'user.key + "x"\''), ['EXPRESSION']],
  [
    'an undeclared attribute',
    `context: { user: { properties: { email: { type: string } } } }\n${rule('\'user.▲emial == "x"\'')}`,
    ['EXPRESSION'],
  ],
  [
    'an undeclared part',
    `context: { user: { type: object } }\n${rule('\'▲usr.key == "x"\'')}`,
    ['EXPRESSION'],
  ],
  [
    'an undeclared attribute to bucket by',
    `context: { team: { properties: { key: { type: string } } } }\n${rollout('{ by: team.▲kay, percentage: 5 }')}`,
    ['EXPRESSION'],
  ],
  [
    'a wrong type',
    `context: { user: { properties: { age: { type: integer } } } }\n${rule('\'user.age ▲== "x"\'')}`,
    ['EXPRESSION'],
  ],
  [
    'a plan fact that is none',
    `product: { key: x, sku: '{tier}-{country}' }\n${rule('\'plan.▲county == "us"\'')}`,
    ['EXPRESSION'],
  ],
  ['an unknown feature', `${feature('')}${rule('\'entitlement(▲"b") == true\'')}`, ['UNKNOWN_REFERENCE']],
  ['an unknown segment', rule('\'segment(▲"b")\''), ['UNKNOWN_REFERENCE']],
  ['an unknown flag', rule('\'flag(▲"b") == true\''), ['UNKNOWN_REFERENCE']],
  ['the limit of a boolean', `${feature('')}${rule('\'limit(▲"a") > 1\'')}`, ['EXPRESSION']],
  ['a key that is computed', `${feature('')}${rule("'entitlement(▲user.key) == true'")}`, ['EXPRESSION']],
  ['a quote within quotes', rule("'user.key == ''a'' && ▲)'"), ['EXPRESSION']],
  [
    'an expression over two lines',
    flag('rules:\n  - if: >-\n      user.key == "a" &&\n      ▲&& true\n    serve: true'),
    ['EXPRESSION'],
  ],
  ['an escaped expression', rule('"user.key == \\"a\\" ==▲"'), ['EXPRESSION']],
  [
    'a segment that asks for a right',
    `${feature('')}segments: [{ key: s, condition: '▲entitlement("a") == true' }]\n`,
    ['EXPRESSION_LAYER'],
  ],
  [
    'a segment that asks for a flag',
    `${flag('')}segments: [{ key: s, condition: '▲flag("f") == true' }]\n`,
    ['EXPRESSION_LAYER'],
  ],
  [
    'a measure that asks for a right',
    'features: [{ key: a, type: metered, reset: never, measure: \'▲limit("a")\' }]\n',
    ['EXPRESSION_LAYER'],
  ],
  [
    'a measure that is no integer',
    "features: [{ key: a, type: metered, reset: never, measure: ▲'tokens > 1' }]\n",
    ['EXPRESSION'],
  ],
  [
    'a segment that forged mail opens',
    `${feature('')}segments: [{ key: s, condition: ▲'user.email == "x"', entitlements: [{ feature: a, value: true }] }]\n`,
    ['SEGMENT_FORGEABLE'],
  ],
  [
    'a segment that forged mail opens by another',
    `${feature('')}segments:\n  - { key: t, condition: 'user.email == "x"' }\n  - { key: s, condition: ▲'segment("t")', entitlements: [{ feature: a, value: true }] }\n`,
    ['SEGMENT_FORGEABLE'],
  ],
  [
    'a balance in a rule',
    `features: [{ key: a, type: metered, reset: never }]\n${rule('▲\'remaining("a") > 0\'')}`,
    ['EXPRESSION_WARNING'],
  ],
  [
    'a constraint of the short form',
    "flag:\n  key: f\n  targeting:\n    - constraint: 'user.key == \"a\"'\n    - constraint: 'user.key ==▲'\n",
    ['EXPRESSION'],
  ],
];

/** A fault of the shape and one of an expression in the same part: both are told, each at its place. */
const BOTH: readonly Case[] = [
  [
    'a rule without what it serves',
    flag("rules:\n  - rollout: { weights: [▲{ weight: 1 }] }\n    if: 'user.key ==▲'"),
    ['MISSING_MEMBER', 'EXPRESSION'],
  ],
  [
    'a rule with an unknown member',
    flag("rules:\n  - ▲if: 'user.key ==▲'\n    ▲serv: true"),
    ['ONE_OF', 'EXPRESSION', 'UNKNOWN_MEMBER'],
  ],
  [
    'a rule of an environment, in a flag without a type',
    "flags:\n  - ▲key: f\n    environments:\n      production: { rules: [{ if: 'user.key ==▲', serve: true }] }\n",
    ['MISSING_MEMBER', 'EXPRESSION'],
  ],
  [
    'a rule below an environment whose name cannot be one',
    "flags:\n  - key: f\n    type: boolean\n    environments:\n      ▲a b: { rules: [{ if: 'user.key ==▲', serve: true }] }\n",
    ['BAD_KEY', 'EXPRESSION'],
  ],
  [
    'the attribute of a rollout, in a flag without a key',
    'flags:\n  - ▲type: boolean\n    rules: [{ rollout: { by: ▲user key, percentage: 5 } }]\n',
    ['MISSING_MEMBER', 'EXPRESSION'],
  ],
  [
    'the measure of a feature without a type',
    "features: [▲{ key: a, measure: 'amount +▲' }]\n",
    ['MISSING_MEMBER', 'EXPRESSION'],
  ],
  [
    'the condition of a segment whose key is none',
    "segments: [{ key: ▲a b, condition: 'plan.tier ▲== 5' }]\n",
    ['BAD_KEY', 'EXPRESSION'],
  ],
  [
    'what a segment may not ask, in one whose key is a number',
    'segments: [{ key: ▲5, condition: \'▲flag("f")\' }]\n',
    ['WRONG_TYPE', 'EXPRESSION_LAYER'],
  ],
  [
    'a second flag of the same key',
    `${flag('default: true')}  - key: ▲f\n    type: boolean\n    rules: [{ if: 'user.key ==▲', serve: true }]\n`,
    ['DUPLICATE_DEFINITION', 'EXPRESSION'],
  ],
  [
    'a constraint of a short flag without a key',
    "flag:\n  ▲targeting:\n    - constraint: 'user.key ==▲'\n",
    ['MISSING_MEMBER', 'EXPRESSION'],
  ],
];

const BILLING: readonly Case[] = [
  ['an item that gives nothing', 'billing: [{ key: a, items: [▲{ price: p }] }]\n', ['BILLING_MAPPING']],
];

function marked(text: string): { text: string; places: string[] } {
  const places: string[] = [];
  const parts = text.split('▲');
  let before = '';
  for (const part of parts.slice(0, -1)) {
    before += part;
    const lines = before.split('\n');
    places.push(`${lines.length}:${(lines[lines.length - 1] ?? '').length + 1}`);
  }
  return { text: parts.join(''), places };
}

const ALL = { TEXTS, SHAPES, REFERENCES, VALUES, FLAGS, EXPRESSIONS, BOTH, BILLING };

describe.each(Object.entries(ALL))('refused documents: %s', (_, cases) => {
  const rows = cases.map(([what, source, codes, options]) => ({ what, source, codes, options }));
  it.each(rows)('$what', ({ what, source, codes, options }) => {
    const { text, places } = marked(source);
    const name = options?.json ? 'c.json' : 'c.yaml';
    const { issues, catalog } = parseCatalog([{ name, text }], options);
    const found = issues.map(({ code, line, column }) => `${code} ${line}:${column}`);
    // Two faults at one place share a mark.
    const expected = codes.map((code, index) => `${code} ${places[Math.min(index, places.length - 1)]}`);
    expect(found, JSON.stringify(issues, null, 1)).toEqual(expected);
    const refused = issues.some(({ severity }) => severity === 'error');
    expect(catalog === null, what).toBe(refused);
    for (const issue of issues) {
      expect(issue.message).toMatch(/[.?]$/);
      expect(issue.file).toBe(name);
    }
  });
});

describe('the table of refusals', () => {
  const cases = Object.values(ALL).flat();

  it('is long enough and meets every code', () => {
    expect(cases.length).toBeGreaterThanOrEqual(120);
    const met = new Set(cases.flatMap(([, , codes]) => codes));
    const elsewhere = new Set<CatalogIssueCode>(['DEPENDENCY_DEPTH', 'DOCUMENT_TOO_LARGE']);
    expect(CATALOG_ISSUE_CODES.filter((code) => !met.has(code) && !elsewhere.has(code))).toEqual([]);
  });
});
