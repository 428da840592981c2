import type { Kysely } from 'kysely';
import type { CatalogSource } from '../service/load-snapshot.js';
import { readEnvironmentRevisions, readItemChanges, readItemsAt } from './catalog-rows.js';
import type { Tables } from './tables.js';

/** Catalogs as the database has them. */
export function createCatalogSource(database: Kysely<Tables>): CatalogSource {
  return {
    environmentRevisions: (filter) => readEnvironmentRevisions(database, filter),
    itemsAt: (productId, revision) => readItemsAt(database, productId, revision),
    itemChanges: (productId, after, upTo) => readItemChanges(database, productId, after, upTo),
  };
}
