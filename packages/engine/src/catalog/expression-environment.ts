import { memberReader } from '../cel/member-reader.js';
import { suggestName } from '../cel/suggest.js';
import {
  BOOL,
  type CelEnvironment,
  type CelHostFunction,
  type CelType,
  type CelVariable,
  DYN,
  INT,
  STRING,
  TIMESTAMP,
} from '../cel/types.js';
import { CelError, CelTimestamp, type CelValue, memberOf } from '../cel/values.js';
import type { Catalog, EntitlementValue, FeatureType } from '../model/catalog.js';
import type { JsonObject, JsonValue } from '../model/json.js';
import { celTypeOfSchema, objectType } from './schema-cel-type.js';
import { readSkuPattern } from './sku-pattern.js';

/*
 * The one declaration of what an expression may see (DESIGN: layers). Publishing checks against it, evaluation reads through
 * it, editors complete from it.
 */

/**
 * What one evaluation hands to a compiled expression. The functions and variables of `expressionEnvironment` read it and
 * nothing else, so whoever decides (flags, segments, measures) implements this and stays the only owner of state and time.
 *
 * Keys are string literals that were checked at publish: an implementation may assume that they are declared in the same
 * snapshot. What cannot be answered (the customer could not be read, a prerequisite failed) is returned as a `CelError`
 * with the code in its `detail`; the rule is then skipped and named.
 */
export interface ExpressionFrame {
  /**
   * What the caller sent, by part (`user`, …); `undefined` where only the server's own facts are seen. For the layer `measure`: the
   * usage's attributes.
   */
  readonly sent: JsonObject | undefined;
  /** Who is asked about, as sent; `undefined` as above. */
  readonly targetingKey: string | undefined;
  /** The server fact `plan`, which most rules ask for; `undefined` when absent. */
  readonly plan: JsonValue | undefined;
  /** What else the server itself knows under that name; `undefined` when absent. */
  fact(name: ServerFact): JsonValue | undefined;
  /** What is granted, `false` when nothing is. Unlimited is a number here: `UNLIMITED_AS_INTEGER`. */
  entitlement(key: string): Exclude<EntitlementValue, string> | CelError;
  /** The granted limit; 0 when nothing is granted, `UNLIMITED_AS_INTEGER` when unlimited. */
  limit(key: string): number | CelError;
  /** The last known usage, at least 0. */
  usage(key: string): number | CelError;
  /** What is left, at least 0; `UNLIMITED_AS_INTEGER` when unlimited. */
  remaining(key: string): number | CelError;
  segment(key: string): boolean | CelError;
  /** The value that the flag serves in this evaluation. */
  flag(key: string): JsonValue | CelError;
  /** The instant of the evaluation: milliseconds since 1970-01-01T00:00:00Z. */
  readonly nowMilliseconds: number;
}

/**
 * Where an expression stands. Each layer sees only those below it: a segment's condition may not ask for what segments
 * give, a measure sees nothing but the attributes of its usage.
 */
export const EXPRESSION_LAYERS = ['flag', 'segment', 'measure'] as const;
export type ExpressionLayer = (typeof EXPRESSION_LAYERS)[number];

export interface ExpressionEnvironmentOptions {
  readonly catalog: Catalog;
  readonly layer: ExpressionLayer;
  /** Asked about keys that the catalog does not declare: true accepts them, as when a part is checked without the rest. */
  readonly acceptKey?: (kind: 'feature' | 'flag' | 'segment', key: string) => boolean;
  /** The product is declared elsewhere, so nobody knows the parts of its billing keys. */
  readonly openPlan?: boolean;
}

/** The parts that only the server sets (K-3): what a caller sends under these names is overwritten. */
export const SERVER_FACTS = ['plan', 'customer', 'license', 'instance', 'environment'] as const;
export type ServerFact = Exclude<(typeof SERVER_FACTS)[number], 'plan'>;

type PartReader = (frame: ExpressionFrame) => unknown;

const user = memberReader('user');
const team = memberReader('team');

