import type { BillingItem, BillingSubscription } from '@pennon/engine/model/billing-subscription';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import { instantOfText, listOf, objectOf, textOf } from '../foreign-json.js';

/**
 * Polar tells the whole state of a customer at once, and whatever is not in it is over. So that the newest state wins in any order, all of
 * a customer's subscriptions are one here, under the customer's id, with an item for each; without any it is an active one that gives
 * nothing, because the customer may come back. `external_id` is our key. `null`: it is no state of a customer.
 */
export function fromPolarCustomerState(
  value: JsonValue | undefined,
  at: number,
  isLive: boolean,
): BillingSubscription | null {
  const said = objectOf(value);
  const id = textOf(said?.id);
  if (said === null || id === null || !Array.isArray(said.active_subscriptions)) return null;
  const isGone = textOf(said.deleted_at) !== null;
  const all: readonly JsonObject[] = isGone
    ? []
    : listOf(said.active_subscriptions)
        .map(objectOf)
        .filter((one) => one !== null);
  const [first, ...more] = all;
  // Trial and end are of one subscription; of several, each leaves the state when it ends.
  const only = more.length === 0 && first !== undefined ? first : null;
  const starts = all.flatMap((one) => startOf(one) ?? []);
  return {
    id,
    customer: id,
    customerKey: textOf(said.external_id),
    status: only?.status === 'trialing' ? 'trialing' : 'active',
    items: all.map(toItem),
    startedAt: starts.length === 0 ? at : Math.min(...starts),
    anchorAt: null,
    trialEndsAt:
      only?.status === 'trialing' ? instantOfText(only.trial_end ?? only.current_period_end) : null,
    cancelAt: only === null ? null : endOf(only),
    endedAt: null,
    collectionResumesAt: null,
    isLive,
  };
}

function startOf(said: JsonObject): number | null {
  return instantOfText(said.started_at) ?? instantOfText(said.created_at);
}

function endOf(said: JsonObject): number | null {
  const end = instantOfText(said.ends_at);
  return end ?? (said.cancel_at_period_end === true ? instantOfText(said.current_period_end) : null);
}

/** Polar sells products; seats are counted where it says how many. */
function toItem(said: JsonObject): BillingItem {
  const { seats } = said;
  return {
    id: textOf(said.id),
    price: textOf(said.price_id),
    lookupKey: null,
    product: textOf(said.product_id) ?? textOf(objectOf(said.product)?.id),
    quantity: typeof seats === 'number' && Number.isSafeInteger(seats) && seats > 0 ? seats : 1,
    periodStart: instantOfText(said.current_period_start),
    periodEnd: instantOfText(said.current_period_end),
  };
}
