import { licenseLapse } from '../evaluation/edges.js';
import { termsBefore } from '../evaluation/license-terms.js';
import type { PreparedCustomer } from '../evaluation/prepared-customer.js';
import { type EntitlementValue, versionedKey } from '../model/catalog.js';
import type { Instant, License } from '../model/customer.js';
import { spanOf } from '../period/period-of.js';
import { valueOfPlan } from './apply-licenses.js';
import { combine } from './combine.js';
import { type Draft, valueText } from './draft.js';

/*
 * What the licenses gave before one of them changed its plan or came to its end: the limit that a downgrade lowers. It is read
 * from the licenses' own dates, so that nothing has to remember it and everything ends by the clock.
 */

/** Milliseconds: an instant just before another. */
const JUST = 1;

interface Before {
  readonly value: number | 'unlimited';
  /** The instant at which it ceased to be given. */
  readonly until: Instant;
  /** The plans that gave it. */
  readonly plans: readonly string[];
}

/** An earlier limit that stands beside the lowered one. */
export interface Standing extends Before {
  readonly standsUntil: Instant;
}

/**
 * Whether what a license gave once may stand on. What was taken away (`ended`, `paused`, a payment that is due) may not; a
 * trial that is over was never paid for.
 */
function leavesSomething(license: License, now: Instant): boolean {
  if (license.status === 'ended' || license.status === 'paused') return false;
  const lapse = licenseLapse(license, now);
  if (lapse === 'past-due') return false;
  return lapse !== 'ended' || (license.kind !== 'trial' && license.status !== 'trialing');
}

/** When a license changed what it gives, as far as is known. */
function* changesOf(license: License, now: Instant): Generator<Instant> {
  for (const { until } of license.earlier ?? []) yield until;
  const { next, endsAt } = license;
  if (next != null && next.at <= now) yield next.at;
  if (endsAt !== null && endsAt <= now) yield endsAt;
}

/** What all licenses together gave just before an instant. */
function before(draft: Draft, prepared: PreparedCustomer, until: Instant): Before | null {
  const values: (EntitlementValue | null)[] = [];
  const plans: string[] = [];
  for (const license of prepared.licenses) {
    if (!leavesSomething(license, draft.now) || licenseLapse(license, until - JUST) !== null) continue;
    const terms = termsBefore(license, until);
    const plan = prepared.snapshot.plans.get(versionedKey(terms.plan, terms.planVersion));
    const value = plan === undefined ? null : valueOfPlan(draft, prepared, plan, license);
    if (plan === undefined || value === null) continue;
    values.push(value);
    plans.push(plan.name);
  }
  const value = combine(draft.feature, values);
  return value === 'unlimited' || typeof value === 'number' ? { value, until, plans } : null;
}

export function isMore(value: EntitlementValue | null, than: EntitlementValue | null): boolean {
  if (than === 'unlimited' || value === null) return false;
  if (value === 'unlimited') return true;
  return typeof value === 'number' && value > (typeof than === 'number' ? than : 0);
}

/** Since when what a policy looks back to counts, and until when what ceased at an instant stands; `null`: never. */
function windowOf(
  draft: Draft,
  prepared: PreparedCustomer,
): { readonly since: Instant; readonly endOf: (ceased: Instant) => Instant } | null {
  const { onDowngrade } = draft.feature;
  switch (onDowngrade.policy) {
    case 'refuse-new':
    case 'read-only':
      return null;
    case 'grace': {
      const { graceMilliseconds } = onDowngrade;
      return { since: draft.now - graceMilliseconds, endOf: (ceased) => ceased + graceMilliseconds };
    }
    case 'until-reset': {
      const period = spanOf(prepared, draft.feature, draft.now);
      return period === null ? null : { since: period.start, endOf: () => period.end };
    }
  }
}

/** The largest limit that ceased within what the feature's policy looks back to; `null` where it is no more than what is given now. */
export function standingOver(draft: Draft, prepared: PreparedCustomer): Standing | null {
  if (!draft.feature.numeric || prepared.licenses.length === 0) return null;
  const window = windowOf(draft, prepared);
  if (window === null) return null;
  let found: Before | null = null;
  for (const license of prepared.licenses) {
    if (!leavesSomething(license, draft.now)) continue;
    for (const until of changesOf(license, draft.now)) {
      if (until <= window.since) continue;
      const one = before(draft, prepared, until);
      if (one === null || !isMore(one.value, draft.current)) continue;
      const same = found !== null && one.value === found.value && until > found.until;
      if (found === null || same || isMore(one.value, found.value)) found = one;
    }
  }
  return found === null ? null : { ...found, standsUntil: window.endOf(found.until) };
}

/** The earlier limit in place of the lowered one. */
export function applyStanding(draft: Draft, standing: Standing): void {
  const { value, plans, standsUntil } = standing;
  draft.evaluation.touch(standsUntil);
  draft.current = value;
  const key = plans.join(' + ');
  draft.took('downgrade', { type: 'plan', key, effect: 'max', value, until: standsUntil }, () => {
    const { policy } = draft.feature.onDowngrade;
    return `What \`${key}\` gave, ${valueText(value)}, stands until ${new Date(standsUntil).toISOString()} (${policy}).`;
  });
}

/** When the licenses last came to give less than they did; `null` where no license did. */
export function loweredAt(
  draft: Draft,
  prepared: PreparedCustomer,
  now: EntitlementValue | null,
): Instant | null {
  let latest: Instant | null = null;
  for (const license of prepared.licenses) {
    for (const until of changesOf(license, draft.now)) {
      if (latest !== null && until <= latest) continue;
      if (isMore(before(draft, prepared, until)?.value ?? null, now)) latest = until;
    }
  }
  return latest;
}
