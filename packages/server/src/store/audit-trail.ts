import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import type { JsonObject, JsonValue } from '@pennon/engine/model/json';
import type { Transaction } from 'kysely';
import type { ChangeContext } from '../service/credential.js';
import { newId } from '../service/new-id.js';
import type { AuditChange, AuditTrail, Clock } from '../service/ports.js';
import { fromInstant } from './instant.js';
import { type PersonalSubject, personalKeys, seal, subjectText } from './personal-keys.js';
import { nameText, renameSubjects, type SubjectKey, subjectIds, toSubjectText } from './subject-names.js';
import type { Tables } from './tables.js';

const FORMAT = 1;

/** Twelve parameters each, of the 65,535 that a statement may have. */
const ROWS_PER_STATEMENT = 2000;

/**
 * The one audit trail. INVARIANT (law 8): an entry is written in the transaction of its change, so neither exists without
 * the other. What is stored are the canonical bytes that a later tree hashes; the other columns only find them.
 * INVARIANT: no byte of an entry can say who a person is once that person was erased: personal members are sealed under the
 * subject's key, and keys of customers, users and teams stand there as ids.
 */
export function createAuditTrail(dependencies: { readonly clock: Clock }): AuditTrail {
  async function recordSome(
    transaction: Transaction<Tables>,
    context: ChangeContext,
    changes: readonly AuditChange[],
  ): Promise<readonly string[]> {
    const occurredAt = fromInstant(dependencies.clock.now());
    const secrets = await personalKeys(transaction, changes.flatMap(personalSubjectOf), occurredAt);
    const names = await namesIn(transaction, changes, occurredAt);
    const rows = changes.map((change) => {
      const id = newId();
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
        after: named(change, names),
        personal: personal(change, id, secrets),
      };
      const bytes = Buffer.from(canonicalJson(entry), 'utf8');
      return { ...columns(context, change), id, occurred_at: occurredAt, bytes };
    });
    if (rows.length > 0) await transaction.insertInto('audit_entry').values(rows).execute();
    return rows.map((row) => row.id);
  }

  async function recordChanges(
    transaction: Transaction<Tables>,
    context: ChangeContext,
    changes: readonly AuditChange[],
  ): Promise<readonly string[]> {
    const ids: string[] = [];
    for (let from = 0; from < changes.length; from += ROWS_PER_STATEMENT) {
      const some = changes.slice(from, from + ROWS_PER_STATEMENT);
      ids.push(...(await recordSome(transaction, context, some)));
    }
    return ids;
  }

  return {
    recordChanges,
    async recordChange(transaction, context, change): Promise<string> {
      const [id] = await recordChanges(transaction, context, [change]);
      if (id === undefined) throw new Error('The audit trail kept no entry of a change.');
      return id;
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

function personalSubjectOf(change: AuditChange): PersonalSubject[] {
  const { personal, environmentId, after } = change;
  if (personal === undefined) return [];
  if (environmentId === null) throw new TypeError('Personal members belong to a subject of an environment.');
  for (const member of Object.keys(personal.members)) {
    if (after !== null && Object.hasOwn(after, member)) {
      throw new TypeError(`The personal member \`${member}\` must not also stand in clear in \`after\`.`);
    }
  }
  return [{ environmentId, subjectKind: personal.subjectKind, subjectId: personal.subjectId }];
}

function personal(
  change: AuditChange,
  entryId: string,
  secrets: ReadonlyMap<string, Buffer>,
): JsonObject | null {
  const [subject] = personalSubjectOf(change);
  if (subject === undefined || change.personal === undefined) return null;
  const secret = secrets.get(subjectText(subject));
  if (secret === undefined) throw new Error('The personal key vanished inside its own transaction.');
  return seal(secret, entryId, change.personal, change.personal.members);
}

/** Ids of the subjects that entries name, by environment and name. */
async function namesIn(
  transaction: Transaction<Tables>,
  changes: readonly AuditChange[],
  createdAt: Date,
): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
  const byEnvironment = new Map<string, SubjectKey[]>();
  for (const { environmentId, after } of changes) {
    if (environmentId === null || after === null) continue;
    const subjects = byEnvironment.get(environmentId) ?? [];
    byEnvironment.set(environmentId, subjects);
    renameSubjects(after, (subject) => {
      subjects.push(subject);
      return null;
    });
  }
  const names = new Map<string, ReadonlyMap<string, string>>();
  for (const [environmentId, subjects] of byEnvironment) {
    names.set(environmentId, await subjectIds(transaction, environmentId, subjects, createdAt));
  }
  return names;
}

function named(
  { environmentId, after }: AuditChange,
  names: ReadonlyMap<string, ReadonlyMap<string, string>>,
): JsonValue {
  if (environmentId === null || after === null) return after;
  const ids = names.get(environmentId);
  return renameSubjects(after, (subject) => {
    const id = ids?.get(nameText(subject));
    if (id === undefined) throw new Error('The name of a subject vanished inside its own transaction.');
    return toSubjectText(id);
  });
}
