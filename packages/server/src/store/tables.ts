import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import type { ColumnType, Generated } from 'kysely';
import type { AccountPeriodTable, AccountTable, ConsumptionTable } from './account-tables.js';
import type {
  BillingConnectionTable,
  BillingCustomerTable,
  BillingLicenseTable,
  BillingProblemTable,
  BillingSubscriptionTable,
  WebhookInboxTable,
} from './billing-tables.js';
import type {
  ClockToldTable,
  EventStreamTable,
  StateDueTable,
  StateToldTable,
  StateWalkTable,
  WebhookAttemptTable,
  WebhookDeliveryTable,
  WebhookSecretTable,
  WebhookTable,
} from './hook-tables.js';
import type { CreditLotTable } from './lot-tables.js';
import type { OutboxEventTable } from './outbox-tables.js';
import type { LeaseTable, ReservationTable, UsageHolderTable } from './reservation-tables.js';
import type { UsageEventTable, UsageHourTable, UsageValueTable } from './usage-tables.js';
import type {
  VoucherCodeTable,
  VoucherMissTable,
  VoucherRedemptionTable,
  VoucherTable,
} from './voucher-tables.js';

/**
 * The tables as Kysely sees them. `bigint` columns are numbers: the driver refuses one that is not a safe
 * integer (see `database.ts`). `timestamptz(3)` columns are `Date`; `toInstant` and `fromInstant` convert. `jsonb` columns
 * are read as values and written as JSON text.
 */
export interface Tables {
  installation: InstallationTable;
  environment: EnvironmentTable;
  product: ProductTable;
  catalog_item: CatalogItemTable;
  revision: RevisionTable;
  environment_revision: EnvironmentRevisionTable;
  api_key: ApiKeyTable;
  token_key: TokenKeyTable;
  customer: CustomerTable;
  search_word: SearchWordTable;
  subject_name: SubjectNameTable;
  customer_user: CustomerUserTable;
  instance: InstanceTable;
  license: LicenseTable;
  plan_move: PlanMoveTable;
  plan_move_item: PlanMoveItemTable;
  membership: MembershipTable;
  access_grant: AccessGrantTable;
  bundle: BundleTable;
  bundle_application: BundleApplicationTable;
  account: AccountTable;
  account_period: AccountPeriodTable;
  consumption: ConsumptionTable;
  reservation: ReservationTable;
  usage_holder: UsageHolderTable;
  lease: LeaseTable;
  credit_lot: CreditLotTable;
  outbox_event: OutboxEventTable;
  event_stream: EventStreamTable;
  clock_told: ClockToldTable;
  state_due: StateDueTable;
  state_told: StateToldTable;
  state_walk: StateWalkTable;
  webhook: WebhookTable;
  webhook_secret: WebhookSecretTable;
  webhook_delivery: WebhookDeliveryTable;
  webhook_attempt: WebhookAttemptTable;
  usage_event: UsageEventTable;
  usage_hour: UsageHourTable;
  usage_value: UsageValueTable;
  audit_entry: AuditEntryTable;
  personal_key: PersonalKeyTable;
  change: ChangeTable;
  idempotency: IdempotencyTable;
  voucher: VoucherTable;
  voucher_code: VoucherCodeTable;
  voucher_redemption: VoucherRedemptionTable;
  voucher_miss: VoucherMissTable;
  billing_connection: BillingConnectionTable;
  webhook_inbox: WebhookInboxTable;
  billing_customer: BillingCustomerTable;
  billing_subscription: BillingSubscriptionTable;
  billing_license: BillingLicenseTable;
  billing_problem: BillingProblemTable;
}

type Json<Value> = ColumnType<Value, string, string>;

export interface InstallationTable {
  id: string;
  created_at: Date;
}

export interface EnvironmentTable {
  id: string;
  key: string;
  name: string;
  protected: boolean;
  version: number;
  created_at: Date;
  subject_version: Generated<number>;
  shared_version: Generated<number>;
}

export interface ProductTable {
  id: string;
  key: string;
  name: string;
  head_revision: number;
  version: number;
  created_at: Date;
}

