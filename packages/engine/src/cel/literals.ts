import { interned } from './member-reader.js';
import { encodeUtf8 } from './utf8.js';

/** What a literal says, or a fault at an offset of the whole text. */
export type Decoded<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly message: string; readonly start: number; readonly end: number };

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '?': '?',
  '"': '"',
  "'": "'",
  '`': '`',
};

const HEX_LENGTHS: Readonly<Record<string, number>> = { x: 2, X: 2, u: 4, U: 8 };

interface Escape {
  readonly point: number;
  readonly length: number;
}

/** Decodes the escape that begins at the backslash at `index`. */
function decodeEscape(source: string, index: number, end: number): Escape | undefined {
  const letter = source[index + 1] ?? '';
  const simple = Object.hasOwn(SIMPLE_ESCAPES, letter) ? SIMPLE_ESCAPES[letter] : undefined;
  if (simple !== undefined) return { point: simple.charCodeAt(0), length: 2 };
  const hexLength = Object.hasOwn(HEX_LENGTHS, letter) ? HEX_LENGTHS[letter] : undefined;
  const digits =
    hexLength === undefined
      ? source.slice(index + 1, index + 4)
      : source.slice(index + 2, index + 2 + hexLength);
  const wanted = hexLength === undefined ? /^[0-3][0-7]{2}$/ : /^[0-9a-fA-F]+$/;
  const length = hexLength === undefined ? 4 : 2 + hexLength;
  if (index + length > end || digits.length !== (hexLength ?? 3) || !wanted.test(digits)) return undefined;
  return { point: Number.parseInt(digits, hexLength === undefined ? 8 : 16), length };
}

/** The text between the quotes, `[start, end)` of the source; interned, or it would be a view that keeps the whole source. */
export function decodeString(source: string, start: number, end: number, raw: boolean): Decoded<string> {
  if (raw) return { ok: true, value: interned(source.slice(start, end)) };
  let value = '';
  let plainFrom = start;
  for (let index = start; index < end; ) {
    if (source[index] !== '\\') {
      index += 1;
      continue;
    }
    const decoded = decodeEscape(source, index, end);
    if (decoded === undefined)
      return { ok: false, message: unknownEscape(source, index), start: index, end: index + 2 };
    if (decoded.point > 0x10ffff || (decoded.point >= 0xd800 && decoded.point <= 0xdfff)) {
      const message = 'This escape names no Unicode character; surrogates and numbers above 10FFFF are none';
      return { ok: false, message, start: index, end: index + decoded.length };
    }
    value += source.slice(plainFrom, index) + String.fromCodePoint(decoded.point);
    index += decoded.length;
    plainFrom = index;
  }
  return { ok: true, value: interned(value + source.slice(plainFrom, end)) };
}

/** The same for `b"…"`: `\x` and octal escapes are octets, everything else is UTF-8. */
export function decodeBytes(source: string, start: number, end: number, raw: boolean): Decoded<Uint8Array> {
  if (raw) return { ok: true, value: encodeUtf8(source.slice(start, end)) };
  const octets: number[] = [];
  for (let index = start; index < end; ) {
    if (source[index] !== '\\') {
      const next = source.indexOf('\\', index);
      const plainEnd = next === -1 || next > end ? end : next;
      octets.push(...encodeUtf8(source.slice(index, plainEnd)));
      index = plainEnd;
      continue;
    }
    const decoded = decodeEscape(source, index, end);
    if (decoded === undefined || decoded.point > 0xff || /[uU]/.test(source[index + 1] ?? '')) {
      return { ok: false, message: unknownEscape(source, index), start: index, end: index + 2 };
    }
    octets.push(decoded.point);
    index += decoded.length;
  }
  return { ok: true, value: Uint8Array.from(octets) };
}

function unknownEscape(source: string, index: number): string {
  const text = source.slice(index, index + 2);
  return `\`${text}\` is not an escape here; write \`\\\\\` for a backslash, or a raw string \`r"…"\``;
}

const INT_MIN = -(2n ** 63n);
const INT_MAX = 2n ** 63n - 1n;
const UINT_MAX = 2n ** 64n - 1n;

export function fitsInt(value: bigint): boolean {
  return value >= INT_MIN && value <= INT_MAX;
}

export function fitsUint(value: bigint): boolean {
  return value >= 0n && value <= UINT_MAX;
}
