import { type Kysely, sql } from 'kysely';

/**
 * What finding, importing and erasing customers need: one index of words for customers, archived customers, users and
 * instances alike; ids of users, so that the audit trail names a person by something that says nothing about them; names of
 * customers and users as the trail writes them, which erasing forgets; and the instant at which a customer was erased.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  // What each is found by. `key` is empty for customers, whose id says it all;
  `create table search_word (
    customer_id uuid not null,
    kind text collate "C" not null check (kind in ('customer', 'archived', 'user', 'instance')),
    key text collate "C" not null,
    word text collate "C" not null,
    environment_id uuid not null,
    primary key (customer_id, kind, key, word)
  )`,
  `insert into search_word (customer_id, kind, key, word, environment_id)
    select customer_id, 'customer', '', word, environment_id from customer_word`,
  `drop table customer_word`,
  `create index search_word_word on search_word (environment_id, kind, word, customer_id, key)`,

  `alter table customer add column erased_at timestamptz(3)`,
  // Lists of archived customers never walk over those that are not.
  `create index customer_archived on customer (environment_id, key) where archived_at is not null`,

  `alter table customer_user add column id uuid`,
  `update customer_user set id = gen_random_uuid()`,
  `alter table customer_user alter column id set not null`,

  // A key may be a mail address. Audit entries name whom it belongs to by this id; erasing removes the row.
  `create table subject_name (
    environment_id uuid not null,
    kind text collate "C" not null check (kind in ('customer', 'user', 'team', 'instance')),
    key text collate "C" not null,
    id uuid not null,
    created_at timestamptz(3) not null,
    primary key (environment_id, kind, key)
  )`,
  `create index subject_name_id on subject_name (id)`,
];
