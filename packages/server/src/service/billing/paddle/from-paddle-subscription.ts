import type { BillingStatus } from '@pennon/engine/model/billing';
import type { BillingItem, BillingSubscription } from '@pennon/engine/model/billing-subscription';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import { instantOfText, listOf, objectOf, textOf } from '../foreign-json.js';

/** Where a subscription or a customer at Paddle says which customer of ours it is. */
export const CUSTOMER_DATA = 'pennon_customer';

const STATUSES: Readonly<Record<string, BillingStatus>> = {
  active: 'active',
  trialing: 'trialing',
  past_due: 'past_due',
  paused: 'paused',
  canceled: 'canceled',
};

/** A subscription of Paddle Billing. `null`: it is none. */
export function fromPaddleSubscription(
  value: JsonValue | undefined,
  isLive: boolean,
): BillingSubscription | null {
  const said = objectOf(value);
  const id = textOf(said?.id);
  const customer = textOf(said?.customer_id);
  const status = STATUSES[textOf(said?.status) ?? ''];
  if (said === null || id === null || customer === null || status === undefined) return null;
  const change = objectOf(said.scheduled_change);
  return {
    id,
    customer,
    customerKey: textOf(objectOf(said.custom_data)?.[CUSTOMER_DATA]),
    status,
    items: itemsOf(said),
    startedAt: instantOfText(said.started_at) ?? instantOfText(said.created_at) ?? 0,
    anchorAt: instantOfText(said.first_billed_at),
    trialEndsAt: status === 'trialing' ? trialEndOf(said) : null,
    cancelAt: change?.action === 'cancel' ? instantOfText(change.effective_at) : null,
    endedAt: status === 'canceled' ? instantOfText(said.canceled_at) : null,
    collectionResumesAt: null,
    isLive,
  };
}

function itemsOf(said: JsonObject): readonly BillingItem[] {
  const period = objectOf(said.current_billing_period);
  return listOf(said.items).flatMap((entry): BillingItem[] => {
    const item = objectOf(entry);
    // An item that was taken off stays in the list, as inactive.
    if (item === null || item.status === 'inactive') return [];
    const price = objectOf(item.price);
    const { quantity } = item;
    return [
      {
        id: null,
        price: textOf(price?.id),
        lookupKey: null,
        product: textOf(price?.product_id) ?? textOf(objectOf(item.product)?.id),
        quantity:
          typeof quantity === 'number' && Number.isSafeInteger(quantity) && quantity >= 0 ? quantity : 1,
        periodStart: instantOfText(period?.starts_at),
        periodEnd: instantOfText(period?.ends_at),
      },
    ];
  });
}

/** Items may be tried for different times: the last one ends the trial. */
function trialEndOf(said: JsonObject): number | null {
  const ends = listOf(said.items).flatMap((item) => {
    const end = instantOfText(objectOf(objectOf(item)?.trial_dates)?.ends_at);
    return end === null ? [] : [end];
  });
  return ends.length === 0 ? instantOfText(said.next_billed_at) : Math.max(...ends);
}
