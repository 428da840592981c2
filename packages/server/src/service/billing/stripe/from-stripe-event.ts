import type {
  BillingMark,
  BillingPhase,
  BillingSubscription,
} from '@pennon/engine/model/billing-subscription';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import { idOf, instantOf, listOf, objectOf, textOf } from '../foreign-json.js';
import { CUSTOMER_METADATA, fromStripeSchedule, fromStripeSubscription } from './from-stripe-subscription.js';

/** What one event concerns; the event itself decides nothing (an event is a doorbell). */
export interface StripeEvent {
  readonly id: string;
  readonly type: string;
  /** Empty for events of the account that the endpoint belongs to. */
  readonly account: string;
  readonly apiVersion: string | null;
  readonly isLive: boolean;
  readonly mark: BillingMark;
  /** The provider's customer. */
  readonly customer: string | null;
  /** What it says of subscriptions, to be fetched again where that is possible. */
  readonly subscriptions: readonly string[];
  readonly news: StripeNews;
}

/** What the payload itself says. */
export type StripeNews =
  | { readonly kind: 'subscription'; readonly subscription: BillingSubscription }
  | { readonly kind: 'schedule'; readonly subscription: string; readonly phases: readonly BillingPhase[] }
  /** Which customer of ours a customer there is. */
  | { readonly kind: 'link'; readonly customer: string; readonly customerKey: string }
  | { readonly kind: 'customer-deleted'; readonly customer: string }
  /** A price or a product that mappings may name was changed. */
  | { readonly kind: 'catalog'; readonly object: string }
  /** It only says that something may have changed. */
  | { readonly kind: 'doorbell' }
  /** Of a type that changes nothing here. */
  | { readonly kind: 'nothing' };

/** A thin event (`v2.core.event`) has no payload and is taken in without effect; `null`: it is no event of Stripe. */
export function fromStripeEvent(value: JsonValue | undefined): StripeEvent | null {
  const said = objectOf(value);
  const id = textOf(said?.id);
  const type = textOf(said?.type);
  if (said === null || id === null || type === null) return null;
  if (said.object !== 'event' && said.object !== 'v2.core.event') return null;
  const at =
    instantOf(said.created) ?? (typeof said.created === 'string' ? Date.parse(said.created) : Number.NaN);
  if (Number.isNaN(at)) return null;
  const object = said.object === 'event' ? objectOf(objectOf(said.data)?.object) : null;
  return {
    id,
    type,
    account: textOf(said.account) ?? '',
    apiVersion: textOf(said.api_version),
    isLive: said.livemode === true,
    mark: { at, rank: rankOf(type), id },
    customer: object === null ? null : customerOf(object),
    subscriptions: object === null ? [] : subscriptionsOf(object),
    news: object === null ? { kind: 'nothing' } : newsOf(type, object),
  };
}

/** Events of one second: deleted after paused and resumed after everything else after created. */
export function rankOf(type: string): number {
  switch (type) {
    case 'customer.subscription.created':
    case 'subscription_schedule.created':
      return 0;
    case 'customer.subscription.paused':
    case 'customer.subscription.resumed':
      return 2;
    case 'customer.subscription.deleted':
    case 'subscription_schedule.canceled':
    case 'subscription_schedule.released':
    case 'subscription_schedule.completed':
    case 'subscription_schedule.aborted':
      return 3;
    default:
      return 1;
  }
}

function customerOf(object: JsonObject): string | null {
  return object.object === 'customer' ? textOf(object.id) : idOf(object.customer);
}

/** Of an invoice, its own parent (since `2025-03-31.basil`), then the member that said so before, then its lines. */
function subscriptionsOf(object: JsonObject): readonly string[] {
  if (object.object === 'subscription') return present([textOf(object.id)]);
  if (object.object === 'subscription_schedule')
    return present([idOf(object.subscription) ?? textOf(object.released_subscription)]);
  if (object.object !== 'invoice') return present([idOf(object.subscription)]);
  const parent = objectOf(objectOf(object.parent)?.subscription_details);
  const own = idOf(parent?.subscription) ?? idOf(object.subscription);
  const lines = listOf(objectOf(object.lines)?.data).map((line) => {
    const details = objectOf(objectOf(objectOf(line)?.parent)?.subscription_item_details);
    return idOf(details?.subscription) ?? idOf(objectOf(line)?.subscription);
  });
  return present([own, ...lines]);
}

function present(ids: readonly (string | null)[]): readonly string[] {
  return [...new Set(ids.filter((id) => id !== null))];
}

function newsOf(type: string, object: JsonObject): StripeNews {
  if (type.startsWith('customer.subscription.')) return subscriptionNews(object);
  if (type.startsWith('subscription_schedule.')) return scheduleNews(object);
  if (type.startsWith('checkout.session.')) return checkoutNews(type, object);
  if (type.startsWith('invoice.')) return { kind: 'doorbell' };
  if (type.startsWith('product.') || type.startsWith('price.'))
    return { kind: 'catalog', object: textOf(object.id) ?? '' };
  switch (type) {
    case 'customer.created':
    case 'customer.updated':
      return linkOf(textOf(object.id), textOf(objectOf(object.metadata)?.[CUSTOMER_METADATA]));
    case 'customer.deleted':
      return { kind: 'customer-deleted', customer: textOf(object.id) ?? '' };
    case 'entitlements.active_entitlement_summary.updated':
    case 'customer.discount.created':
    case 'customer.discount.updated':
    case 'customer.discount.deleted':
      return { kind: 'doorbell' };
    default:
      return { kind: 'nothing' };
  }
}

function subscriptionNews(object: JsonObject): StripeNews {
  const subscription = fromStripeSubscription(object);
  return subscription === null ? { kind: 'doorbell' } : { kind: 'subscription', subscription };
}

function scheduleNews(object: JsonObject): StripeNews {
  const schedule = fromStripeSchedule(object);
  if (schedule === null) return { kind: 'nothing' };
  return { kind: 'schedule', subscription: schedule.subscription, phases: schedule.phases };
}

/** A finished checkout says whose the customer is, in `client_reference_id` or in its metadata; it may come before its subscription. */
function checkoutNews(type: string, object: JsonObject): StripeNews {
  if (type === 'checkout.session.expired' || type === 'checkout.session.async_payment_failed')
    return { kind: 'nothing' };
  const key = textOf(objectOf(object.metadata)?.[CUSTOMER_METADATA]) ?? textOf(object.client_reference_id);
  return linkOf(idOf(object.customer), key);
}

function linkOf(customer: string | null, customerKey: string | null): StripeNews {
  return customer === null || customerKey === null
    ? { kind: 'doorbell' }
    : { kind: 'link', customer, customerKey };
}
