import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.js';

/** The database's wall clock now, in milliseconds since the epoch with fractions. */
export async function readDatabaseTime(database: Kysely<Tables>): Promise<number> {
  const { rows } = await sql<{ now: string }>`
    select extract(epoch from clock_timestamp()) * 1000 as now`.execute(database);
  const now = Number(rows[0]?.now);
  if (!Number.isFinite(now)) throw new Error('The database did not tell its time.');
  return now;
}
