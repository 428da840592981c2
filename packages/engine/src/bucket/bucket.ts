import { LIMITS } from '../model/limits.js';
import { hashAfter, type Murmur3State, prefixState } from './murmur3.js';

const MOST_SHARES = LIMITS.rolloutTotal.value;

/** A bucket seed whose prefix is hashed already. */
export interface BucketSeed {
  readonly text: string;
  readonly state: Murmur3State;
}

export function bucketSeed(text: string): BucketSeed {
  return { text, state: prefixState(text) };
}

/**
 * What is hashed of a chosen attribute: a string, a safe integer in decimal, or a boolean; `null` for anything else, for
 * which there is no bucket (never a random one).
 */
export function bucketText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : null;
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  return null;
}

/**
 * `floor(murmur3_x86_32(utf8(seed) ‖ 0x00 ‖ utf8(value), 0) × total / 2^32)`, `total` shares in all (1 … 1,000,000).
 *
 * INVARIANT: exact in doubles. hash < 2^32 and total < 2^20, so the product is below 2^53, and dividing by a power of two
 * loses nothing.
 */
export function bucketNumber(seed: BucketSeed, text: string, total: number): number {
  if (!(Number.isInteger(total) && total >= 1 && total <= MOST_SHARES)) {
    throw new RangeError(`\`total\` is ${total}; a bucket is one of 1 to ${MOST_SHARES} shares.`);
  }
  return Math.floor((hashAfter(seed.state, text) * total) / 4_294_967_296);
}
