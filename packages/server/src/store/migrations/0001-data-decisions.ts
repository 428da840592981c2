import { type Kysely, sql } from 'kysely';

/**
 * The data decisions of the design (storage and scale), as the first migration, so that they never need a rewrite:
 * environments and products side by side, customers and all that is theirs in an environment, catalogs as item rows of a
 * product, audit entries as the bytes to be hashed. No extension, no trigger, no sequence; ids come from the application.
 * Foreign keys stand only where rows are few and cold.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  `create table installation (
    id uuid primary key,
    created_at timestamptz(3) not null
  )`,

  `create table environment (
    id uuid primary key,
    key text collate "C" not null unique,
    name text not null,
    protected boolean not null,
    version bigint not null,
    created_at timestamptz(3) not null,
    -- Raised by every change of a user, team or instance, and of a grant of a group or segment: a consume compares them with
    -- what its process read, because such a change reaches customers whose own version it cannot raise.
    subject_version bigint not null default 0,
    shared_version bigint not null default 0
  )`,

  `create table product (
    id uuid primary key,
    key text collate "C" not null unique,
    name text not null,
    head_revision bigint not null,
    version bigint not null,
    created_at timestamptz(3) not null
  )`,

  // One row per version of an item; the live one has no to_revision. Text, never jsonb: jsonb would reorder members.
  `create table catalog_item (
    product_id uuid not null references product (id),
    kind text collate "C" not null,
    key text collate "C" not null,
    version bigint not null,
    from_revision bigint not null,
    to_revision bigint,
    position integer not null,
    text text not null,
    hash text collate "C" not null,
    primary key (product_id, kind, key, from_revision)
  )`,
  `create unique index catalog_item_live on catalog_item (product_id, kind, key) where to_revision is null`,

  `create table revision (
    product_id uuid not null references product (id),
    number bigint not null,
    audit_entry_id uuid not null,
    created_at timestamptz(3) not null,
    primary key (product_id, number)
  )`,

  // Where each environment stands, per product. The hash tells whether a revision changed anything there.
  `create table environment_revision (
    product_id uuid not null references product (id),
    environment_id uuid not null references environment (id),
    revision bigint not null,
    effective_hash text collate "C" not null,
    published_at timestamptz(3) not null,
    primary key (product_id, environment_id)
  )`,

  // A null environment or product means all of them; only admin keys may have one.
  `create table api_key (
    id uuid primary key,
    kind text collate "C" not null check (kind in ('admin', 'server', 'client')),
    environment_id uuid references environment (id),
    product_id uuid references product (id),
    name text not null,
    secret_hash bytea not null unique,
    hint text not null,
    version bigint not null,
    created_at timestamptz(3) not null,
    expires_at timestamptz(3),
    revoked_at timestamptz(3),
    check (kind = 'admin' or environment_id is not null)
  )`,

  // The public half of a key pair made here; the private half is shown once and never stored.
  `create table token_key (
    id uuid primary key,
    environment_id uuid not null references environment (id),
    product_id uuid references product (id),
    name text not null,
    public_jwk text not null,
    version bigint not null,
    created_at timestamptz(3) not null,
    retires_at timestamptz(3),
    revoked_at timestamptz(3)
  )`,

  `create table customer (
    id uuid primary key,
    environment_id uuid not null references environment (id),
    key text collate "C" not null,
    external_id text collate "C",
    name text,
    email text,
    time_zone text,
    attributes jsonb not null,
    version bigint not null,
    created_at timestamptz(3) not null,
    archived_at timestamptz(3),
    unique (environment_id, key)
  )`,
  `create index customer_external_id on customer (environment_id, external_id) where external_id is not null`,

  // What a customer is found by: each word of its name, its key, its external id and its mail, in lower case.
  `create table customer_word (
    customer_id uuid not null,
    word text collate "C" not null,
    environment_id uuid not null,
    primary key (customer_id, word)
  )`,
  `create index customer_word_word on customer_word (environment_id, word, customer_id)`,

  `create table customer_user (
    customer_id uuid not null,
    key text collate "C" not null,
    environment_id uuid not null,
    name text,
    email text,
    attributes jsonb not null,
    version bigint not null,
    created_at timestamptz(3) not null,
    primary key (customer_id, key)
  )`,
  `create index customer_user_key on customer_user (environment_id, key)`,

  `create table instance (
    customer_id uuid not null,
    id uuid not null,
    environment_id uuid not null,
    key text collate "C" not null,
    name text,
    metadata jsonb not null,
    version bigint not null,
    created_at timestamptz(3) not null,
    primary key (customer_id, id)
  )`,
  `create unique index instance_key on instance (environment_id, key)`,
  `create index instance_id on instance (id)`,

  `create table license (
    customer_id uuid not null,
    id uuid not null,
    environment_id uuid not null,
    product_id uuid not null,
    plan_key text collate "C" not null,
    plan_version integer not null,
    quantity bigint not null check (quantity > 0),
    kind text collate "C" not null,
    status text collate "C" not null,
    starts_at timestamptz(3) not null,
    ends_at timestamptz(3),
    grace_ends_at timestamptz(3),
    anchor text not null,
    time_zone text,
    sku text,
    contract_reference text,
    addons jsonb not null,
    version bigint not null,
    created_at timestamptz(3) not null,
    primary key (customer_id, id),
    check (ends_at is null or ends_at >= starts_at)
  )`,
  `create index license_id on license (id)`,
  `create index license_plan on license (environment_id, product_id, plan_key, plan_version)`,

  // Members of groups (customers only) and of segments. They are named by key and may be keys never seen before.
  `create table membership (
    environment_id uuid not null,
    member_kind text collate "C" not null check (member_kind in ('customer', 'team', 'user', 'instance')),
    member_key text collate "C" not null,
    product_id uuid not null,
    container_kind text collate "C" not null check (container_kind in ('group', 'segment')),
    container_key text collate "C" not null,
    id uuid not null,
    starts_at timestamptz(3) not null,
    ends_at timestamptz(3),
    reason text not null,
    version bigint not null,
    created_at timestamptz(3) not null,
    primary key (environment_id, member_kind, member_key, product_id, container_kind, container_key)
  )`,
  `create index membership_container
    on membership (environment_id, product_id, container_kind, container_key, member_kind, member_key)`,

  // "grant" is a word of SQL, so the table is called access_grant. Its effect is the JSON of the model's GrantEffect.
  `create table access_grant (
    id uuid primary key,
    environment_id uuid not null,
    product_id uuid not null,
    target_kind text collate "C" not null
      check (target_kind in ('user', 'instance', 'customer', 'group', 'segment')),
    target_key text collate "C" not null,
    kind text collate "C" not null,
    effect text not null,
    starts_at timestamptz(3) not null,
    ends_at timestamptz(3),
    reason text not null,
    owner text,
    contract_reference text,
    source text,
    revoked_at timestamptz(3),
    revoke_reason text,
    version bigint not null,
    created_at timestamptz(3) not null,
    check (kind <> 'contract' or contract_reference is not null)
  )`,
  `create index access_grant_target on access_grant (environment_id, target_kind, target_key)`,
  `create index access_grant_end on access_grant (environment_id, ends_at) where revoked_at is null`,

  // Stable over periods: a later period closes this one into account_period and starts again from zero. The scope stands before
  // the feature, so that one user's balances are found without reading those of all users of a customer.
  `create table account (
    customer_id uuid not null,
    product_id uuid not null,
    feature text collate "C" not null,
    scope text collate "C" not null,
    environment_id uuid not null,
    period_start timestamptz(3),
    period_end timestamptz(3),
    used bigint not null check (used >= 0),
    reserved bigint not null check (reserved >= 0),
    updated_at timestamptz(3) not null,
    primary key (customer_id, product_id, scope, feature)
  ) with (fillfactor = 50)`,

  `create table account_period (
    customer_id uuid not null,
    product_id uuid not null,
    feature text collate "C" not null,
    scope text collate "C" not null,
    period_start timestamptz(3) not null,
    environment_id uuid not null,
    period_end timestamptz(3) not null,
    used bigint not null,
    closed_at timestamptz(3) not null,
    primary key (customer_id, product_id, feature, scope, period_start)
  )`,

  // The audit record of usage and the memory of idempotency, in monthly partitions. A call on several items has a row for
  // each, numbered by item; the whole answer stands in the first. INVARIANT: law 2, as the database's second opinion.
  `create table consumption (
    customer_id uuid not null,
    decided_at timestamptz(3) not null,
    id uuid not null,
    item integer not null,
    environment_id uuid not null,
    product_id uuid not null,
    operation text collate "C" not null,
    idempotency_key text collate "C" not null,
    request_hash bytea not null,
    feature text collate "C" not null,
    scope text collate "C" not null,
    allowed boolean not null,
    reason text collate "C" not null,
    enforcement text collate "C" not null,
    requested bigint not null,
    consumed bigint not null,
    used_after bigint not null,
    reserved_after bigint not null,
    limit_at_decision bigint,
    period_start timestamptz(3),
    revision bigint not null,
    attributes text,
    answer text,
    actor text not null,
    check (not allowed or enforcement <> 'hard' or operation <> 'consume'
      or used_after + reserved_after <= limit_at_decision or limit_at_decision is null)
  ) partition by range (decided_at)`,
  // Every index is paid for by every consume, so that there is one: half the size of one over the keys themselves. No primary
  // key: ids are random, and the sameness of keys is decided under a lock. With no other index, no plan can be a wrong one.
  `create index consumption_idempotency on consumption (customer_id, hashtextextended(idempotency_key, 0))`,
  `create table consumption_other partition of consumption default`,

  // The canonical bytes are what is hashed; the other columns only find them.
  `create table audit_entry (
    id uuid primary key,
    occurred_at timestamptz(3) not null,
    environment_id uuid,
    product_id uuid,
    actor_kind text collate "C" not null,
    actor_id text collate "C" not null,
    action text collate "C" not null,
    object_kind text collate "C" not null,
    object_id text collate "C" not null,
    object_version bigint not null,
    bytes bytea not null
  )`,
  `create index audit_entry_object on audit_entry (object_kind, object_id, id)`,
  `create index audit_entry_environment on audit_entry (environment_id, id)`,

  // Personal members of audit entries are encrypted under a key per subject; erasing a person deletes the key.
  `create table personal_key (
    environment_id uuid not null,
    subject_kind text collate "C" not null,
    subject_id text collate "C" not null,
    secret bytea not null,
    created_at timestamptz(3) not null,
    primary key (environment_id, subject_kind, subject_id)
  )`,

  // What other processes must hear of. They poll below pg_snapshot_xmin, so that no commit is ever skipped.
  `create table change (
    transaction_id xid8 not null default pg_current_xact_id(),
    id uuid not null,
    kind text collate "C" not null,
    environment_id uuid,
    product_id uuid,
    subject_kind text collate "C",
    subject_key text collate "C",
    revision bigint,
    version bigint,
    created_at timestamptz(3) not null,
    primary key (transaction_id, id)
  )`,

  `create table idempotency (
    environment_id uuid not null,
    operation text collate "C" not null,
    key text collate "C" not null,
    request_hash bytea not null,
    status integer not null,
    headers text not null,
    body text not null,
    created_at timestamptz(3) not null,
    primary key (environment_id, operation, key)
  )`,
];
