import type { JsonObject } from '@pennon/engine/model/json';
import {
  customer as customerShape,
  event,
  invoice,
  item,
  phase,
  price,
  schedule,
  subscription,
  type Version,
} from '../../stripe-shapes.js';
import type { Seeded } from '../seeded.js';

/* The life of a customer at Stripe, event by event, in the order in which it happened. */

/** What one life is told under; the same life is told under two, and must come to the same. */
export interface LifeNames {
  /** Our customer. */
  readonly key: string;
  /** Before every id at the provider. */
  readonly prefix: string;
}

export interface ToldEvent {
  readonly body: JsonObject;
  /** A gap may swallow it: what counts in the end does not rest on it. */
  readonly isDispensable: boolean;
}

/** What a subscription is in the end, by whoever drew it: held against what the server made of it. */
export interface LifeEnd {
  readonly subscription: string;
  readonly status: string;
  readonly plan: string | null;
  readonly quantity: number;
  readonly isEnding: boolean;
}

export interface Life {
  readonly events: readonly ToldEvent[];
  readonly ends: readonly LifeEnd[];
}

const DAY = 86_400;
/** Everything planned lies that far ahead, so that no clock comes near it while the proof runs. */
const FAR = 800 * DAY;

export const PLAN_OF_PRICE: Readonly<Record<string, string>> = {
  price_solo: 'solo',
  price_team: 'team',
  price_fleet: 'fleet',
};
const PRICES = Object.keys(PLAN_OF_PRICE);

interface State {
  status: string;
  price: string;
  quantity: number;
  seats: number;
  cancelAt: number | null;
  endedAt: number | null;
  trialEnd: number | null;
  isCollectionPaused: boolean;
  anchor: number;
  periodStart: number;
}

/** A pure function of the seed but for the names, which are in every id. */
export function drawLife(chance: Seeded, { key, prefix }: LifeNames, begin: number): Life {
  const count = 1 + chance.below(3);
  const isNamedByMetadata = chance.chance(0.7);
  const lives = Array.from({ length: count }, (_, index) =>
    drawSubscription(chance, { key, prefix, index, begin, isNamedByMetadata }),
  );
  const link = {
    at: begin + chance.below(40 * DAY),
    type: 'customer.updated',
    version: versionOf(chance),
    isDispensable: isNamedByMetadata,
    object: customerShape({ id: `${prefix}_cus`, metadata: { pennon_customer: key } }),
  };
  const all = [...lives.flatMap(({ told }) => told), link].map((one, order) => ({ ...one, order }));
  all.sort((left, right) => left.at - right.at || left.order - right.order);
  return {
    events: all.map(({ at, type, version, object, isDispensable }, number) => ({
      body: event(version, type, object, { id: `evt_${prefix}_${number}`, created: at }),
      isDispensable,
    })),
    ends: lives.map(({ end }) => end),
  };
}

interface Drawn {
  readonly at: number;
  readonly type: string;
  readonly version: Version;
  readonly object: JsonObject;
  isDispensable: boolean;
}

interface DrawOptions extends LifeNames {
  readonly index: number;
  readonly begin: number;
  readonly isNamedByMetadata: boolean;
}

