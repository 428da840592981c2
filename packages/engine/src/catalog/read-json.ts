import { LIMITS } from '../model/limits.js';
import type { CatalogIssueCode } from './issue.js';
import type { IssueSink } from './issue-sink.js';
import {
  type ObjectNode,
  placeAt,
  type ScalarNode,
  type SourceFile,
  type SourceMember,
  type SourceNode,
} from './source-node.js';

/*
 * RFC 8259 with positions. The platform's JSON.parse keeps the last of two equal members, rounds integers and knows no
 * places, so the text is read here; strings and numbers are still decoded by it, piece by piece.
 */

class JsonFault extends Error {
  readonly offset: number;
  readonly code: CatalogIssueCode;
  constructor(offset: number, code: CatalogIssueCode, message: string) {
    super(message);
    this.offset = offset;
    this.code = code;
  }
}

type Writable<Node> = { -readonly [Member in keyof Node]: Node[Member] };

const WHITE_SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const WORD = /true|false|null/y;

class JsonReader {
  readonly #file: SourceFile;
  readonly #text: string;
  readonly #issues: IssueSink;
  #at = 0;

  constructor(file: SourceFile, issues: IssueSink) {
    this.#file = file;
    this.#text = file.text;
    this.#issues = issues;
    if (this.#text.startsWith('\ufeff')) this.#at = 1;
  }

  document(): SourceNode {
    const node = this.#value(null, '', 0);
    this.#match(WHITE_SPACE);
    if (this.#at < this.#text.length) throw this.#fault('The document ends here, but more text follows.');
    return node;
  }

  #fault(message: string): JsonFault {
    return new JsonFault(this.#at, 'SYNTAX', message);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #value(parent: SourceNode | null, segment: string | number, depth: number): SourceNode {
    this.#match(WHITE_SPACE);
    const next = this.#text[this.#at];
    if (next === '{' || next === '[') {
      if (depth >= LIMITS.documentDepth.value) {
        throw new JsonFault(this.#at, 'DOCUMENT_TOO_DEEP', tooDeepMessage());
      }
      return next === '{' ? this.#object(parent, segment, depth) : this.#array(parent, segment, depth);
    }
    return this.#scalar(parent, segment);
  }

  #scalar(parent: SourceNode | null, segment: string | number): ScalarNode {
    const start = this.#at;
    const base = { kind: 'scalar', file: this.#file, start, parent, segment } as const;
    if (this.#text[start] === '"') {
      const value = this.#string();
      return { ...base, end: this.#at, value, style: 'double' };
    }
    const word = this.#match(WORD);
    if (word !== undefined) {
      const value = word === 'null' ? null : word === 'true';
      return { ...base, end: this.#at, value, style: 'plain' };
    }
    const number = this.#match(NUMBER);
    if (number === undefined) {
      throw this.#fault(
        this.#at >= this.#text.length
          ? 'The document ends before it is complete.'
          : 'A JSON value belongs here.',
      );
    }
    const node: ScalarNode = { ...base, end: this.#at, value: Number(number), style: 'plain' };
    return checkNumber(node, number, this.#issues) ? node : { ...node, faulty: true };
  }

  /** Scanned by hand: a pattern over a text of megabytes may exhaust the backtracking stack. */
  #string(): string {
    const start = this.#at;
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    try {
      const value = JSON.parse(this.#text.slice(start, end + 1)) as string;
      this.#at = end + 1;
      return value;
    } catch {
      throw this.#fault('This text is not closed, or holds a character that must be escaped.');
    }
  }

  #array(parent: SourceNode | null, segment: string | number, depth: number): SourceNode {
    const items: SourceNode[] = [];
    const base = { kind: 'array', file: this.#file, start: this.#at, parent, segment } as const;
    const node: Writable<SourceNode & { kind: 'array' }> = { ...base, end: this.#at, items };
    this.#at += 1;
    this.#match(WHITE_SPACE);
    while (this.#text[this.#at] !== ']' || items.length > 0) {
      items.push(this.#value(node, items.length, depth + 1));
      if (!this.#comma(']')) break;
    }
    this.#at += 1;
    node.end = this.#at;
    return node;
  }

  #object(parent: SourceNode | null, segment: string | number, depth: number): ObjectNode {
    const members: SourceMember[] = [];
    const base = { kind: 'object', file: this.#file, start: this.#at, parent, segment } as const;
    const node: Writable<ObjectNode> = { ...base, end: this.#at, members };
    const seen = new Map<string, number>();
    this.#at += 1;
    this.#match(WHITE_SPACE);
    while (this.#text[this.#at] !== '}' || members.length > 0) {
      this.#match(WHITE_SPACE);
      const keyStart = this.#at;
      if (this.#text[keyStart] !== '"') throw this.#fault('A member name in double quotes belongs here.');
      const key = this.#string();
      this.#match(WHITE_SPACE);
      if (this.#text[this.#at] !== ':') throw this.#fault('A `:` belongs here.');
      this.#at += 1;
      const value = this.#value(node, key, depth + 1);
      if (admitMember(this.#file, seen, key, keyStart, this.#issues)) members.push({ key, keyStart, value });
      if (!this.#comma('}')) break;
    }
    this.#at += 1;
    node.end = this.#at;
    return node;
  }

  /** True when another element follows; the reader then stands behind the comma. */
  #comma(close: string): boolean {
    this.#match(WHITE_SPACE);
    const next = this.#text[this.#at];
    if (next === close) return false;
    if (next !== ',') throw this.#fault(`A \`,\` or \`${close}\` belongs here.`);
    this.#at += 1;
    return true;
  }
}

export function tooDeepMessage(): string {
  const { value, unit } = LIMITS.documentDepth;
  return `The document is nested deeper than ${value} ${unit}; flatten it.`;
}

/** `source` is the number as written: integers that JSON readers round are refused, not rounded. */
export function checkNumber(node: ScalarNode, source: string, issues: IssueSink): boolean {
  const value = Number(node.value);
  const shown = `\`${source.slice(0, 40)}\``;
  if (!Number.isFinite(value)) {
    issues.at(node, 'BAD_NUMBER', `${shown} is not a number that JSON can carry.`);
    return false;
  }
  if (!/^[-+]?[0-9]+$/.test(source) || Number.isSafeInteger(value)) return true;
  const message = `${shown} is beyond 2^53−1 and would be rounded; write a smaller integer, a text, or \`unlimited\`.`;
  issues.at(node, 'BAD_NUMBER', message);
  return false;
}

/** Refuses a second member of the same name (naming the place of the first) and `__proto__`. */
export function admitMember(
  file: SourceFile,
  seen: Map<string, number>,
  key: string,
  keyStart: number,
  issues: IssueSink,
): boolean {
  const first = seen.get(key);
  if (first !== undefined) {
    const { line } = placeAt(file, first);
    issues.atOffset(
      file,
      keyStart,
      'DUPLICATE_MEMBER',
      `\`${key}\` stands twice in this object, first in line ${line}; remove one.`,
    );
    return false;
  }
  seen.set(key, keyStart);
  if (key !== '__proto__') return true;
  issues.atOffset(file, keyStart, 'BAD_KEY', '`__proto__` cannot be the name of a member; choose another.');
  return false;
}

/** `null` after a syntax fault, which is in `issues`. */
export function readJson(file: SourceFile, issues: IssueSink): SourceNode | null {
  try {
    return new JsonReader(file, issues).document();
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error;
    issues.atOffset(file, error.offset, error.code, error.message);
    return null;
  }
}
