import { BILLING_STATUSES, type BillingStatus } from '@pennon/engine/model/billing';
import type {
  BillingItem,
  BillingReport,
  BillingSubscription,
} from '@pennon/engine/model/billing-subscription';
import fc from 'fast-check';

/* Histories of subscriptions for property tests: what happened, in the order in which it did. */

export const START = Date.UTC(2027, 0, 1);
const DAY = 86_400_000;

export function item(name: Partial<BillingItem>): BillingItem {
  return {
    id: 'si_1',
    price: null,
    lookupKey: null,
    product: null,
    quantity: 1,
    periodStart: START,
    periodEnd: START + 30 * DAY,
    ...name,
  };
}

export function subscription(said: Partial<BillingSubscription> = {}): BillingSubscription {
  return {
    id: 'sub_1',
    customer: 'cus_1',
    customerKey: null,
    status: 'active',
    items: [item({ price: 'price_pro' })],
    startedAt: START,
    anchorAt: null,
    trialEndsAt: null,
    cancelAt: null,
    endedAt: null,
    collectionResumesAt: null,
    isLive: true,
    ...said,
  };
}

export function report(
  at: number,
  said: Partial<BillingSubscription> = {},
  rank = 1,
  id = `evt_${at}`,
): BillingReport {
  return { mark: { at, rank, id }, subscription: subscription(said) };
}

const STATES = BILLING_STATUSES.filter((status) => status !== 'canceled' && status !== 'incomplete_expired');
const PRICES = ['price_pro', 'price_team', 'price_seat', 'price_unknown', 'price_usage'];

export const arbitraryItems = fc.uniqueArray(
  fc.record({ price: fc.constantFrom(...PRICES), quantity: fc.integer({ min: 0, max: 4 }) }),
  { selector: ({ price }) => price, maxLength: 4 },
);

interface Step {
  readonly seconds: number;
  readonly status: BillingStatus;
  readonly items: readonly { readonly price: string; readonly quantity: number }[];
  readonly cancelInDays: number | null;
}

const step: fc.Arbitrary<Step> = fc.record({
  // Several things happen within the second that is the provider's resolution.
  seconds: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 * 86_400 })),
  status: fc.constantFrom(...STATES),
  items: arbitraryItems,
  cancelInDays: fc.option(fc.integer({ min: 1, max: 60 }), { nil: null }),
});

/** What happened to one subscription, the newest last; some histories end. */
export const arbitraryHistory: fc.Arbitrary<readonly BillingReport[]> = fc
  .tuple(fc.array(step, { minLength: 1, maxLength: 25 }), fc.boolean())
  .map(([steps, ends]) => {
    let at = START;
    const reports = steps.map(({ seconds, status, items, cancelInDays }, index) => {
      at += seconds * 1000;
      return report(
        at,
        {
          status,
          items: items.map(({ price, quantity }, place) => item({ id: `si_${place}`, price, quantity })),
          cancelAt: cancelInDays === null ? null : at + cancelInDays * DAY,
        },
        index === 0 ? 0 : 1,
        `evt_${String(index).padStart(3, '0')}`,
      );
    });
    const end = report(at, { status: 'canceled', endedAt: at }, 3, 'evt_zzz');
    return ends ? [...reports, end] : reports;
  });

/** A delivery: some are lost, some come twice, in any order. */
export function arbitraryDelivery<Said>(history: readonly Said[]): fc.Arbitrary<readonly Said[]> {
  return fc.tuple(fc.subarray([...history]), fc.subarray([...history])).chain(([some, again]) =>
    fc.shuffledSubarray([...some, ...again.filter((one) => some.includes(one))], {
      minLength: some.length + again.filter((one) => some.includes(one)).length,
    }),
  );
}
