import type { Seeded } from './seeded.js';
import type { ModelFeature } from './sequential-model.js';
import type { ClientCall } from './simulated-clients.js';
import { CUSTOMERS, FEATURES } from './simulated-installation.js';

/* Which calls the clients of a simulated history make. */

/**
 * `stream`: so many calls, most for one customer and one of its accounts, that batch follows batch. `reservations`: amounts are held, and settled, released and ended by the clock at once. `credits`: units have named holders, and lots
 * are made, used, voided and end; what a period leaves is rolled over.
 */
export const PROFILES = ['consume', 'stream', 'reservations', 'credits'] as const;
export type Profile = (typeof PROFILES)[number];

/** What is rolled over is in histories of credits only. */
export function featuresOf(profile: Profile): readonly ModelFeature[] {
  return profile === 'credits' ? FEATURES : FEATURES.filter(({ rollover }) => rollover === undefined);
}

/** In a stream there is mostly room, because behind a denial nothing is decided ahead. */
export function limitScaleOf(profile: Profile): number {
  return profile === 'stream' ? 24 : 1;
}

export function drawCall(chance: Seeded, profile: Profile, index: number, sentAt: number): ClientCall {
  if (profile === 'stream' && chance.chance(0.96)) return drawStream(chance, index, sentAt);
  if (profile === 'reservations' && chance.chance(0.5)) return drawReserve(chance, index, sentAt);
  if (profile === 'credits' && chance.chance(0.7)) return drawCredits(chance, index, sentAt);
  const release = chance.chance(0.2);
  const features = featuresOf(profile);
  const releasable = features.filter((feature) => feature.resets === 'never');
  const itemCount = !release && chance.chance(0.15) ? 2 + chance.below(2) : 1;
  return {
    operation: release ? 'release' : 'consume',
    customer: chance.chance(0.8) ? CUSTOMERS[0] : CUSTOMERS[1],
    user: chance.chance(0.8) ? 'ann' : 'bob',
    mode: chance.chance(0.15) ? 'upTo' : 'all',
    items: Array.from({ length: itemCount }, () => ({
      key: chance.pick(release ? releasable : features).key,
      amount: chance.chance(0.03) ? 0 : 1 + chance.below(4),
    })),
    idempotencyKey: `call-${index}`,
    sentAt,
    heard: [],
    misused: false,
    settled: false,
  };
}

/** Takes of one account again and again, and now and then of another or back: what a batch before did not touch cannot be expected of it. */
function drawStream(chance: Seeded, index: number, sentAt: number): ClientCall {
  const release = chance.chance(0.03);
  return {
    operation: release ? 'release' : 'consume',
    customer: chance.chance(0.88) ? CUSTOMERS[0] : CUSTOMERS[1],
    user: 'ann',
    mode: chance.chance(0.1) ? 'upTo' : 'all',
    items: [
      {
        key: release || chance.chance(0.06) ? 'seats' : 'calls',
        amount: 1 + chance.below(2),
      },
    ],
    idempotencyKey: `call-${index}`,
    sentAt,
    heard: [],
    misused: false,
    settled: false,
  };
}

/** Calls for a seat by name, and calls that lots are for. */
function drawCredits(chance: Seeded, index: number, sentAt: number): ClientCall {
  const seat = chance.chance(0.5);
  const release = seat && chance.chance(0.35);
  const item = () =>
    seat
      ? { key: 'seats', amount: chance.chance(0.8) ? 1 : 2, holder: `member-${chance.below(4)}` }
      : { key: chance.chance(0.6) ? 'calls' : 'minutes', amount: 1 + chance.below(6) };
  const several = !release && chance.chance(0.15);
  return {
    operation: release ? 'release' : 'consume',
    customer: chance.chance(0.8) ? CUSTOMERS[0] : CUSTOMERS[1],
    user: 'ann',
    mode: !seat && chance.chance(0.2) ? 'upTo' : 'all',
    items: several ? [item(), item()] : [item()],
    idempotencyKey: `call-${index}`,
    sentAt,
    heard: [],
    misused: false,
    settled: false,
  };
}

function drawReserve(chance: Seeded, index: number, sentAt: number): ClientCall {
  return {
    operation: 'reserve',
    customer: CUSTOMERS[0],
    user: 'ann',
    mode: chance.chance(0.2) ? 'upTo' : 'all',
    items: [{ key: chance.pick(featuresOf('reservations')).key, amount: 1 + chance.below(4) }],
    ttlSeconds: chance.pick([0.02, 0.1, 0.5, 2]),
    idempotencyKey: `call-${index}`,
    sentAt,
    heard: [],
    misused: false,
    settled: false,
  };
}
