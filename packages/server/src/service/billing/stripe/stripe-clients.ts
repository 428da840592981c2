import { LRUCache } from 'lru-cache';
import type { BillingConnectionRow } from '../../../store/inbox-rows.js';
import { createStripeClient, type StripeClient, type StripeClientOptions } from './stripe-client.js';

type Connection = Pick<BillingConnectionRow, 'id' | 'api_key' | 'account'>;

const MOST = 200;

/**
 * Who asks Stripe for a connection: one client as long as its key and account stay, so that its connections to Stripe are kept open.
 * `null`: it has no key, and what the events say counts.
 */
export function createStripeClients(
  server?: StripeClientOptions['server'],
): (connection: Connection) => StripeClient | null {
  const clients = new LRUCache<string, { readonly name: string; readonly client: StripeClient }>({
    max: MOST,
  });
  return ({ id, api_key: apiKey, account }) => {
    if (apiKey === null) return null;
    const name = `${account} ${apiKey}`;
    const known = clients.get(id);
    if (known?.name === name) return known.client;
    const client = createStripeClient({
      apiKey,
      ...(account === '' ? {} : { account }),
      ...(server === undefined ? {} : { server }),
    });
    clients.set(id, { name, client });
    return client;
  };
}
