import { suggestName } from '../cel/suggest.js';
import type { JsonValue } from '../model/json.js';
import { isTimeZone, readDay, readInstant } from './dates.js';
import type { CatalogIssueCode, ItemReference } from './issue.js';
import { type IssueSink, quoted } from './issue-sink.js';
import type { JsonSchema } from './json-schema.js';
import { definition } from './schema.js';
import {
  type ArrayNode,
  memberOf,
  type ObjectNode,
  plainValue,
  pointerOf,
  type ScalarNode,
  type SourceMember,
  type SourceNode,
  typeNameOf,
} from './source-node.js';

/**
 * Where the objects and lists of a read value were written. Members that were refused are left out of the value, so
 * that later checks still see everything that is sound.
 */
export class SourceMap {
  readonly #nodes = new WeakMap<object, SourceNode>();
  readonly #items = new WeakMap<object, readonly SourceNode[]>();

  set(value: unknown, node: SourceNode): void {
    if (typeof value === 'object' && value !== null) this.#nodes.set(value, node);
  }

  /** A list whose refused entries were left out. */
  setItems(value: readonly JsonValue[], items: readonly SourceNode[]): void {
    this.#items.set(value, items);
  }

  nodeOf(value: object): SourceNode | undefined {
    return this.#nodes.get(value);
  }

  /** The node of a member or element, else of the value itself. */
  memberNode(value: object, segment: string | number): SourceNode | undefined {
    const node = this.#nodes.get(value);
    if (typeof segment === 'number') {
      const items = this.#items.get(value) ?? (node?.kind === 'array' ? node.items : []);
      return items[segment] ?? node;
    }
    return memberOf(node, String(segment))?.value ?? node;
  }
}

type Mutable = Record<string, JsonValue>;

const patterns = new Map<string, RegExp>();

/** The few patterns of the catalog schema, compiled once. */
function patternOf(source: string): RegExp {
  const known = patterns.get(source) ?? new RegExp(source);
  patterns.set(source, known);
  return known;
}

/** A text that stands where an expression belongs, and whose it is. */
export interface WrittenExpression {
  readonly node: ScalarNode;
  readonly item: ItemReference | undefined;
}

/** Not CEL, but a path that CEL must be able to read. */
const BUCKET_ATTRIBUTE = definition('rollout').properties?.by;

/** Reads a node as the catalog schema says: the value as authored, every deviation a fault with its place. */
export class SchemaReader {
  readonly #issues: IssueSink;
  readonly #sources: SourceMap;
  /** Every one that was read, also in objects that are left out of the value for another fault. */
  readonly expressions: WrittenExpression[] = [];

  constructor(issues: IssueSink, sources: SourceMap) {
    this.#issues = issues;
    this.#sources = sources;
  }

  /** `undefined` when nothing of it can be used. */
  read(given: JsonSchema, node: SourceNode): JsonValue | undefined {
    if (node.kind === 'scalar' && node.faulty) return undefined;
    if (given.$ref === '#/$defs/weights' && node.kind === 'object') return this.#weightMap(given, node);
    const schema = given.$ref === undefined ? given : definition(given.$ref.slice('#/$defs/'.length));
    if (schema.$ref !== undefined) return this.read(schema, node);
    if (schema.anyOf !== undefined) return this.#readAny(schema.anyOf, node);
    if (!this.#checkType(schema, node) || !this.#checkEnum(schema, node)) return undefined;
    const value =
      node.kind === 'object'
        ? this.#readObject(schema, node)
        : node.kind === 'array'
          ? this.#readArray(schema, node)
          : this.#readScalar(schema, node);
    if (node.kind === 'scalar' && value !== undefined) this.#noteExpression(schema, node);
    this.#sources.set(value, node);
    return value;
  }

  #noteExpression(schema: JsonSchema, node: ScalarNode): void {
    if (schema.format === 'cel' || schema === BUCKET_ATTRIBUTE) {
      this.expressions.push({ node, item: this.#issues.item });
    }
  }

  #fault(node: SourceNode, code: CatalogIssueCode, message: string, suggestion?: string): undefined {
    this.#issues.at(node, code, message, { suggestion });
  }

  /** The written order is what counts, so the pairs are read from the text's tree and never through an object. */
  #weightMap(schema: JsonSchema, node: ObjectNode): JsonValue | undefined {
    const branch = definition('weights').anyOf?.find((candidate) => candidate.type === 'object');
    const values = this.read(branch ?? schema, node);
    if (typeof values !== 'object' || values === null || Array.isArray(values)) return undefined;
    const byName = values as Readonly<Record<string, JsonValue>>;
    const weights = node.members
      .filter((member) => byName[member.key] !== undefined)
      .map((member) => {
        const weight = { variant: member.key, weight: byName[member.key] ?? 0 };
        this.#sources.set(weight, member.value);
        return weight;
      });
    this.#sources.set(weights, node);
    return weights;
  }

