import { type Kysely, sql } from 'kysely';

/**
 * The memory of `Idempotency-Key` for changes. The table of the first migration, into which nothing was ever written, held
 * answers as plain text; this one holds neither a key nor an answer that could be read without the key.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  'drop table idempotency',
  // The environment is that of the credential, all zeroes for one that reaches every environment. The digest is of the key and
  // of all that the credential reaches; the answer is sealed under the key itself.
  `create table idempotency (
    environment_id uuid not null,
    key_digest bytea not null,
    request_digest bytea not null,
    answer bytea not null,
    created_at timestamptz(3) not null,
    primary key (environment_id, key_digest)
  )`,
  'create index idempotency_created_at on idempotency (created_at)',
];
