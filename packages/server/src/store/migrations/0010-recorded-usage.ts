import { type Kysely, sql } from 'kysely';

/** Usage that is recorded after it happened, and the history of all usage by the hour. */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // What the last decision about an account knew: `percent` of its limit is used, `null` below half and without a limit, so that it
  // changes at most once in many consumes and the index over it stays small and the row's updates stay on its page.
  `alter table account
    add column latest_at timestamptz(3),
    add column limit_known bigint,
    add column percent integer`,
  `alter table account_period add column latest_at timestamptz(3)`,
  `create index account_percent on account (environment_id, product_id, percent, customer_id, scope, feature)
    where percent is not null`,
  `create index account_ended on account (period_end) where percent is not null`,

  // Events as they came, in monthly partitions by when they came. A partition has a unique index over `event_key` of its own: over
  // all of them at once it would need the month too, which the same event told again later does not share.
  `create table usage_event (
    customer_id uuid not null,
    received_at timestamptz(3) not null,
    event_key uuid not null,
    environment_id uuid not null,
    product_id uuid not null,
    source text collate "C" not null,
    event_id text collate "C" not null,
    type text collate "C" not null,
    feature text collate "C" not null,
    scope text collate "C" not null,
    amount bigint not null,
    counted bigint not null,
    occurred_at timestamptz(3) not null,
    counted_at timestamptz(3) not null,
    period_start timestamptz(3),
    corrects uuid,
    attributes text,
    actor text not null
  ) partition by range (received_at)`,
  `create index usage_event_customer on usage_event (customer_id, received_at)`,
  `create index usage_event_corrects on usage_event (corrects) where corrects is not null`,
  `create table usage_event_other partition of usage_event default`,
  `create unique index on usage_event_other (event_key)`,

  // The history of usage. How the amounts of a row add up stands in it, because a reader may not have the catalog of that time.
  `create table usage_hour (
    customer_id uuid not null,
    product_id uuid not null,
    feature text collate "C" not null,
    scope text collate "C" not null,
    hour timestamptz(0) not null,
    dimensions text collate "C" not null,
    environment_id uuid not null,
    aggregation text collate "C" not null,
    amount bigint not null,
    events bigint not null,
    last_at timestamptz(3) not null,
    used_after bigint,
    limit_after bigint,
    primary key (customer_id, product_id, feature, scope, hour, dimensions)
  ) partition by range (hour)`,
  `create table usage_hour_other partition of usage_hour default with (fillfactor = 50)`,

  // Of `aggregation: unique`: what was seen in a period, as a hash of the value.
  `create table usage_value (
    customer_id uuid not null,
    product_id uuid not null,
    feature text collate "C" not null,
    scope text collate "C" not null,
    period_start timestamptz(3) not null,
    value uuid not null,
    environment_id uuid not null,
    primary key (customer_id, product_id, feature, scope, period_start, value)
  )`,
];
