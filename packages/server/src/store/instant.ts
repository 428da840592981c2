import type { Instant } from '@pennon/engine/model/customer';

/** Converters between the driver's `Date` and the model's instants (milliseconds since the epoch). */
export function toInstant(date: Date): Instant {
  return date.getTime();
}

export function toInstantOrNull(date: Date | null): Instant | null {
  return date === null ? null : date.getTime();
}

export function fromInstant(instant: Instant): Date {
  return new Date(instant);
}

export function fromInstantOrNull(instant: Instant | null): Date | null {
  return instant === null ? null : new Date(instant);
}
