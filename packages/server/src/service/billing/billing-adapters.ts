import type { BillingProvider } from '../../store/billing-tables.js';
import type { BillingAdapter } from './billing-adapter.js';
import { paddleAdapter } from './paddle/paddle-adapter.js';
import { polarAdapter } from './polar/polar-adapter.js';
import { stripeAdapter } from './stripe/stripe-adapter.js';

/** Providers that deliver to a webhook; `api` is told by calls of the management API. */
export type WebhookProvider = Exclude<BillingProvider, 'api'>;
export type BillingAdapters = Readonly<Record<WebhookProvider, BillingAdapter>>;

export const BILLING_ADAPTERS: BillingAdapters = {
  stripe: stripeAdapter,
  paddle: paddleAdapter,
  standard: polarAdapter,
};
