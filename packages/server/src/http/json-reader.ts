import type { JsonValue } from '@pennon/engine/model/json';
import { ServiceError } from '../service/service-error.js';

export interface JsonReadLimits {
  readonly depth: number;
  readonly members: number;
  /** `refuse` where a reviewer and the server must see one document; `last` is what `JSON.parse` does. */
  readonly duplicates: 'refuse' | 'last';
  /** Integers beyond 2^53-1: `round` in the contexts of evaluations, which carry ids of other systems. */
  readonly inexactIntegers: 'refuse' | 'round';
}

/** Names that reach the prototype when somebody copies a member by assignment. No body of ours has a use for them. */
const POISONED_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WHITE_SPACE = /[ \t\n\r]*/y;
/** The longest stretch of a string without an escape, a quote or a control character. */
const PLAIN = /[ !#-[\]-\uffff]*/y;
const LONE_SURROGATE = /\p{Surrogate}/u;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/**
 * Reads JSON (RFC 8259) more strictly than `JSON.parse`: bounded depth and members, no duplicate and no poisoned member names, no
 * NUL and no lone surrogate in a text (the store could not keep them), no number that a double cannot carry. Throws a
 * ServiceError of kind `invalid` with line, column and JSON pointer of the first fault.
 */
export function readJson(text: string, limits: JsonReadLimits): JsonValue {
  const reader = new JsonReader(text, limits);
  return reader.document();
}

class JsonReader {
  private readonly text: string;
  private readonly limits: JsonReadLimits;
  private position = 0;
  private members = 0;
  private readonly path: (string | number)[] = [];

  constructor(text: string, limits: JsonReadLimits) {
    this.text = text;
    this.limits = limits;
  }

  document(): JsonValue {
    this.skipWhiteSpace();
    const value = this.value(1);
    this.skipWhiteSpace();
    if (this.position < this.text.length) {
      throw this.fault('BODY_NOT_JSON', 'Something follows the end of the JSON value.');
    }
    return value;
  }

  private value(depth: number): JsonValue {
    const character = this.text[this.position];
    switch (character) {
      case '{':
        return this.object(depth);
      case '[':
        return this.array(depth);
      case '"':
        return this.string();
      case 't':
        return this.word('true', true);
      case 'f':
        return this.word('false', false);
      case 'n':
        return this.word('null', null);
      default:
        return this.number();
    }
  }

  private object(depth: number): JsonValue {
    this.enter(depth);
    const result: Record<string, JsonValue> = {};
    const names = new Set<string>();
    if (this.closes('}')) {
      return result;
    }
    for (;;) {
      this.skipWhiteSpace();
      const name = this.memberName(names);
      this.path.push(name);
      this.skipWhiteSpace();
      this.expect(':');
      this.skipWhiteSpace();
      result[name] = this.value(depth + 1);
      this.path.pop();
      if (this.endsAfterItem('}')) {
        return result;
      }
    }
  }

  private memberName(names: Set<string>): string {
    const at = this.position;
    if (this.text[at] !== '"') {
      throw this.fault('BODY_NOT_JSON', 'A member name in double quotes is expected here.');
    }
    const name = this.string();
    this.count();
    if (POISONED_NAMES.has(name)) {
      throw this.fault(
        'BODY_MEMBER_REFUSED',
        `No member may be called \`${name}\`. Choose another name.`,
        at,
      );
    }
    if (names.has(name) && this.limits.duplicates === 'refuse') {
      throw this.fault(
        'BODY_MEMBER_DUPLICATE',
        `The member \`${name.slice(0, 128)}\` stands twice in one object. Keep one of them.`,
        at,
      );
    }
    names.add(name);
    return name;
  }

  private array(depth: number): JsonValue {
    this.enter(depth);
    const result: JsonValue[] = [];
    if (this.closes(']')) {
      return result;
    }
    for (;;) {
      this.skipWhiteSpace();
      this.count();
      this.path.push(result.length);
      result.push(this.value(depth + 1));
      this.path.pop();
      if (this.endsAfterItem(']')) {
        return result;
      }
    }
  }

  private string(): string {
    const start = this.position;
    this.position += 1;
    let result = '';
    for (;;) {
      PLAIN.lastIndex = this.position;
      PLAIN.test(this.text);
      result += this.text.slice(this.position, PLAIN.lastIndex);
      this.position = PLAIN.lastIndex;
      const character = this.text[this.position];
      if (character === '"') {
        this.position += 1;
        break;
      }
      if (character !== '\\') {
        throw this.fault(
          'BODY_NOT_JSON',
          character === undefined ? 'A text is not closed.' : 'A control character stands in a text.',
        );
      }
      result += this.escape();
    }
    if (LONE_SURROGATE.test(result)) {
      throw this.fault('BODY_TEXT_REFUSED', 'A text holds half of a surrogate pair.', start);
    }
    return result;
  }

  private escape(): string {
    const letter = this.text[this.position + 1] ?? '';
    if (letter === 'u') {
      const digits = this.text.slice(this.position + 2, this.position + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) {
        throw this.fault('BODY_NOT_JSON', 'Four hexadecimal digits must follow `\\u`.');
      }
      if (digits === '0000') {
        throw this.fault('BODY_TEXT_REFUSED', 'A text holds the character NUL, which cannot be stored.');
      }
      this.position += 6;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const meaning = ESCAPES[letter];
    if (meaning === undefined || letter.length !== 1) {
      throw this.fault('BODY_NOT_JSON', 'This escape does not exist in JSON.');
    }
    this.position += 2;
    return meaning;
  }

  private number(): number {
    NUMBER.lastIndex = this.position;
    const literal = NUMBER.exec(this.text)?.[0];
    if (literal === undefined) {
      throw this.fault(
        'BODY_NOT_JSON',
        this.position >= this.text.length
          ? 'The JSON value ends too early.'
          : 'A JSON value is expected here.',
      );
    }
    const value = Number(literal);
    const inexact = /^-?\d+$/.test(literal) && !Number.isSafeInteger(value);
    if (!Number.isFinite(value) || (inexact && this.limits.inexactIntegers === 'refuse')) {
      throw this.fault(
        'BODY_NUMBER_INEXACT',
        `The number \`${literal.slice(0, 40)}\` cannot be carried exactly; the largest integer is 9007199254740991.`,
      );
    }
    this.position += literal.length;
    return value;
  }

  private word<Value extends boolean | null>(word: string, value: Value): Value {
    if (!this.text.startsWith(word, this.position)) {
      throw this.fault('BODY_NOT_JSON', 'A JSON value is expected here.');
    }
    this.position += word.length;
    return value;
  }

  private enter(depth: number): void {
    if (depth > this.limits.depth) {
      throw this.fault('BODY_TOO_DEEP', `The body is nested deeper than ${this.limits.depth} levels.`);
    }
    this.position += 1;
  }

  private closes(bracket: string): boolean {
    this.skipWhiteSpace();
    if (this.text[this.position] === bracket) {
      this.position += 1;
      return true;
    }
    return false;
  }

  private endsAfterItem(bracket: string): boolean {
    this.skipWhiteSpace();
    if (this.text[this.position] === bracket) {
      this.position += 1;
      return true;
    }
    this.expect(',');
    return false;
  }

  private expect(character: string): void {
    if (this.text[this.position] !== character) {
      throw this.fault('BODY_NOT_JSON', `\`${character}\` is expected here.`);
    }
    this.position += 1;
  }

  private count(): void {
    this.members += 1;
    if (this.members > this.limits.members) {
      throw this.fault('BODY_TOO_MANY_MEMBERS', `The body has more than ${this.limits.members} members.`);
    }
  }

  private skipWhiteSpace(): void {
    WHITE_SPACE.lastIndex = this.position;
    WHITE_SPACE.test(this.text);
    this.position = WHITE_SPACE.lastIndex;
  }

  private fault(code: string, message: string, at: number = this.position): ServiceError {
    const before = this.text.slice(0, at);
    const line = before.split('\n').length;
    const column = at - before.lastIndexOf('\n');
    const pointer = this.path
      .map((part) => `/${String(part).slice(0, 128).replaceAll('~', '~0').replaceAll('/', '~1')}`)
      .join('');
    return new ServiceError('invalid', code, `${message} (line ${line}, column ${column} of the body)`, {
      items: [{ code, message, pointer, line, column }],
    });
  }
}