export interface CatalogItemTable {
  product_id: string;
  kind: string;
  key: string;
  version: number;
  from_revision: number;
  to_revision: number | null;
  position: number;
  text: string;
  hash: string;
}

export interface RevisionTable {
  product_id: string;
  number: number;
  audit_entry_id: string;
  created_at: Date;
}

export interface EnvironmentRevisionTable {
  product_id: string;
  environment_id: string;
  revision: number;
  effective_hash: string;
  published_at: Date;
}

export interface ApiKeyTable {
  id: string;
  kind: 'admin' | 'server' | 'client';
  environment_id: string | null;
  product_id: string | null;
  name: string;
  secret_hash: Buffer;
  hint: string;
  version: number;
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
}

export interface TokenKeyTable {
  id: string;
  environment_id: string;
  product_id: string | null;
  name: string;
  public_jwk: string;
  version: number;
  created_at: Date;
  retires_at: Date | null;
  revoked_at: Date | null;
}

export interface CustomerTable {
  id: string;
  environment_id: string;
  key: string;
  external_id: string | null;
  name: string | null;
  email: string | null;
  time_zone: string | null;
  attributes: Json<JsonObject>;
  version: number;
  created_at: Date;
  archived_at: Date | null;
  erased_at: Generated<Date | null>;
}

export interface SearchWordTable {
  customer_id: string;
  kind: 'customer' | 'archived' | 'user' | 'instance';
  /** Of the user or instance; empty for a customer. */
  key: string;
  /** Folded (`search-words.ts`), at most 128 characters. */
  word: string;
  environment_id: string;
}

/** How audit entries name a customer, user, team or instance: erasing removes the row. */
export interface SubjectNameTable {
  environment_id: string;
  kind: 'customer' | 'user' | 'team' | 'instance';
  key: string;
  id: string;
  created_at: Date;
}

export interface CustomerUserTable {
  customer_id: string;
  id: string;
  key: string;
  environment_id: string;
  name: string | null;
  email: string | null;
  attributes: Json<JsonObject>;
  version: number;
  created_at: Date;
}

export interface InstanceTable {
  customer_id: string;
  id: string;
  environment_id: string;
  key: string;
  name: string | null;
  metadata: Json<JsonObject>;
  version: number;
  created_at: Date;
}

export interface LicenseTable {
  customer_id: string;
  id: string;
  environment_id: string;
  product_id: string;
  plan_key: string;
  plan_version: number;
  quantity: number;
  kind: string;
  status: string;
  starts_at: Date;
  ends_at: Date | null;
  grace_ends_at: Date | null;
  anchor: string;
  time_zone: string | null;
  sku: string | null;
  contract_reference: string | null;
  addons: Json<JsonValue>;
  version: number;
  created_at: Date;
  /** `[{plan, planVersion, until}]`, oldest first, `until` in milliseconds since the epoch. */
  earlier_plans: ColumnType<JsonValue, string | undefined, string>;
  next_plan_key: ColumnType<string | null, string | null | undefined, string | null>;
  next_plan_version: ColumnType<number | null, number | null | undefined, number | null>;
  next_plan_at: ColumnType<Date | null, Date | null | undefined, Date | null>;
  next_anchor: ColumnType<string | null, string | null | undefined, string | null>;
  next_move_id: ColumnType<string | null, string | null | undefined, string | null>;
  /** `{status, endsAt}` as they were, for the way back. */
  before_cancel: ColumnType<JsonValue | null, string | null | undefined, string | null>;
  /** When the anchor was last moved. */
  anchor_since: ColumnType<Date | null, Date | null | undefined, Date | null>;
}

export type PlanMoveStatus =
  | 'previewing'
  | 'draft'
  | 'running'
  | 'finished'
  | 'undoing'
  | 'undone'
  | 'discarded';

