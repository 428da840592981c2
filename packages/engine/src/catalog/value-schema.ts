import { isJsonObject, type JsonObject, type JsonValue } from '../model/json.js';
import { canonicalJson } from './canonical-json.js';
import { type IssueSink, quoted } from './issue-sink.js';
import { memberOf, plainValue, type SourceNode, typeNameOf } from './source-node.js';
import { compilePattern } from './user-pattern.js';

/*
 * Values of config features against the feature's own `schema`. The keywords below are checked; any other is named in a
 * warning where the schema is written, so that nobody believes in a check that does not happen.
 */

const CHECKED = new Set([
  'type',
  'enum',
  'const',
  'properties',
  'required',
  'additionalProperties',
  'minProperties',
  'maxProperties',
  'items',
  'minItems',
  'maxItems',
  'minLength',
  'maxLength',
  'pattern',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
]);
const ANNOTATIONS = new Set([
  '$schema',
  '$id',
  '$comment',
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'format',
]);
const TYPES = new Set(['object', 'array', 'string', 'integer', 'number', 'boolean', 'null']);
const COUNTS = new Set(['minProperties', 'maxProperties', 'minItems', 'maxItems', 'minLength', 'maxLength']);
const BOUNDS = new Set(['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum']);

/** Faults of the schema itself: shapes that mean nothing, and keywords that nobody checks. */
export function checkSchemaText(node: SourceNode, issues: IssueSink): void {
  if (node.kind !== 'object') {
    if (node.kind === 'scalar' && typeof node.value === 'boolean') return;
    issues.at(node, 'BAD_SCHEMA', `A JSON Schema is an object, and this is ${typeNameOf(node)}.`);
    return;
  }
  for (const { key, keyStart, value } of node.members) {
    if (key === 'properties' && value.kind === 'object') {
      for (const member of value.members) checkSchemaText(member.value, issues);
    } else if (key === 'items' || key === 'additionalProperties') {
      checkSchemaText(value, issues);
    } else if (CHECKED.has(key)) {
      const fault = keywordFault(key, plainValue(value));
      if (fault !== null) issues.at(value, 'BAD_SCHEMA', `${quoted(key)} of a JSON Schema ${fault}.`);
    } else if (!ANNOTATIONS.has(key)) {
      issues.at(value, 'SCHEMA_KEYWORD', `${quoted(key)} of a JSON Schema is kept but not checked.`, {
        offset: keyStart,
        severity: 'warning',
      });
    }
  }
}

function keywordFault(key: string, value: JsonValue): string | null {
  if (key === 'type') {
    const types = Array.isArray(value) ? (value as readonly JsonValue[]) : [value];
    return types.every((type) => typeof type === 'string' && TYPES.has(type))
      ? null
      : 'names a type that does not exist';
  }
  if (COUNTS.has(key)) return Number.isSafeInteger(value) && Number(value) >= 0 ? null : 'must be a count';
  if (BOUNDS.has(key)) return typeof value === 'number' ? null : 'must be a number';
  if (key === 'required') {
    return Array.isArray(value) && value.every((name) => typeof name === 'string')
      ? null
      : 'must be a list of names';
  }
  if (key === 'enum') return Array.isArray(value) && value.length > 0 ? null : 'must be a list of values';
  if (key === 'properties') return 'must be an object';
  if (key === 'pattern') {
    return typeof value === 'string' && compilePattern(value) !== null ? null : 'is not a pattern of RE2';
  }
  return null;
}

/** Every deviation of the value from the schema is a fault at its place. */
export function checkValueAgainstSchema(
  schema: JsonValue,
  node: SourceNode,
  issues: IssueSink,
  feature: string,
): void {
  const report = (at: SourceNode, message: string): void =>
    issues.at(at, 'SCHEMA_MISMATCH', `The schema of ${quoted(feature)} asks that ${message}.`);
  checkNode(schema, node, report);
}

type Report = (node: SourceNode, message: string) => void;