function drawSubscription(
  chance: Seeded,
  { key, prefix, index, begin, isNamedByMetadata }: DrawOptions,
): { readonly told: Drawn[]; readonly end: LifeEnd } {
  const id = `${prefix}_sub_${index}`;
  const metadata: JsonObject = isNamedByMetadata ? { pennon_customer: key } : {};
  const startedAt = begin + chance.below(30 * DAY);
  let at = startedAt;
  let rank = -1;
  const state: State = {
    status: chance.pick(['incomplete', 'trialing', 'active', 'active']),
    price: chance.pick(PRICES),
    quantity: 1 + chance.below(4),
    seats: chance.chance(0.3) ? 1 + chance.below(5) : 0,
    cancelAt: null,
    endedAt: null,
    trialEnd: null,
    isCollectionPaused: false,
    anchor: startedAt,
    periodStart: startedAt,
  };
  if (state.status === 'trialing') state.trialEnd = startedAt + FAR;
  const told: Drawn[] = [];

  const shapeOf = (version: Version): JsonObject => {
    const period = {
      current_period_start: state.periodStart,
      current_period_end: state.periodStart + 31 * DAY,
    };
    const priced = (name: string, quantity: number) =>
      item(version, price(name), {
        id: `si_${id}_${name}`,
        subscription: id,
        quantity,
        ...(version === 'new' ? period : {}),
      });
    return subscription(version, {
      id,
      customer: `${prefix}_cus`,
      status: state.status,
      items: [
        priced(state.price, state.quantity),
        ...(state.seats === 0 ? [] : [priced('price_seat', state.seats)]),
      ],
      more: {
        ...(version === 'old' ? period : {}),
        metadata,
        start_date: startedAt,
        created: startedAt,
        billing_cycle_anchor: state.anchor,
        trial_end: state.trialEnd,
        cancel_at: state.cancelAt,
        ended_at: state.endedAt,
        pause_collection: state.isCollectionPaused ? { behavior: 'void', resumes_at: null } : null,
      },
    });
  };
  /** Within one second, events follow each other by their ranks: the provider's own resolution of time. */
  const tell = (kind: 'created' | 'updated' | 'paused' | 'resumed' | 'deleted') => {
    const ownRank = { created: 0, updated: 1, paused: 2, resumed: 2, deleted: 3 }[kind];
    if (ownRank <= rank || chance.chance(0.8)) at += 1 + chance.below(9 * DAY);
    rank = ownRank;
    const version = versionOf(chance);
    told.push({
      at,
      type: `customer.subscription.${kind}`,
      version,
      object: shapeOf(version),
      isDispensable: true,
    });
    if (chance.chance(0.15)) tellNoise();
  };
  const tellNoise = () => {
    const version = versionOf(chance);
    const object = invoice(version, { customer: `${prefix}_cus` });
    told.push({
      at,
      type: chance.pick(['invoice.paid', 'invoice.payment_failed']),
      version,
      object,
      isDispensable: true,
    });
  };
  const tellSchedule = (isOver: boolean) => {
    at += 1 + chance.below(9 * DAY);
    rank = -1;
    const version = versionOf(chance);
    const planned = [phase(startedAt, state.price), phase(at + FAR, chance.pick(PRICES))];
    const object = schedule(isOver ? 'released' : 'active', planned, {
      customer: `${prefix}_cus`,
      ...(isOver ? { subscription: null, released_subscription: id } : { subscription: id }),
    });
    const type = isOver ? 'subscription_schedule.released' : 'subscription_schedule.updated';
    told.push({ at, type, version, object, isDispensable: true });
  };

  tell('created');
  const steps = chance.below(10);
  for (let step = 0; step < steps && state.endedAt === null; step += 1) {
    const move = chance.pick(MOVES);
    if (move === 'schedule') tellSchedule(chance.chance(0.3));
    else tell(takeMove(move, state, chance, () => at));
  }
  markIndispensable(told, state.status);
  return {
    told,
    end: {
      subscription: id,
      status: state.isCollectionPaused && state.status === 'active' ? 'collection_paused' : state.status,
      plan: PLAN_OF_PRICE[state.price] ?? null,
      quantity: state.quantity,
      isEnding: state.cancelAt !== null,
    },
  };
}

const MOVES = [
  'price',
  'price',
  'quantity',
  'seats',
  'pay',
  'fail',
  'unpaid',
  'pause',
  'resume',
  'collection',
  'cancel',
  'anchor',
  'renew',
  'delete',
  'schedule',
  'schedule',
] as const;

/** One thing that happens to a subscription, and the kind of event that tells it. */
function takeMove(
  move: Exclude<(typeof MOVES)[number], 'schedule'>,
  state: State,
  chance: Seeded,
  now: () => number,
): 'updated' | 'paused' | 'resumed' | 'deleted' {
  switch (move) {
    case 'price':
      state.price = chance.pick(PRICES);
      return 'updated';
    case 'quantity':
      state.quantity = 1 + chance.below(9);
      return 'updated';
    case 'seats':
      state.seats = chance.below(5);
      return 'updated';
    case 'pay':
      state.status = 'active';
      state.trialEnd = null;
      return 'updated';
    case 'fail':
      if (state.status !== 'incomplete') state.status = 'past_due';
      return 'updated';
    case 'unpaid':
      if (state.status === 'past_due') state.status = 'unpaid';
      return 'updated';
    case 'pause':
      if (state.status === 'incomplete') return 'updated';
      state.status = 'paused';
      return 'paused';
    case 'resume':
      if (state.status !== 'paused') return 'updated';
      state.status = 'active';
      return 'resumed';
    case 'collection':
      state.isCollectionPaused = !state.isCollectionPaused;
      return 'updated';
    case 'cancel':
      state.cancelAt = state.cancelAt === null ? now() + FAR : null;
      return 'updated';
    case 'anchor':
      state.anchor = now();
      return 'updated';
    case 'renew':
      state.periodStart += 31 * DAY;
      return 'updated';
    case 'delete':
      state.status = 'canceled';
      state.endedAt = now() + 1;
      return 'deleted';
  }
}

/**
 * What a gap may not swallow for good, without a key to ask with: the newest word on a subscription and on its schedule, and the one
 * since which it is past due, which the grace is counted from, with the one before, which says that it was not so all along.
 */
function markIndispensable(told: readonly Drawn[], status: string): void {
  const own = told.filter(({ type }) => type.startsWith('customer.subscription.'));
  const last = own.at(-1);
  const lastSchedule = told.filter(({ type }) => type.startsWith('subscription_schedule.')).at(-1);
  for (const one of [last, lastSchedule]) if (one !== undefined) one.isDispensable = false;
  if (status !== 'past_due') return;
  for (const one of [...own].reverse()) {
    one.isDispensable = false;
    if (one.object.status !== 'past_due') break;
  }
}

function versionOf(chance: Seeded): Version {
  return chance.chance(0.5) ? 'old' : 'new';
}
