import type { Instant } from '@pennon/engine/model/customer';
import type { BillingNews } from '../billing-news.js';
import type { StripeEvent } from './from-stripe-event.js';
import type { FetchedSubscription, StripeClient } from './stripe-client.js';

/** Above the rank of every event: what was asked for in the same second is newer than what was told. */
const FETCHED = 4;

/**
 * What is true now of all that an event concerns: with a key, an event is a doorbell. `startedAt` is when it was asked, so that what is
 * told to have happened since is newer.
 */
export async function fetchStripeNews(
  client: StripeClient,
  event: StripeEvent,
  startedAt: Instant,
): Promise<readonly BillingNews[]> {
  const { news, subscriptions, customer } = event;
  if (news.kind === 'nothing' || news.kind === 'catalog') return [];
  const fetched = await fetchAll(client, subscriptions, customer);
  return fetched.flatMap((one) => fetchedNewsOf(one, startedAt, event.id));
}

/** Those that are named; of an event that names none, all of the customer. */
async function fetchAll(
  client: StripeClient,
  subscriptions: readonly string[],
  customer: string | null,
): Promise<readonly FetchedSubscription[]> {
  if (subscriptions.length === 0) return customer === null ? [] : client.subscriptionsOf(customer);
  const found: FetchedSubscription[] = [];
  for (const id of subscriptions) {
    const one = await client.subscription(id);
    if (one !== null) found.push(one);
  }
  return found;
}

export function fetchedNewsOf(
  { subscription, phases }: FetchedSubscription,
  at: Instant,
  id: string,
): BillingNews[] {
  const mark = { at, rank: FETCHED, id };
  return [
    { kind: 'subscription', mark, subscription },
    { kind: 'schedule', mark, customer: subscription.customer, subscription: subscription.id, phases },
  ];
}
