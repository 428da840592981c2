import { isJsonObject, type JsonObject, type JsonValue } from '@pennon/engine/model/json';
import type { Kysely, Selectable } from 'kysely';
import { findPersonalKeys, type PersonalSubject, subjectText, unseal } from './personal-keys.js';
import { fromSubjectText, keysOfSubjects, renameSubjects } from './subject-names.js';
import type { AuditEntryTable, Tables } from './tables.js';

/** Stands in the place of what was erased. `erased` names the places, so that nobody takes the word for a value. */
const ERASED = 'erased';

/** An entry with its personal members read again, as far as they are still to be read. */
export interface ReadAuditEntry {
  readonly row: Selectable<AuditEntryTable>;
  /** As stored: the bytes, parsed. */
  readonly entry: JsonObject;
  /** The object after the change, personal members and keys in their places; `null` when it was removed. */
  readonly after: JsonObject | null;
  /** JSON pointers into `after`. */
  readonly erased: readonly string[];
}

export async function readAuditEntries(
  database: Kysely<Tables>,
  environmentId: string,
  rows: readonly Selectable<AuditEntryTable>[],
): Promise<ReadAuditEntry[]> {
  const entries = rows.map((row) => ({ row, entry: parse(row) }));
  const subjects = entries.flatMap(({ entry }) => sealedSubject(environmentId, entry));
  const secrets = await findPersonalKeys(database, subjects);
  const ids = entries.flatMap(({ entry }) => subjectIdsIn(entry.after ?? null));
  const keys = await keysOfSubjects(database, environmentId, ids);
  return entries.map(({ row, entry }) => {
    const [subject] = sealedSubject(environmentId, entry);
    const secret = subject === undefined ? undefined : secrets.get(subjectText(subject));
    return { row, entry, ...whole(entry, secret, keys) };
  });
}

function parse(row: Selectable<AuditEntryTable>): JsonObject {
  const entry: unknown = JSON.parse(row.bytes.toString('utf8'));
  if (!isJsonObject(entry)) throw new TypeError(`The audit entry \`${row.id}\` is not an object.`);
  return entry;
}

function sealedSubject(environmentId: string, { personal }: JsonObject): PersonalSubject[] {
  if (!isJsonObject(personal) || !isJsonObject(personal.subject)) return [];
  const { kind, id } = personal.subject;
  return [{ environmentId, subjectKind: String(kind), subjectId: String(id) }];
}

function subjectIdsIn(after: JsonValue): string[] {
  const ids: string[] = [];
  renameSubjects(after, ({ key }) => {
    const id = fromSubjectText(key);
    if (id !== null) ids.push(id);
    return key;
  });
  return ids;
}

function whole(
  entry: JsonObject,
  secret: Buffer | undefined,
  keys: ReadonlyMap<string, string>,
): Pick<ReadAuditEntry, 'after' | 'erased'> {
  const { after, personal, id } = entry;
  if (!isJsonObject(after)) return { after: null, erased: [] };
  const erased: string[] = [];
  const named = renameSubjects(after, ({ key }) => {
    const subjectId = fromSubjectText(key);
    return subjectId === null ? key : (keys.get(subjectId) ?? key);
  });
  for (const pointer of pointersToIds(named, '')) erased.push(pointer);
  const members: Record<string, JsonValue> = {};
  if (isJsonObject(personal)) {
    if (secret !== undefined) Object.assign(members, unseal(secret, String(id), personal));
    else {
      for (const name of Array.isArray(personal.members) ? personal.members : []) {
        members[String(name)] = ERASED;
        erased.push(`/${String(name)}`);
      }
    }
  }
  return { after: { ...(isJsonObject(named) ? named : {}), ...members }, erased };
}

/** Ids whose key is no longer known are left as they are: the same person is recognised, but not who it was. */
function pointersToIds(value: JsonValue, pointer: string): string[] {
  if (typeof value === 'string') return fromSubjectText(value) === null ? [] : [pointer];
  if (Array.isArray(value)) return value.flatMap((item, index) => pointersToIds(item, `${pointer}/${index}`));
  if (!isJsonObject(value)) return [];
  return Object.entries(value).flatMap(([name, member]) => pointersToIds(member, `${pointer}/${name}`));
}
