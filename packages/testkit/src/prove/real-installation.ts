import { CATALOG } from './real-catalog.js';
import { manageSurely } from './real-client.js';
import type { ServerPool } from './real-servers.js';
import type { Seeded } from './seeded.js';

/* What management does for a real history. */

const REASON = 'The proof of limits.';

export async function installCatalog(pool: ServerPool, chance: Seeded): Promise<void> {
  const path = `/api/v1/products/test/catalog?reason=${encodeURIComponent(REASON)}`;
  await manageSurely(pool, chance, 'PUT', path, CATALOG);
}

/** From its commit on, this is the limit of the customer. */
export async function setLimit(
  pool: ServerPool,
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
  pool: ServerPool,
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

/** Takes back what is left of a lot. `null`: it is over, so that nothing is. */
export async function voidTopUp(
  pool: ServerPool,
  chance: Seeded,
  customer: string,
  id: string,
): Promise<unknown> {
  const path = `/api/v1/environments/production/customers/${customer}/top-ups/${id}/void`;
  return manageSurely(pool, chance, 'POST', path, { reason: REASON }, { mayRefuse: true });
}
