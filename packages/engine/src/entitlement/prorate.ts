import type { PreparedCustomer } from '../evaluation/prepared-customer.js';
import { type EntitlementValue, versionedKey } from '../model/catalog.js';
import type { Instant, License } from '../model/customer.js';
import { spanOf } from '../period/period-of.js';
import type { Draft } from './draft.js';

/*
 * `onPlanChange: prorate`: a license that changed its plan in the running period gives the mix of what its plans give, each for the
 * part of the period in which it was in force, to the millisecond. It is read from the license's own dates, like an earlier limit
 * that stands.
 */

interface Part {
  readonly value: EntitlementValue | null;
  readonly until: Instant;
}

/** What the license's plans gave, in order, up to the last change before now. */
function partsBefore(
  license: License,
  now: Instant,
  valueUnder: (plan: { readonly plan: string; readonly planVersion: number }) => EntitlementValue | null,
): Part[] {
  const parts: Part[] = (license.earlier ?? []).map((one) => ({ value: valueUnder(one), until: one.until }));
  const { next } = license;
  if (next != null && next.at <= now) parts.push({ value: valueUnder(license), until: next.at });
  return parts.filter(({ until }) => until <= now);
}

/**
 * @param value what the license's present plan gives
 * @param valueUnder what another plan gives this customer
 * @returns the limit of the running period, exact and floored once. Without a change in it, or where one side is no finite limit,
 * the value as it is: of no limit there is no half.
 */
export function prorated(
  draft: Draft,
  prepared: PreparedCustomer,
  license: License,
  value: EntitlementValue | null,
  valueUnder: (planKey: string) => EntitlementValue | null,
): EntitlementValue | null {
  const { feature, now } = draft;
  if (feature.onPlanChange !== 'prorate') return value;
  // What the present plan does not give is not given, however long another plan gave it.
  if (typeof value !== 'number' || value === 0) return value;
  const period = spanOf(prepared, feature, now);
  if (period === null) return value;
  const before = partsBefore(license, now, (one) => valueUnder(versionedKey(one.plan, one.planVersion)));
  const parts = [...before.filter(({ until }) => until > period.start), { value, until: period.end }];
  if (parts.length === 1) return value;
  let weighted = 0n;
  let from = period.start;
  for (const { value: part, until } of parts) {
    if (part === 'unlimited') return value;
    weighted += BigInt(typeof part === 'number' ? part : 0) * BigInt(until - from);
    from = until;
  }
  draft.evaluation.touch(period.end);
  return Number(weighted / BigInt(period.end - period.start));
}
