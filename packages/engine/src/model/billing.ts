/*
 * Billing in words of no provider: what the catalog says of it (the section `billing`), and what a provider says of one
 * subscription. Converters make a `BillingSubscription` of what a provider sends; the engine makes licenses of it.
 */

/**
 * What a provider says of a subscription as a whole. `collection_paused`: it runs, and its invoices are not collected for a while.
 * `canceled` and `incomplete_expired` are over for good.
 */
export const BILLING_STATUSES = [
  'trialing',
  'active',
  'past_due',
  'unpaid',
  'paused',
  'collection_paused',
  'incomplete',
  'incomplete_expired',
  'canceled',
] as const;
export type BillingStatus = (typeof BILLING_STATUSES)[number];

/** Those after which nothing comes. */
export const OVER_STATUSES = ['incomplete_expired', 'canceled'] as const;
export type OverStatus = (typeof OVER_STATUSES)[number];

/** Those whose access a catalog may say; what is over gives nothing, whatever anybody says. */
export const ACCESS_STATUSES = [
  'trialing',
  'active',
  'past_due',
  'unpaid',
  'paused',
  'collection_paused',
  'incomplete',
] as const satisfies readonly Exclude<BillingStatus, OverStatus>[];
export type AccessStatus = (typeof ACCESS_STATUSES)[number];

export const ACCESS_WORDS = ['full', 'grace', 'none'] as const;
/** `grace` alone lasts as long as the product says (`pastDueGraceDays`). */
export type BillingAccess = (typeof ACCESS_WORDS)[number] | { readonly graceDays: number };
export type AccessTable = Readonly<Partial<Record<AccessStatus, BillingAccess>>>;

/** Where nobody says otherwise. A first payment that is open gives nothing; whoever paid once has a grace. */
export const DEFAULT_ACCESS: Readonly<Record<AccessStatus, BillingAccess>> = {
  trialing: 'full',
  active: 'full',
  past_due: 'grace',
  unpaid: 'none',
  paused: 'none',
  collection_paused: 'full',
  incomplete: 'none',
};

export interface MappedAddon {
  readonly addon: string;
  /** Default: 0. */
  readonly version?: number;
  /** So many for each piece of the item; default 1. */
  readonly each?: number;
  /** So many, whatever the quantity of the item. Not beside `each`. */
  readonly quantity?: number;
}

/** What is bought with an item: exactly one of `price`, `lookupKey` and `product` names it; a price before a look-up key before a product. */
export interface BillingItemMapping {
  readonly price?: string;
  readonly lookupKey?: string;
  readonly product?: string;
  readonly plan?: string;
  /** Default: 0. */
  readonly version?: number;
  readonly addons?: readonly MappedAddon[];
  /** True: it is known, and gives nothing here, for example a price of usage. */
  readonly ignore?: boolean;
}

/** One entry of the catalog's section `billing`. The connections of environments name it by its key. */
export interface BillingMapping {
  readonly key: string;
  readonly name?: string;
  readonly description?: string;
  readonly items: readonly BillingItemMapping[];
  /** What differs from `DEFAULT_ACCESS`. */
  readonly access?: AccessTable;
  /** What differs for a plan, of every version. */
  readonly plans?: readonly { readonly plan: string; readonly access: AccessTable }[];
}
