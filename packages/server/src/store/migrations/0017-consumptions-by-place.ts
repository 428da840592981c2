import { type Kysely, sql } from 'kysely';

/** The index of consumptions becomes half as large and twice as quick to search, and their two checks one. */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // 24 bits of the customer, so that what one customer consumed lies together, and 40 of the key: numbers are compared faster than an id
  // and a number, and twice as many are on a page. Whoever looks up compares customer and key as well.
  `create index consumption_place on consumption (((uuid_hash_extended(customer_id, 0) & -1099511627776::bigint)
    | (hashtextextended(idempotency_key, 0) & 1099511627775::bigint)))`,
  `drop index consumption_idempotency`,

  // INVARIANT: law 2. What most rows are is asked first, and numbers before words.
  `alter table consumption add constraint consumption_within_limit check (limit_at_decision is null
    or used_after + reserved_after <= limit_at_decision or not allowed or enforcement <> 'hard'
    or operation not in ('consume', 'reserve')) not valid`,
  `alter table consumption drop constraint consumption_check`,
  `alter table consumption drop constraint consumption_reserve`,
];
