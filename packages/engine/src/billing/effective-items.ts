import type { BillingItem, BillingPhase, BillingRecord } from '../model/billing-subscription.js';
import type { Instant } from '../model/customer.js';
import { saidAtOf } from './billing-record.js';

export interface EffectiveItems {
  readonly items: readonly BillingItem[];
  /** What is planned after them. */
  readonly next: BillingPhase | null;
}

/**
 * What is bought now. A phase of the schedule that has begun since the subscription was last told of is in force by the clock: the
 * event that says so may be late, and the license changed when it was said to.
 */
export function effectiveItems(record: BillingRecord, now: Instant): EffectiveItems {
  const { latest, schedule } = record;
  if (latest === null) return { items: [], next: null };
  const said = saidAtOf(latest.mark);
  const planned = [...(schedule?.phases ?? [])]
    .filter((phase) => phase.startsAt > said)
    .sort((left, right) => left.startsAt - right.startsAt);
  const begun = planned.filter((phase) => phase.startsAt <= now).at(-1);
  const next = planned.find((phase) => phase.startsAt > now) ?? null;
  return { items: begun?.items ?? latest.subscription.items, next };
}
