import type { JsonValue } from '../model/json.js';
import type { SourcePlace } from './issue.js';

/*
 * A document as a tree that remembers where each part was written. YAML and JSON texts both become this; everything after
 * reads only this. Members keep their written order, which objects of the language do not (integer-like keys).
 */

export interface SourceFile {
  readonly name: string;
  readonly text: string;
  /** Offsets of the first character of each line. */
  readonly lineStarts: readonly number[];
}

interface NodeBase {
  readonly file: SourceFile;
  readonly start: number;
  readonly end: number;
  readonly parent: SourceNode | null;
  readonly segment: string | number;
}

export type ScalarStyle = 'plain' | 'single' | 'double' | 'block';

export interface ScalarNode extends NodeBase {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  readonly style: ScalarStyle;
  /** A fault was reported already: what it would have been is not known, and it is no second fault. */
  readonly faulty?: boolean;
}

export interface SourceMember {
  readonly key: string;
  readonly keyStart: number;
  readonly value: SourceNode;
}

export interface ObjectNode extends NodeBase {
  readonly kind: 'object';
  readonly members: readonly SourceMember[];
}

export interface ArrayNode extends NodeBase {
  readonly kind: 'array';
  readonly items: readonly SourceNode[];
}

export type SourceNode = ScalarNode | ObjectNode | ArrayNode;

export function sourceFile(name: string, text: string): SourceFile {
  const lineStarts = [0];
  for (let index = text.indexOf('\n'); index !== -1; index = text.indexOf('\n', index + 1)) {
    lineStarts.push(index + 1);
  }
  return { name, text, lineStarts };
}

export function placeAt(file: SourceFile, offset: number): SourcePlace {
  let low = 0;
  let high = file.lineStarts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((file.lineStarts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return { file: file.name, line: low + 1, column: offset - (file.lineStarts[low] ?? 0) + 1 };
}

export function pointerOf(node: SourceNode): string {
  const segments: string[] = [];
  for (let at: SourceNode | null = node; at?.parent; at = at.parent) {
    segments.push(String(at.segment).replaceAll('~', '~0').replaceAll('/', '~1'));
  }
  return segments
    .reverse()
    .map((segment) => `/${segment}`)
    .join('');
}

const indexes = new WeakMap<ObjectNode, ReadonlyMap<string, SourceMember>>();

/** Large objects are looked up by an index, so that a hostile one costs no more than its length. */
export function memberOf(node: SourceNode | undefined, key: string): SourceMember | undefined {
  if (node?.kind !== 'object') return undefined;
  if (node.members.length <= 16) return node.members.find((member) => member.key === key);
  const index = indexes.get(node) ?? new Map(node.members.map((member) => [member.key, member]));
  indexes.set(node, index);
  return index.get(key);
}

/** What a person calls the node's type. */
export function typeNameOf(node: SourceNode): string {
  if (node.kind === 'array') return 'a list';
  if (node.kind === 'object') return 'an object';
  if (node.value === null) return 'nothing';
  if (typeof node.value === 'string') return 'a text';
  if (typeof node.value === 'boolean') return 'a boolean';
  return Number.isInteger(node.value) ? 'an integer' : 'a number';
}

/** The plain value. `__proto__` cannot occur: the readers refuse it. */
export function plainValue(node: SourceNode): JsonValue {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'array') return node.items.map(plainValue);
  return Object.fromEntries(node.members.map((member) => [member.key, plainValue(member.value)]));
}

const DOUBLE_ESCAPE = /^\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[\s\S])/;

/**
 * The offset in the file of one character of a scalar's text. Line folding and indentation only change white space, so the two
 * texts are walked side by side over what is not white space; quotes and escapes are taken as one.
 */
export function offsetInScalar(node: ScalarNode, valueOffset: number): number {
  const value = String(node.value);
  const text = node.file.text;
  let at = node.start;
  if (node.style === 'single' || node.style === 'double') at += 1;
  if (node.style === 'block') at = Math.max(at, text.indexOf('\n', at) + 1);
  const limit = Math.min(valueOffset, value.length);
  for (let index = 0; index <= limit && at < node.end; ) {
    const wanted = value[index] ?? '';
    if (/\s/.test(text[at] ?? '') && !(wanted === text[at] && /[ \t]/.test(wanted))) {
      at += 1;
      continue;
    }
    if (index === limit) return at;
    if (/\s/.test(wanted) && wanted !== text[at] && text[at] !== '\\') {
      index += 1;
      continue;
    }
    const escaped = node.style === 'double' ? DOUBLE_ESCAPE.exec(text.slice(at, at + 10)) : null;
    if (escaped) at += escaped[0].length;
    else at += node.style === 'single' && text[at] === "'" ? 2 : 1;
    index +=
      wanted !== '' && escaped?.[0].startsWith('\\U')
        ? (value.codePointAt(index) ?? 0) > 0xffff
          ? 2
          : 1
        : 1;
  }
  return Math.min(at, node.end);
}
