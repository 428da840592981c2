import { compileSnapshotInSlices } from '@pennon/engine/snapshot/compile-snapshot';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { type EnvironmentRevision, itemId, type StoredItem } from '../store/catalog-rows.js';
import type { SavedSnapshot } from '../store/snapshot-files.js';
import { readStoredDocument } from './catalog-document.js';
import { catalogInSlices, type LiveItem } from './catalog-items.js';
import { runInSlices } from './run-in-slices.js';

/** Where catalogs are read from. */
export interface CatalogSource {
  environmentRevisions(filter: {
    readonly productId?: string;
    readonly environmentId?: string;
  }): Promise<readonly EnvironmentRevision[]>;
  itemsAt(productId: string, revision: number): Promise<readonly StoredItem[]>;
  itemChanges(
    productId: string,
    after: number,
    upTo: number,
  ): Promise<{
    readonly live: readonly StoredItem[];
    readonly ended: readonly { readonly kind: string; readonly key: string }[];
  }>;
}

/** A stored item that is not used as it stands; the others of its catalog are not touched by it. */
export interface ContainedItem {
  readonly kind: string;
  readonly key: string;
  readonly problem: string;
  readonly handling: 'disabled' | 'kept as it was' | 'left out';
}

export interface LoadedSnapshot {
  readonly snapshot: Snapshot;
  readonly environmentId: string;
  /** As the database records it. */
  readonly effectiveHash: string;
  readonly items: ReadonlyMap<string, LiveItem>;
  readonly source: 'database' | 'disk';
  /** When the database was asked for it, by the evaluation clock: every change committed before is in it. */
  readonly readAtMilliseconds: number;
  readonly contained: readonly ContainedItem[];
}

/**
 * Fetches what changed since `current` (or everything), reads and compiles it in slices. Rejects without any effect when it
 * cannot.
 */
export async function loadSnapshot(
  source: CatalogSource,
  target: EnvironmentRevision,
  environmentKey: string,
  current: LoadedSnapshot | null,
  readAtMilliseconds: number,
): Promise<LoadedSnapshot> {
  const step = { target, environmentKey, current, readAtMilliseconds };
  if (current?.source === 'database' && current.contained.length === 0) {
    const changes = await source.itemChanges(target.productId, current.snapshot.revision, target.revision);
    const items = await runInSlices(copyOf(current.items));
    for (const ended of changes.ended) items.delete(itemId(ended));
    const loaded = await build(step, items, changes.live);
    // Another hash than the publisher's: this process and the database do not share the history that the difference was
    // taken from (one of them was restored), or another release compiled it. Everything is read again.
    if (loaded.snapshot.hash === target.effectiveHash) return loaded;
  }
  return build(step, new Map(), await source.itemsAt(target.productId, target.revision));
}

/** So many entries are copied between two yields. */
const COPIED = 512;

function* copyOf(items: ReadonlyMap<string, LiveItem>): Generator<void, Map<string, LiveItem>> {
  const copy = new Map<string, LiveItem>();
  for (const [id, item] of items) {
    copy.set(id, item);
    if (copy.size % COPIED === 0) yield;
  }
  return copy;
}

interface BuildStep {
  readonly target: EnvironmentRevision;
  readonly environmentKey: string;
  readonly current: LoadedSnapshot | null;
  readonly readAtMilliseconds: number;
}

/** `items` are those that stay; `stored` are rows that are still to be read. */
async function build(
  step: BuildStep,
  items: Map<string, LiveItem>,
  stored: readonly StoredItem[],
): Promise<LoadedSnapshot> {
  const { target, environmentKey, current, readAtMilliseconds } = step;
  // INVARIANT: a catalog that was published always has its product item; without any row it was lost, not published.
  if (items.size === 0 && stored.length === 0) {
    throw new Error(
      `Revision \`${target.revision}\` has no items at all in the database; what is in memory is served on.`,
    );
  }
  const contained = await runInSlices(readItems(items, stored, current));
  const { snapshot, disabled } = await runInSlices(
    compileSnapshotInSlices({
      catalog: await runInSlices(catalogInSlices(items.values())),
      environment: environmentKey,
      revision: target.revision,
      productId: target.productId,
      ...(current === null ? {} : { previous: current.snapshot }),
    }),
  );
  return {
    snapshot,
    environmentId: target.environmentId,
    effectiveHash: target.effectiveHash,
    items,
    source: 'database',
    readAtMilliseconds,
    contained: [
      ...contained,
      ...disabled.map(({ kind, key, message }) => ({
        kind,
        key,
        problem: message,
        handling: 'disabled' as const,
      })),
    ],
  };
}

/** The reader validates too: whatever is in a row, it concerns that one item. */
function* readItems(
  items: Map<string, LiveItem>,
  stored: readonly StoredItem[],
  current: LoadedSnapshot | null,
): Generator<void, readonly ContainedItem[]> {
  const contained: ContainedItem[] = [];
  for (const item of stored) {
    const id = itemId(item);
    const known = current?.items.get(id);
    if (known !== undefined && known.hash === item.hash && known.text === item.text) {
      items.set(id, known.version === item.version ? known : { ...item, document: known.document });
      yield;
      continue;
    }
    const read = readStoredDocument(item);
    if (read.ok) {
      items.set(id, { ...item, document: read.document });
    } else {
      if (known !== undefined) items.set(id, known);
      const handling = known === undefined ? 'left out' : 'kept as it was';
      contained.push({ kind: item.kind, key: item.key, problem: read.problem, handling });
    }
    yield;
  }
  return contained;
}

/** What was saved was good when it was saved, and its checksum was verified. It is as old as when it was read from the database. */
export async function fromSaved(saved: SavedSnapshot): Promise<LoadedSnapshot> {
  const target = { ...saved, publishedAt: new Date(0) };
  const { environmentKey, readAtMilliseconds } = saved;
  const step = { target, environmentKey, current: null, readAtMilliseconds };
  return { ...(await build(step, new Map(), [...saved.items])), source: 'disk' };
}

export function toSaved(loaded: LoadedSnapshot): SavedSnapshot {
  return {
    productId: loaded.snapshot.productId,
    environmentId: loaded.environmentId,
    environmentKey: loaded.snapshot.environment,
    revision: loaded.snapshot.revision,
    effectiveHash: loaded.effectiveHash,
    readAtMilliseconds: loaded.readAtMilliseconds,
    items: loaded.items.values(),
    itemCount: loaded.items.size,
  };
}
