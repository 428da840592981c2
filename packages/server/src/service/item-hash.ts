import { createHash } from 'node:crypto';

/** The engine's `itemHash` of a canonical text, by the platform: the same value, two orders of magnitude faster. */
export function hashOf(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}
