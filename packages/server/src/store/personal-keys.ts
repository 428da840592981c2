import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import { isJsonObject, type JsonObject } from '@pennon/engine/model/json';
import { type Kysely, type Selectable, sql, type Transaction } from 'kysely';
import type { PersonalKeyTable, Tables } from './tables.js';

const KEY_BYTES = 32;
const IV_BYTES = 12;

/** Whose members they are. The id says nothing about the person. */
export interface PersonalSubject {
  readonly environmentId: string;
  readonly subjectKind: string;
  readonly subjectId: string;
}

/** As one text, to find the key of a subject among those that were read together. */
export function subjectText({ environmentId, subjectKind, subjectId }: PersonalSubject): string {
  return JSON.stringify([environmentId, subjectKind, subjectId]);
}

/** The keys of those subjects that have one. */
export async function findPersonalKeys(
  database: Kysely<Tables>,
  subjects: readonly PersonalSubject[],
): Promise<Map<string, Buffer>> {
  if (subjects.length === 0) return new Map();
  // A look-up for each (`offset 0` keeps it one): of a list of tuples the planner thinks longer than it then reads, and of a plain
  // join it may read the whole table, as long as it has not counted its rows.
  const { rows } = await sql<Selectable<PersonalKeyTable>>`
    select p.* from unnest(${subjects.map((one) => one.environmentId)}::uuid[],
      ${subjects.map((one) => one.subjectKind)}::text[], ${subjects.map((one) => one.subjectId)}::text[])
      as asked (environment_id, subject_kind, subject_id)
    cross join lateral (select * from personal_key p where p.environment_id = asked.environment_id
      and p.subject_kind = asked.subject_kind and p.subject_id = asked.subject_id offset 0) p`.execute(
    database,
  );
  return new Map(
    rows.map((row) => [
      subjectText({
        environmentId: row.environment_id,
        subjectKind: row.subject_kind,
        subjectId: row.subject_id,
      }),
      row.secret,
    ]),
  );
}

/** The keys of all of them, made where they were missing. */
export async function personalKeys(
  transaction: Transaction<Tables>,
  subjects: readonly PersonalSubject[],
  createdAt: Date,
): Promise<Map<string, Buffer>> {
  const all = new Map(subjects.map((subject) => [subjectText(subject), subject]));
  const known = await findPersonalKeys(transaction, [...all.values()]);
  // In one order, so that two changes that make the same keys wait for each other instead of both failing.
  const missing = [...all]
    .filter(([text]) => !known.has(text))
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([, subject]) => subject);
  if (missing.length === 0) return known;
  await transaction
    .insertInto('personal_key')
    .values(
      missing.map(({ environmentId, subjectKind, subjectId }) => ({
        environment_id: environmentId,
        subject_kind: subjectKind,
        subject_id: subjectId,
        secret: randomBytes(KEY_BYTES),
        created_at: createdAt,
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const made = await findPersonalKeys(transaction, missing);
  return new Map([...known, ...made]);
}

/** Erases persons from the trail: what was encrypted under their keys stays unreadable for ever. */
export async function erasePersonalKeys(
  transaction: Transaction<Tables>,
  environmentId: string,
  subjectKind: string,
  subjectIds: readonly string[],
): Promise<void> {
  if (subjectIds.length === 0) return;
  await sql`delete from personal_key where environment_id = ${environmentId} and subject_kind = ${subjectKind}
    and subject_id = any(${subjectIds}::text[])`.execute(transaction);
}

/** Members as they stand in an entry: their names in clear, so that it can be said what was erased, their values sealed. */
export function seal(
  key: Buffer,
  entryId: string,
  subject: Omit<PersonalSubject, 'environmentId'>,
  members: JsonObject,
): JsonObject {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  cipher.setAAD(Buffer.from(entryId, 'utf8'));
  const plain = Buffer.from(canonicalJson(members), 'utf8');
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()]);
  return {
    subject: { kind: subject.subjectKind, id: subject.subjectId },
    members: Object.keys(members).sort(),
    algorithm: 'A256GCM',
    iv: iv.toString('base64url'),
    ciphertext: ciphertext.toString('base64url'),
    tag: cipher.getAuthTag().toString('base64url'),
  };
}

export function unseal(key: Buffer, entryId: string, sealed: JsonObject): JsonObject {
  const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(String(sealed.iv), 'base64url'));
  decipher.setAAD(Buffer.from(entryId, 'utf8'));
  decipher.setAuthTag(Buffer.from(String(sealed.tag), 'base64url'));
  const plain = Buffer.concat([
    decipher.update(Buffer.from(String(sealed.ciphertext), 'base64url')),
    decipher.final(),
  ]);
  const members: unknown = JSON.parse(plain.toString('utf8'));
  if (!isJsonObject(members)) throw new TypeError('Personal members are an object.');
  return members;
}
