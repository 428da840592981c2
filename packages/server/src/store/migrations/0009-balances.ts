import { type Kysely, sql } from 'kysely';

/** Balances besides what a period allows, and anchors that were moved. */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // An amount that may be used besides what a period allows. What it gave is `amount`, what was used of it `amount - remaining`; what
  // remains when it ends or is voided has ended or was voided. Closed: nothing of it can be used any more, and no consume reads it.
  `create table credit_lot (
    customer_id uuid not null,
    id uuid not null,
    environment_id uuid not null,
    product_id uuid not null,
    feature text collate "C" not null,
    scope text collate "C" not null,
    kind text collate "C" not null check (kind in ('promotional', 'rollover', 'topup')),
    priority integer not null check (priority between 0 and 100),
    amount bigint not null check (amount > 0),
    remaining bigint not null check (remaining between 0 and amount),
    starts_at timestamptz(3) not null,
    ends_at timestamptz(3),
    source text,
    reason text not null,
    grant_id uuid,
    voided_at timestamptz(3),
    void_reason text,
    closed_at timestamptz(3),
    version bigint not null,
    created_at timestamptz(3) not null,
    primary key (customer_id, id),
    check ((voided_at is null) = (void_reason is null)),
    check (voided_at is null or closed_at is not null)
  ) with (fillfactor = 70)`,
  `create index credit_lot_open on credit_lot (customer_id, product_id, feature, scope) where closed_at is null`,
  `create index credit_lot_grant on credit_lot (grant_id) where grant_id is not null`,

  // Of the period's use, what was taken out of lots; and whether there may be any that are not closed. Only then are they read.
  `alter table account add column covered bigint not null default 0 check (covered >= 0)`,
  `alter table account add column has_lots boolean not null default false`,
  `alter table account_period add column covered bigint not null default 0`,

  // When the anchor was last moved: the period that ran then ended there.
  `alter table license add column anchor_since timestamptz(3)`,
];
