import { randomFillSync } from 'node:crypto';

/** Two for the counter, eight of its own; they are fetched for many ids at once: asking for ten costs as much as asking for thousands. */
const RANDOM_BYTES = 10;
const pool = new Uint8Array(400 * RANDOM_BYTES);
let taken = pool.length;
let lastMilliseconds = 0;
let counter = 0;

/** The id that was made last, as text: what two ids of one millisecond have in common is written once. */
const text = Buffer.from('00000000-0000-7000-8000-000000000000', 'latin1');
const DIGITS = Buffer.from('0123456789abcdef', 'latin1');

/**
 * A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, 12 bits of a counter that starts at random in every millisecond, 62
 * random bits. Ids of one process sort in the order in which they were made.
 */
export function newId(nowMilliseconds: number = Date.now()): string {
  if (taken === pool.length) {
    randomFillSync(pool);
    taken = 0;
  }
  const at = taken;
  taken += RANDOM_BYTES;
  if (nowMilliseconds > lastMilliseconds) {
    lastMilliseconds = nowMilliseconds;
    // The top bit stays free, so that 2048 ids fit into the millisecond before the counter borrows from the next.
    counter = ((randomByte(at) & 0x07) << 8) | randomByte(at + 1);
    writeTime();
  } else {
    counter += 1;
    if (counter > 0xfff) {
      counter = 0;
      lastMilliseconds += 1;
      writeTime();
    }
  }
  writeDigit(15, counter >>> 8);
  writeByte(16, counter & 0xff);
  writeByte(19, 0x80 | (randomByte(at + 2) & 0x3f));
  writeByte(21, randomByte(at + 3));
  for (let index = 0; index < 6; index += 1) {
    writeByte(24 + 2 * index, randomByte(at + 4 + index));
  }
  return text.toString('latin1');
}

function randomByte(index: number): number {
  return pool[index] ?? 0;
}

function writeTime(): void {
  const time = lastMilliseconds;
  writeByte(0, Math.floor(time / 2 ** 40) & 0xff);
  writeByte(2, Math.floor(time / 2 ** 32) & 0xff);
  writeByte(4, (time >>> 24) & 0xff);
  writeByte(6, (time >>> 16) & 0xff);
  writeByte(9, (time >>> 8) & 0xff);
  writeByte(11, time & 0xff);
}

function writeByte(at: number, byte: number): void {
  writeDigit(at, byte >>> 4);
  writeDigit(at + 1, byte & 0x0f);
}

function writeDigit(at: number, value: number): void {
  text[at] = DIGITS[value] ?? 0;
}

/** Sorts before every id that was made at that instant or later. */
export function idBefore(milliseconds: number): string {
  const hex = Math.max(0, Math.floor(milliseconds)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-7000-8000-000000000000`;
}

const UUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether the text may be compared with a `uuid` column: anything else would be an error of the database, not a miss. */
export function isId(text: string): boolean {
  return UUID_PATTERN.test(text);
}