  #readAny(branches: readonly JsonSchema[], node: SourceNode): JsonValue | undefined {
    const fitting = branches.filter((branch) => acceptsKind(branch, node));
    const chosen =
      fitting.find((branch) => branch.required?.some((name) => memberOf(node, name))) ??
      fitting.find((branch) => branch.const !== undefined && branch.const === plainScalar(node)) ??
      fitting[0];
    const other = chosen?.const !== undefined && chosen.const !== plainScalar(node);
    if (chosen !== undefined && !other) return this.read(chosen, node);
    const wanted = branches.map(expectation).join(' or ');
    const found = other ? quoted(plainScalar(node)) : typeNameOf(node);
    const message = `${nameOf(node)} must be ${wanted}, and this is ${found}.`;
    return this.#fault(node, other ? 'BAD_VALUE' : 'WRONG_TYPE', message);
  }

  #checkType(schema: JsonSchema, node: SourceNode): boolean {
    if (schema.type === undefined) {
      const anything = schema.enum === undefined && schema.const === undefined;
      if (anything || node.kind === 'scalar') return true;
    } else if (acceptsKind(schema, node)) {
      return true;
    }
    const quotes = schema.format === 'cel' ? '; expressions stand in single quotes' : '';
    const instead = node.kind === 'scalar' && typeof node.value === 'number' ? ` (${node.value})` : '';
    const message = `${nameOf(node)} must be ${expectation(schema)}, and this is ${typeNameOf(node)}${instead}${quotes}.`;
    this.#fault(node, schema.format === 'cel' ? 'BARE_EXPRESSION' : 'WRONG_TYPE', message);
    return false;
  }

  #checkEnum(schema: JsonSchema, node: SourceNode): boolean {
    const allowed = schema.enum ?? (schema.const === undefined ? undefined : [schema.const]);
    const value = plainScalar(node);
    if (allowed === undefined || allowed.some((candidate) => candidate === value)) return true;
    const words = allowed.map(String);
    const message = `${nameOf(node)} cannot be ${quoted(value)}; it is one of ${words.map((word) => `\`${word}\``).join(', ')}.`;
    this.#fault(node, 'BAD_VALUE', message, suggestName(String(value), words));
    return false;
  }

  #readScalar(schema: JsonSchema, node: ScalarNode): JsonValue | undefined {
    const { value } = node;
    if (typeof value === 'string') return this.#readText(schema, node, value);
    if (typeof value === 'number') {
      const low = schema.minimum ?? Number.NEGATIVE_INFINITY;
      const high = schema.maximum ?? Number.POSITIVE_INFINITY;
      if (value < low || value > high) {
        const bounds = high === Number.POSITIVE_INFINITY ? `at least ${low}` : `from ${low} to ${high}`;
        const hint = value === -1 && low === 0 ? '; unlimited is written `unlimited`' : '';
        return this.#fault(
          node,
          'OUT_OF_RANGE',
          `${nameOf(node)} must be ${bounds}, and this is ${value}${hint}.`,
        );
      }
      // −0 is a number that JSON texts carry and that nobody means.
      return value === 0 ? 0 : value;
    }
    return value;
  }

  #readText(schema: JsonSchema, node: ScalarNode, value: string): JsonValue | undefined {
    if (value.length < (schema.minLength ?? 0)) {
      return this.#fault(node, 'BAD_VALUE', `${nameOf(node)} is empty; write something or remove it.`);
    }
    if (value.length > (schema.maxLength ?? Number.POSITIVE_INFINITY)) {
      const message = `${nameOf(node)} has ${value.length} characters, and at most ${schema.maxLength} are accepted.`;
      return this.#fault(node, 'TOO_LONG', message);
    }
    if (schema.pattern !== undefined && !patternOf(schema.pattern).test(value)) {
      const key = schema.pattern === definition('key').pattern;
      const suggestion = key ? keyFrom(value) : undefined;
      const why = schema.description === undefined ? '' : ` ${schema.description}`;
      return this.#fault(
        node,
        key ? 'BAD_KEY' : 'BAD_VALUE',
        `${quoted(value)} is not valid here.${key ? ` A key has: ${definition('key').description}` : why}`,
        suggestion,
      );
    }
    return this.#checkFormat(schema, node, value) ? value : undefined;
  }

  #checkFormat(schema: JsonSchema, node: ScalarNode, value: string): boolean {
    if (schema.format === 'date' && readDay(value) === null) {
      this.#fault(node, 'BAD_DATE', `${quoted(value)} is not a day; write it as \`2027-03-01\`.`);
      return false;
    }
    if (schema.format === 'date-time' && readInstant(value) === null) {
      const message = `${quoted(value)} is not an instant with its zone; write it as \`2027-03-01T09:00:00Z\`.`;
      this.#fault(node, 'BAD_DATE', message);
      return false;
    }
    if (schema.format === 'time-zone' && !isTimeZone(value)) {
      this.#fault(
        node,
        'BAD_VALUE',
        `${quoted(value)} is not a time zone; write a name such as \`Europe/Berlin\`.`,
      );
      return false;
    }
    return true;
  }

  #readArray(schema: JsonSchema, node: ArrayNode): JsonValue | undefined {
    if (!this.#checkCount(node, node.items.length, schema.minItems, schema.maxItems, 'entries'))
      return undefined;
    const { items } = schema;
    if (items === undefined) return plainValue(node);
    const values: JsonValue[] = [];
    const kept: SourceNode[] = [];
    for (const item of node.items) {
      const value = this.read(items, item);
      if (value === undefined) continue;
      values.push(value);
      kept.push(item);
    }
    this.#sources.setItems(values, kept);
    return values;
  }

  /** False when there are too many to look at each. */
  #checkCount(
    node: SourceNode,
    count: number,
    minimum: number | undefined,
    maximum: number | undefined,
    unit: string,
  ): boolean {
    if (minimum !== undefined && count < minimum) {
      this.#fault(
        node,
        'MISSING_MEMBER',
        `${nameOf(node)} needs at least ${minimum} ${unit}, and has ${count}.`,
      );
    }
    if (maximum === undefined || count <= maximum) return true;
    const message = `${nameOf(node)} has ${count} ${unit}, and at most ${maximum} are accepted.`;
    this.#fault(node, 'TOO_MANY', message);
    return false;
  }

  #readObject(schema: JsonSchema, node: ObjectNode): JsonValue | undefined {
    const { properties, additionalProperties, minProperties, maxProperties } = schema;
    if (!this.#checkCount(node, node.members.length, minProperties, maxProperties, 'members'))
      return undefined;
    if (
      properties === undefined &&
      typeof additionalProperties !== 'object' &&
      schema.propertyNames === undefined
    ) {
      return plainValue(node);
    }
    const value: Mutable = {};
    for (const member of node.members) {
      const named = this.#checkName(schema, member);
      const declared = ownMember(properties, member.key);
      // What stands under a wrong name has faults of its own, which are told in the same answer.
      const read = this.#readMember(schema, declared, member, node);
      if (named && read !== undefined) value[member.key] = read;
    }
    this.#checkRequired(schema, node);
    const usable = (schema.required ?? []).every(
      (name) => value[name] !== undefined || !memberOf(node, name),
    );
    return usable && (schema.required ?? []).every((name) => memberOf(node, name)) ? value : undefined;
  }

  #readMember(
    schema: JsonSchema,
    declared: JsonSchema | undefined,
    member: SourceMember,
    node: ObjectNode,
  ): JsonValue | undefined {
    if (declared !== undefined) return this.read(declared, member.value);
    if (typeof schema.additionalProperties === 'object')
      return this.read(schema.additionalProperties, member.value);
    if (schema.additionalProperties !== false) {
      const value = plainValue(member.value);
      this.#sources.set(value, member.value);
      return value;
    }
    if (this.#issues.full) return undefined;
    const names = Object.keys(schema.properties ?? {});
    const left = names.filter((name) => !memberOf(node, name));
    this.#issues.at(
      member.value,
      'UNKNOWN_MEMBER',
      `${quoted(member.key)} is not a member of ${whole(node)}.`,
      {
        offset: member.keyStart,
        suggestion: suggestName(member.key, left) ?? suggestName(member.key, names),
      },
    );
    return undefined;
  }

  #checkName(schema: JsonSchema, member: SourceMember): boolean {
    const pattern = schema.propertyNames?.pattern;
    if (pattern === undefined || patternOf(pattern).test(member.key)) return true;
    this.#issues.at(member.value, 'BAD_KEY', `${quoted(member.key)} is not a name that can stand here.`, {
      offset: member.keyStart,
      suggestion: keyFrom(member.key),
    });
    return false;
  }

  #checkRequired(schema: JsonSchema, node: ObjectNode): void {
    for (const name of schema.required ?? []) {
      if (!memberOf(node, name))
        this.#fault(node, 'MISSING_MEMBER', `\`${name}\` is missing in ${whole(node)}.`);
    }
    const choices = schema.oneOf?.map((branch) => branch.required?.[0] ?? '') ?? [];
    const present = node.members.map(({ key }) => key).filter((key) => choices.includes(key));
    if (choices.length === 0 || present.length === 1) return;
    const words = choices.map((name) => `\`${name}\``).join(', ');
    const found = present.length === 0 ? 'none of them' : present.map((name) => `\`${name}\``).join(' and ');
    const second = memberOf(node, present[1] ?? '');
    this.#issues.at(
      second?.value ?? node,
      'ONE_OF',
      `Exactly one of ${words} belongs here, and there is ${found}.`,
      {
        offset: second?.keyStart ?? node.start,
      },
    );
  }
}

