import { type Kysely, sql } from 'kysely';

/**
 * What a cold look-up of a customer reads begins with columns that no other index begins with. Plans are kept, and one that is made
 * while a table is empty takes any index that fits at all: as long as several began with the environment, it could take one that
 * reads all of an environment for every customer.
 */
export async function up(database: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) {
    await sql.raw(statement).execute(database);
  }
}

const STATEMENTS: readonly string[] = [
  `create index membership_member on membership (member_key, member_kind)`,
  `create index access_grant_target_key on access_grant (target_key, target_kind)`,
  // Of groups and segments, for every customer of an environment: few, however many grants there are.
  `create index access_grant_shared on access_grant (target_kind, environment_id)
    where target_kind in ('group', 'segment')`,
];
