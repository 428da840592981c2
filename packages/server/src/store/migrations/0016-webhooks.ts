import { type Kysely, sql } from 'kysely';

/** Who listens to what is told, what each of them is still to be sent, and the number of each event. */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  `create table webhook (
    id uuid primary key,
    environment_id uuid not null,
    product_id uuid,
    url text not null,
    description text not null,
    types text,
    state text collate "C" not null,
    state_reason text,
    failing_since timestamptz(3),
    version bigint not null,
    created_at timestamptz(3) not null,
    changed_at timestamptz(3) not null
  )`,
  `create index webhook_listed on webhook (environment_id, id)`,

  // Two of one webhook are in force while they overlap; one without an end is the newest.
  `create table webhook_secret (
    webhook_id uuid not null,
    id uuid not null,
    environment_id uuid not null,
    secret bytea not null,
    created_at timestamptz(3) not null,
    ends_at timestamptz(3),
    primary key (webhook_id, id)
  )`,

  // The last number that was given: of a customer, or of an environment for what concerns no single one.
  `create table event_stream (
    stream_id uuid primary key,
    environment_id uuid not null,
    last_sequence bigint not null
  )`,

  // One event for one webhook. A claim lapses by itself with whoever held it, and stands in no index: taking one is a cheap update.
  `create table webhook_delivery (
    webhook_id uuid not null,
    event_id uuid not null,
    environment_id uuid not null,
    customer_id uuid,
    type text collate "C" not null,
    occurred_at timestamptz(3) not null,
    state text collate "C" not null,
    attempts integer not null,
    next_attempt_at timestamptz(3),
    claimed_until timestamptz(3),
    created_at timestamptz(3) not null,
    ended_at timestamptz(3),
    primary key (webhook_id, event_id),
    check ((state = 'waiting') = (next_attempt_at is not null)),
    check ((state = 'waiting') = (ended_at is null))
  ) with (fillfactor = 80)`,
  `create index webhook_delivery_due on webhook_delivery (webhook_id, next_attempt_at) where state = 'waiting'`,
  `create index webhook_delivery_listed on webhook_delivery (webhook_id, occurred_at, event_id)`,
  `create index webhook_delivery_dead on webhook_delivery (webhook_id, occurred_at, event_id) where state = 'dead'`,
  `create index webhook_delivery_ended on webhook_delivery (ended_at) where ended_at is not null`,

  `create table webhook_attempt (
    webhook_id uuid not null,
    event_id uuid not null,
    id uuid not null,
    environment_id uuid not null,
    attempt integer not null,
    attempted_at timestamptz(3) not null,
    outcome text collate "C" not null,
    status integer,
    why text collate "C",
    milliseconds integer not null,
    primary key (webhook_id, event_id, id)
  )`,

  // Up to when what the clock does was told, of each environment and kind of boundary.
  `create table clock_told (
    environment_id uuid not null,
    boundary text collate "C" not null,
    told_until timestamptz(3) not null,
    primary key (environment_id, boundary)
  )`,
  // What began when it was made was told by that; so few rows are left that writing them costs nobody anything.
  `create index license_start on license (environment_id, starts_at, id) where starts_at > created_at`,
  `create index access_grant_start on access_grant (environment_id, starts_at, id) where starts_at > created_at`,
  `create index membership_start on membership (environment_id, starts_at, id) where starts_at > created_at`,
  `create index credit_lot_start on credit_lot (environment_id, starts_at, id) where starts_at > created_at`,
  `create index credit_lot_end on credit_lot (environment_id, ends_at, id) where ends_at is not null`,
  `create index license_next_plan on license (environment_id, next_plan_at, id) where next_plan_at is not null`,

  // Customers whose state somebody listens to and that something happened to. Rows are only added and taken, so that nobody waits for another.
  `create table state_due (
    id uuid primary key,
    environment_id uuid not null,
    customer_id uuid not null
  )`,
  // What was last told of a customer's entitlements to one product, and when time alone may change it.
  `create table state_told (
    customer_id uuid not null,
    product_id uuid not null,
    environment_id uuid not null,
    entitlements text not null,
    digest text collate "C" not null,
    next_at timestamptz(3),
    primary key (customer_id, product_id)
  )`,
  `create index state_told_next on state_told (environment_id, product_id, next_at)`,
  // How far it was looked through all customers of an environment: first to know where they stand, then after what may concern any of them.
  `create table state_walk (
    environment_id uuid not null,
    product_id uuid not null,
    is_first boolean not null,
    is_walking boolean not null,
    again boolean not null,
    after_key text collate "C",
    primary key (environment_id, product_id)
  )`,

  // What was told before there were numbers gets none, so that nobody counts years of it first.
  `update outbox_event set sequence = 0 where sequence is null`,
];