/** The parts that nearly every rule reads, each read at a place of its own (see `memberReader`). */
const PART_READERS: ReadonlyMap<string, PartReader> = new Map<string, PartReader>([
  ['plan', (frame) => frame.plan],
  ['customer', (frame) => frame.fact('customer')],
  ['license', (frame) => frame.fact('license')],
  ['instance', (frame) => frame.fact('instance')],
  ['environment', (frame) => frame.fact('environment')],
  ['targetingKey', (frame) => frame.targetingKey],
  ['user', (frame) => memberOf(frame.sent, user)],
  ['team', (frame) => memberOf(frame.sent, team)],
]);

/** How a context part or server fact of that name is read, server facts first. */
export function partReader(name: string): PartReader {
  return PART_READERS.get(name) ?? sentReader(name);
}

function sentReader(name: string): PartReader {
  const member = memberReader(name);
  return (frame) => memberOf(frame.sent, member);
}

/** The functions of DESIGN §4 that ask for the right to a feature; segments stand below entitlements and may not. */
const RIGHT_FUNCTIONS = ['entitlement', 'limit', 'usage', 'remaining'] as const;

export function expressionEnvironment(
  options: ExpressionEnvironmentOptions,
): CelEnvironment<ExpressionFrame> {
  if (options.layer === 'measure') return measureEnvironment();
  const functions = hostFunctions(options);
  const forbidden = new Map<string, string>();
  if (options.layer === 'segment') {
    for (const name of [...RIGHT_FUNCTIONS, 'flag']) {
      functions.delete(name);
      forbidden.set(
        name,
        `a segment's condition may not call \`${name}\`: entitlements and flags are decided after segments; ask for context or server facts`,
      );
    }
  }
  const { catalog } = options;
  return {
    variables: variables(catalog, options.openPlan === true),
    functions,
    forbidden,
    // Without a declared context every part may come; with one, a name outside of it is a mistake.
    ...(catalog.context === undefined ? { otherVariable: (name: string) => part(name, DYN) } : {}),
  };
}

function measureEnvironment(): CelEnvironment<ExpressionFrame> {
  const why = 'a measure sees only the attributes of its usage';
  return {
    variables: new Map(),
    functions: new Map(),
    otherVariable: (name) => ({ type: INT, read: sentReader(name) }),
    forbidden: new Map([...RIGHT_FUNCTIONS, 'flag', 'segment', 'now'].map((name) => [name, why])),
  };
}

function part(name: string, type: CelType): CelVariable<ExpressionFrame> {
  return { type, read: partReader(name) };
}

function variables(catalog: Catalog, openPlan: boolean): Map<string, CelVariable<ExpressionFrame>> {
  const context = catalog.context ?? {};
  const result = new Map<string, CelVariable<ExpressionFrame>>();
  for (const [name, schema] of Object.entries(context)) result.set(name, part(name, celTypeOfSchema(schema)));
  for (const name of ['user', 'team']) {
    result.set(
      name,
      part(name, withAttributes(context[name] && celTypeOfSchema(context[name]), { key: STRING })),
    );
  }
  result.set('targetingKey', part('targetingKey', STRING));
  result.set('environment', part('environment', STRING));
  result.set('plan', part('plan', planType(catalog, openPlan)));
  result.set(
    'license',
    part('license', objectType({ id: STRING, kind: STRING, status: STRING, quantity: INT })),
  );
  const { customer, instance } = context;
  const attributes = { key: STRING, attributes: objectType({}, DYN) };
  result.set('customer', part('customer', withAttributes(customer && celTypeOfSchema(customer), attributes)));
  const ofInstance = { key: STRING, id: STRING, metadata: objectType({}, DYN) };
  result.set('instance', part('instance', withAttributes(instance && celTypeOfSchema(instance), ofInstance)));
  result.set('now', {
    type: TIMESTAMP,
    clock: true,
    read: (frame) => CelTimestamp.fromMilliseconds(frame.nowMilliseconds),
  });
  return result;
}

