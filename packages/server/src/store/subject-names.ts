import { isJsonObject, type JsonObject, type JsonValue } from '@pennon/engine/model/json';
import { type Kysely, sql, type Transaction } from 'kysely';
import { isId, newId } from '../service/new-id.js';
import type { SubjectNameTable, Tables } from './tables.js';

/*
 * A key may be a mail address, and an audit entry is never changed. So entries of grants, memberships, licenses and whatever
 * else names a customer, user or team write an id in the place of its key; the row that says whose id it is can be erased.
 */

export type NamedKind = SubjectNameTable['kind'];
export interface SubjectKey {
  readonly kind: NamedKind;
  readonly key: string;
}

const PREFIX = 'subject:';
/** What callers wrote of their own is not looked into. */
const FREE: ReadonlySet<string> = new Set(['attributes', 'metadata', 'effect', 'value']);

function isNamedKind(kind: unknown): kind is NamedKind {
  return kind === 'customer' || kind === 'user' || kind === 'team' || kind === 'instance';
}

/** Five parameters each, of the 65,535 that a statement may have. */
const NAMES_PER_STATEMENT = 5000;

/** Walks an object and puts what `rename` gives in the place of each key: of `customer`, `user`, `team`, `instance`, and of `{ kind, key }`. */
export function renameSubjects(value: JsonValue, rename: (subject: SubjectKey) => JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map((item) => renameSubjects(item, rename));
  if (!isJsonObject(value)) return value;
  const { kind } = value;
  const renamed = Object.entries(value).map(([name, member]): [string, JsonValue] => {
    if (typeof member === 'string') {
      if (isNamedKind(name)) return [name, rename({ kind: name, key: member })];
      if (name === 'key' && isNamedKind(kind)) return [name, rename({ kind, key: member })];
      return [name, member];
    }
    return [name, FREE.has(name) ? member : renameSubjects(member, rename)];
  });
  return Object.fromEntries(renamed) as JsonObject;
}

export function toSubjectText(id: string): string {
  return `${PREFIX}${id}`;
}

/** The id that stands in the place of a key; `null` where a key stands itself. */
export function fromSubjectText(text: string): string | null {
  const id = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : '';
  return isId(id) ? id : null;
}

export function nameText({ kind, key }: SubjectKey): string {
  return `${kind}/${key}`;
}

async function findNames(
  database: Kysely<Tables>,
  environmentId: string,
  subjects: readonly SubjectKey[],
): Promise<Map<string, string>> {
  const { rows } = await sql<SubjectKey & { readonly id: string }>`
    select n.kind, n.key, n.id
    from unnest(${subjects.map(({ kind }) => kind)}::text[], ${subjects.map(({ key }) => key)}::text[]) as asked (kind, key)
    cross join lateral (select * from subject_name n
      where n.environment_id = ${environmentId} and n.kind = asked.kind and n.key = asked.key offset 0) n`.execute(
    database,
  );
  return new Map(rows.map((row) => [nameText(row), row.id]));
}

/** The id of each, made where there was none. */
export async function subjectIds(
  transaction: Transaction<Tables>,
  environmentId: string,
  subjects: readonly SubjectKey[],
  createdAt: Date,
): Promise<Map<string, string>> {
  const all = new Map(subjects.map((subject) => [nameText(subject), subject]));
  const ids = new Map<string, string>();
  const list = [...all.values()];
  for (let from = 0; from < list.length; from += NAMES_PER_STATEMENT) {
    const some = list.slice(from, from + NAMES_PER_STATEMENT);
    for (const [text, id] of await someSubjectIds(transaction, environmentId, some, createdAt)) {
      ids.set(text, id);
    }
  }
  return ids;
}

async function someSubjectIds(
  transaction: Transaction<Tables>,
  environmentId: string,
  subjects: readonly SubjectKey[],
  createdAt: Date,
): Promise<Map<string, string>> {
  const known = await findNames(transaction, environmentId, subjects);
  const missing = subjects
    .filter((subject) => !known.has(nameText(subject)))
    .sort((left, right) => (nameText(left) < nameText(right) ? -1 : 1));
  if (missing.length === 0) return known;
  await transaction
    .insertInto('subject_name')
    .values(
      missing.map(({ kind, key }) => ({
        environment_id: environmentId,
        kind,
        key,
        id: newId(),
        created_at: createdAt,
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return new Map([...known, ...(await findNames(transaction, environmentId, missing))]);
}

/** The keys of those ids that are still known. */
export async function keysOfSubjects(
  database: Kysely<Tables>,
  environmentId: string,
  ids: readonly string[],
): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map();
  const rows = await database
    .selectFrom('subject_name')
    .select(['id', 'key'])
    .where('environment_id', '=', environmentId)
    .where('id', 'in', [...new Set(ids)])
    .execute();
  return new Map(rows.map((row) => [row.id, row.key]));
}
/** From now on no entry says whose ids they were. Whoever is given one of the keys later is somebody else. */
export async function eraseSubjectNames(
  transaction: Transaction<Tables>,
  environmentId: string,
  kinds: readonly NamedKind[],
  keys: readonly string[],
): Promise<void> {
  if (keys.length === 0) return;
  await sql`delete from subject_name where environment_id = ${environmentId}
    and kind = any(${kinds}::text[]) and key = any(${keys}::text[])`.execute(transaction);
}
