import { type Kysely, sql } from 'kysely';
import type { Tables } from './tables.js';

/** Where an answer is remembered. */
export interface AnswerPlace {
  readonly environmentId: string;
  readonly keyDigest: Buffer;
}

export interface AnswerRow {
  readonly requestDigest: Buffer;
  readonly answer: Buffer;
}

/** The row of that key that is younger than `since`; `null`: there is none. */
export async function readAnswerRow(
  database: Kysely<Tables>,
  place: AnswerPlace,
  since: Date,
): Promise<AnswerRow | null> {
  const row = await database
    .selectFrom('idempotency')
    .select(['request_digest', 'answer'])
    .where('environment_id', '=', place.environmentId)
    .where('key_digest', '=', place.keyDigest)
    .where('created_at', '>=', since)
    .executeTakeFirst();
  return row === undefined ? null : { requestDigest: row.request_digest, answer: row.answer };
}

/**
 * Writes the row, over one that is older than `since`. Waits for another transaction that writes the same key; `false`: that one
 * came first.
 */
export async function insertAnswerRow(
  database: Kysely<Tables>,
  row: AnswerPlace & AnswerRow & { readonly at: Date },
  since: Date,
): Promise<boolean> {
  const written = await database
    .insertInto('idempotency')
    .values({
      environment_id: row.environmentId,
      key_digest: row.keyDigest,
      request_digest: row.requestDigest,
      answer: row.answer,
      created_at: row.at,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['environment_id', 'key_digest'])
        .doUpdateSet({ request_digest: row.requestDigest, answer: row.answer, created_at: row.at })
        .where('idempotency.created_at', '<', since),
    )
    .returning('created_at')
    .executeTakeFirst();
  return written !== undefined;
}

/** Deletes at most so many rows that are older than `before`; resolves to how many. Two processes do not wait for each other. */
export async function deleteAnswerRows(
  database: Kysely<Tables>,
  before: Date,
  atMost: number,
): Promise<number> {
  const deleted = await sql`
    delete from idempotency where (environment_id, key_digest) in (
      select environment_id, key_digest from idempotency where created_at < ${before}
      order by created_at limit ${atMost} for update skip locked
    )`.execute(database);
  return Number(deleted.numAffectedRows ?? 0);
}