function checkNode(schema: JsonValue, node: SourceNode, report: Report): void {
  if (schema === false) report(node, `${nameOf(node)} does not stand here`);
  if (!isJsonObject(schema)) return;
  const types = schema.type === undefined ? [] : Array.isArray(schema.type) ? schema.type : [schema.type];
  if (types.length > 0 && !types.some((type) => isOfType(node, type))) {
    report(node, `${nameOf(node)} is of type ${types.join(' or ')}, and this is ${typeNameOf(node)}`);
    return;
  }
  checkAllowed(schema, node, report);
  if (node.kind === 'object') checkObject(schema, node, report);
  else if (node.kind === 'array') checkArray(schema, node, report);
  else if (typeof node.value === 'string') checkText(schema, node, node.value, report);
  else if (typeof node.value === 'number') checkNumber(schema, node, node.value, report);
}

function nameOf(node: SourceNode): string {
  return quoted(String(node.segment));
}

function isOfType(node: SourceNode, type: JsonValue): boolean {
  if (node.kind !== 'scalar') return type === node.kind;
  if (node.value === null) return type === 'null';
  if (typeof node.value === 'number')
    return type === 'number' || (type === 'integer' && Number.isInteger(node.value));
  return type === typeof node.value;
}

function checkAllowed(schema: JsonObject, node: SourceNode, report: Report): void {
  const allowed = Array.isArray(schema.enum)
    ? schema.enum
    : schema.const === undefined
      ? null
      : [schema.const];
  if (allowed === null) return;
  const value = canonicalJson(plainValue(node));
  if (!allowed.some((candidate) => canonicalJson(candidate) === value)) {
    report(node, `${nameOf(node)} is one of ${allowed.map(quoted).join(', ')}`);
  }
}

function checkObject(schema: JsonObject, node: SourceNode & { kind: 'object' }, report: Report): void {
  const properties = isJsonObject(schema.properties) ? schema.properties : {};
  for (const name of Array.isArray(schema.required) ? schema.required : []) {
    if (!memberOf(node, String(name))) report(node, `${nameOf(node)} has a member ${quoted(name)}`);
  }
  checkCount(schema, node, node.members.length, 'Properties', 'members', report);
  for (const member of node.members) {
    const declared = Object.hasOwn(properties, member.key)
      ? properties[member.key]
      : schema.additionalProperties;
    if (declared !== undefined) checkNode(declared, member.value, report);
  }
}

function checkArray(schema: JsonObject, node: SourceNode & { kind: 'array' }, report: Report): void {
  checkCount(schema, node, node.items.length, 'Items', 'entries', report);
  const { items } = schema;
  if (items !== undefined) for (const item of node.items) checkNode(items, item, report);
}

function checkText(schema: JsonObject, node: SourceNode, value: string, report: Report): void {
  checkCount(schema, node, [...value].length, 'Length', 'characters', report);
  if (typeof schema.pattern === 'string' && compilePattern(schema.pattern)?.(value) === false) {
    report(node, `${nameOf(node)} matches ${quoted(schema.pattern)}`);
  }
}

function checkNumber(schema: JsonObject, node: SourceNode, value: number, report: Report): void {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
  if (typeof minimum === 'number' && value < minimum) report(node, `${nameOf(node)} is at least ${minimum}`);
  if (typeof maximum === 'number' && value > maximum) report(node, `${nameOf(node)} is at most ${maximum}`);
  if (typeof exclusiveMinimum === 'number' && value <= exclusiveMinimum) {
    report(node, `${nameOf(node)} is more than ${exclusiveMinimum}`);
  }
  if (typeof exclusiveMaximum === 'number' && value >= exclusiveMaximum) {
    report(node, `${nameOf(node)} is less than ${exclusiveMaximum}`);
  }
}

function checkCount(
  schema: JsonObject,
  node: SourceNode,
  count: number,
  suffix: 'Properties' | 'Items' | 'Length',
  unit: string,
  report: Report,
): void {
  const minimum = schema[`min${suffix}`];
  const maximum = schema[`max${suffix}`];
  if (typeof minimum === 'number' && count < minimum)
    report(node, `${nameOf(node)} has at least ${minimum} ${unit}`);
  if (typeof maximum === 'number' && count > maximum)
    report(node, `${nameOf(node)} has at most ${maximum} ${unit}`);
}
