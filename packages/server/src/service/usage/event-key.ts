import { hash } from 'node:crypto';
import { canonicalText } from '../canonical-request.js';

/**
 * Which event it is: 128 bits of SHA-256 over environment, source and id, written as a UUID. NUL stands in none of them, so that no
 * two events share a text.
 */
export function eventKeyOf(environmentId: string, source: string, id: string): string {
  return asUuid(hash('sha256', `${environmentId}\u0000${source}\u0000${id}`, 'hex'));
}

/** A value that is counted once in a period: of any JSON type, told apart from every other; the order of an object's members makes none. */
export function valueKeyOf(value: unknown): string {
  return asUuid(hash('sha256', canonicalText(value), 'hex'));
}

function asUuid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}
