import type { BillingItem, BillingOffer } from '@pennon/engine/model/billing-subscription';
import type { Instant } from '@pennon/engine/model/customer';
import type { BillingEvent, BillingEventItem } from '@pennon/protocol/management/billing-events';
import { productNamed } from '../contracts/named-product.js';
import { refuse, timeOr } from '../contracts/refusals.js';
import type { Credential } from '../credential.js';
import type { Directory } from '../ports.js';
import { fromTime } from '../times.js';
import type { BillingNews } from './billing-news.js';

/** Where products are found that items name. */
export interface ToldItems {
  readonly directory: Directory;
  readonly credential: Credential;
}

type SubscriptionNews = BillingNews & { readonly kind: 'subscription' };

/** The customer there; contracts that were signed by hand have none but ours. */
export function customerOfEvent({ billingCustomer, customer }: BillingEvent): string {
  const name = billingCustomer ?? customer;
  if (name !== undefined) return name;
  throw refuse(
    'unprocessable',
    'BILLING_CUSTOMER_MISSING',
    'Nobody is named: name the `customer`, or the `billingCustomer` that is linked to one.',
    '/customer',
  );
}

/** The whole state of a subscription, what is planned of it too: its number is the watermark of both. */
export function fromBillingEvent(
  body: BillingEvent,
  { id, isLive, now }: { readonly id: string; readonly isLive: boolean; readonly now: Instant },
  told: ToldItems,
): readonly [SubscriptionNews, BillingNews] {
  const saidAt = timeOr(body.occurredAt, '/occurredAt', now) ?? now;
  const mark = { at: body.sequence, saidAt, rank: 1, id };
  const customer = customerOfEvent(body);
  const items = body.items.map((item, index) => toItem(item, `/items/${index}`, told));
  const subscription = {
    id: body.subscription,
    customer,
    customerKey: body.customer ?? null,
    status: body.status,
    items,
    startedAt: fromTime(body.startsAt, '/startsAt'),
    anchorAt: timeOr(body.anchorAt, '/anchorAt', null),
    trialEndsAt: timeOr(body.trialEndsAt, '/trialEndsAt', null),
    cancelAt: timeOr(body.validUntil, '/validUntil', null),
    endedAt: timeOr(body.endedAt, '/endedAt', null),
    collectionResumesAt: null,
    isLive,
  };
  const { next } = body;
  const phases =
    next === undefined
      ? []
      : [
          {
            startsAt: fromTime(next.at, '/next/at'),
            items: next.items.map((item, index) => toItem(item, `/next/items/${index}`, told)),
          },
        ];
  return [
    { kind: 'subscription', mark, subscription },
    { kind: 'schedule', mark, customer, subscription: body.subscription, phases },
  ];
}

function toItem(item: BillingEventItem, pointer: string, told: ToldItems): BillingItem {
  const offer = offerOf(item, told);
  const names = [item.price, item.lookupKey, item.providerProduct];
  if (offer === null && names.every((name) => name === undefined)) {
    throw refuse(
      'unprocessable',
      'BILLING_ITEM_UNNAMED',
      'This item names nothing: a `price`, `lookupKey` or `providerProduct` that the catalog maps, or the `plan` or `addons` that it gives.',
      pointer,
    );
  }
  return {
    id: item.id ?? null,
    price: item.price ?? null,
    lookupKey: item.lookupKey ?? null,
    product: item.providerProduct ?? null,
    ...(offer === null ? {} : { offer }),
    quantity: item.quantity ?? 1,
    periodStart: timeOr(item.periodStart, `${pointer}/periodStart`, null),
    periodEnd: timeOr(item.periodEnd, `${pointer}/periodEnd`, null),
  };
}

function offerOf(
  { product, plan, planVersion, addons }: BillingEventItem,
  { directory, credential }: ToldItems,
): BillingOffer | null {
  if (plan === undefined && addons === undefined) return null;
  return {
    product: productNamed(directory, credential, product).key,
    ...(plan === undefined ? {} : { plan }),
    ...(planVersion === undefined ? {} : { version: planVersion }),
    ...(addons === undefined ? {} : { addons }),
  };
}
