import { BILLING_STATUSES, type BillingStatus } from '@pennon/engine/model/billing';
import type {
  BillingItem,
  BillingPhase,
  BillingSubscription,
} from '@pennon/engine/model/billing-subscription';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import { idOf, instantOf, listOf, objectOf, textOf } from '../foreign-json.js';

/** Where a subscription or a customer at Stripe says which customer of ours it is. */
export const CUSTOMER_METADATA = 'pennon_customer';

/**
 * A subscription of any API version. Periods are read of the items first (since `2025-03-31.basil`), then of the subscription (before
 * it); a price may be a `plan` in very old ones. `null`: it is no subscription, or says not even whose it is.
 */
export function fromStripeSubscription(value: JsonValue | undefined): BillingSubscription | null {
  const said = objectOf(value);
  const id = textOf(said?.id);
  const customer = idOf(said?.customer);
  const status = said === null ? null : statusOf(said);
  if (said === null || said.object !== 'subscription' || id === null || customer === null || status === null)
    return null;
  const items = itemsOf(said);
  const startedAt = instantOf(said.start_date) ?? instantOf(said.start) ?? instantOf(said.created) ?? 0;
  return {
    id,
    customer,
    // The customer's own is there where it was fetched with the subscription.
    customerKey: customerKeyOf(said) ?? customerKeyOf(objectOf(said.customer)),
    status,
    items,
    startedAt,
    anchorAt: instantOf(said.billing_cycle_anchor),
    trialEndsAt: instantOf(said.trial_end),
    cancelAt: cancelAtOf(said, items),
    endedAt: instantOf(said.ended_at),
    collectionResumesAt: instantOf(objectOf(said.pause_collection)?.resumes_at),
    isLive: said.livemode === true,
  };
}

function customerKeyOf(said: JsonObject | null): string | null {
  return textOf(objectOf(said?.metadata)?.[CUSTOMER_METADATA]);
}

/** `pause_collection` is no status at Stripe; here it is one, as its access is for the catalog to say. */
function statusOf(said: JsonObject): BillingStatus | null {
  const status = BILLING_STATUSES.find((one) => one === said.status) ?? null;
  if (status === null || status === 'collection_paused') return null;
  const isPaused = objectOf(said.pause_collection) !== null;
  return isPaused && status === 'active' ? 'collection_paused' : status;
}

function itemsOf(said: JsonObject): readonly BillingItem[] {
  const periodStart = instantOf(said.current_period_start);
  const periodEnd = instantOf(said.current_period_end);
  const list = objectOf(said.items);
  const items = listOf(list?.data).flatMap((entry) => {
    const item = objectOf(entry);
    // A deleted item may still be told of, in the answer to the change that deletes it.
    if (item === null || item.deleted === true) return [];
    return [
      {
        ...fromStripePrice(item.price ?? item.plan),
        id: textOf(item.id),
        quantity: quantityOf(item),
        periodStart: instantOf(item.current_period_start) ?? periodStart,
        periodEnd: instantOf(item.current_period_end) ?? periodEnd,
      },
    ];
  });
  return list?.has_more === true ? [...items, UNTOLD] : items;
}

/**
 * A list that is cut off holds items that nobody told: as one without a name it is to be resolved, and takes nothing away meanwhile.
 */
const UNTOLD: BillingItem = {
  id: null,
  price: null,
  lookupKey: null,
  product: null,
  quantity: 1,
  periodStart: null,
  periodEnd: null,
};

/** A price, expanded or its id alone. */
function fromStripePrice(value: JsonValue | undefined): Pick<BillingItem, 'price' | 'lookupKey' | 'product'> {
  const price = objectOf(value);
  return { price: idOf(value), lookupKey: textOf(price?.lookup_key), product: idOf(price?.product) };
}

/** Prices of usage have no quantity: there is one. */
function quantityOf({ quantity }: JsonObject): number {
  return typeof quantity === 'number' && Number.isSafeInteger(quantity) && quantity >= 0 ? quantity : 1;
}

/** Older versions say that it ends with its period; with several periods, with the last of them. */
function cancelAtOf(said: JsonObject, items: readonly BillingItem[]): number | null {
  const at = instantOf(said.cancel_at);
  if (at !== null || said.cancel_at_period_end !== true) return at;
  const ends = items.flatMap(({ periodEnd }) => (periodEnd === null ? [] : [periodEnd]));
  return ends.length === 0 ? null : Math.max(...ends);
}

/** The phases of a schedule that still holds; none once it is released, canceled or over. */
export function fromStripeSchedule(value: JsonValue | undefined): {
  readonly subscription: string;
  readonly customer: string | null;
  readonly isLive: boolean;
  readonly phases: readonly BillingPhase[];
} | null {
  const said = objectOf(value);
  if (said === null || said.object !== 'subscription_schedule') return null;
  const subscription = idOf(said.subscription) ?? textOf(said.released_subscription);
  if (subscription === null) return null;
  const holds = said.status === 'active' || said.status === 'not_started';
  return {
    subscription,
    customer: idOf(said.customer),
    isLive: said.livemode === true,
    phases: holds ? listOf(said.phases).flatMap(fromStripePhase) : [],
  };
}

function fromStripePhase(value: JsonValue): BillingPhase[] {
  const phase = objectOf(value);
  const startsAt = instantOf(phase?.start_date);
  if (phase === null || startsAt === null) return [];
  // Very old versions name the items of a phase `plans`.
  const items = listOf(phase.items ?? phase.plans).flatMap((entry): BillingItem[] => {
    const item = objectOf(entry);
    if (item === null) return [];
    const price = fromStripePrice(item.price ?? item.plan);
    return [{ ...price, id: null, quantity: quantityOf(item), periodStart: null, periodEnd: null }];
  });
  return [{ startsAt, items }];
}
