import type { BillingPhase, BillingSubscription } from '@pennon/engine/model/billing-subscription';
import type { JsonValue } from '@pennon/engine/model/json';
import type Stripe from 'stripe';
import { fromStripeSchedule, fromStripeSubscription } from './from-stripe-subscription.js';

/** A subscription as it is now, with what is planned of it. */
export interface FetchedSubscription {
  readonly subscription: BillingSubscription;
  readonly phases: readonly BillingPhase[];
}

/** The few questions that are asked of Stripe. */
export interface StripeClient {
  /** `null`: there is none of that id. */
  subscription(id: string): Promise<FetchedSubscription | null>;
  /** Every one of a customer, those that are over too. */
  subscriptionsOf(customer: string): Promise<readonly FetchedSubscription[]>;
  /** Everything of the account that is not over, page by page; `next` is what the next page begins after. */
  page(after: string | null): Promise<{
    readonly found: readonly FetchedSubscription[];
    readonly next: string | null;
  }>;
}

export interface StripeClientOptions {
  readonly apiKey: string;
  /** Of a connected account. */
  readonly account?: string;
  /** Another server that speaks Stripe's API, for tests. */
  readonly server?: { readonly host: string; readonly port: number; readonly protocol: 'http' | 'https' };
}

const TIMEOUT_MILLISECONDS = 10_000;
const RETRIES = 2;
const PAGE = 100;
/** The customer, because it may say which of ours it is. */
const EXPAND = ['schedule', 'customer'];

/** The client of Stripe's own package, at the API version that it was made for. It is loaded with the first question. */
export function createStripeClient({ apiKey, account, server }: StripeClientOptions): StripeClient {
  let made: ReturnType<typeof make> | null = null;
  const client = () => {
    made ??= make();
    return made;
  };
  async function make() {
    const { default: Stripe } = await import('stripe');
    const stripe = new Stripe(apiKey, {
      timeout: TIMEOUT_MILLISECONDS,
      maxNetworkRetries: RETRIES,
      telemetry: false,
      ...(account === undefined ? {} : { stripeAccount: account }),
      ...server,
    });
    return {
      stripe,
      isMissing: (error: unknown) => isMissing(error, Stripe.errors.StripeInvalidRequestError),
    };
  }

  return {
    async page(after) {
      const { stripe } = await client();
      const { data, has_more } = await stripe.subscriptions.list({
        limit: PAGE,
        expand: EXPAND.map((member) => `data.${member}`),
        ...(after === null ? {} : { starting_after: after }),
      });
      const found: FetchedSubscription[] = [];
      for (const one of data) found.push(...(await fetchedOf(stripe, one)));
      return { found, next: has_more ? (data.at(-1)?.id ?? null) : null };
    },
    async subscription(id) {
      const { stripe, isMissing: isGone } = await client();
      try {
        const [one = null] = await fetchedOf(
          stripe,
          await stripe.subscriptions.retrieve(id, { expand: EXPAND }),
        );
        return one;
      } catch (error) {
        if (isGone(error)) return null;
        throw error;
      }
    },
    async subscriptionsOf(customer) {
      const { stripe, isMissing: isGone } = await client();
      const found: FetchedSubscription[] = [];
      const pages = stripe.subscriptions.list({
        customer,
        status: 'all',
        limit: PAGE,
        expand: EXPAND.map((member) => `data.${member}`),
      });
      try {
        for await (const one of pages) found.push(...(await fetchedOf(stripe, one)));
      } catch (error) {
        // A customer that was deleted there has none.
        if (!isGone(error)) throw error;
      }
      return found;
    },
  };
}

/** With all of its items: a subscription holds the first of them, and says whether there are more. */
async function fetchedOf(stripe: Stripe, one: Stripe.Subscription): Promise<readonly FetchedSubscription[]> {
  const fetched = toFetched(one.items.has_more ? { ...one, items: await allItems(stripe, one.id) } : one);
  return fetched === null ? [] : [fetched];
}

async function allItems(stripe: Stripe, subscription: string) {
  const data: Stripe.SubscriptionItem[] = [];
  for await (const item of stripe.subscriptionItems.list({ subscription, limit: PAGE })) data.push(item);
  return { data, has_more: false };
}

/** The package's types are of one API version; what is read here stands in all of them. `null`: it is none that can be read. */
function toFetched(answer: unknown): FetchedSubscription | null {
  const said = JSON.parse(JSON.stringify(answer)) as JsonValue;
  const subscription = fromStripeSubscription(said);
  if (subscription === null) return null;
  const schedule = fromStripeSchedule((said as { readonly schedule?: JsonValue }).schedule);
  return { subscription, phases: schedule?.phases ?? [] };
}

/** Of an object in the path Stripe says 404, of one in the query 400 with the same code. */
function isMissing(error: unknown, Refusal: new (...given: never[]) => Error): boolean {
  if (!(error instanceof Refusal)) return false;
  const { statusCode, code } = error as { readonly statusCode?: unknown; readonly code?: unknown };
  return statusCode === 404 || code === 'resource_missing';
}
