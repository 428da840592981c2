import { ITEM_KINDS, type ItemKind } from '@pennon/engine/model/catalog';
import { type Kysely, sql, type Transaction } from 'kysely';
import { walkAgain } from './hook-states.js';
import { writeToldChanges } from './outbox-changes.js';
import type { Tables } from './tables.js';

/** One catalog item as stored: its canonical text is what authors wrote, the hash is what `If-Match` compares. */
export interface StoredItem {
  readonly kind: ItemKind;
  readonly key: string;
  readonly version: number;
  readonly fromRevision: number;
  readonly position: number;
  readonly text: string;
  readonly hash: string;
}

export interface EnvironmentRevision {
  readonly productId: string;
  readonly environmentId: string;
  readonly revision: number;
  readonly effectiveHash: string;
  readonly publishedAt: Date;
}

/** `plan pro@1`: how an item is named within its product. */
export function itemId(item: { readonly kind: string; readonly key: string }): string {
  return `${item.kind} ${item.key}`;
}

interface ItemRow {
  kind: string;
  key: string;
  version: number;
  from_revision: number;
  position: number;
  text: string;
  hash: string;
}

const KINDS: ReadonlySet<string> = new Set(ITEM_KINDS);

/** Rows of a kind that a newer release knows are passed over: they cannot concern what this one evaluates. */
function fromItemRows(rows: readonly ItemRow[]): StoredItem[] {
  const items: StoredItem[] = [];
  for (const row of rows) {
    if (!KINDS.has(row.kind)) continue;
    items.push({
      kind: row.kind as ItemKind,
      key: row.key,
      version: row.version,
      fromRevision: row.from_revision,
      position: row.position,
      text: row.text,
      hash: row.hash,
    });
  }
  return items;
}

const ITEM_COLUMNS = ['kind', 'key', 'version', 'from_revision', 'position', 'text', 'hash'] as const;

/** Everything that is live at that revision, in catalog order within each kind. */
export async function readItemsAt(
  database: Kysely<Tables>,
  productId: string,
  revision: number,
): Promise<StoredItem[]> {
  const rows = await database
    .selectFrom('catalog_item')
    .select(ITEM_COLUMNS)
    .where('product_id', '=', productId)
    .where('from_revision', '<=', revision)
    .where((where) => where.or([where('to_revision', 'is', null), where('to_revision', '>', revision)]))
    .orderBy('kind')
    .orderBy('position')
    .orderBy('key')
    .orderBy('from_revision')
    .execute();
  return fromItemRows(rows);
}

/** What a reader that holds revision `after` needs in order to hold `upTo`. */
export async function readItemChanges(
  database: Kysely<Tables>,
  productId: string,
  after: number,
  upTo: number,
): Promise<{ readonly live: StoredItem[]; readonly ended: readonly { kind: string; key: string }[] }> {
  const rows = await database
    .selectFrom('catalog_item')
    .select([...ITEM_COLUMNS, 'to_revision'])
    .where('product_id', '=', productId)
    .where('from_revision', '<=', upTo)
    .where((where) =>
      where.or([
        where('from_revision', '>', after),
        where.and([where('to_revision', '>', after), where('to_revision', '<=', upTo)]),
      ]),
    )
    .orderBy('kind')
    .orderBy('position')
    .orderBy('key')
    .orderBy('from_revision')
    .execute();
  const isLive = (row: { to_revision: number | null }) => row.to_revision === null || row.to_revision > upTo;
  return { live: fromItemRows(rows.filter(isLive)), ended: rows.filter((row) => !isLive(row)) };
}

/** The last version of keys that are not live any more: what they were binds whoever uses the key again. */
export async function readRetiredItems(
  database: Kysely<Tables>,
  productId: string,
  items: readonly { readonly kind: string; readonly key: string }[],
): Promise<StoredItem[]> {
  if (items.length === 0) return [];
  const rows = await sql<ItemRow>`
    select distinct on (i.kind, i.key) i.kind, i.key, i.version, i.from_revision, i.position, i.text, i.hash
    from catalog_item i
    where i.product_id = ${productId} and i.to_revision is not null
      and i.key = any(${[...new Set(items.map((item) => item.key))]}::text[])
      and not exists (select 1 from catalog_item l where l.product_id = i.product_id and l.kind = i.kind
        and l.key = i.key and l.to_revision is null)
    order by i.kind, i.key, i.from_revision desc`.execute(database);
  return fromItemRows(rows.rows);
}

export async function readHeadRevision(database: Kysely<Tables>, productId: string): Promise<number | null> {
  const row = await database
    .selectFrom('product')
    .select('head_revision')
    .where('id', '=', productId)
    .executeTakeFirst();
  return row?.head_revision ?? null;
}

/** INVARIANT: whoever writes catalog items of a product holds this lock, so that revisions are a line without gaps. */
export async function lockHeadRevision(
  transaction: Transaction<Tables>,
  productId: string,
): Promise<number | null> {
  const row = await transaction
    .selectFrom('product')
    .select('head_revision')
    .where('id', '=', productId)
    .forUpdate()
    .executeTakeFirst();
  return row?.head_revision ?? null;
}