/** The declared type with attributes that are always there; undeclared ones are open. */
function withAttributes(declared: CelType | undefined, always: Readonly<Record<string, CelType>>): CelType {
  if (declared?.kind !== 'object') return objectType(always, DYN);
  const attributes = new Map([...Object.entries(always), ...declared.attributes]);
  return { ...declared, attributes };
}

/** `plan.tier` is the catalog's plan key; the other parts are those of the product's SKU pattern (P-2). */
function planType(catalog: Catalog, open: boolean): CelType {
  const attributes: Record<string, CelType> = {};
  const pattern = catalog.product?.sku === undefined ? null : readSkuPattern(catalog.product.sku);
  for (const { name, type } of pattern?.ok ? pattern.parts : [])
    attributes[name] = type === 'int' ? INT : STRING;
  return objectType({ ...attributes, tier: STRING, version: INT, key: STRING }, open ? DYN : undefined);
}

type Refusal = { readonly message: string; readonly suggestion?: string };

function hostFunctions(options: ExpressionEnvironmentOptions): Map<string, CelHostFunction<ExpressionFrame>> {
  const { catalog } = options;
  const features = new Map(catalog.features.map((feature) => [feature.key, feature.type]));
  const flags = new Map(catalog.flags.map((flag) => [flag.key, flag.type]));
  const segments = new Set(catalog.segments.map((segment) => segment.key));
  // A guess compares with every key; a hostile catalog has thousands of both.
  let guessesLeft = 100;
  const unknown = (
    word: 'feature' | 'flag' | 'segment',
    key: string,
    known: Iterable<string>,
  ): Refusal | undefined => {
    if (options.acceptKey?.(word, key)) return undefined;
    guessesLeft -= 1;
    const suggestion = guessesLeft < 0 ? undefined : suggestName(key, known);
    return { message: `there is no ${word} \`${key}\``, ...(suggestion === undefined ? {} : { suggestion }) };
  };
  const feature = (types: readonly FeatureType[], name: string) => (key: string) => {
    const type = features.get(key);
    if (type === undefined) return unknown('feature', key, features.keys());
    if (types.length === 0 || types.includes(type)) return undefined;
    return {
      message: `\`${name}\` asks for a feature of type ${types.join(' or ')}, and \`${key}\` is ${type}`,
    };
  };
  const limited = ['limit', 'metered'] as const;
  return new Map<string, CelHostFunction<ExpressionFrame>>([
    [
      'entitlement',
      keyFunction(DYN, feature([], 'entitlement'), (frame, key) => toCel(frame.entitlement(key))),
    ],
    ['limit', keyFunction(INT, feature(limited, 'limit'), (frame, key) => toCel(frame.limit(key)))],
    ['usage', keyFunction(INT, feature(['metered'], 'usage'), (frame, key) => toCel(frame.usage(key)))],
    [
      'remaining',
      keyFunction(INT, feature(['metered'], 'remaining'), (frame, key) => toCel(frame.remaining(key))),
    ],
    [
      'segment',
      keyFunction(
        BOOL,
        (key) => (segments.has(key) ? undefined : unknown('segment', key, segments)),
        (frame, key) => frame.segment(key),
      ),
    ],
    [
      'flag',
      keyFunction(
        DYN,
        (key) => (flags.has(key) ? undefined : unknown('flag', key, flags.keys())),
        (frame, key) => {
          const value = frame.flag(key);
          return flags.get(key) === 'integer' ? toCel(value) : value;
        },
      ),
    ],
  ]);
}

function keyFunction(
  result: CelType,
  checkLiteral: (key: string) => Refusal | undefined,
  call: (frame: ExpressionFrame, key: string) => CelValue | CelError,
): CelHostFunction<ExpressionFrame> {
  return {
    parameters: [STRING],
    result,
    literalArguments: true,
    checkLiteral,
    call: (frame, [key]) =>
      typeof key === 'string' ? call(frame, key) : new CelError('INVALID_ARGUMENT', 'a key is a text'),
  };
}

/** Quantities are integers; as numbers they would be doubles to CEL. */
function toCel(value: JsonValue | CelError): CelValue | CelError {
  return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
}
