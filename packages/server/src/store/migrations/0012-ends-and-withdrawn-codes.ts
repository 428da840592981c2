import { type Kysely, sql } from 'kysely';

/** Single codes that were withdrawn, and indexes of what else ends: the grace of a due payment, vouchers, and earlier limits. */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // The version is that of what a person changes: redeeming a code leaves it.
  `alter table voucher_code
    add column withdrawn_at timestamptz(3),
    add column withdraw_reason text,
    add column version bigint not null default 1`,

  `create index license_grace_end on license (environment_id, grace_ends_at, id) where grace_ends_at is not null`,
  `create index voucher_end on voucher (environment_id, ends_at, id) where ends_at is not null`,
];
