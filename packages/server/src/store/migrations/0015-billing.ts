import { type Kysely, sql } from 'kysely';

/** What billing providers tell, what is known from it, and what it made. */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // An account at a provider, bound to one environment; test and live mode are two. The secrets sign what arrives, so that they are kept
  // as they are, like the keys of persons; no answer shows them. With api_key, what an event concerns is fetched. account: of a connected account; empty: the endpoint's own.
  // reconciled_at: when everything was last asked of the provider.
  `create table billing_connection (
    id uuid primary key,
    environment_id uuid not null references environment (id),
    key text collate "C" not null,
    provider text collate "C" not null check (provider in ('stripe', 'paddle', 'standard', 'api')),
    mapping text collate "C" not null,
    is_live boolean not null,
    account text collate "C" not null default '',
    secrets text not null,
    api_key text,
    reconciled_at timestamptz(3),
    version bigint not null,
    created_at timestamptz(3) not null,
    unique (environment_id, key)
  )`,

  // Every delivery once, by the provider's own id of the event; kept for longer than any provider repeats one. subject is the provider's
  // customer, whose events are worked on one after the other.
  `create table webhook_inbox (
    connection_id uuid not null,
    account text collate "C" not null,
    event_id text collate "C" not null,
    id uuid not null,
    environment_id uuid not null,
    type text collate "C" not null,
    subject text collate "C",
    occurred_at timestamptz(3) not null,
    received_at timestamptz(3) not null,
    body text,
    state text collate "C" not null check (state in ('waiting', 'done', 'ignored', 'dead')),
    attempts integer not null default 0,
    due_at timestamptz(3) not null,
    problem text,
    primary key (connection_id, account, event_id)
  )`,
  `create index webhook_inbox_waiting on webhook_inbox (due_at, id) where state = 'waiting'`,
  `create index webhook_inbox_dead on webhook_inbox (id) where state = 'dead'`,
  `create index webhook_inbox_listed on webhook_inbox (connection_id, state, id)`,
  `create index webhook_inbox_subject on webhook_inbox (connection_id, subject)`,
  `create index webhook_inbox_received on webhook_inbox (received_at)`,

  // Which customer a provider's customer is. Without a row, what it buys is to be resolved.
  `create table billing_customer (
    connection_id uuid not null,
    customer text collate "C" not null,
    environment_id uuid not null,
    customer_id uuid not null,
    linked_at timestamptz(3) not null,
    primary key (connection_id, customer)
  )`,
  `create index billing_customer_ours on billing_customer (customer_id)`,

  // What is known of a subscription (the JSON of the engine's BillingRecord), whoever it belongs to.
  `create table billing_subscription (
    connection_id uuid not null,
    subscription text collate "C" not null,
    environment_id uuid not null,
    customer text collate "C" not null,
    record text not null,
    again_at timestamptz(3),
    version bigint not null,
    updated_at timestamptz(3) not null,
    primary key (connection_id, subscription)
  )`,
  `create index billing_subscription_customer on billing_subscription (connection_id, customer)`,
  `create index billing_subscription_again on billing_subscription (again_at) where again_at is not null`,

  // Which license a subscription made, and what was decided for it last (the JSON of the engine's DesiredLicense): only what billing
  // changes since then is written, so that what people changed stays.
  `create table billing_license (
    customer_id uuid not null,
    connection_id uuid not null,
    subscription text collate "C" not null,
    product_id uuid not null,
    slot integer not null,
    environment_id uuid not null,
    license_id uuid not null,
    desired text not null,
    primary key (customer_id, connection_id, subscription, product_id, slot)
  )`,

  // What somebody has to look at, until it is gone.
  `create table billing_problem (
    connection_id uuid not null,
    subscription text collate "C" not null,
    number integer not null,
    environment_id uuid not null,
    code text collate "C" not null,
    product text collate "C",
    name text collate "C",
    item text,
    is_held boolean not null,
    since timestamptz(3) not null,
    primary key (connection_id, subscription, number)
  )`,
  `create index billing_problem_listed on billing_problem (environment_id, connection_id, subscription)`,
];
