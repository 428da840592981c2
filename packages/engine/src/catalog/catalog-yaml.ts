import { Document, Pair, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import type { Catalog, Weight } from '../model/catalog.js';
import { isJsonObject, type JsonValue } from '../model/json.js';
import { memberOrder, resolveSchema } from './canonical.js';
import type { JsonSchema } from './json-schema.js';
import { CATALOG_SCHEMA } from './schema.js';

/** Words, numbers and days that YAML 1.1 readers take for something else than the text they are. */
const MISREAD_BY_YAML_1_1 =
  /^(?:y|n|yes|no|on|off|true|false|null|~|[-+]?[0-9][0-9_,.]*(?::[0-5]?[0-9])*|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|0[box].*|<<|=)$/i;

/** Control and format characters, and white space that folding would lose. */
const NEEDS_ESCAPES = /(?:(?!\n)\p{C})|\p{Zl}|\p{Zp}|\u00a0|^\s|\s$|[^\S\n]\n|\n\s/u;

/** Objects that people read best on one line. */
const ON_ONE_LINE = 4;

/**
 * The document of a catalog: members in the order of the schema, expressions in single quotes, `on` and `off` quoted (for
 * YAML 1.1 readers), weights as maps in their order. Parsing it gives the same catalog.
 */
export function toCatalogYaml(catalog: Catalog): string {
  const document = new Document(undefined, { version: '1.2' });
  const root = new YAMLMap();
  for (const name of memberOrder(CATALOG_SCHEMA, { ...catalog })) {
    const value = catalog[name as keyof Catalog];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    const node = toNode(CATALOG_SCHEMA.properties?.[name], value as unknown as JsonValue);
    root.items.push(new Pair(textNode(name, false), node));
  }
  document.contents = root as never;
  return root.items.length === 0 ? '' : document.toString({ lineWidth: 0, flowCollectionPadding: true });
}

function toNode(given: JsonSchema | undefined, value: JsonValue): Scalar | YAMLMap | YAMLSeq {
  if (given?.$ref === '#/$defs/weights') return weightsNode(value as unknown as readonly Weight[]);
  const schema = resolveSchema(given, value);
  if (Array.isArray(value)) {
    const list = new YAMLSeq();
    list.items = value.map((entry: JsonValue) => toNode(schema.items, entry));
    list.flow =
      value.length === 0 || value.every((entry: JsonValue) => typeof entry !== 'object' || entry === null);
    return list;
  }
  if (isJsonObject(value)) return mapNode(schema, value);
  return typeof value === 'string' ? textNode(value, schema.format === 'cel') : numberNode(value);
}

function mapNode(schema: JsonSchema, value: Readonly<Record<string, JsonValue>>): YAMLMap {
  const map = new YAMLMap();
  const free = typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined;
  for (const name of memberOrder(schema, value)) {
    const node = toNode(schema.properties?.[name] ?? free, value[name] ?? null);
    map.items.push(new Pair(textNode(name, false), node));
  }
  const small = map.items.length <= ON_ONE_LINE;
  map.flow =
    small &&
    Object.values(value).every((member) => typeof member !== 'object' && !String(member).includes('\n'));
  return map;
}

function weightsNode(weights: readonly Weight[]): YAMLMap {
  const map = new YAMLMap();
  map.items = weights.map(({ variant, weight }) => new Pair(textNode(variant, false), numberNode(weight)));
  map.flow = true;
  return map;
}

function numberNode(value: JsonValue): Scalar {
  return new Scalar(value);
}

function textNode(text: string, expression: boolean): Scalar {
  const scalar = new Scalar(text);
  if (NEEDS_ESCAPES.test(text)) {
    scalar.type = 'QUOTE_DOUBLE';
  } else if (expression || MISREAD_BY_YAML_1_1.test(text)) {
    scalar.type = 'QUOTE_SINGLE';
  }
  return scalar;
}
