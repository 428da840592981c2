import type { JsonValue } from '../model/json.js';
import { isJsonObject } from '../model/json.js';
import { canonicalJson } from './canonical-json.js';
import type { AnyItem } from './draft.js';
import type { JsonSchema } from './json-schema.js';
import { CATALOG_SCHEMA, definition } from './schema.js';
import { ref } from './schema-words.js';
import { sha256 } from './sha256.js';

/*
 * The one text of an item: what the database stores, what `If-Match` compares, what diffs start from. YAML, REST and dashboard
 * give the same text for the same content.
 */

/** The schema that an actual value is described by: references followed, alternatives chosen. */
export function resolveSchema(schema: JsonSchema | undefined, value: JsonValue): JsonSchema {
  if (schema === undefined) return {};
  if (schema.$ref !== undefined)
    return resolveSchema(definition(schema.$ref.slice('#/$defs/'.length)), value);
  if (schema.anyOf === undefined) return schema;
  const fitting = schema.anyOf.find((branch) =>
    Array.isArray(value) ? branch.type === 'array' : isJsonObject(value) && branch.type === 'object',
  );
  return fitting ?? {};
}

/** The names of an object's members in the order of the schema; free ones after, sorted. */
export function memberOrder(schema: JsonSchema, value: Readonly<Record<string, unknown>>): string[] {
  const declared = Object.keys(schema.properties ?? {}).filter((name) => Object.hasOwn(value, name));
  const known = new Set(declared);
  const free = Object.keys(value)
    .filter((name) => !known.has(name))
    .sort();
  return [...declared, ...free];
}

function ordered(schema: JsonSchema | undefined, value: JsonValue): string {
  const shape = resolveSchema(schema, value);
  if (Array.isArray(value))
    return `[${value.map((entry: JsonValue) => ordered(shape.items, entry)).join(',')}]`;
  if (!isJsonObject(value)) return canonicalJson(value);
  const members = memberOrder(shape, value).map((name) => {
    const free = typeof shape.additionalProperties === 'object' ? shape.additionalProperties : undefined;
    return `${JSON.stringify(name)}:${ordered(shape.properties?.[name] ?? free, value[name] ?? null)}`;
  });
  return `{${members.join(',')}}`;
}

export function schemaOfKind(kind: AnyItem['kind']): JsonSchema {
  return kind === 'context' ? (CATALOG_SCHEMA.properties?.context ?? {}) : ref(kind);
}

/** Declared members in the order of the schema, free ones sorted by code units, no white space. */
export function canonicalText(item: AnyItem): string {
  return ordered(schemaOfKind(item.kind), item.value as unknown as JsonValue);
}

/** SHA-256 of an item's canonical text, 64 hexadecimal digits. */
export function itemHash(text: string): string {
  return sha256(text);
}
