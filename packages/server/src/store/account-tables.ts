import type { Generated } from 'kysely';

/* What was used, and every decision about it (`tables.ts`). */

export interface AccountTable {
  customer_id: string;
  product_id: string;
  feature: string;
  scope: string;
  environment_id: string;
  period_start: Date | null;
  period_end: Date | null;
  used: number;
  reserved: number;
  /** No hold ends before it; `null`: nothing is held. */
  next_hold_end: Date | null;
  /** Of `used`, what was taken out of lots. */
  covered: Generated<number>;
  /** There may be lots that are not closed. */
  has_lots: Generated<boolean>;
  updated_at: Date;
  latest_at: Date | null;
  limit_known: number | null;
  percent: number | null;
  /** Of the current period: the rank of the highest level that stands as told. */
  told: number | null;
  told_at: Date | null;
  told_limit: number | null;
}

export interface AccountPeriodTable {
  customer_id: string;
  product_id: string;
  feature: string;
  scope: string;
  period_start: Date;
  environment_id: string;
  period_end: Date;
  used: number;
  covered: Generated<number>;
  closed_at: Date;
  latest_at: Date | null;
}

export interface ConsumptionTable {
  customer_id: string;
  decided_at: Date;
  id: string;
  item: number;
  environment_id: string;
  product_id: string;
  operation: string;
  idempotency_key: string;
  request_hash: Buffer;
  feature: string;
  scope: string;
  allowed: boolean;
  reason: string;
  enforcement: string;
  requested: number;
  consumed: number;
  used_after: number;
  reserved_after: number;
  limit_at_decision: number | null;
  period_start: Date | null;
  revision: number;
  attributes: string | null;
  answer: string | null;
  actor: string;
}
