import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import { isJsonObject, type JsonObject } from '@pennon/engine/model/json';
import type { Kysely, Transaction } from 'kysely';
import type { ChangeContext } from '../service/credential.js';
import { newId } from '../service/new-id.js';
import type { AuditChange, AuditTrail, Clock } from '../service/ports.js';

import { fromInstant } from './instant.js';
import type { Tables } from './tables.js';

const FORMAT = 1;
const KEY_BYTES = 32;
const IV_BYTES = 12;
/** A statement takes at most 65,535 parameters. */
const ROWS_PER_STATEMENT = 1000;

/**
 * The one audit trail. INVARIANT (law 8): an entry is written in the transaction of its change, so neither exists without
 * the other. What is stored are the canonical bytes that a later tree hashes; the other columns only find them.
 */
export function createAuditTrail(dependencies: { readonly clock: Clock }): AuditTrail {
  async function toRow(transaction: Transaction<Tables>, context: ChangeContext, change: AuditChange) {
    const id = newId();
    const occurredAt = fromInstant(dependencies.clock.now());
    const entry: JsonObject = {
      format: FORMAT,
      id,
      occurredAt: occurredAt.toISOString(),
      environmentId: change.environmentId,
      productId: change.productId,
      actor: {
        kind: context.actor.kind,
        id: context.actor.id,
        onBehalfOf: context.actor.onBehalfOf,
      },
      requestId: context.requestId,
      reason: context.reason,
      action: change.action,
      object: { kind: change.objectKind, id: change.objectId, version: change.objectVersion },
      after: change.after,
      personal: await encryptPersonal(transaction, id, change, occurredAt),
    };
    return { ...columns(context, change), id, occurred_at: occurredAt, bytes: bytesOf(entry) };
  }

  return {
    async recordChange(transaction, context, change) {
      const row = await toRow(transaction, context, change);
      await transaction.insertInto('audit_entry').values(row).execute();
      return row.id;
    },

    async recordChanges(transaction, context, changes) {
      for (let begin = 0; begin < changes.length; begin += ROWS_PER_STATEMENT) {
        const rows: Awaited<ReturnType<typeof toRow>>[] = [];
        for (const change of changes.slice(begin, begin + ROWS_PER_STATEMENT)) {
          rows.push(await toRow(transaction, context, change));
        }
        await transaction.insertInto('audit_entry').values(rows).execute();
      }
    },
  };
}

function columns(context: ChangeContext, change: AuditChange) {
  return {
    environment_id: change.environmentId,
    product_id: change.productId,
    actor_kind: context.actor.kind,
    actor_id: context.actor.id,
    action: change.action,
    object_kind: change.objectKind,
    object_id: change.objectId,
    object_version: change.objectVersion,
  };
}

function bytesOf(entry: JsonObject): Buffer {
  return Buffer.from(canonicalJson(entry), 'utf8');
}

async function encryptPersonal(
  transaction: Transaction<Tables>,
  entryId: string,
  change: AuditChange,
  createdAt: Date,
): Promise<JsonObject | null> {
  const { personal, environmentId, after } = change;
  if (personal === undefined) return null;
  if (environmentId === null) throw new TypeError('Personal members belong to a subject of an environment.');
  for (const member of Object.keys(personal.members)) {
    if (after !== null && Object.hasOwn(after, member)) {
      throw new TypeError(`The personal member \`${member}\` must not also stand in clear in \`after\`.`);
    }
  }
  const { subjectKind, subjectId } = personal;
  const key = await personalKey(transaction, { environmentId, subjectKind, subjectId, createdAt });
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  cipher.setAAD(Buffer.from(entryId, 'utf8'));
  const plain = Buffer.from(canonicalJson(personal.members), 'utf8');
  const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()]);
  return {
    subject: { kind: subjectKind, id: subjectId },
    algorithm: 'A256GCM',
    iv: iv.toString('base64url'),
    ciphertext: ciphertext.toString('base64url'),
    tag: cipher.getAuthTag().toString('base64url'),
  };
}

interface PersonalSubject {
  readonly environmentId: string;
  readonly subjectKind: string;
  readonly subjectId: string;
}

async function personalKey(
  transaction: Transaction<Tables>,
  subject: PersonalSubject & { readonly createdAt: Date },
): Promise<Buffer> {
  await transaction
    .insertInto('personal_key')
    .values({
      environment_id: subject.environmentId,
      subject_kind: subject.subjectKind,
      subject_id: subject.subjectId,
      secret: randomBytes(KEY_BYTES),
      created_at: subject.createdAt,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const found = await findPersonalKey(transaction, subject);
  if (found === null) throw new Error('The personal key vanished inside its own transaction.');
  return found;
}

async function findPersonalKey(database: Kysely<Tables>, subject: PersonalSubject): Promise<Buffer | null> {
  const row = await database
    .selectFrom('personal_key')
    .select('secret')
    .where('environment_id', '=', subject.environmentId)
    .where('subject_kind', '=', subject.subjectKind)
    .where('subject_id', '=', subject.subjectId)
    .executeTakeFirst();
  return row?.secret ?? null;
}

/** Erases a person from the trail: what was encrypted under the key stays unreadable for ever. */
export async function erasePersonalKey(
  transaction: Transaction<Tables>,
  subject: PersonalSubject,
): Promise<boolean> {
  const result = await transaction
    .deleteFrom('personal_key')
    .where('environment_id', '=', subject.environmentId)
    .where('subject_kind', '=', subject.subjectKind)
    .where('subject_id', '=', subject.subjectId)
    .executeTakeFirst();
  return result.numDeletedRows > 0n;
}

/** An entry as stored, with its personal members read again; `personal` is null when there are none or they were erased. */
export async function readAuditEntry(
  database: Kysely<Tables>,
  id: string,
): Promise<{ readonly entry: JsonObject; readonly personal: JsonObject | null } | null> {
  const row = await database
    .selectFrom('audit_entry')
    .select(['bytes', 'environment_id'])
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined) return null;
  const entry: unknown = JSON.parse(row.bytes.toString('utf8'));
  if (!isJsonObject(entry)) throw new TypeError(`The audit entry \`${id}\` is not an object.`);
  const sealed = entry.personal;
  if (!isJsonObject(sealed) || !isJsonObject(sealed.subject) || row.environment_id === null) {
    return { entry, personal: null };
  }
  const key = await findPersonalKey(database, {
    environmentId: row.environment_id,
    subjectKind: String(sealed.subject.kind),
    subjectId: String(sealed.subject.id),
  });
  return { entry, personal: key === null ? null : decrypt(key, id, sealed) };
}

function decrypt(key: Buffer, entryId: string, sealed: JsonObject): JsonObject {
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
