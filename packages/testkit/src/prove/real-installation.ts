import { manageSurely } from './real-client.js';
import type { ProcessPool } from './real-processes.js';
import type { Seeded } from './seeded.js';

/* The catalog of the real histories. A customer needs nothing but its first consumption: the default plan is everybody's. */

export const CALLS_LIMIT = 200;
export const SEATS_LIMIT = 6;

const governed = { owner: 'team@example.com', purpose: 'A proof.', removal: 'permanent', category: 'limit' };

const CATALOG = {
  product: { key: 'test', name: 'Test', defaultPlan: 'free' },
  features: [
    { key: 'calls', type: 'metered', reset: { every: 'month', anchor: 'calendar' }, ...governed },
    { key: 'seats', type: 'metered', reset: 'never', ...governed },
  ],
  plans: [
    {
      key: 'free',
      entitlements: [
        { feature: 'calls', value: CALLS_LIMIT },
        { feature: 'seats', value: SEATS_LIMIT },
      ],
    },
  ],
};

export async function installCatalog(pool: ProcessPool, chance: Seeded): Promise<void> {
  const reason = 'The proof of limits.';
  const path = `/api/v1/products/test/catalog?reason=${encodeURIComponent(reason)}`;
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
    reason: 'The proof of limits.',
  });
}
