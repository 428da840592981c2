import { hash, randomBytes } from 'node:crypto';
import type { KeyCredential } from '../credential.js';

/** What fixed keys of the settings may be. */
export const FIXED_KEY_PATTERN = /^[A-Za-z0-9_-]{32,256}$/;
const SECRET_BYTES = 32;
const HINT_CHARACTERS = 4;

export function generateKey(kind: KeyCredential['kind']): string {
  return `pennon_${kind}_${randomBytes(SECRET_BYTES).toString('base64url')}`;
}

/** SHA-256, hexadecimal. The keys are random, so a slow hash would protect nothing and cost every request. */
export function hashKey(key: string): string {
  return hash('sha256', key, 'hex');
}

/** The last characters, to tell keys apart in a list. */
export function hintOf(key: string): string {
  return `…${key.slice(-HINT_CHARACTERS)}`;
}
