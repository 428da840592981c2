import { manageSurely } from './real-client.js';
import type { ProcessPool } from './real-processes.js';
import type { Seeded } from './seeded.js';

/* The catalog of the real histories. A customer needs nothing but its first consumption: the default plan is everybody's. */

export const CALLS_LIMIT = 200;
/** What a period of `credits` allows without lots. */
export const CREDITS_ALLOWANCE = 20;

/**
 * `calls` are only taken; `seats` are taken and given back; `members` have names; `credits` are taken out of lots too; `told` is only
 * recorded, and `mixed` is recorded and taken.
 */
const FEATURES = {
  calls: { limit: CALLS_LIMIT, resets: true },
  seats: { limit: 6, resets: false },
  members: { limit: 5, resets: false },
  credits: { limit: CREDITS_ALLOWANCE, resets: true },
  told: { limit: 40, resets: true },
  mixed: { limit: 120, resets: true },
} as const;

export type RealFeature = keyof typeof FEATURES;

const governed = { owner: 'team@example.com', purpose: 'A proof.', removal: 'permanent', category: 'limit' };

const CATALOG = {
  product: { key: 'test', name: 'Test', defaultPlan: 'free' },
  features: Object.entries(FEATURES).map(([key, { resets }]) => ({
    key,
    type: 'metered',
    reset: resets ? { every: 'month', anchor: 'calendar' } : 'never',
    ...governed,
  })),
  plans: [
    {
      key: 'free',
      entitlements: Object.entries(FEATURES).map(([feature, { limit }]) => ({ feature, value: limit })),
    },
  ],
};

const REASON = 'The proof of limits.';

export async function installCatalog(pool: ProcessPool, chance: Seeded): Promise<void> {
  const path = `/api/v1/products/test/catalog?reason=${encodeURIComponent(REASON)}`;
  await manageSurely(pool, chance, 'PUT', path, CATALOG);
}

/** From its commit on, this is the limit of the customer. */
export async function setLimit(
  pool: ProcessPool,
  chance: Seeded,
  customer: string,
  { value, number }: { readonly value: number; readonly number: number },
): Promise<void> {
  await manageSurely(pool, chance, 'POST', '/api/v1/environments/production/grants', {
    product: 'test',
    target: { kind: 'customer', key: customer },
    kind: 'support',
    effect: { type: 'set', feature: 'calls', value },
    // Of several the one that starts last is in force.
    startsAt: new Date(Date.UTC(2026, 0, 1) + 1000 * number).toISOString(),
    endsAt: '2090-01-01T00:00:00.000Z',
    owner: 'team@example.com',
    reason: REASON,
  });
}

export interface TopUp {
  readonly amount: number;
  readonly kind: 'topup' | 'promotional';
  /** Milliseconds; `null`: it has no end. */
  readonly endsAt: number | null;
}

/** The id of the lot; `null` where it would have ended before it was made. */
export async function topUp(
  pool: ProcessPool,
  chance: Seeded,
  customer: string,
  { amount, kind, endsAt }: TopUp,
): Promise<string | null> {
  const path = `/api/v1/environments/production/customers/${customer}/top-ups`;
  const made = await manageSurely(
    pool,
    chance,
    'POST',
    path,
    {
      ...{ product: 'test', feature: 'credits', amount, kind, reason: REASON },
      ...(endsAt === null ? {} : { endsAt: new Date(endsAt).toISOString() }),
    },
    { mayRefuse: endsAt !== null },
  );
  return made === null ? null : (made as { readonly id: string }).id;
}
