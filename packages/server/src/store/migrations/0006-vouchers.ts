import { type Kysely, sql } from 'kysely';

/**
 * Vouchers (K-8): what a code gives, the codes as hashes, who redeemed which, and wrong codes counted in buckets of a minute.
 * Whether a voucher is expired or exhausted is told by the clock and the count, and stands nowhere.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // Effects are the JSON of a list of the model's GrantEffect. INVARIANT: the count never passes the limit, as the database's
  // second opinion; the first is the condition of the update that counts.
  `create table voucher (
    id uuid primary key,
    environment_id uuid not null,
    product_id uuid not null,
    key text collate "C" not null,
    name text,
    kind text collate "C" not null,
    state text collate "C" not null check (state in ('draft', 'active', 'archived')),
    effects text not null,
    target_kind text collate "C" not null check (target_kind in ('customer', 'instance', 'user')),
    lasts_days integer,
    lasts_until timestamptz(3),
    starts_at timestamptz(3) not null,
    ends_at timestamptz(3),
    max_redemptions bigint,
    max_per_customer bigint not null check (max_per_customer > 0),
    redeemed bigint not null,
    eligibility text,
    plans text,
    first_time_only boolean not null,
    stacking text collate "C" not null check (stacking in ('stackable', 'exclusive')),
    stacking_group text collate "C",
    contract_reference text,
    version bigint not null,
    created_at timestamptz(3) not null,
    unique (environment_id, product_id, key),
    check (redeemed >= 0 and (max_redemptions is null or redeemed <= max_redemptions)),
    check (lasts_days is not null or lasts_until is not null or contract_reference is not null)
  ) with (fillfactor = 70)`,

  // Two products may use the same word, and neither learns of the other's.
  `create table voucher_code (
    environment_id uuid not null,
    hash bytea not null,
    product_id uuid not null,
    id uuid not null,
    voucher_id uuid not null,
    batch_id uuid not null,
    kind text collate "C" not null check (kind in ('generated', 'typed')),
    hint text not null,
    max_redemptions bigint,
    redeemed bigint not null,
    created_at timestamptz(3) not null,
    primary key (environment_id, hash, product_id),
    check (redeemed >= 0 and (max_redemptions is null or redeemed <= max_redemptions))
  )`,
  `create index voucher_code_voucher on voucher_code (voucher_id, id)`,

  // The number is the customer's count of that voucher: unique, as a second opinion on the limit per customer.
  `create table voucher_redemption (
    customer_id uuid not null,
    id uuid not null,
    environment_id uuid not null,
    product_id uuid not null,
    voucher_id uuid not null,
    code_id uuid not null,
    code_hint text not null,
    number bigint not null,
    target_kind text collate "C" not null,
    target_key text collate "C" not null,
    grants text not null,
    kept text not null,
    redeemed_at timestamptz(3) not null,
    ends_at timestamptz(3),
    revoked_at timestamptz(3),
    revoke_reason text,
    version bigint not null,
    primary key (customer_id, id)
  )`,
  `create unique index voucher_redemption_number on voucher_redemption (customer_id, voucher_id, number)`,
  `create index voucher_redemption_voucher on voucher_redemption (voucher_id, id)`,
  `create index voucher_redemption_environment on voucher_redemption (environment_id, id)`,

  // Wrong codes by whom and from where, as hashes, in buckets of a minute. Written by failures only; what is past the window
  // is removed by those who write.
  `create table voucher_miss (
    environment_id uuid not null,
    subject bytea not null,
    bucket timestamptz(3) not null,
    misses bigint not null,
    primary key (environment_id, subject, bucket)
  )`,
  `create index voucher_miss_bucket on voucher_miss (bucket)`,
];
