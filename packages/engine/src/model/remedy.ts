import type { Interval } from './catalog.js';
import type { Instant } from './customer.js';

/** A price as the catalog states it: to show, never to charge. */
export type RemedyPrice = {
  /** In minor units; of an add-on or a top-up for the whole quantity. */
  readonly amount: number;
  readonly currency: string;
  /** `null`: the catalog does not say what the amount is for. */
  readonly every: Interval | 'once' | null;
  /** Where the price comes from; every nudge states it (C-4). */
  readonly source: string | null;
};

type Offered = {
  readonly name: string | null;
  readonly version: number;
  /** What the limit would be; `null` for boolean and config features. */
  readonly limit: number | 'unlimited' | null;
  readonly price: RemedyPrice | null;
};

/** An add-on that is bought with a plan. */
export type RemedyAddon = {
  readonly addon: string;
  readonly version: number;
  readonly name: string | null;
  readonly quantity: number;
  /** For the whole quantity. */
  readonly price: RemedyPrice | null;
};

/** Another plan in place of the one that speaks for the customer. */
export type UpgradeOption = Offered & {
  readonly kind: 'upgrade';
  readonly plan: string;
  /** Where the plan alone does not help and an add-on with it does; `price` is then that of both, where both have a sum. */
  readonly together?: { readonly planPrice: RemedyPrice | null; readonly addons: readonly [RemedyAddon] };
};

/** So many more pieces of an add-on on the license that the customer has. */
export type AddonOption = Offered & {
  readonly kind: 'addon';
  readonly addon: string;
  readonly quantity: number;
};

/** So many pieces of an amount that is bought once. */
export type TopUpOption = Omit<Offered, 'version'> & {
  readonly kind: 'topup';
  readonly feature: string;
  /** The key of the pack in the feature's `topUps`. */
  readonly topUp: string;
  readonly quantity: number;
  /** Units in all. */
  readonly units: number;
};

export type RemedyOption = UpgradeOption | AddonOption | TopUpOption;

/** What would turn a "no" into a "yes" (OEP: remedy). `at` is when time alone does, where that is known. */
export type Remedy =
  | {
      /** The kind of the first option, which is the cheapest. */
      readonly kind: RemedyOption['kind'];
      readonly at: Instant | null;
      readonly options: readonly [RemedyOption, ...RemedyOption[]];
    }
  | { readonly kind: 'wait'; readonly at: Instant; readonly options: readonly [] }
  | { readonly kind: 'contact'; readonly at: null; readonly options: readonly [] };
