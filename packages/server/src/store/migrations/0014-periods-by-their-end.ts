import { type Kysely, sql } from 'kysely';

/** Periods that are over are forgotten by when they ended. */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // Written when a period closes, and never by a consume of a period that runs.
  `create index account_period_end on account_period (period_end)`,
];
