import type { Instant } from '@pennon/engine/model/customer';

/*
 * How long usage records are kept. They are two things: the record of what was used, which audits and invoices ask for long after, and the
 * stored answers of idempotency keys, which are looked up for 35 days whatever is kept.
 */

/** A year and the month that it is compared with. */
export const STANDARD_USAGE_MONTHS = 13;

/** The first instant of which records are kept: the month of `now` and so many whole months before it, in UTC. */
export function keptFrom(now: Instant, usageMonths: number): Instant {
  const at = new Date(now);
  return Date.UTC(at.getUTCFullYear(), at.getUTCMonth() - usageMonths, 1);
}
