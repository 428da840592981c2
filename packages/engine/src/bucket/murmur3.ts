/*
 * MurmurHash3, the x86 32-bit variant (Austin Appleby, public domain algorithm), over UTF-8 bytes, seed 0. The state after a
 * fixed prefix can be kept, because a flag's seed never changes between evaluations: only the value is hashed each time.
 * Integer arithmetic only, so that every language and processor agrees.
 */

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

/** The running state: `hash` over whole blocks, and up to three bytes that do not fill a block yet. */
export interface Murmur3State {
  readonly hash: number;
  readonly tail: number;
  readonly length: number;
}

const EMPTY: Murmur3State = { hash: 0, tail: 0, length: 0 };

function mixBlock(hash: number, block: number): number {
  let k = Math.imul(block, C1);
  k = (k << 15) | (k >>> 17);
  k = Math.imul(k, C2);
  let h = hash ^ k;
  h = (h << 13) | (h >>> 19);
  return (Math.imul(h, 5) + 0xe6546b64) | 0;
}

function finish(hash: number, tail: number, length: number): number {
  let h = hash;
  if ((length & 3) !== 0) {
    let k = Math.imul(tail, C1);
    k = (k << 15) | (k >>> 17);
    k = Math.imul(k, C2);
    h ^= k;
  }
  h ^= length;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return h >>> 0;
}

/** UTF-8 without a platform encoder; a lone surrogate becomes U+FFFD, as `TextEncoder` does. */
export function utf8(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0xfffd;
    const code = point >= 0xd800 && point <= 0xdfff ? 0xfffd : point;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else {
      bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63));
      bytes.push(0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    }
  }
  return Uint8Array.from(bytes);
}

function absorb(state: Murmur3State, bytes: Uint8Array): Murmur3State {
  let { hash, tail, length } = state;
  for (const byte of bytes) {
    const shift = (length & 3) << 3;
    tail |= byte << shift;
    length += 1;
    if (shift === 24) {
      hash = mixBlock(hash, tail);
      tail = 0;
    }
  }
  return { hash, tail, length };
}

/** The state after `prefix ‖ 0x00`, to be finished with values. */
export function prefixState(prefix: string): Murmur3State {
  return absorb(absorb(EMPTY, utf8(prefix)), Uint8Array.of(0));
}

/**
 * The unsigned 32-bit hash of `prefix ‖ utf8(value)`. ASCII, which nearly every key is, is hashed four characters at a time and without
 * encoding it first: the low bytes of each four fill the block that was begun, the high ones begin the next.
 */
export function hashAfter(state: Murmur3State, value: string): number {
  let { hash, tail } = state;
  const size = value.length;
  const shift = (state.length & 3) << 3;
  const whole = size & ~3;
  let seen = 0;
  for (let index = 0; index < whole; index += 4) {
    const a = value.charCodeAt(index);
    const b = value.charCodeAt(index + 1);
    const c = value.charCodeAt(index + 2);
    const d = value.charCodeAt(index + 3);
    seen |= a | b | c | d;
    const four = a | (b << 8) | (c << 16) | (d << 24);
    hash = mixBlock(hash, tail | (four << shift));
    tail = shift === 0 ? 0 : four >>> (32 - shift);
  }
  let length = state.length + whole;
  for (let index = whole; index < size; index += 1) {
    const code = value.charCodeAt(index);
    seen |= code;
    tail |= code << ((length & 3) << 3);
    length += 1;
    if ((length & 3) === 0) {
      hash = mixBlock(hash, tail);
      tail = 0;
    }
  }
  if (seen < 0x80) return finish(hash, tail, length);
  const all = absorb(state, utf8(value));
  return finish(all.hash, all.tail, all.length);
}

export function murmur3(text: string): number {
  return hashAfter(EMPTY, text);
}