function ownMember(properties: JsonSchema['properties'], key: string): JsonSchema | undefined {
  return properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined;
}

function plainScalar(node: SourceNode): JsonValue {
  return node.kind === 'scalar' ? node.value : pointerOf(node);
}

/** How a fault names the thing. */
function nameOf(node: SourceNode): string {
  return typeof node.segment === 'number'
    ? `Entry ${node.segment + 1}`
    : quoted(node.segment || 'The document');
}

function whole(node: SourceNode): string {
  if (node.parent === null) return 'the document';
  if (typeof node.segment === 'string') return quoted(node.segment);
  return `this entry of ${quoted(node.parent.segment || 'the document')}`;
}

function acceptsKind(schema: JsonSchema, node: SourceNode): boolean {
  if (schema.const !== undefined) return node.kind === 'scalar' && typeof node.value === typeof schema.const;
  const types =
    schema.type === undefined ? [] : typeof schema.type === 'string' ? [schema.type] : schema.type;
  return types.some((type) => {
    if (node.kind !== 'scalar') return type === node.kind;
    const { value } = node;
    if (value === null) return type === 'null';
    if (typeof value === 'number')
      return type === 'number' || (type === 'integer' && Number.isInteger(value));
    return type === typeof value;
  });
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  object: 'an object',
  array: 'a list',
  string: 'a text',
  integer: 'an integer',
  number: 'a number',
  boolean: '`true` or `false`',
  null: 'null',
};

function expectation(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum !== undefined) return `one of ${schema.enum.map((value) => `\`${value}\``).join(', ')}`;
  const types =
    schema.type === undefined ? [] : typeof schema.type === 'string' ? [schema.type] : schema.type;
  return types.map((type) => TYPE_WORDS[type] ?? type).join(' or ');
}

/** A key that resembles the text, if one does. */
function keyFrom(text: string): string | undefined {
  const key = text
    .trim()
    .replaceAll(/[^A-Za-z0-9._~-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .replace(/-+$/, '')
    .slice(0, 128);
  return key === '' || key === text ? undefined : key;
}
