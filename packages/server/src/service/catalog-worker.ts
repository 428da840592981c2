import { parentPort, workerData } from 'node:worker_threads';
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
import { openDatabase } from '../store/database.js';
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

export type WorkerJob =
  | { readonly id: number; readonly request: PlanRequest }
  | { readonly id: number; readonly hash: HashRequest };

export type WorkerAnswer =
  | { readonly id: number; readonly result: PublishPlan | string }
  | { readonly id: number; readonly notFound: true }
  | { readonly id: number; readonly failure: unknown };

interface Head {
  readonly revision: number;
  readonly items: Map<string, LiveItem>;
}

/** Products whose head is kept between jobs. */
const HEADS = 4;

const { connectionString } = workerData as { readonly connectionString: string };
const database = openDatabase({ connectionString, applicationName: 'pennon publish', maxConnections: 1 });
const heads = new Map<string, Head>();

async function headOf(productId: string, fresh: boolean): Promise<Head | null> {
  const revision = await readHeadRevision(database.kysely, productId);
  if (revision === null) return null;
  const known = heads.get(productId);
  if (known?.revision === revision && !fresh) return known;
  const head =
    fresh || known === undefined || known.revision > revision
      ? { revision, items: await allItems(productId, revision) }
      : { revision, items: await changedItems(productId, known, revision) };
  heads.delete(productId);
  heads.set(productId, head);
  const [oldest] = heads.keys();
  if (heads.size > HEADS && oldest !== undefined) heads.delete(oldest);
  return head;
}

async function allItems(productId: string, revision: number): Promise<Map<string, LiveItem>> {
  const items = new Map<string, LiveItem>();
  for (const item of await readItemsAt(database.kysely, productId, revision)) {
    const read = readStoredDocument(item);
    if (read.ok) items.set(itemId(item), { ...item, document: read.document });
  }
  return items;
}

async function changedItems(
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

async function plan(request: PlanRequest): Promise<PublishPlan | null> {
  const { product, edit } = request;
  const head = await headOf(product.id, request.fresh === true);
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
    compile: (catalog, environment) => compile(product.id, head, catalog, environment),
    readRetired: (items) => readRetiredItems(database.kysely, product.id, items),
  });
}

/** What was compiled last for each environment: the next candidate differs from it in a few items. */
const snapshots = new Map<string, Snapshot>();

function compile(productId: string, head: Head, catalog: Catalog, environment: string): CompileOutput {
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

async function effectiveHash(request: HashRequest): Promise<string> {
  const items: LiveItem[] = [];
  for (const item of await readItemsAt(database.kysely, request.productId, request.revision)) {
    const read = readStoredDocument(item);
    if (read.ok) items.push({ ...item, document: read.document });
  }
  return compileSnapshot({ ...request, catalog: catalogOf(items) }).snapshot.hash;
}

async function answer(job: WorkerJob): Promise<WorkerAnswer> {
  try {
    const result = 'hash' in job ? await effectiveHash(job.hash) : await plan(job.request);
    return result === null ? { id: job.id, notFound: true } : { id: job.id, result };
  } catch (failure) {
    heads.clear();
    return { id: job.id, failure: cloneable(failure) };
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
