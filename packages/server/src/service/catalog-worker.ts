import { parentPort } from 'node:worker_threads';
import type { Catalog } from '@pennon/engine/model/catalog';
import { type CompileOutput, compileSnapshot } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import {
  itemId,
  readHeadRevision,
  readItemChanges,
  readItemsAt,
  readRetiredItems,
} from '../store/catalog-rows.js';
import { type Database, openDatabase } from '../store/database.js';
import { readStoredDocument } from './catalog-document.js';
import { catalogOf, type LiveItem } from './catalog-items.js';
import { planEdit } from './plan-edit.js';
import type { PlanRequest, PublishPlan } from './publish-plan.js';
import { ServiceError } from './service-error.js';

/*
 * The worker thread of publishing: reads heads from the database by itself, so that ten thousand items never pass through the
 * thread that answers evaluations.
 */

/** What a revision is in one environment, for moving the environment there. */
export interface HashRequest {
  readonly productId: string;
  readonly environment: string;
  readonly revision: number;
}

/** What is asked, and of the catalogs in which database. */
export type WorkerTask = { readonly connectionString: string } & (
  | { readonly request: PlanRequest }
  | { readonly hash: HashRequest }
  /** Nothing will be asked of this database any more. */
  | { readonly leave: true }
);

export type WorkerJob = WorkerTask & { readonly id: number };

export type WorkerAnswer =
  | { readonly id: number; readonly result: PublishPlan | string }
  | { readonly id: number; readonly notFound: true }
  | { readonly id: number; readonly left: true }
  | { readonly id: number; readonly failure: unknown };

interface Head {
  readonly revision: number;
  readonly items: Map<string, LiveItem>;
}

/** Products whose head is kept between jobs. */
const HEADS = 4;

/** What the thread keeps of one database between its jobs. */
interface Desk {
  readonly database: Database;
  readonly heads: Map<string, Head>;
  /** What was compiled last for each environment: the next candidate differs from it in a few items. */
  readonly snapshots: Map<string, Snapshot>;
}

const desks = new Map<string, Desk>();

function deskOf(connectionString: string): Desk {
  const known = desks.get(connectionString);
  if (known !== undefined) return known;
  const database = openDatabase({ connectionString, applicationName: 'pennon publish', maxConnections: 1 });
  const desk: Desk = { database, heads: new Map(), snapshots: new Map() };
  desks.set(connectionString, desk);
  return desk;
}

async function headOf({ database, heads }: Desk, productId: string, fresh: boolean): Promise<Head | null> {
  const revision = await readHeadRevision(database.kysely, productId);
  if (revision === null) return null;
  const known = heads.get(productId);
  if (known?.revision === revision && !fresh) return known;
  const head =
    fresh || known === undefined || known.revision > revision
      ? { revision, items: await allItems(database, productId, revision) }
      : { revision, items: await changedItems(database, productId, known, revision) };
  heads.delete(productId);
  heads.set(productId, head);
  const [oldest] = heads.keys();
  if (heads.size > HEADS && oldest !== undefined) heads.delete(oldest);
  return head;
}

async function allItems(
  database: Database,
  productId: string,
  revision: number,
): Promise<Map<string, LiveItem>> {
  const items = new Map<string, LiveItem>();
  for (const item of await readItemsAt(database.kysely, productId, revision)) {
    const read = readStoredDocument(item);
    if (read.ok) items.set(itemId(item), { ...item, document: read.document });
  }
  return items;
}

async function changedItems(
  database: Database,
  productId: string,
  known: Head,
  revision: number,
): Promise<Map<string, LiveItem>> {
  const changes = await readItemChanges(database.kysely, productId, known.revision, revision);
  const items = new Map(known.items);
  for (const ended of changes.ended) items.delete(itemId(ended));
  for (const item of changes.live) {
    const read = readStoredDocument(item);
    if (read.ok) items.set(itemId(item), { ...item, document: read.document });
  }
  return items;
}

async function plan(desk: Desk, request: PlanRequest): Promise<PublishPlan | null> {
  const { database } = desk;
  const { product, edit } = request;
  const head = await headOf(desk, product.id, request.fresh === true);
  if (head === null) return null;
  const base = edit.type === 'document' ? edit.base : null;
  if (base !== null && base > head.revision) {
    throw new ServiceError(
      'invalid',
      'UNKNOWN_REVISION',
      `The product has no revision \`${base}\` yet; its newest is \`${head.revision}\`.`,
    );
  }
  return planEdit(request, {
    headRevision: head.revision,
    head: head.items,
    base:
      base === null || base === head.revision
        ? null
        : new Map((await readItemsAt(database.kysely, product.id, base)).map((item) => [itemId(item), item])),
    compile: (catalog, environment) => compile(desk.snapshots, product.id, head, catalog, environment),
    readRetired: (items) => readRetiredItems(database.kysely, product.id, items),
  });
}

function compile(
  snapshots: Map<string, Snapshot>,
  productId: string,
  head: Head,
  catalog: Catalog,
  environment: string,
): CompileOutput {
  const name = `${productId} ${environment}`;
  const previous = snapshots.get(name);
  const revision = head.revision + 1;
  const output = compileSnapshot({
    catalog,
    environment,
    revision,
    productId,
    ...(previous === undefined ? {} : { previous }),
  });
  snapshots.delete(name);
  snapshots.set(name, output.snapshot);
  const [oldest] = snapshots.keys();
  if (snapshots.size > HEADS * 4 && oldest !== undefined) snapshots.delete(oldest);
  return output;
}

async function effectiveHash(database: Database, request: HashRequest): Promise<string> {
  const items: LiveItem[] = [];
  for (const item of await readItemsAt(database.kysely, request.productId, request.revision)) {
    const read = readStoredDocument(item);
    if (read.ok) items.push({ ...item, document: read.document });
  }
  return compileSnapshot({ ...request, catalog: catalogOf(items) }).snapshot.hash;
}

async function answer(job: WorkerJob): Promise<WorkerAnswer> {
  const { id } = job;
  if ('leave' in job) {
    const left = desks.get(job.connectionString);
    desks.delete(job.connectionString);
    await left?.database.close();
    return { id, left: true };
  }
  const desk = deskOf(job.connectionString);
  try {
    const result =
      'hash' in job ? await effectiveHash(desk.database, job.hash) : await plan(desk, job.request);
    return result === null ? { id, notFound: true } : { id, result };
  } catch (failure) {
    desk.heads.clear();
    return { id, failure: cloneable(failure) };
  }
}

/** Errors lose their own members on the way between threads; these are the ones that decide the status. */
function cloneable(failure: unknown): unknown {
  if (failure instanceof ServiceError) {
    const { kind, code, message } = failure;
    return { serviceError: { kind, code, message } };
  }
  if (!(failure instanceof Error)) return { message: String(failure) };
  const code = 'code' in failure && typeof failure.code === 'string' ? failure.code : null;
  return { message: failure.message, stack: failure.stack, code };
}

/** One after the other: heads are advanced in order, and one large document does not starve the thread of memory twice. */
let queue: Promise<void> = Promise.resolve();
parentPort?.on('message', (job: WorkerJob) => {
  queue = queue.then(async () => {
    parentPort?.postMessage(await answer(job));
  });
});
