import type { LotKind } from '@pennon/engine/model/customer';

/* The table of balances; `tables.ts` joins it with the others. */

export interface CreditLotTable {
  customer_id: string;
  id: string;
  environment_id: string;
  product_id: string;
  feature: string;
  scope: string;
  kind: LotKind;
  priority: number;
  amount: number;
  remaining: number;
  starts_at: Date;
  ends_at: Date | null;
  source: string | null;
  reason: string;
  /** The grant that made it. */
  grant_id: string | null;
  voided_at: Date | null;
  void_reason: string | null;
  /** It is voided, has ended or is used up for good: no consume reads it any more. */
  closed_at: Date | null;
  version: number;
  created_at: Date;
}
