import type { MemberKind } from '@pennon/engine/model/customer';
import { type Selectable, sql, type Transaction } from 'kysely';
import type { MembershipTable, Tables } from './tables.js';

export type MembershipRow = Selectable<MembershipTable>;

export interface MemberContainer {
  readonly environmentId: string;
  readonly productId: string;
  readonly kind: 'group' | 'segment';
  readonly key: string;
}

export interface MemberKey {
  readonly kind: MemberKind;
  readonly key: string;
}

/**
 * The memberships of those members in one container, locked in the order of their keys: two changes never wait in a circle. Each
 * is looked up by itself, by the columns that one index begins with; of a plain join the whole table may be read.
 */
export async function lockMemberships(
  transaction: Transaction<Tables>,
  container: MemberContainer,
  members: readonly MemberKey[],
): Promise<readonly MembershipRow[]> {
  const { rows } = await sql<MembershipRow>`
    select m.* from (select * from unnest(${kindsOf(members)}::text[], ${keysOf(members)}::text[]) as one (kind, key)
      order by kind, key) as named
    cross join lateral (select * from membership m where m.environment_id = ${container.environmentId}
      and m.member_kind = named.kind and m.member_key = named.key and m.product_id = ${container.productId}
      and m.container_kind = ${container.kind} and m.container_key = ${container.key} for update) m`.execute(
    transaction,
  );
  return rows;
}

/** Writes new ones and, over those that stand, their span, reason and version. */
export async function saveMemberships(
  transaction: Transaction<Tables>,
  rows: readonly MembershipRow[],
): Promise<void> {
  if (rows.length === 0) return;
  const saved = await transaction
    .insertInto('membership')
    .values([...rows])
    .onConflict((conflict) =>
      conflict
        .columns([
          'environment_id',
          'member_kind',
          'member_key',
          'product_id',
          'container_kind',
          'container_key',
        ])
        .doUpdateSet(({ ref }) => ({
          starts_at: ref('excluded.starts_at'),
          ends_at: ref('excluded.ends_at'),
          reason: ref('excluded.reason'),
          version: ref('excluded.version'),
        }))
        // One that somebody else has made meanwhile is not this change's to overwrite; the count then tells.
        .where(({ eb, ref }) => eb('membership.id', '=', ref('excluded.id'))),
    )
    .returning('id')
    .execute();
  if (saved.length !== rows.length) throw new MembershipRaceLost();
}

/** Somebody put one of the members in at the same time: the change is tried again, and then sees it. */
class MembershipRaceLost extends Error {
  /** As PostgreSQL says it of transactions that cannot be put in an order. */
  readonly code = '40001';
}

export async function deleteMemberships(
  transaction: Transaction<Tables>,
  container: MemberContainer,
  members: readonly MemberKey[],
): Promise<void> {
  if (members.length === 0) return;
  await sql`delete from membership where ctid = any(array(
    select m.ctid from unnest(${kindsOf(members)}::text[], ${keysOf(members)}::text[]) as named (kind, key)
    cross join lateral (select m.ctid from membership m where m.environment_id = ${container.environmentId}
      and m.member_kind = named.kind and m.member_key = named.key and m.product_id = ${container.productId}
      and m.container_kind = ${container.kind} and m.container_key = ${container.key} offset 0) m))`.execute(
    transaction,
  );
}

/** The customers whose answers change with those users and instances. */
export async function customersOfMembers(
  transaction: Transaction<Tables>,
  environmentId: string,
  members: readonly MemberKey[],
): Promise<readonly string[]> {
  const users = members.filter(({ kind }) => kind === 'user').map(({ key }) => key);
  const instances = members.filter(({ kind }) => kind === 'instance').map(({ key }) => key);
  if (users.length === 0 && instances.length === 0) return [];
  const { rows } = await sql<{ key: string }>`
    select c.key from customer_user u join customer c on c.id = u.customer_id
    where u.environment_id = ${environmentId} and u.key = any(${users}::text[])
    union
    select c.key from instance i join customer c on c.id = i.customer_id
    where i.environment_id = ${environmentId} and i.key = any(${instances}::text[])`.execute(transaction);
  return rows.map((row) => row.key);
}

function kindsOf(members: readonly MemberKey[]): string[] {
  return members.map(({ kind }) => kind);
}

function keysOf(members: readonly MemberKey[]): string[] {
  return members.map(({ key }) => key);
}
