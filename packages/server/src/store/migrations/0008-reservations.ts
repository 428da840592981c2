import { type Kysely, sql } from 'kysely';

/** Amounts that are held for a time, and the things that hold what never resets. */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // What a reservation holds is part of `reserved` of its account for as long as its state is `held`. `context` is whom it was made
  // for, as it is asked about again when it is settled.
  `create table reservation (
    customer_id uuid not null,
    id uuid not null,
    environment_id uuid not null,
    product_id uuid not null,
    feature text collate "C" not null,
    scope text collate "C" not null,
    amount bigint not null check (amount >= 0),
    state text collate "C" not null check (state in ('held', 'settled', 'released', 'expired')),
    settled bigint check (settled >= 0),
    created_at timestamptz(3) not null,
    expires_at timestamptz(3) not null,
    finished_at timestamptz(3),
    context text not null,
    attributes text,
    actor text not null,
    primary key (customer_id, id),
    check ((state = 'held') = (finished_at is null)),
    check ((state = 'settled') = (settled is not null))
  ) with (fillfactor = 80)`,
  // A caller names it by its id alone.
  `create index reservation_id on reservation (id)`,
  `create index reservation_held on reservation (customer_id, product_id, feature, scope, expires_at) where state = 'held'`,
  `create index reservation_end on reservation (expires_at) where state = 'held'`,

  // No hold of the account ends before it; null: nothing is held. Only when it has come, holds that ended are looked for.
  `alter table account add column next_hold_end timestamptz(3)`,
  `alter table account add constraint account_holds_end check (reserved = 0 or next_hold_end is not null)`,

  // INVARIANT: law 2 for what is held too. The rows there are were neither, so that they need no look.
  `alter table consumption add constraint consumption_reserve check (not allowed or enforcement <> 'hard'
    or operation <> 'reserve' or used_after + reserved_after <= limit_at_decision or limit_at_decision is null) not valid`,

  // Work that one process at a time does for all, each under its name.
  `create table lease (
    name text collate "C" primary key,
    holder uuid not null,
    ends_at timestamptz(3) not null
  )`,

  // Of features that never reset: which thing holds how many of the units in use.
  `create table usage_holder (
    customer_id uuid not null,
    product_id uuid not null,
    feature text collate "C" not null,
    scope text collate "C" not null,
    holder text collate "C" not null,
    environment_id uuid not null,
    amount bigint not null check (amount > 0),
    since timestamptz(3) not null,
    primary key (customer_id, product_id, feature, scope, holder)
  )`,
];
