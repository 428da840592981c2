import {
  type AccessStatus,
  type BillingAccess,
  type BillingStatus,
  DEFAULT_ACCESS,
  type OverStatus,
} from '../model/billing.js';
import type { BillingRecord, BillingSubscription } from '../model/billing-subscription.js';
import type { Instant, LicenseKind, LicenseStatus } from '../model/customer.js';
import { LIMITS } from '../model/limits.js';
import { isOver, saidAtOf, statusSince } from './billing-record.js';
import type { BillingCatalog } from './map-items.js';

/** How a license stands, whatever it is to. */
export interface Standing {
  readonly kind: LicenseKind;
  readonly status: LicenseStatus;
  readonly startsAt: Instant;
  readonly endsAt: Instant | null;
  readonly graceEndsAt: Instant | null;
  readonly anchorAt: Instant;
}

const DAY_MILLISECONDS = 86_400_000;
const MINUTE_MILLISECONDS = 60_000;

/** What the status gives for a plan: what the catalog says of the plan, else of the connection, else the default. */
export function accessOf(catalog: BillingCatalog, plan: string, status: AccessStatus): BillingAccess {
  const { access, plans } = catalog.mapping;
  const own = plans?.find((entry) => entry.plan === plan)?.access[status];
  return own ?? access?.[status] ?? DEFAULT_ACCESS[status];
}

/** Days that everything is still given for; infinite where it is given in full, 0 where nothing is. */
export function accessDays(access: BillingAccess, catalog: BillingCatalog): number {
  if (typeof access === 'object') return access.graceDays;
  switch (access) {
    case 'full':
      return Number.POSITIVE_INFINITY;
    case 'grace':
      return catalog.pastDueGraceDays;
    case 'none':
      return 0;
  }
}

/**
 * How a license to the plan stands by the subscription. `null`: it gives nothing yet, and nothing has to be kept of it (a first
 * payment that is open). It does not look at the clock: what time changes is said in instants.
 */
export function standingOf(
  record: BillingRecord,
  catalog: BillingCatalog,
  plan: string,
  isHeld: boolean,
): Standing | null {
  const { latest } = record;
  if (latest === null) return null;
  const { subscription } = latest;
  const { status, startedAt } = subscription;
  const kind = status === 'trialing' ? 'trial' : 'paid';
  const common = { kind, startsAt: startedAt, graceEndsAt: null, anchorAt: anchorOf(subscription) } as const;
  if (isOverStatus(status)) {
    if (!isHeld) return null;
    const endsAt = Math.max(startedAt, subscription.endedAt ?? saidAtOf(latest.mark));
    return { ...common, status: 'ended', endsAt };
  }
  const days = accessDays(accessOf(catalog, plan, status), catalog);
  if (days === 0)
    return status === 'incomplete' && !isHeld
      ? null
      : { ...common, status: 'paused', endsAt: endOf(subscription) };
  const endsAt = endOf(subscription);
  if (Number.isFinite(days)) {
    const since = Math.max(startedAt, statusSince(record) ?? saidAtOf(latest.mark));
    return { ...common, status: 'past_due', endsAt, graceEndsAt: since + days * DAY_MILLISECONDS };
  }
  if (subscription.cancelAt !== null) return { ...common, status: 'canceled', endsAt };
  return { ...common, status: status === 'trialing' ? 'trialing' : 'active', endsAt };
}

function isOverStatus(status: BillingStatus): status is OverStatus {
  return isOver(status);
}

/** Where the periods of usage are counted from. During a trial the provider's anchor is yet to come, and periods run from the start. */
function anchorOf({ status, anchorAt, startedAt }: BillingSubscription): Instant {
  return status === 'trialing' ? startedAt : (anchorAt ?? startedAt);
}

/**
 * A trial that is not canceled goes on as a paid subscription, and the event that says so comes after its end: until then nobody
 * loses anything, and no longer than for `LIMITS.billingLateMinutes`.
 */
function endOf({ status, trialEndsAt, cancelAt, startedAt }: BillingSubscription): Instant | null {
  const trial =
    status === 'trialing' && trialEndsAt !== null
      ? trialEndsAt + LIMITS.billingLateMinutes.value * MINUTE_MILLISECONDS
      : null;
  const ends = [trial, cancelAt].filter((one) => one !== null);
  return ends.length === 0 ? null : Math.max(startedAt, Math.min(...ends));
}
