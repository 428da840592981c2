import { type Kysely, sql } from 'kysely';

/** What is told of usage once for each crossing, and the table that everything to be told goes through. */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // Of the account's current period: the rank of the highest level that stands as told, when something was told last, and the largest
  // limit that it was told of. In no index but for whether anything was told, so that a consume's update stays on its page.
  `alter table account
    add column told integer,
    add column told_at timestamptz(3),
    add column told_limit bigint`,
  `drop index account_ended`,
  `create index account_ended on account (period_end) where percent is not null or told_at is not null`,

  // Written in the transaction of the change that it tells of; in monthly partitions by when that was. Transactions do not end in the
  // order in which they began: whoever follows reads by transaction_id, below which none is under way. sequence is for whoever numbers
  // what a customer is told, after the commit.
  `create table outbox_event (
    id uuid not null,
    occurred_at timestamptz(3) not null,
    environment_id uuid not null,
    product_id uuid,
    customer_id uuid,
    type text collate "C" not null,
    subject text collate "C",
    scope text collate "C" not null default '',
    data text not null,
    transaction_id xid8 not null,
    sequence bigint
  ) partition by range (occurred_at)`,
  `create index outbox_event_latest on outbox_event (environment_id, occurred_at, id)`,
  `create index outbox_event_customer on outbox_event (customer_id, occurred_at, id)`,
  `create index outbox_event_follow on outbox_event (environment_id, transaction_id, id)`,
  `create index outbox_event_unsequenced on outbox_event (transaction_id, id) where sequence is null`,
  `create table outbox_event_other partition of outbox_event default`,
];
