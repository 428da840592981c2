/* The tables of recorded usage and of its history, as Kysely sees them; see `tables.ts`. */

export interface UsageEventTable {
  customer_id: string;
  received_at: Date;
  event_key: string;
  environment_id: string;
  product_id: string;
  source: string;
  event_id: string;
  type: string;
  feature: string;
  scope: string;
  amount: number;
  counted: number;
  occurred_at: Date;
  counted_at: Date;
  period_start: Date | null;
  corrects: string | null;
  attributes: string | null;
  actor: string;
}

export interface UsageHourTable {
  customer_id: string;
  product_id: string;
  feature: string;
  scope: string;
  hour: Date;
  dimensions: string;
  environment_id: string;
  aggregation: string;
  amount: number;
  events: number;
  last_at: Date;
  used_after: number | null;
  limit_after: number | null;
}

export interface UsageValueTable {
  customer_id: string;
  product_id: string;
  feature: string;
  scope: string;
  period_start: Date;
  value: string;
  environment_id: string;
}
