import { toCatalogYaml } from '@pennon/engine/catalog/catalog-yaml';
import type { Catalog, ItemKind } from '@pennon/engine/model/catalog';
import { isJsonObject, type JsonObject } from '@pennon/engine/model/json';
import type { Kysely } from 'kysely';
import { findLiveItem, listLiveItems, listRevisions, revisionExists } from '../../store/catalog-reads.js';
import { readEnvironmentRevisions, readHeadRevision, readItemsAt } from '../../store/catalog-rows.js';
import type { Tables } from '../../store/tables.js';
import { readStoredDocument } from '../catalog-document.js';
import { catalogOf, type LiveItem } from '../catalog-items.js';
import type { Credential } from '../credential.js';
import { fromCursor, type Page, toPage } from '../page.js';
import type { Directory } from '../ports.js';
import { productInReach, scopeOf } from '../scope.js';
import { ServiceError } from '../service-error.js';

export interface ReadDependencies {
  readonly database: Kysely<Tables>;
  readonly directory: Directory;
}

export interface CatalogDocument {
  readonly revision: number;
  readonly catalog: Catalog;
}

/** The whole catalog, at the head or at an older revision. Applying what this answers changes nothing. */
export async function readCatalog(
  dependencies: ReadDependencies,
  credential: Credential,
  productRef: string,
  at: number | undefined,
): Promise<CatalogDocument> {
  const product = productInReach(dependencies.directory, credential, productRef);
  const { database } = dependencies;
  const head = await readHeadRevision(database, product.id);
  const revision = at ?? head ?? 0;
  if (at !== undefined && !(await revisionExists(database, product.id, at))) throw noRevision(at, head);
  const items: LiveItem[] = [];
  for (const item of await readItemsAt(database, product.id, revision)) {
    const read = readStoredDocument(item);
    if (read.ok) items.push({ ...item, document: read.document });
  }
  return { revision, catalog: catalogOf(items) };
}

export function toYaml(document: CatalogDocument): string {
  return toCatalogYaml(document.catalog);
}

/** As JSON, without the lists that are empty. */
export function toJson(document: CatalogDocument): JsonObject {
  const entries = Object.entries(document.catalog).filter(
    ([, value]) => !(Array.isArray(value) && value.length === 0),
  );
  return Object.fromEntries(entries) as unknown as JsonObject;
}

export async function readItem(
  dependencies: ReadDependencies,
  credential: Credential,
  productRef: string,
  kind: ItemKind,
  key: string,
): Promise<{ readonly hash: string; readonly document: JsonObject }> {
  const product = productInReach(dependencies.directory, credential, productRef);
  const item = await findLiveItem(dependencies.database, product.id, kind, key);
  if (item === null) {
    throw new ServiceError(
      'not-found',
      'ITEM_NOT_FOUND',
      `The ${kind} \`${key}\` does not exist; list what there is, or create it with PUT.`,
    );
  }
  return { hash: item.hash, document: documentOf(item.text) };
}

function documentOf(text: string): JsonObject {
  const document: unknown = JSON.parse(text);
  if (!isJsonObject(document)) throw new TypeError('A stored item is an object.');
  return document;
}

export async function listItems(
  dependencies: ReadDependencies,
  credential: Credential,
  productRef: string,
  kind: ItemKind,
  page: { readonly limit?: number; readonly cursor?: string },
): Promise<Page<JsonObject>> {
  const product = productInReach(dependencies.directory, credential, productRef);
  const limit = page.limit ?? 50;
  const position = fromCursor(page.cursor, 2);
  const after = position === null ? null : { position: cursorNumber(position[0]), key: position[1] ?? '' };
  const rows = await listLiveItems(dependencies.database, product.id, kind, after, limit + 1);
  return toPage(
    rows,
    limit,
    (row) => documentOf(row.text),
    (row) => [String(row.position), row.key],
  );
}

/** A number that was in a cursor; one that was not is 400 like any other cursor that the server did not make. */
function cursorNumber(text: string | undefined): number {
  const number = Number(text);
  if (text !== undefined && /^\d{1,10}$/.test(text) && number <= 0x7fff_ffff) return number;
  throw new ServiceError('invalid', 'CURSOR_INVALID', 'The `cursor` is not one that this list gave.');
}

export interface RevisionEntry {
  readonly number: number;
  readonly createdAt: string;
  readonly actor: { readonly kind: string; readonly id: string };
  readonly reason: string;
  readonly auditEntryId: string;
  readonly environments: string[];
}

export async function listCatalogRevisions(
  dependencies: ReadDependencies,
  credential: Credential,
  productRef: string,
  page: { readonly limit?: number; readonly cursor?: string },
): Promise<Page<RevisionEntry>> {
  const { database, directory } = dependencies;
  const product = productInReach(directory, credential, productRef);
  const limit = page.limit ?? 50;
  const position = fromCursor(page.cursor, 1);
  const below = position === null ? null : cursorNumber(position[0]);
  const rows = await listRevisions(database, product.id, below, limit + 1);
  const standing = await readEnvironmentRevisions(database, { productId: product.id });
  return toPage(
    rows,
    limit,
    (row) => ({
      number: row.number,
      createdAt: row.created_at.toISOString(),
      actor: { kind: row.actor_kind, id: row.actor_id },
      reason: row.reason ?? '',
      auditEntryId: row.audit_entry_id,
      environments: standing
        .filter((one) => one.revision === row.number)
        .flatMap((one) => directory.environment(one.environmentId)?.key ?? [])
        .sort(),
    }),
    (row) => [String(row.number)],
  );
}

export interface EnvironmentStanding {
  readonly environment: string;
  readonly revision: number;
  readonly effectiveHash: string;
  readonly publishedAt: string;
}

/** Where one environment stands; 404 while nothing was published there. */
export async function readEnvironmentStanding(
  dependencies: ReadDependencies,
  credential: Credential,
  productRef: string,
  environmentRef: string,
): Promise<EnvironmentStanding> {
  const scope = scopeOf(dependencies.directory, credential, {
    product: productRef,
    environment: environmentRef,
  });
  const filter = { productId: scope.product.id, environmentId: scope.environment.id };
  const [row] = await readEnvironmentRevisions(dependencies.database, filter);
  if (row === undefined) {
    throw new ServiceError(
      'not-found',
      'NOT_PUBLISHED',
      `Nothing of the product \`${scope.product.key}\` was published in \`${scope.environment.key}\` yet; publish a catalog, or move the environment to a revision.`,
    );
  }
  return {
    environment: scope.environment.key,
    revision: row.revision,
    effectiveHash: row.effectiveHash,
    publishedAt: row.publishedAt.toISOString(),
  };
}

export function noRevision(revision: number, head: number | null): ServiceError {
  return new ServiceError(
    'not-found',
    'REVISION_NOT_FOUND',
    `The product has no revision \`${revision}\`; its newest is \`${head ?? 0}\`.`,
  );
}
