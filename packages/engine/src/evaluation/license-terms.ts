import type { Instant, License, NextPlan } from '../model/customer.js';

/** What a license is to at an instant, with the anchor that its periods are counted from then. */
export type TermsOfLicense = Pick<License | NextPlan, 'plan' | 'planVersion' | 'anchor' | 'sku'>;

/** INVARIANT: a plan change that was planned takes effect by the clock, whatever else runs or does not. */
export function termsAt(license: License, now: Instant): TermsOfLicense {
  const { next } = license;
  return next == null || now < next.at ? license : next;
}

/** What it was to just before an instant. */
export function termsBefore(license: License, instant: Instant): Pick<License, 'plan' | 'planVersion'> {
  for (const one of license.earlier ?? []) if (instant <= one.until) return one;
  const { next } = license;
  return next == null || instant <= next.at ? license : next;
}
