import type { Generated } from 'kysely';

/* Vouchers, their codes, redemptions and wrong guesses, as Kysely sees them; see `tables.ts`. */

export interface VoucherTable {
  id: string;
  environment_id: string;
  product_id: string;
  key: string;
  name: string | null;
  kind: 'FLAG_GRANT' | 'ENTITLEMENT_BOOST' | 'CONFIG_GRANT' | 'COMPOSITE';
  state: 'draft' | 'active' | 'archived';
  /** The JSON of a list of the model's `GrantEffect`. */
  effects: string;
  target_kind: 'customer' | 'instance' | 'user';
  /** Both null: without an end. */
  lasts_days: number | null;
  lasts_until: Date | null;
  starts_at: Date;
  ends_at: Date | null;
  max_redemptions: number | null;
  max_per_customer: number;
  redeemed: number;
  eligibility: string | null;
  /** The JSON of a list of plan names. */
  plans: string | null;
  first_time_only: boolean;
  stacking: 'stackable' | 'exclusive';
  stacking_group: string | null;
  contract_reference: string | null;
  version: number;
  created_at: Date;
}

export interface VoucherCodeTable {
  environment_id: string;
  hash: Buffer;
  product_id: string;
  id: string;
  voucher_id: string;
  batch_id: string;
  kind: 'generated' | 'typed';
  hint: string;
  max_redemptions: number | null;
  redeemed: number;
  created_at: Date;
  withdrawn_at: Date | null;
  withdraw_reason: string | null;
  /** Of what a person changes; redeeming leaves it. */
  version: Generated<number>;
}

export interface VoucherRedemptionTable {
  customer_id: string;
  id: string;
  environment_id: string;
  product_id: string;
  voucher_id: string;
  code_id: string;
  code_hint: string;
  number: number;
  target_kind: 'customer' | 'instance' | 'user';
  target_key: string;
  /** JSON: `[{ id, effect }]`. */
  grants: string;
  /** JSON: `[{ feature, scope, amount, until, grant }]`. */
  kept: string;
  redeemed_at: Date;
  ends_at: Date | null;
  revoked_at: Date | null;
  revoke_reason: string | null;
  version: number;
}

export interface VoucherMissTable {
  environment_id: string;
  subject: Buffer;
  bucket: Date;
  misses: number;
}