export async function readEnvironmentRevisions(
  database: Kysely<Tables>,
  filter: { readonly productId?: string; readonly environmentId?: string } = {},
): Promise<EnvironmentRevision[]> {
  let query = database.selectFrom('environment_revision').selectAll();
  if (filter.productId !== undefined) query = query.where('product_id', '=', filter.productId);
  if (filter.environmentId !== undefined) query = query.where('environment_id', '=', filter.environmentId);
  const rows = await query.execute();
  return rows.map((row) => ({
    productId: row.product_id,
    environmentId: row.environment_id,
    revision: row.revision,
    effectiveHash: row.effective_hash,
    publishedAt: row.published_at,
  }));
}

/** One changed item: `before` is the hash that must be live now, `null` where none may be; `after` null ends the item. */
export interface ItemWrite {
  readonly kind: ItemKind;
  readonly key: string;
  readonly before: string | null;
  readonly after: {
    readonly text: string;
    readonly hash: string;
    readonly position: number;
    readonly version: number;
  } | null;
}

const ROWS_PER_STATEMENT = 1000;

/**
 * Ends and begins item rows at `revision`. Returns the first item whose live row is not the expected one, else `null`; the
 * caller then rolls back.
 */
export async function writeItems(
  transaction: Transaction<Tables>,
  productId: string,
  revision: number,
  writes: readonly ItemWrite[],
): Promise<ItemWrite | null> {
  for (let start = 0; start < writes.length; start += ROWS_PER_STATEMENT) {
    const part = writes.slice(start, start + ROWS_PER_STATEMENT);
    const ending = part.filter((write) => write.before !== null);
    const ended = await endItems(transaction, productId, revision, ending);
    const missed = ending.find((write) => !ended.has(itemId(write)));
    if (missed !== undefined) return missed;
    await beginItems(transaction, productId, revision, part);
  }
  return null;
}

async function endItems(
  transaction: Transaction<Tables>,
  productId: string,
  revision: number,
  writes: readonly ItemWrite[],
): Promise<ReadonlySet<string>> {
  if (writes.length === 0) return new Set();
  const rows = await sql<{ kind: string; key: string }>`
    update catalog_item i set to_revision = ${revision}
    from unnest(${writes.map((write) => write.kind)}::text[], ${writes.map((write) => write.key)}::text[],
      ${writes.map((write) => write.before)}::text[]) as w(kind, key, hash)
    where i.product_id = ${productId} and i.to_revision is null and i.kind = w.kind and i.key = w.key
      and i.hash = w.hash
    returning i.kind, i.key`.execute(transaction);
  return new Set(rows.rows.map(itemId));
}

async function beginItems(
  transaction: Transaction<Tables>,
  productId: string,
  revision: number,
  writes: readonly ItemWrite[],
): Promise<void> {
  const rows = writes.flatMap((write) => (write.after === null ? [] : [{ ...write, ...write.after }]));
  if (rows.length === 0) return;
  await sql`
    insert into catalog_item (product_id, kind, key, version, from_revision, position, text, hash)
    select ${productId}, w.kind, w.key, w.version, ${revision}, w.position, w.text, w.hash
    from unnest(${rows.map((row) => row.kind)}::text[], ${rows.map((row) => row.key)}::text[],
      ${rows.map((row) => row.version)}::bigint[], ${rows.map((row) => row.position)}::int[],
      ${rows.map((row) => row.text)}::text[], ${rows.map((row) => row.hash)}::text[])
      as w(kind, key, version, position, text, hash)`.execute(transaction);
}

/** The new head, with the audit entry that tells what it changed. */
export async function writeRevision(
  transaction: Transaction<Tables>,
  productId: string,
  revision: { readonly number: number; readonly auditEntryId: string; readonly createdAt: Date },
): Promise<void> {
  await transaction
    .insertInto('revision')
    .values({
      product_id: productId,
      number: revision.number,
      audit_entry_id: revision.auditEntryId,
      created_at: revision.createdAt,
    })
    .execute();
  await transaction
    .updateTable('product')
    .set({ head_revision: revision.number })
    .where('id', '=', productId)
    .execute();
}

/** Moves one environment; `false` when it already stands at that revision or a newer one (R-34: never backwards). */
export async function moveEnvironment(
  transaction: Transaction<Tables>,
  move: Omit<EnvironmentRevision, 'publishedAt'> & { readonly publishedAt: Date },
): Promise<boolean> {
  const result = await transaction
    .insertInto('environment_revision')
    .values({
      product_id: move.productId,
      environment_id: move.environmentId,
      revision: move.revision,
      effective_hash: move.effectiveHash,
      published_at: move.publishedAt,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['product_id', 'environment_id'])
        .doUpdateSet({
          revision: move.revision,
          effective_hash: move.effectiveHash,
          published_at: move.publishedAt,
        })
        .where('environment_revision.revision', '<', move.revision),
    )
    .executeTakeFirst();
  const isMoved = (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
  if (isMoved) await tellPublished(transaction, move);
  return isMoved;
}

/** INVARIANT: whoever moves an environment tells it in the same transaction. */
async function tellPublished(
  transaction: Transaction<Tables>,
  { productId, environmentId, revision, publishedAt }: Parameters<typeof moveEnvironment>[1],
): Promise<void> {
  const subject = `catalog/${productId}`;
  const told = { type: 'catalog.published', productId, subject, owner: null, data: { revision } };
  const where = { environmentId, occurredAt: publishedAt, versions: new Map() };
  await writeToldChanges(transaction, where, [told]);
  await walkAgain(transaction, environmentId, productId);
}
