import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.js';

/** Work that one process at a time does for all of them. */
export interface LeaseQuestion {
  readonly name: string;
  /** A process, told from every other. */
  readonly holder: string;
  /** A holder that is killed keeps others waiting so long. */
  readonly seconds: number;
}

/** Whether the work is this holder's now. Most of the time that is one read: nothing is written until half of the lease is over. */
export async function takeLease(
  database: Kysely<Tables>,
  { name, holder, seconds }: LeaseQuestion,
): Promise<boolean> {
  const { rows } = await sql<{ readonly mine: boolean; readonly lasts: boolean; readonly fresh: boolean }>`
    select holder = ${holder} as mine, ends_at > clock_timestamp() as lasts,
      ends_at > clock_timestamp() + make_interval(secs => ${seconds / 2}) as fresh
    from lease where name = ${name}`.execute(database);
  const [known] = rows;
  if (known?.lasts === true && (!known.mine || known.fresh)) return known.mine;
  const { rows: taken } = await sql`
    insert into lease (name, holder, ends_at)
    values (${name}, ${holder}, clock_timestamp() + make_interval(secs => ${seconds}))
    on conflict (name) do update set holder = excluded.holder, ends_at = excluded.ends_at
      where lease.holder = excluded.holder or lease.ends_at <= clock_timestamp()
    returning 1`.execute(database);
  return taken.length > 0;
}

/** At the end of a process, so that nobody waits for its lease. */
export async function giveLeaseBack(database: Kysely<Tables>, name: string, holder: string): Promise<void> {
  await database.deleteFrom('lease').where('name', '=', name).where('holder', '=', holder).execute();
}
