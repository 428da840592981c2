/* The catalog of the real histories. A customer needs nothing but its first consumption: the default plan is everybody's. */

export const CALLS_LIMIT = 200;
/** What a period of `credits` allows without lots. */
export const CREDITS_ALLOWANCE = 20;

/** What a period of `rolled` allows, and the most that it leaves to the next one. */
export const ROLLED_ALLOWANCE = 15;
export const ROLLED_MOST = 6;
/** How far `away` may be exceeded. */
export const AWAY_OVERAGE = 5;

/**
 * `calls` are only taken; `seats` are taken and given back; `members` have names; `credits` are taken out of lots too; `told` is only
 * recorded, and `mixed` is recorded and taken; of `held` amounts are reserved; `rolled` has something left of the month before; `away`
 * and `seen` are answered without the store.
 */
const FEATURES = {
  calls: { limit: CALLS_LIMIT, resets: true },
  seats: { limit: 6, resets: false },
  members: { limit: 5, resets: false },
  credits: { limit: CREDITS_ALLOWANCE, resets: true },
  told: { limit: 40, resets: true },
  mixed: { limit: 120, resets: true },
  held: { limit: 12, resets: false },
  rolled: { limit: ROLLED_ALLOWANCE, resets: true, more: { rollover: { maximum: ROLLED_MOST } } },
  away: {
    limit: 60,
    resets: true,
    more: { enforcement: 'soft', overage: { amount: AWAY_OVERAGE }, onStoreAway: 'lastKnown' },
  },
  seen: { limit: 20, resets: true, more: { enforcement: 'observe', onStoreAway: 'open' } },
} as const;

/** Those that may be answered without the store. */
export const AWAY_FEATURES: ReadonlySet<string> = new Set(['away', 'seen']);

export type RealFeature = keyof typeof FEATURES;

const governed = { owner: 'team@example.com', purpose: 'A proof.', removal: 'permanent', category: 'limit' };

export const CATALOG = {
  product: { key: 'test', name: 'Test', defaultPlan: 'free' },
  features: Object.entries(FEATURES).map(([key, feature]) => ({
    key,
    type: 'metered',
    reset: feature.resets ? { every: 'month', anchor: 'calendar' } : 'never',
    ...('more' in feature ? feature.more : {}),
    ...governed,
  })),
  plans: [
    {
      key: 'free',
      entitlements: Object.entries(FEATURES).map(([feature, { limit }]) => ({ feature, value: limit })),
    },
  ],
};
