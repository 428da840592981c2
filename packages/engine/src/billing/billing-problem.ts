import type { BillingItem } from '../model/billing-subscription.js';

export const BILLING_PROBLEM_CODES = [
  /** No catalog says what the item gives. */
  'NOT_MAPPED',
  /** What it is mapped to is not in the catalog that is published to the environment. */
  'NOT_PUBLISHED',
  /** Add-ons, and no plan that they could stack on. */
  'ADDON_WITHOUT_PLAN',
  /** The add-on is not sold with the plan. */
  'ADDON_NOT_FOR_PLAN',
  /** More than may be had; so many are given. */
  'ADDON_QUANTITY',
  /** The customer holds as many licenses as it may. */
  'TOO_MANY_LICENSES',
] as const;
export type BillingProblemCode = (typeof BILLING_PROBLEM_CODES)[number];

/** What somebody has to look at. It is never lost: it stands among what is to be resolved until it is gone. */
export interface BillingProblem {
  readonly code: BillingProblemCode;
  /** `null`: no product knows it. */
  readonly product: string | null;
  readonly item: BillingItem | null;
  /** The plan version or add-on that it is about. */
  readonly name: string | null;
  /** What the customer had is kept until this is resolved. */
  readonly isHeld: boolean;
}
