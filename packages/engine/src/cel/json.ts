import { entriesOf } from './compare.js';
import { formatDuration, formatTimestamp } from './time.js';
import { BOOL, type CelType, DOUBLE, DYN, INT, NULL, STRING } from './types.js';
import {
  CelBytes,
  CelDuration,
  CelError,
  type CelMap,
  type CelRecord,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  type CelValue,
  isList,
  kindOf,
} from './values.js';

/** A value as JSON carries it. */
export type PlainJson =
  | string
  | number
  | boolean
  | null
  | readonly PlainJson[]
  | { readonly [key: string]: PlainJson };

/** The part of JSON Schema that says how context parts read in expressions; what else a schema says is not CEL's. */
export interface ContextSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, ContextSchema>>;
  /** Without it, or with false, attributes that `properties` does not name are unknown. */
  readonly additionalProperties?: boolean | ContextSchema;
  readonly items?: ContextSchema;
  readonly maxItems?: number;
  readonly enum?: readonly unknown[];
}

const DEEPEST_SCHEMA = 32;

/** How a declared context part reads: `integer` as int, `number` as double; several types, or none, as `dyn`. */
export function toCelType(schema: ContextSchema | boolean, depth = 0): CelType {
  if (typeof schema === 'boolean' || depth > DEEPEST_SCHEMA) return DYN;
  const type =
    schema.type ?? typeOfEnum(schema.enum) ?? (schema.properties === undefined ? undefined : 'object');
  switch (type) {
    case 'boolean':
      return BOOL;
    case 'integer':
      return INT;
    case 'number':
      return DOUBLE;
    case 'string':
      return STRING;
    case 'null':
      return NULL;
    case 'array': {
      const element = schema.items === undefined ? DYN : toCelType(schema.items, depth + 1);
      return {
        kind: 'list',
        element,
        ...(schema.maxItems === undefined ? {} : { maxItems: schema.maxItems }),
      };
    }
    case 'object':
      return objectType(schema, depth);
    default:
      return DYN;
  }
}

function typeOfEnum(values: readonly unknown[] | undefined): string | undefined {
  const [first] = values ?? [];
  if (values?.every((value) => typeof value === 'string')) return first === undefined ? undefined : 'string';
  return values?.every((value) => typeof value === 'boolean') ? 'boolean' : undefined;
}

function objectType(schema: ContextSchema, depth: number): CelType {
  const { properties, additionalProperties } = schema;
  const open = additionalProperties === undefined ? properties === undefined : additionalProperties;
  const additional = open === false ? undefined : toCelType(open, depth + 1);
  if (properties === undefined) return { kind: 'map', key: STRING, value: additional ?? DYN };
  const attributes = new Map(
    Object.entries(properties).map(([key, member]) => [key, toCelType(member, depth + 1)]),
  );
  return { kind: 'object', attributes, ...(additional === undefined ? {} : { additional }) };
}

/** JSON is a CEL value as it stands; this says so to the compiler. */
export function toCelValue(json: PlainJson): CelValue {
  return json;
}

const DEEPEST_VALUE = 64;

/** JSON of a value: ints and uints as numbers where a number holds them exactly; times and bytes as protobuf's JSON. */
export function toJsonValue(value: CelValue, depth = 0): PlainJson | CelError {
  if (depth > DEEPEST_VALUE) return new CelError('SIZE_LIMIT', 'The value is nested too deep');
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : new CelError('INVALID_ARGUMENT', `JSON has no \`${value}\``);
    case 'bigint':
      return exactInteger(value);
    default:
      break;
  }
  if (value === null) return null;
  if (value instanceof CelUint) return exactInteger(value.value);
  if (value instanceof CelTimestamp) return formatTimestamp(value);
  if (value instanceof CelDuration) return formatDuration(value);
  if (value instanceof CelTypeValue) return value.name;
  if (value instanceof CelBytes) return toBase64(value.octets);
  if (isList(value)) return toJsonList(value, depth);
  if (kindOf(value) === 'map') return toJsonObject(value as CelMap | CelRecord, depth);
  return new CelError('INVALID_ARGUMENT', 'The value has no JSON form');
}

function exactInteger(value: bigint): number | CelError {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  return new CelError(
    'OVERFLOW',
    `JSON numbers do not hold \`${value}\` exactly; convert it with \`string(…)\``,
  );
}

function toJsonList(list: readonly CelValue[], depth: number): PlainJson | CelError {
  const items: PlainJson[] = [];
  for (const element of list) {
    const item = toJsonValue(element, depth + 1);
    if (item instanceof CelError) return item;
    items.push(item);
  }
  return items;
}

function toJsonObject(map: CelMap | CelRecord, depth: number): PlainJson | CelError {
  const members: [string, PlainJson][] = [];
  for (const [key, value] of entriesOf(map)) {
    const name = key instanceof CelUint ? String(key.value) : String(key);
    const member = toJsonValue(value, depth + 1);
    if (member instanceof CelError) return member;
    members.push([name, member]);
  }
  return Object.fromEntries(members);
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function toBase64(octets: Uint8Array): string {
  let text = '';
  for (let index = 0; index < octets.length; index += 3) {
    const [one = 0, two, three] = octets.subarray(index, index + 3);
    const bits = (one << 16) | ((two ?? 0) << 8) | (three ?? 0);
    const digits = [18, 12, 6, 0].map((shift) => BASE64.charAt((bits >> shift) & 63));
    text += digits
      .slice(0, two === undefined ? 2 : three === undefined ? 3 : 4)
      .join('')
      .padEnd(4, '=');
  }
  return text;
}
