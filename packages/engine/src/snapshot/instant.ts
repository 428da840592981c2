import { readDay, readInstant } from '../catalog/dates.js';
import type { Instant } from '../model/customer.js';

/**
 * An instant of a document, read as the validator reads it: RFC 3339, or a date, which starts at midnight UTC. `null` where the machine's
 * own zone would decide.
 */
export function instantOf(text: string): Instant | null {
  return readInstant(text) ?? readDay(text);
}
