import type { Instant } from '../model/customer.js';

const RFC_3339 = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/;

/** An instant of a document: RFC 3339, or a date, which starts at midnight UTC. `null` where the machine's own zone would decide. */
export function instantOf(text: string): Instant | null {
  if (!RFC_3339.test(text)) return null;
  const instant = Date.parse(text);
  return Number.isNaN(instant) ? null : instant;
}
