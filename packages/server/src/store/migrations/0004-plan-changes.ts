import { type Kysely, sql } from 'kysely';

/*
 * What a license was to before and will be to from an instant on, what it was before it was canceled, and moves of many
 * licenses from one plan version to another. Statements that PostgreSQL 14 to 18 and distributed kin all take.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // The next plan is read by the clock: nothing has to run when its instant comes. Earlier ones are
  // [{plan, planVersion, until}], until in milliseconds since the epoch.
  `alter table license
    add column earlier_plans jsonb not null default '[]',
    add column next_plan_key text collate "C",
    add column next_plan_version integer,
    add column next_plan_at timestamptz(3),
    add column next_anchor text,
    add column next_move_id uuid,
    add column before_cancel jsonb`,

  // A move pages over the licenses of one plan version in this order.
  `create index license_of_plan
    on license (environment_id, product_id, plan_key, plan_version, customer_id, id)`,
  `create index license_of_next_plan
    on license (environment_id, product_id, next_plan_key, next_plan_version, customer_id, id)
    where next_plan_key is not null`,
  `drop index license_plan`,

  `create table plan_move (
    id uuid primary key,
    environment_id uuid not null,
    product_id uuid not null,
    from_plan text collate "C" not null,
    from_version integer not null,
    to_plan text collate "C" not null,
    to_version integer not null,
    selector text,
    customers jsonb,
    timing text collate "C" not null check (timing in ('now', 'period-end', 'at')),
    at timestamptz(3),
    usage text collate "C" not null check (usage in ('carry', 'reset')),
    reason text not null,
    status text collate "C" not null
      check (status in ('previewing', 'draft', 'running', 'finished', 'undoing', 'undone', 'discarded')),
    -- How far the preview has read.
    cursor_customer_id uuid,
    cursor_license_id uuid,
    examined bigint not null default 0,
    selected bigint not null default 0,
    applied bigint not null default 0,
    failed bigint not null default 0,
    skipped bigint not null default 0,
    undone bigint not null default 0,
    gaining bigint not null default 0,
    losing bigint not null default 0,
    over bigint not null default 0,
    actor_kind text collate "C" not null,
    actor_id text collate "C" not null,
    lease_holder uuid,
    lease_until timestamptz(3),
    fault text,
    version bigint not null,
    created_at timestamptz(3) not null,
    started_at timestamptz(3),
    finished_at timestamptz(3)
  )`,
  `create index plan_move_listed on plan_move (environment_id, id)`,
  `create index plan_move_work on plan_move (created_at)
    where status in ('previewing', 'running', 'undoing')`,

  `create table plan_move_item (
    move_id uuid not null,
    customer_id uuid not null,
    license_id uuid not null,
    environment_id uuid not null,
    customer_key text collate "C" not null,
    state text collate "C" not null
      check (state in ('selected', 'applied', 'failed', 'skipped', 'undone')),
    code text collate "C",
    message text,
    -- When the license's plan changes, or changed; empty until it is applied.
    due_at timestamptz(3),
    gains boolean not null,
    loses boolean not null,
    over boolean not null,
    effect text not null,
    primary key (move_id, customer_id, license_id)
  )`,
  `create index plan_move_item_state on plan_move_item (move_id, state, customer_id, license_id)`,
];