export interface PlanMoveTable {
  id: string;
  environment_id: string;
  product_id: string;
  from_plan: string;
  from_version: number;
  to_plan: string;
  to_version: number;
  selector: string | null;
  /** Keys; `null`: everyone. */
  customers: ColumnType<JsonValue | null, string | null, string | null>;
  timing: 'now' | 'period-end' | 'at';
  at: Date | null;
  usage: 'carry' | 'reset';
  reason: string;
  status: PlanMoveStatus;
  cursor_customer_id: string | null;
  cursor_license_id: string | null;
  examined: Generated<number>;
  selected: Generated<number>;
  applied: Generated<number>;
  failed: Generated<number>;
  skipped: Generated<number>;
  undone: Generated<number>;
  gaining: Generated<number>;
  losing: Generated<number>;
  over: Generated<number>;
  actor_kind: string;
  actor_id: string;
  lease_holder: string | null;
  lease_until: Date | null;
  fault: string | null;
  version: number;
  created_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
}

export type PlanMoveItemState = 'selected' | 'applied' | 'failed' | 'skipped' | 'undone';

export interface PlanMoveItemTable {
  move_id: string;
  customer_id: string;
  license_id: string;
  environment_id: string;
  customer_key: string;
  state: PlanMoveItemState;
  code: string | null;
  message: string | null;
  due_at: Date | null;
  gains: boolean;
  loses: boolean;
  over: boolean;
  effect: string;
}

export interface MembershipTable {
  environment_id: string;
  member_kind: 'customer' | 'team' | 'user' | 'instance';
  member_key: string;
  product_id: string;
  container_kind: 'group' | 'segment';
  container_key: string;
  id: string;
  starts_at: Date;
  ends_at: Date | null;
  reason: string;
  version: number;
  created_at: Date;
}

export interface AccessGrantTable {
  id: string;
  environment_id: string;
  product_id: string;
  target_kind: 'user' | 'instance' | 'customer' | 'group' | 'segment';
  target_key: string;
  kind: string;
  /** The JSON of the model's `GrantEffect`. */
  effect: string;
  starts_at: Date;
  ends_at: Date | null;
  reason: string;
  owner: string | null;
  contract_reference: string | null;
  source: string | null;
  revoked_at: Date | null;
  revoke_reason: string | null;
  version: number;
  created_at: Date;
  /** The application of a bundle that made it. */
  application_id: string | null;
}

export interface BundleTable {
  environment_id: string;
  product_id: string;
  key: string;
  id: string;
  name: string;
  description: string | null;
  kind: string;
  days: number | null;
  owner: string | null;
  /** A JSON list of the model's `GrantEffect`. */
  effects: string;
  version: number;
  created_at: Date;
}

export interface BundleApplicationTable {
  id: string;
  environment_id: string;
  product_id: string;
  bundle_key: string;
  bundle_version: number;
  target_kind: 'user' | 'instance' | 'customer' | 'group' | 'segment';
  target_key: string;
  kind: string;
  starts_at: Date;
  ends_at: Date | null;
  reason: string;
  owner: string | null;
  contract_reference: string | null;
  source: string | null;
  revoked_at: Date | null;
  revoke_reason: string | null;
  version: number;
  created_at: Date;
}

export interface AuditEntryTable {
  id: string;
  occurred_at: Date;
  environment_id: string | null;
  product_id: string | null;
  actor_kind: string;
  actor_id: string;
  action: string;
  object_kind: string;
  object_id: string;
  object_version: number;
  bytes: Buffer;
}

export interface PersonalKeyTable {
  environment_id: string;
  subject_kind: string;
  subject_id: string;
  secret: Buffer;
  created_at: Date;
}

export interface ChangeTable {
  /** xid8, as decimal text. */
  transaction_id: Generated<string>;
  id: string;
  kind: string;
  environment_id: string | null;
  product_id: string | null;
  subject_kind: string | null;
  subject_key: string | null;
  revision: number | null;
  version: number | null;
  created_at: Date;
}

export interface IdempotencyTable {
  /** All zeroes: of a credential that reaches every environment. */
  environment_id: string;
  key_digest: Buffer;
  request_digest: Buffer;
  answer: Buffer;
  created_at: Date;
}
