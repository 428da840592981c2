/* The table of what is to be told, as Kysely sees it; see `tables.ts`. */

export interface OutboxEventTable {
  id: string;
  occurred_at: Date;
  environment_id: string;
  product_id: string | null;
  customer_id: string | null;
  /** `limit.reached`, for example. */
  type: string;
  /** What it is about: a feature's key, for example. */
  subject: string | null;
  /** Whose account of the customer it is about; empty: the customer's own. */
  scope: string;
  /** Canonical JSON; names no person. */
  data: string;
  /** A 64-bit transaction id, as text. */
  transaction_id: string;
  sequence: number | null;
}
