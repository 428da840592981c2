import { canonicalJson } from '@pennon/engine/catalog/canonical-json';
import { isJsonObject, type JsonObject } from '@pennon/engine/model/json';
import { sql, type Transaction } from 'kysely';
import { newId } from '../service/new-id.js';
import { nameText, renameSubjects, type SubjectKey, subjectIds, toSubjectText } from './subject-names.js';
import type { Tables } from './tables.js';

/* What a change tells, written in its own transaction. */

export interface ToldChangeRow {
  readonly type: string;
  readonly productId: string | null;
  readonly subject: string;
  readonly owner: { readonly kind: string; readonly key: string } | null;
  readonly data: JsonObject;
}

export interface ToldWhere {
  readonly environmentId: string;
  readonly occurredAt: Date;
  /** Of customers that the change touched, by key. */
  readonly versions: ReadonlyMap<string, number>;
}

const ROWS_PER_STATEMENT = 2000;

/** Where nobody listens nothing is told: an import of a million licenses is no slower for it. */
export async function isListenedTo(
  transaction: Transaction<Tables>,
  environmentId: string,
): Promise<boolean> {
  const row = await transaction
    .selectFrom('webhook')
    .select('id')
    .where('environment_id', '=', environmentId)
    .where('state', '<>', 'removed')
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * INVARIANT: no row names a person by what an erasure could not reach: keys of customers, users, teams and instances stand in it as ids,
 * as they do in audit entries.
 */
export async function writeToldChanges(
  transaction: Transaction<Tables>,
  where: ToldWhere,
  changes: readonly ToldChangeRow[],
): Promise<void> {
  if (changes.length === 0 || !(await isListenedTo(transaction, where.environmentId))) return;
  for (let from = 0; from < changes.length; from += ROWS_PER_STATEMENT) {
    await writeSome(transaction, where, changes.slice(from, from + ROWS_PER_STATEMENT));
  }
}

async function writeSome(
  transaction: Transaction<Tables>,
  { environmentId, occurredAt, versions }: ToldWhere,
  changes: readonly ToldChangeRow[],
): Promise<void> {
  const owners = await findOwners(transaction, environmentId, changes);
  const named = await nameSubjects(transaction, environmentId, occurredAt, changes);
  const rows = changes.map((change, index) => {
    const owner = change.owner === null ? undefined : owners.get(`${change.owner.kind}/${change.owner.key}`);
    const version = owner === undefined ? undefined : versions.get(owner.key);
    return {
      id: newId(),
      productId: change.productId,
      customerId: owner?.id ?? null,
      type: change.type,
      subject: change.subject,
      data: canonicalJson({ ...named[index], ...versionOf(change, version) }),
    };
  });
  const of = <Value>(value: (row: (typeof rows)[number]) => Value) => rows.map(value);
  await sql`
    insert into outbox_event (id, occurred_at, environment_id, product_id, customer_id, type, subject, scope, data, transaction_id)
    select n.id, ${occurredAt}::timestamptz, ${environmentId}::uuid, n.product_id, n.customer_id, n.type, n.subject, '', n.data,
      pg_current_xact_id()
    from unnest(${of(({ id }) => id)}::uuid[], ${of(({ productId }) => productId)}::uuid[],
      ${of(({ customerId }) => customerId)}::uuid[], ${of(({ type }) => type)}::text[],
      ${of(({ subject }) => subject)}::text[], ${of(({ data }) => data)}::text[])
      as n (id, product_id, customer_id, type, subject, data)`.execute(transaction);
}

/** Of what somebody did to an object; 0 is the version of a key that nobody has registered. */
function versionOf({ data }: ToldChangeRow, version: number | undefined): JsonObject {
  return Object.hasOwn(data, 'action')
    ? { customerVersion: version === undefined || version === 0 ? null : version }
    : {};
}

async function nameSubjects(
  transaction: Transaction<Tables>,
  environmentId: string,
  at: Date,
  changes: readonly ToldChangeRow[],
): Promise<readonly JsonObject[]> {
  const subjects: SubjectKey[] = [];
  for (const { data } of changes) {
    renameSubjects(data, (subject) => {
      subjects.push(subject);
      return null;
    });
  }
  const ids = await subjectIds(transaction, environmentId, subjects, at);
  return changes.map(({ data }) => {
    const named = renameSubjects(data, (subject) => {
      const id = ids.get(nameText(subject));
      if (id === undefined) throw new Error('The name of a subject vanished inside its own transaction.');
      return toSubjectText(id);
    });
    return isJsonObject(named) ? named : {};
  });
}

interface OwnerRow {
  readonly kind: string;
  readonly named: string;
  readonly id: string;
  readonly key: string;
}

/** The one customer that each owner is or belongs to, by `kind/key`; of several, and of none, it is nobody's in particular. */
async function findOwners(
  transaction: Transaction<Tables>,
  environmentId: string,
  changes: readonly ToldChangeRow[],
): Promise<ReadonlyMap<string, { readonly id: string; readonly key: string }>> {
  const owners = changes.flatMap(({ owner }) => (owner === null ? [] : [owner]));
  const keys = (kind: string) => [
    ...new Set(owners.filter((one) => one.kind === kind).map(({ key }) => key)),
  ];
  const customers = [...keys('customer'), ...keys('team')];
  const { rows } = await sql<OwnerRow>`
    select 'customer' as kind, c.key as named, c.id, c.key from customer c
    where c.environment_id = ${environmentId} and c.key = any(${customers}::text[])
    union all
    select 'user', u.key, c.id, c.key from customer_user u join customer c on c.id = u.customer_id
    where u.environment_id = ${environmentId} and u.key = any(${keys('user')}::text[])
    union all
    select 'instance', i.key, c.id, c.key from instance i join customer c on c.id = i.customer_id
    where i.environment_id = ${environmentId} and i.key = any(${keys('instance')}::text[])`.execute(
    transaction,
  );
  const found = new Map<string, { readonly id: string; readonly key: string } | null>();
  for (const { kind, named, id, key } of rows) {
    const names = kind === 'customer' ? [`customer/${named}`, `team/${named}`] : [`${kind}/${named}`];
    for (const name of names) found.set(name, found.has(name) ? null : { id, key });
  }
  return new Map(
    [...found].flatMap(([name, customer]) => (customer === null ? [] : [[name, customer] as const])),
  );
}
