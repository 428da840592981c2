import type { Aggregation } from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import { LIMITS } from '../model/limits.js';

/** One account in one period, as events are counted into it. */
export interface Meter {
  readonly used: number;
  readonly reserved: number;
  /** Of `latest`: when the value that stands was measured. */
  readonly latestAt: Instant | null;
}

/** What already happened, and is counted whatever the limit. */
export interface MeteredEvent {
  readonly aggregation: Aggregation;
  /** In the feature's unit; negative only where an earlier event is corrected. Of `unique` not read. */
  readonly amount: number;
  readonly at: Instant;
  /** Of `unique`: whether the value was not seen in this period before. */
  readonly isNew: boolean;
}

export interface Counted extends Meter {
  /** By how much `used` changed. */
  readonly delta: number;
}

/**
 * Counts one event into its period. It may lift usage above any limit, where it shows as overage and denies further consumption (OEP
 * rule 3). INVARIANT: usage never falls below 0, whatever is corrected, and is counted as far as JSON is exact.
 */
export function countEvent(meter: Meter, event: MeteredEvent): Counted {
  const used = usedWith(meter, event);
  const latest = event.aggregation === 'latest' && isLater(meter, event.at);
  return {
    used,
    reserved: meter.reserved,
    latestAt: latest ? event.at : meter.latestAt,
    delta: used - meter.used,
  };
}

function usedWith(meter: Meter, { aggregation, amount, at, isNew }: MeteredEvent): number {
  switch (aggregation) {
    case 'sum':
    case 'count':
      return bounded(meter, meter.used + amount);
    case 'unique':
      return isNew ? bounded(meter, meter.used + 1) : meter.used;
    case 'max':
      return Math.max(meter.used, bounded(meter, amount));
    case 'latest':
      return isLater(meter, at) ? bounded(meter, amount) : meter.used;
  }
}

/** Of two values measured at one instant the one that was told last stands. */
function isLater({ latestAt }: Meter, at: Instant): boolean {
  return latestAt === null || at >= latestAt;
}

/** What stands there already is never lowered because it is large. */
function bounded({ used, reserved }: Meter, wanted: number): number {
  const most = Math.max(0, LIMITS.quantity.value - reserved);
  return Math.max(0, wanted > used ? Math.max(used, Math.min(wanted, most)) : wanted);
}
