import type { ReservationState } from '@pennon/engine/model/decision';

/* The tables of what is held; `tables.ts` joins them with the others. */

export interface ReservationTable {
  customer_id: string;
  id: string;
  environment_id: string;
  product_id: string;
  feature: string;
  scope: string;
  amount: number;
  state: ReservationState;
  settled: number | null;
  created_at: Date;
  expires_at: Date;
  finished_at: Date | null;
  /** The context that it was made with, as JSON: whoever settles it is asked about in the same words. */
  context: string;
  attributes: string | null;
  actor: string;
}

export interface UsageHolderTable {
  customer_id: string;
  product_id: string;
  feature: string;
  scope: string;
  holder: string;
  environment_id: string;
  amount: number;
  since: Date;
}

export interface LeaseTable {
  name: string;
  holder: string;
  ends_at: Date;
}
