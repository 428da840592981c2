import { randomFillSync } from 'node:crypto';

/** Random bytes are fetched for many ids at once: asking for sixteen costs as much as asking for thousands. */
const pool = new Uint8Array(4096);
let taken = pool.length;
let random = pool.subarray(0, 16);
let lastMilliseconds = 0;
let counter = 0;

/**
 * A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, 12 bits of a counter that starts at random in every millisecond, 62
 * random bits. Ids of one process sort in the order in which they were made.
 */
export function newId(nowMilliseconds: number = Date.now()): string {
  if (taken === pool.length) {
    randomFillSync(pool);
    taken = 0;
  }
  random = pool.subarray(taken, taken + 16);
  taken += 16;
  if (nowMilliseconds > lastMilliseconds) {
    lastMilliseconds = nowMilliseconds;
    // The top bit stays free, so that 2048 ids fit into the millisecond before the counter borrows from the next.
    counter = ((byteAt(6) & 0x07) << 8) | byteAt(7);
  } else {
    counter += 1;
    if (counter > 0xfff) {
      counter = 0;
      lastMilliseconds += 1;
    }
  }
  const time = lastMilliseconds;
  random[0] = Math.floor(time / 2 ** 40) & 0xff;
  random[1] = Math.floor(time / 2 ** 32) & 0xff;
  random[2] = (time >>> 24) & 0xff;
  random[3] = (time >>> 16) & 0xff;
  random[4] = (time >>> 8) & 0xff;
  random[5] = time & 0xff;
  random[6] = 0x70 | (counter >>> 8);
  random[7] = counter & 0xff;
  random[8] = 0x80 | (byteAt(8) & 0x3f);
  const hex = Buffer.from(random.buffer, random.byteOffset, 16).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function byteAt(index: number): number {
  return random[index] ?? 0;
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
