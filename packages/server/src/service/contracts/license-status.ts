import type { LicenseStatus } from '@pennon/engine/model/customer';
import { DEFAULT_PAST_DUE_DAYS } from '@pennon/engine/model/limits';
import type { LicenseTerms } from './license-terms.js';
import type { PublishedItems } from './published-items.js';
import { refuse } from './refusals.js';

/** Which status may follow which. What has ended stays ended: whoever comes back gets a new license. */
export const STATUS_AFTER: Record<LicenseStatus, readonly LicenseStatus[]> = {
  trialing: ['trialing', 'active', 'past_due', 'paused', 'canceled', 'ended'],
  active: ['active', 'past_due', 'paused', 'canceled', 'ended'],
  past_due: ['past_due', 'active', 'paused', 'canceled', 'ended'],
  paused: ['paused', 'active', 'trialing', 'ended'],
  canceled: ['canceled', 'active', 'trialing', 'ended'],
  ended: ['ended'],
};

export function checkTransition(before: LicenseStatus, after: LicenseStatus): void {
  const allowed = STATUS_AFTER[before];
  if (allowed.includes(after)) return;
  const others = allowed.filter((status) => status !== before).map((status) => `\`${status}\``);
  const next =
    before === 'ended'
      ? 'What has ended stays ended: give the customer a new license.'
      : `From there it may become ${others.join(', ')}.`;
  throw refuse(
    'unprocessable',
    'STATUS_NOT_REACHABLE',
    `A license that is \`${before}\` cannot become \`${after}\`. ${next}`,
    '/status',
  );
}

const DAY_MILLISECONDS = 86_400_000;

/** Whose payment came to be due keeps its rights for the product's grace, unless the body says until when, or `null`. */
export async function withPastDueGrace(
  terms: LicenseTerms,
  before: LicenseTerms | null,
  isSaid: boolean,
  items: PublishedItems,
  now: number,
): Promise<LicenseTerms> {
  if (isSaid) return terms;
  if (terms.status !== 'past_due') {
    return before?.status === 'past_due' ? { ...terms, graceEndsAt: null } : terms;
  }
  if (before?.status === 'past_due') return terms;
  const days = (await items.product())?.pastDueGraceDays ?? DEFAULT_PAST_DUE_DAYS;
  return { ...terms, graceEndsAt: now + days * DAY_MILLISECONDS };
}
