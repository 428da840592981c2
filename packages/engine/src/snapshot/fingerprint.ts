import { hashAfter, prefixState } from '../bucket/murmur3.js';

const LANES = ['0', '1', '2', '3'].map(prefixState);

/**
 * Tells whether two texts are the same, without keeping them: 128 bits of MurmurHash3 in four lanes. It guards against accident, not
 * against an attacker; nothing about access rests on it.
 */
export function fingerprint(text: string): string {
  return LANES.map((lane) => hashAfter(lane, text).toString(16).padStart(8, '0')).join('');
}

/** The fingerprint of a sequence, one link at a time, so that a long one need not be built in one go. */
export function chain(before: string, next: string): string {
  return fingerprint(`${before}/${next}`);
}
