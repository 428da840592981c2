import type { Instant } from '@pennon/engine/model/customer';
import { type Kysely, sql } from 'kysely';
import { fromInstant } from './instant.js';
import type { Tables } from './tables.js';

/** Wrong codes of one subject within the window. */
export interface MissCount {
  readonly misses: number;
  /** The start of the oldest bucket that counts. */
  readonly oldest: Instant;
}

const BUCKET_MILLISECONDS = 60_000;
/** So many old rows are removed for each that is written: the table holds little more than one window. */
const REMOVED_AT_ONCE = 20;

/** By hexadecimal subject; those without any are absent. */
export async function readMisses(
  database: Kysely<Tables>,
  environmentId: string,
  subjects: readonly Buffer[],
  since: Instant,
): Promise<ReadonlyMap<string, MissCount>> {
  const rows = await database
    .selectFrom('voucher_miss')
    .select(['subject', 'bucket', 'misses'])
    .where('environment_id', '=', environmentId)
    .where('subject', 'in', [...subjects])
    .where('bucket', '>', fromInstant(since - BUCKET_MILLISECONDS))
    .execute();
  const counts = new Map<string, MissCount>();
  for (const { subject, bucket, misses } of rows) {
    const key = subject.toString('hex');
    const known = counts.get(key);
    const oldest = Math.min(known?.oldest ?? Number.POSITIVE_INFINITY, bucket.getTime());
    counts.set(key, { misses: (known?.misses ?? 0) + misses, oldest });
  }
  return counts;
}

/** Counts one wrong code for each subject, and clears away what no window reaches any more. */
export async function writeMiss(
  database: Kysely<Tables>,
  environmentId: string,
  subjects: readonly Buffer[],
  now: Instant,
  since: Instant,
): Promise<void> {
  const bucket = fromInstant(Math.floor(now / BUCKET_MILLISECONDS) * BUCKET_MILLISECONDS);
  // In one order, so that two who fail at once wait for each other and do not lock each other out.
  const ordered = [...subjects].sort(Buffer.compare);
  await database
    .insertInto('voucher_miss')
    .values(ordered.map((subject) => ({ environment_id: environmentId, subject, bucket, misses: 1 })))
    .onConflict((conflict) =>
      conflict
        .columns(['environment_id', 'subject', 'bucket'])
        .doUpdateSet((row) => ({ misses: row('voucher_miss.misses', '+', 1) })),
    )
    .execute();
  await sql`delete from voucher_miss where (environment_id, subject, bucket) in (
    select environment_id, subject, bucket from voucher_miss
    where bucket < ${fromInstant(since - BUCKET_MILLISECONDS)} limit ${REMOVED_AT_ONCE}
    for update skip locked)`.execute(database);
}
