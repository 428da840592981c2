/*
 * Rows as PostgreSQL's binary COPY reads them: every field its length and its bytes, numbers big-endian. One buffer that grows and
 * is used again: thousands of rows a second leave nothing behind to collect.
 */

const NULL_LENGTH = -1;
const TWO_TO_32 = 4_294_967_296;
/** Microseconds count from here. */
const EPOCH_MILLISECONDS = Date.UTC(2000, 0, 1);
const DASH = 45;
/** The longest text that is copied character by character: beyond it the native way is faster. */
const SHORT_TEXT = 64;

/** The value of each hexadecimal digit by its character code. */
const NIBBLES = new Uint8Array(128);
for (const [value, digit] of [...'0123456789abcdef'].entries()) {
  NIBBLES[digit.charCodeAt(0)] = value;
}

export class ByteWriter {
  #bytes: Buffer;
  #at = 0;

  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity);
  }

  /** What was written, as a view: valid until the next `reset`. */
  written(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  get length(): number {
    return this.#at;
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  reset(): void {
    this.#at = 0;
  }

  bytes(source: Uint8Array): void {
    this.#reserve(source.length);
    this.#bytes.set(source, this.#at);
    this.#at += source.length;
  }

  /** Once more what was written from one offset to another. */
  repeat(from: number, to: number): void {
    this.#reserve(to - from);
    this.#bytes.copyWithin(this.#at, from, to);
    this.#at += to - from;
  }

  int8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#at++] = value;
  }

  int16(value: number): void {
    this.#reserve(2);
    this.#at = this.#bytes.writeInt16BE(value, this.#at);
  }

  int32(value: number): void {
    this.#reserve(4);
    this.#putInt32(value);
  }

  /** A length that is only known later goes in at `offset`. */
  int32At(offset: number, value: number): void {
    this.#bytes.writeInt32BE(value, offset);
  }

  nullField(): void {
    this.int32(NULL_LENGTH);
  }

  booleanField(value: boolean): void {
    this.int32(1);
    this.int8(value ? 1 : 0);
  }

  integerField(value: number): void {
    this.#reserve(8);
    this.#putInt32(4);
    this.#putInt32(value);
  }

  /** @param value an integer of at most 2^53 − 1. */
  bigintField(value: number | null): void {
    if (value === null) {
      this.nullField();
      return;
    }
    this.#reserve(12);
    this.#putInt32(8);
    const high = Math.floor(value / TWO_TO_32);
    this.#putInt32(high);
    this.#putInt32((value - high * TWO_TO_32) | 0);
  }

  instantField(milliseconds: number | null): void {
    this.bigintField(milliseconds === null ? null : (milliseconds - EPOCH_MILLISECONDS) * 1000);
  }

  textField(text: string | null): void {
    if (text === null) {
      this.nullField();
      return;
    }
    const lengthAt = this.#at;
    this.int32(0);
    this.#text(text);
    this.int32At(lengthAt, this.#at - lengthAt - 4);
  }

  /** Digits in pairs, as of a hash; the dashes of a UUID are passed over. */
  hexField(hex: string): void {
    this.#reserve(4 + hex.length / 2);
    const bytes = this.#bytes;
    const lengthAt = this.#at;
    let at = lengthAt + 4;
    for (let index = 0; index + 1 < hex.length; ) {
      const code = hex.charCodeAt(index);
      if (code === DASH) {
        index += 1;
      } else {
        bytes[at++] = ((NIBBLES[code] ?? 0) << 4) | (NIBBLES[hex.charCodeAt(index + 1)] ?? 0);
        index += 2;
      }
    }
    this.#at = at;
    this.int32At(lengthAt, at - lengthAt - 4);
  }

  #text(text: string): void {
    const { length } = text;
    this.#reserve(length * 3);
    const bytes = this.#bytes;
    let at = this.#at;
    if (length <= SHORT_TEXT) {
      for (let index = 0; index < length; index += 1) {
        const code = text.charCodeAt(index);
        if (code > 127) {
          this.#at += bytes.write(text, this.#at);
          return;
        }
        bytes[at++] = code;
      }
      this.#at = at;
    } else {
      this.#at += bytes.write(text, at);
    }
  }

  #putInt32(value: number): void {
    const bytes = this.#bytes;
    const at = this.#at;
    bytes[at] = value >>> 24;
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
    this.#at = at + 4;
  }

  #reserve(more: number): void {
    const needed = this.#at + more;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.#at));
      this.#bytes = larger;
    }
  }
}
