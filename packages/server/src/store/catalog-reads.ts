import type { ItemKind } from '@pennon/engine/model/catalog';
import { type Kysely, sql } from 'kysely';
import type { StoredItem } from './catalog-rows.js';
import type { Tables } from './tables.js';

/** One live item; `null` when there is none. */
export async function findLiveItem(
  database: Kysely<Tables>,
  productId: string,
  kind: ItemKind,
  key: string,
): Promise<StoredItem | null> {
  const row = await database
    .selectFrom('catalog_item')
    .select(['key', 'version', 'from_revision', 'position', 'text', 'hash'])
    .where('product_id', '=', productId)
    .where('kind', '=', kind)
    .where('key', '=', key)
    .where('to_revision', 'is', null)
    .executeTakeFirst();
  return row === undefined ? null : { ...row, kind, fromRevision: row.from_revision };
}

export interface LiveItemRow {
  readonly key: string;
  readonly position: number;
  readonly text: string;
}

/** Live items of a kind in catalog order, after the place of the last one of the page before. */
export async function listLiveItems(
  database: Kysely<Tables>,
  productId: string,
  kind: ItemKind,
  after: { readonly position: number; readonly key: string } | null,
  limit: number,
): Promise<readonly LiveItemRow[]> {
  const { rows } = await sql<LiveItemRow>`
    select key, position, text from catalog_item
    where product_id = ${productId} and kind = ${kind} and to_revision is null
      and (${after === null} or (position, key) > (${after?.position ?? 0}::int, ${after?.key ?? ''}::text))
    order by position, key limit ${limit}`.execute(database);
  return rows;
}

export interface RevisionRow {
  readonly number: number;
  readonly created_at: Date;
  readonly audit_entry_id: string;
  readonly actor_kind: string;
  readonly actor_id: string;
  readonly reason: string | null;
}

/** Newest first, each with who made it and why. */
export function listRevisions(
  database: Kysely<Tables>,
  productId: string,
  below: number | null,
  limit: number,
): Promise<readonly RevisionRow[]> {
  let query = database
    .selectFrom('revision as r')
    .innerJoin('audit_entry as a', 'a.id', 'r.audit_entry_id')
    .select([
      'r.number',
      'r.created_at',
      'r.audit_entry_id',
      'a.actor_kind',
      'a.actor_id',
      // The bytes are canonical JSON; read here, so that a revision of ten thousand items is not sent to learn one line.
      sql<string | null>`convert_from(a.bytes, 'UTF8')::json ->> 'reason'`.as('reason'),
    ])
    .where('r.product_id', '=', productId)
    .orderBy('r.number', 'desc')
    .limit(limit);
  if (below !== null) query = query.where('r.number', '<', below);
  return query.execute();
}

export async function revisionExists(
  database: Kysely<Tables>,
  productId: string,
  number: number,
): Promise<boolean> {
  const row = await database
    .selectFrom('revision')
    .select('number')
    .where('product_id', '=', productId)
    .where('number', '=', number)
    .executeTakeFirst();
  return row !== undefined;
}
