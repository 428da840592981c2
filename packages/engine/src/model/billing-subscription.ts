import type { BillingStatus, MappedAddon } from './billing.js';
import type { Instant } from './customer.js';

/** What an item gives, said by whoever tells of it, so that no mapping is asked. */
export interface BillingOffer {
  /** The key of our product. */
  readonly product: string;
  readonly plan?: string;
  /** Default: 0. */
  readonly version?: number;
  readonly addons?: readonly MappedAddon[];
}

/** What a customer pays for within a subscription, by the names that a catalog maps. */
export interface BillingItem {
  /** The provider's id of the item; of a phase that is yet to come, often none. */
  readonly id: string | null;
  readonly price: string | null;
  readonly lookupKey: string | null;
  readonly product: string | null;
  readonly offer?: BillingOffer;
  /** 0 gives nothing. Where a provider says none (prices of usage), 1. */
  readonly quantity: number;
  /** What is paid for now; providers that know one period of the whole subscription give it to every item. */
  readonly periodStart: Instant | null;
  readonly periodEnd: Instant | null;
}

/** What the items are from an instant on: a planned change. */
export interface BillingPhase {
  readonly startsAt: Instant;
  readonly items: readonly BillingItem[];
}

/** One subscription as a provider told it at one instant, in words of no provider. */
export interface BillingSubscription {
  readonly id: string;
  /** The provider's customer. */
  readonly customer: string;
  /** The key of our customer, where the provider was told it (metadata). */
  readonly customerKey: string | null;
  readonly status: BillingStatus;
  readonly items: readonly BillingItem[];
  readonly startedAt: Instant;
  /** What billing periods are counted from. */
  readonly anchorAt: Instant | null;
  readonly trialEndsAt: Instant | null;
  /** When it will end, if its end is set. */
  readonly cancelAt: Instant | null;
  readonly endedAt: Instant | null;
  /** When invoices are collected again, while they are not. */
  readonly collectionResumesAt: Instant | null;
  /** False in a provider's test mode. */
  readonly isLive: boolean;
}

/**
 * When something was said, compared member by member. `rank` tells apart what was said within the provider's resolution of time (a
 * second): created 0, changed 1, paused and resumed 2, deleted 3. `id` is the event's and only makes the order total.
 */
export interface BillingMark {
  /** When it was said; of a source that counts, its number. */
  readonly at: Instant;
  /** Beside a number: when it was said. */
  readonly saidAt?: Instant;
  readonly rank: number;
  readonly id: string;
}

/** What one event, or one answer of the provider's API, says of a subscription. */
export interface BillingReport {
  readonly mark: BillingMark;
  readonly subscription: BillingSubscription;
}

/** What one event says of a subscription's schedule; no phases: there is none any more. */
export interface BillingScheduleReport {
  readonly mark: BillingMark;
  readonly phases: readonly BillingPhase[];
}

/** That a subscription had a status when something was said. */
export interface BillingSighting {
  readonly mark: BillingMark;
  readonly status: BillingStatus;
}

/** Everything known of one subscription: a function of the set of what was said, whatever its order and however often. */
export interface BillingRecord {
  readonly latest: BillingReport | null;
  readonly schedule: BillingScheduleReport | null;
  /** In order, the newest last; at most `LIMITS.billingSightings`. */
  readonly sightings: readonly BillingSighting[];
}
