import { type BillingAdapter, headerOf } from '../billing-adapter.js';
import type { BillingNews } from '../billing-news.js';
import { checkStripeSignature } from '../signatures/check-stripe-signature.js';
import { fromStripeEvent, type StripeEvent } from './from-stripe-event.js';

export const stripeAdapter: BillingAdapter = {
  checkSignature: (headers, signed) => checkStripeSignature(headerOf(headers, 'stripe-signature'), signed),
  readEvent(body) {
    const event = fromStripeEvent(body);
    if (event === null) return null;
    const { id, type, account, isLive, customer, mark } = event;
    return {
      id,
      type,
      account,
      isLive,
      subject: customer,
      occurredAt: mark.at,
      rings: ringsFor(event),
      news: newsOf(event),
    };
  },
};

/** Whether there is something to be fetched. */
function ringsFor({ news, subscriptions, customer }: StripeEvent): boolean {
  const isSilent = news.kind === 'nothing' || news.kind === 'catalog';
  return !isSilent && (subscriptions.length > 0 || customer !== null);
}

/** What the payload itself says; a doorbell says nothing without somebody who fetches. */
function newsOf({ news, mark, customer }: StripeEvent): readonly BillingNews[] {
  switch (news.kind) {
    case 'subscription':
      return [{ kind: 'subscription', mark, subscription: news.subscription }];
    case 'schedule':
      return customer === null
        ? []
        : [{ kind: 'schedule', mark, customer, subscription: news.subscription, phases: news.phases }];
    case 'link':
      return [{ kind: 'link', customer: news.customer, customerKey: news.customerKey }];
    case 'customer-deleted':
    case 'catalog':
    case 'doorbell':
    case 'nothing':
      return [];
  }
}
