import { createHash } from 'node:crypto';

/** The hash of an item's canonical text: what `If-Match` compares, and how unchanged items are recognised. */
export function hashOf(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}
