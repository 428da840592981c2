import { attributesOf } from './check-real-away.js';
import { AWAY_FEATURES, type RealFeature } from './real-catalog.js';
import type { RealCall, RealHold } from './real-client.js';
import type { Seeded } from './seeded.js';

/* Which calls the clients of a real history make. */

/** How often each is drawn; `told` is recorded only. */
const DRAWN: readonly RealFeature[] = [
  ...(['calls', 'calls', 'calls', 'seats', 'seats'] as const),
  ...(['members', 'members', 'credits', 'credits', 'mixed'] as const),
  ...(['held', 'held', 'held', 'rolled', 'away', 'away', 'away', 'seen'] as const),
];

/** What events are about; of `credits` they are taken out of lots, as what is consumed. */
export const TOLD: readonly RealFeature[] = ['told', 'told', 'mixed', 'mixed', 'credits'];

export function drawRealCall(chance: Seeded, customer: string, index: number): RealCall {
  const key = chance.pick(DRAWN);
  const operation = drawOperation(chance, key);
  const isWhole = operation === 'release' || key === 'members' || AWAY_FEATURES.has(key);
  const mode: RealCall['body']['mode'] = !isWhole && chance.chance(0.1) ? 'upTo' : 'all';
  const idempotencyKey = `${customer}-${index}${mode === 'upTo' ? '-up-to' : ''}`;
  const common = { operation, customer, idempotencyKey };
  if (key === 'members') {
    return { ...common, body: { key, amount: 1, mode, holder: `member-${chance.below(9)}` } };
  }
  const attributes = AWAY_FEATURES.has(key) ? { attributes: attributesOf(idempotencyKey) } : {};
  const body = { key, amount: 1 + chance.below(3), mode, ...attributes };
  return { ...common, body, ...(operation === 'reserve' ? { ttlSeconds: chance.pick([1, 1, 2, 60]) } : {}) };
}

function drawOperation(chance: Seeded, key: RealFeature): 'consume' | 'release' | 'reserve' {
  const draw = chance.draw();
  switch (key) {
    case 'seats':
    case 'members':
      return draw < 0.4 ? 'release' : 'consume';
    case 'held':
      return draw < 0.6 ? 'reserve' : draw < 0.75 ? 'consume' : 'release';
    default:
      return 'consume';
  }
}

/** Settles all of it, or less, or gives it back. */
export function drawEnd(
  chance: Seeded,
  { customer, body, idempotencyKey }: RealCall,
  { id, amount }: RealHold,
  count: number,
): RealCall {
  const settles = chance.chance(0.65);
  return {
    operation: settles ? 'settle' : 'release-hold',
    customer,
    idempotencyKey: `${idempotencyKey}-end-${count}`,
    holdId: id,
    body: { key: body.key, amount: settles ? chance.below(amount + 1) : amount, mode: 'all' },
  };
}
