import type { JsonObject, JsonValue } from '@pennon/engine/model/json';

/*
 * Payloads in the shapes in which Stripe sends them, before and since `2025-03-31.basil`: then periods moved from the subscription
 * to its items, and the subscription of an invoice below `parent`.
 */

export const VERSIONS = { old: '2024-06-20', new: '2026-06-24.dahlia' } as const;
export type Version = keyof typeof VERSIONS;

/** 2026-01-01T00:00:00Z, in seconds. */
export const T0 = Date.UTC(2026, 0, 1) / 1000;
export const MONTH = 31 * 86_400;

export interface SubscriptionSaid {
  readonly id?: string;
  readonly customer?: JsonValue;
  readonly status?: string;
  readonly items?: readonly JsonObject[];
  readonly more?: JsonObject;
}

export function price(id: string, more: JsonObject = {}): JsonObject {
  return {
    id,
    object: 'price',
    active: true,
    billing_scheme: 'per_unit',
    created: T0 - 1000,
    currency: 'usd',
    livemode: true,
    lookup_key: null,
    metadata: {},
    nickname: null,
    product: 'prod_1',
    recurring: {
      interval: 'month',
      interval_count: 1,
      usage_type: 'licensed',
      meter: null,
      trial_period_days: null,
    },
    tax_behavior: 'unspecified',
    tiers_mode: null,
    transform_quantity: null,
    type: 'recurring',
    unit_amount: 10_000,
    unit_amount_decimal: '10000',
    ...more,
  };
}

export function item(version: Version, priced: JsonObject, more: JsonObject = {}): JsonObject {
  const period = { current_period_start: T0, current_period_end: T0 + MONTH };
  return {
    id: `si_${String(priced.id)}`,
    object: 'subscription_item',
    billing_thresholds: null,
    created: T0,
    ...(version === 'new' ? { ...period, discounts: [] } : {}),
    metadata: {},
    price: priced,
    quantity: 1,
    subscription: 'sub_1',
    tax_rates: [],
    ...more,
  };
}

export function subscription(version: Version, said: SubscriptionSaid = {}): JsonObject {
  const period = { current_period_start: T0, current_period_end: T0 + MONTH };
  const items = said.items ?? [item(version, price('price_pro'))];
  return {
    id: said.id ?? 'sub_1',
    object: 'subscription',
    application: null,
    automatic_tax: { enabled: false, liability: null },
    billing_cycle_anchor: T0,
    ...(version === 'new' ? { billing_mode: { type: 'flexible' } } : period),
    cancel_at: null,
    cancel_at_period_end: false,
    canceled_at: null,
    cancellation_details: { comment: null, feedback: null, reason: null },
    collection_method: 'charge_automatically',
    created: T0,
    currency: 'usd',
    customer: said.customer ?? 'cus_1',
    days_until_due: null,
    default_payment_method: null,
    description: null,
    ended_at: null,
    items: {
      object: 'list',
      data: [...items],
      has_more: false,
      total_count: items.length,
      url: '/v1/subscription_items',
    },
    latest_invoice: 'in_1',
    livemode: true,
    metadata: {},
    pause_collection: null,
    pending_setup_intent: null,
    pending_update: null,
    schedule: null,
    start_date: T0,
    status: said.status ?? 'active',
    test_clock: null,
    trial_end: null,
    trial_start: null,
    ...said.more,
  };
}

export function invoice(version: Version, more: JsonObject = {}): JsonObject {
  const line: JsonObject =
    version === 'new'
      ? {
          id: 'il_1',
          object: 'line_item',
          amount: 10_000,
          parent: {
            type: 'subscription_item_details',
            subscription_item_details: { subscription: 'sub_1', subscription_item: 'si_price_pro' },
          },
          period: { start: T0, end: T0 + MONTH },
          pricing: { type: 'price_details', price_details: { price: 'price_pro', product: 'prod_1' } },
        }
      : {
          id: 'il_1',
          object: 'line_item',
          amount: 10_000,
          period: { start: T0, end: T0 + MONTH },
          price: price('price_pro'),
          subscription: 'sub_1',
          subscription_item: 'si_price_pro',
          type: 'subscription',
        };
  return {
    id: 'in_1',
    object: 'invoice',
    amount_due: 10_000,
    amount_paid: 10_000,
    attempt_count: 1,
    billing_reason: 'subscription_cycle',
    created: T0,
    currency: 'usd',
    customer: 'cus_1',
    lines: { object: 'list', data: [line], has_more: false, url: '/v1/invoices/in_1/lines' },
    livemode: true,
    metadata: {},
    next_payment_attempt: null,
    ...(version === 'new'
      ? {
          parent: {
            type: 'subscription_details',
            subscription_details: { metadata: {}, subscription: 'sub_1' },
          },
        }
      : { subscription: 'sub_1', subscription_details: { metadata: {} }, paid: true }),
    status: 'paid',
    ...more,
  };
}

export function schedule(status: string, phases: readonly JsonObject[], more: JsonObject = {}): JsonObject {
  return {
    id: 'sub_sched_1',
    object: 'subscription_schedule',
    canceled_at: null,
    completed_at: null,
    created: T0,
    current_phase: status === 'active' ? { start_date: T0, end_date: T0 + MONTH } : null,
    customer: 'cus_1',
    end_behavior: 'release',
    livemode: true,
    metadata: {},
    phases: [...phases],
    released_at: null,
    released_subscription: null,
    status,
    subscription: 'sub_1',
    ...more,
  };
}

export function phase(start: number, priced: string, quantity = 1): JsonObject {
  return {
    start_date: start,
    end_date: start + MONTH,
    items: [
      {
        billing_thresholds: null,
        discounts: [],
        metadata: {},
        plan: priced,
        price: priced,
        quantity,
        tax_rates: [],
      },
    ],
    proration_behavior: 'create_prorations',
    trial_end: null,
  };
}

export function checkout(more: JsonObject = {}): JsonObject {
  return {
    id: 'cs_1',
    object: 'checkout.session',
    client_reference_id: 'acme',
    created: T0,
    currency: 'usd',
    customer: 'cus_1',
    livemode: true,
    metadata: {},
    mode: 'subscription',
    payment_status: 'paid',
    status: 'complete',
    subscription: 'sub_1',
    ...more,
  };
}

export function customer(more: JsonObject = {}): JsonObject {
  return {
    id: 'cus_1',
    object: 'customer',
    created: T0,
    email: 'a@example.com',
    livemode: true,
    metadata: {},
    ...more,
  };
}

let events = 0;

export function event(version: Version, type: string, object: JsonObject, more: JsonObject = {}): JsonObject {
  events += 1;
  return {
    id: `evt_${events}`,
    object: 'event',
    api_version: VERSIONS[version],
    created: T0,
    data: { object },
    livemode: true,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type,
    ...more,
  };
}
