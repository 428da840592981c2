import { type Instant, inForce, type License, type Span } from '../model/customer.js';

/** `Infinity`: never changes by time alone. */
export const NEVER: Instant = Number.POSITIVE_INFINITY;

/** When a span next begins or ends after `now`; `NEVER` when neither is to come. */
export function nextEdge(span: Span, now: Instant): Instant {
  if (now < span.startsAt) return span.startsAt;
  return span.endsAt !== null && now < span.endsAt ? span.endsAt : NEVER;
}

/** As decisions carry it: `null` when the answer never changes by time alone. */
export function untilOf(instant: Instant): Instant | null {
  return instant === NEVER ? null : instant;
}

/** Why a license gives nothing at an instant; `null` when it is in force. */
export type LicenseLapse = 'not-started' | 'ended' | 'past-due' | 'paused';

/**
 * Which statuses give rights: `trialing` and `active`, `past_due` while its grace lasts, `canceled` to its end. `paused` and
 * `ended` give none.
 */
export function licenseLapse(license: License, now: Instant): LicenseLapse | null {
  if (license.status === 'ended') return 'ended';
  if (license.status === 'paused') return 'paused';
  if (license.status === 'past_due' && (license.graceEndsAt === null || now >= license.graceEndsAt))
    return 'past-due';
  if (inForce(license, now)) return null;
  return now < license.startsAt ? 'not-started' : 'ended';
}

/** When a license next begins or stops to give rights. */
export function licenseEdge(license: License, now: Instant): Instant {
  if (license.status === 'ended' || license.status === 'paused') return NEVER;
  const { next } = license;
  let edge = nextEdge(license, now);
  if (next != null && now < next.at && next.at < edge) edge = next.at;
  if (license.status !== 'past_due') return edge;
  if (license.graceEndsAt === null || now >= license.graceEndsAt) return NEVER;
  return Math.min(edge, license.graceEndsAt);
}

/** Until when a license in force gives its rights. */
export function licenseUntil(license: License): Instant | null {
  if (license.status !== 'past_due' || license.graceEndsAt === null) return license.endsAt;
  return license.endsAt === null ? license.graceEndsAt : Math.min(license.endsAt, license.graceEndsAt);
}
