import { OVER_BUDGET, type RunState, spend, spendRebuild, tooLong } from './run-state.js';
import { CelError, type CelValue } from './values.js';

/*
 * Positions count code points, as in CEL. Most texts have no surrogates, then positions are the same as JavaScript's.
 */
const SURROGATE = /[\uD800-\uDFFF]/;

export function codePointLength(text: string): number {
  if (!SURROGATE.test(text)) return text.length;
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}

/** The UTF-16 offset of a code point; `undefined` beyond the end. */
function unitOffset(text: string, position: number): number | undefined {
  if (position < 0 || position > text.length) return undefined;
  if (!SURROGATE.test(text)) return position;
  let offset = 0;
  for (let count = 0; count < position; count += 1) {
    if (offset >= text.length) return undefined;
    offset += (text.codePointAt(offset) ?? 0) > 0xffff ? 2 : 1;
  }
  return offset;
}

function outside(position: bigint): CelError {
  return new CelError('INDEX_OUT_OF_RANGE', `The position ${position} is outside of the text`);
}

export function charAt(text: string, position: bigint): CelValue | CelError {
  const offset = unitOffset(text, Number(position));
  if (offset === undefined) return outside(position);
  const point = text.codePointAt(offset);
  return point === undefined ? '' : String.fromCodePoint(point);
}

export function substring(text: string, from: bigint, to: bigint | undefined): CelValue | CelError {
  const start = unitOffset(text, Number(from));
  const end = to === undefined ? text.length : unitOffset(text, Number(to));
  if (start === undefined) return outside(from);
  if (end === undefined) return outside(to ?? from);
  if (end < start) return new CelError('INVALID_ARGUMENT', `The end ${to} lies before the start ${from}`);
  return text.slice(start, end);
}

function position(text: string, unit: number): bigint {
  return unit < 0 ? -1n : BigInt(codePointLength(text.slice(0, unit)));
}

export function indexOf(text: string, part: string, from: bigint | undefined): CelValue | CelError {
  const start = unitOffset(text, Number(from ?? 0n));
  return start === undefined ? outside(from ?? 0n) : position(text, text.indexOf(part, start));
}

export function lastIndexOf(text: string, part: string, from: bigint | undefined): CelValue | CelError {
  const start = from === undefined ? text.length : unitOffset(text, Number(from));
  return start === undefined ? outside(from ?? 0n) : position(text, text.lastIndexOf(part, start));
}

/** A negative limit replaces all. An empty part stands before every code point and at the end. */
export function replace(
  text: string,
  part: string,
  by: string,
  limit: bigint,
  state: RunState,
): CelValue | CelError {
  if (!spendRebuild(state, text.length)) return OVER_BUDGET;
  const pieces = part === '' ? [] : text.split(part);
  const gaps = part === '' ? codePointLength(text) + 1 : pieces.length - 1;
  const count = limit < 0n || limit > BigInt(gaps) ? gaps : Number(limit);
  const length = text.length + count * (by.length - part.length);
  if (length > state.limits.stringLength) return tooLong('string', state.limits.stringLength);
  if (!spendRebuild(state, length)) return OVER_BUDGET;
  if (part === '') return replaceGaps(text, by, count);
  const rest = pieces.slice(count + 1).map((piece) => part + piece);
  return pieces.slice(0, count + 1).join(by) + rest.join('');
}

function replaceGaps(text: string, by: string, count: number): string {
  const points = Array.from(text);
  const parts: string[] = [];
  for (const [index, point] of points.entries()) parts.push(index < count ? by + point : point);
  if (count > points.length) parts.push(by);
  return parts.join('');
}

/** A negative limit splits at every separator; the last of `limit` pieces holds the rest. */
export function split(text: string, separator: string, limit: bigint, state: RunState): CelValue | CelError {
  if (!spendRebuild(state, text.length)) return OVER_BUDGET;
  const pieces = separator === '' ? Array.from(text) : text.split(separator);
  if (limit === 0n) return [];
  const parts =
    limit < 0n || limit >= BigInt(pieces.length)
      ? pieces
      : [...pieces.slice(0, Number(limit) - 1), pieces.slice(Number(limit) - 1).join(separator)];
  return parts.length > state.limits.listLength ? tooLong('list', state.limits.listLength) : parts;
}

export function join(list: readonly CelValue[], separator: string, state: RunState): CelValue | CelError {
  let length = 0;
  for (const element of list) {
    if (typeof element !== 'string') {
      return new CelError('NO_SUCH_OVERLOAD', '`join` is defined for lists of strings only');
    }
    length += element.length + separator.length;
    if (length > state.limits.stringLength) return tooLong('string', state.limits.stringLength);
  }
  return spend(state, (length >> 4) + (list.length >> 3)) ? list.join(separator) : OVER_BUDGET;
}

/** The characters of Unicode's White_Space; ECMAScript's own `trim` takes U+FEFF too and leaves U+0085. */
const WHITE_SPACE = /[\t-\r \u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]/;

export function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && WHITE_SPACE.test(text.charAt(start))) start += 1;
  while (end > start && WHITE_SPACE.test(text.charAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

export function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

export function upperAscii(text: string): string {
  return text.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}

export function reverse(text: string): string {
  return Array.from(text).reverse().join('');
}

const QUOTE_ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};

/** The text as a CEL literal in double quotes. */
export function quote(text: string): string {
  let quoted = '';
  for (const character of text) {
    const lone = character.length === 1 && SURROGATE.test(character);
    quoted += lone ? '\uFFFD' : (QUOTE_ESCAPES[character] ?? character);
  }
  return `"${quoted}"`;
}
