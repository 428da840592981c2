import type { ColumnType, Generated } from 'kysely';

/* What billing providers tell and what it made, as Kysely sees it; see `tables.ts`. */

export type BillingProvider = 'stripe' | 'paddle' | 'standard' | 'api';

export interface BillingConnectionTable {
  id: string;
  environment_id: string;
  key: string;
  provider: BillingProvider;
  /** The key of the catalogs' `billing` entry. */
  mapping: string;
  is_live: boolean;
  account: Generated<string>;
  /** The JSON of a list of `{ id, secret, createdAt, endsAt }`. */
  secrets: string;
  /** With one, an event is a doorbell, and what it concerns is fetched. */
  api_key: ColumnType<string | null, string | null | undefined, string | null>;
  /** When everything was last asked of the provider; `null`: never, or somebody wants it asked again. */
  reconciled_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
  version: number;
  created_at: Date;
}

export type InboxState = 'waiting' | 'done' | 'ignored' | 'dead';

export interface WebhookInboxTable {
  connection_id: string;
  account: string;
  /** The provider's. */
  event_id: string;
  id: string;
  environment_id: string;
  type: string;
  /** The provider's customer. */
  subject: string | null;
  occurred_at: Date;
  received_at: Date;
  /** As it came; `null` once it may not be kept any more. */
  body: string | null;
  state: InboxState;
  attempts: Generated<number>;
  due_at: Date;
  problem: string | null;
}

export interface BillingCustomerTable {
  connection_id: string;
  /** The provider's. */
  customer: string;
  environment_id: string;
  customer_id: string;
  linked_at: Date;
}

export interface BillingSubscriptionTable {
  connection_id: string;
  /** The provider's. */
  subscription: string;
  environment_id: string;
  /** The provider's. */
  customer: string;
  /** The JSON of the engine's `BillingRecord`. */
  record: string;
  /** The clock alone changes then what it gives. */
  again_at: Date | null;
  version: number;
  updated_at: Date;
}

export interface BillingLicenseTable {
  customer_id: string;
  connection_id: string;
  subscription: string;
  product_id: string;
  slot: number;
  environment_id: string;
  license_id: string;
  /** The JSON of the engine's `DesiredLicense`. */
  desired: string;
}

export interface BillingProblemTable {
  connection_id: string;
  subscription: string;
  number: number;
  environment_id: string;
  code: string;
  product: string | null;
  name: string | null;
  /** The JSON of the engine's `BillingItem`. */
  item: string | null;
  is_held: boolean;
  since: Date;
}
