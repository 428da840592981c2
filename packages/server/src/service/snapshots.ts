import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { EnvironmentRevision } from '../store/catalog-rows.js';
import type { SavedSnapshot, SnapshotFiles } from '../store/snapshot-files.js';
import type { DirectoryEnvironment } from './directory.js';
import {
  type CatalogSource,
  fromSaved,
  type LoadedSnapshot,
  loadSnapshot,
  toSaved,
} from './load-snapshot.js';
import type { ChangeFeed, ProductRecord, Snapshots } from './ports.js';
import { ServiceError } from './service-error.js';

/** Heals whatever no notice told of: rows that were removed by hand, a load that failed. */
const CHECK_MILLISECONDS = 10_000;

export interface SnapshotsOptions {
  readonly source: CatalogSource;
  readonly directory: {
    products(): readonly ProductRecord[];
    environment(idOrKey: string): DirectoryEnvironment | null;
  };
  readonly feed: Pick<ChangeFeed, 'subscribe' | 'subscribeToReset'>;
  /** `null`: nothing is kept on disk. */
  readonly files: SnapshotFiles | null;
  /** The evaluation clock. */
  readonly now: () => number;
  readonly onProblem: (problem: string, error: unknown) => void;
  readonly checkMilliseconds?: number;
}

export interface SnapshotReport {
  readonly productId: string;
  readonly environmentId: string;
  readonly environment: string;
  readonly revision: number;
  readonly source: 'database' | 'disk';
  readonly readAtMilliseconds: number;
  /** Items that this process does not use as stored, and what it uses instead. */
  readonly contained: LoadedSnapshot['contained'];
}

export interface RunningSnapshots extends Snapshots {
  /** Serves what the last run left on disk; needs no database. Returns how many snapshots are served. */
  startFromDisk(): Promise<number>;
  /** Loads what the database says; rejects when it is away. */
  loadAll(): Promise<void>;
  /** Watches for what no notice tells of. */
  startChecking(): void;
  stop(): Promise<void>;
  report(): readonly SnapshotReport[];
  /** Called after each swap, with the snapshot that is now served. */
  onSwap(listener: (snapshot: Snapshot, environmentId: string) => void): void;
}

interface Slot {
  current: LoadedSnapshot | null;
  loading: Promise<void> | null;
  loadAgain: boolean;
  saving: Promise<void>;
  /** The older revision of the database that was already reported. */
  reportedOlder: number | null;
}

/**
 * Compile before swap (DESIGN §5): a newer revision is fetched and compiled in slices beside the one that is served, and only
 * then takes its place, in one assignment. What cannot be loaded changes nothing.
 */
export function createSnapshots(options: SnapshotsOptions): RunningSnapshots {
  const slots = new Map<string, Slot>();
  const swapListeners: ((snapshot: Snapshot, environmentId: string) => void)[] = [];
  let timer: NodeJS.Timeout | null = null;

  function slotOf(productId: string, environmentId: string): Slot {
    const name = `${productId} ${environmentId}`;
    let slot = slots.get(name);
    if (slot === undefined) {
      slot = {
        current: null,
        loading: null,
        loadAgain: false,
        saving: Promise.resolve(),
        reportedOlder: null,
      };
      slots.set(name, slot);
    }
    return slot;
  }

  /** INVARIANT: the revision that a process serves never goes down, whatever arrives late. */
  function swap(slot: Slot, next: LoadedSnapshot): boolean {
    if (slot.current !== null && next.snapshot.revision < slot.current.snapshot.revision) return false;
    slot.current = next;
    for (const listener of swapListeners) listener(next.snapshot, next.environmentId);
    return true;
  }

  function save(slot: Slot, loaded: LoadedSnapshot): void {
    const { files } = options;
    if (files === null) return;
    slot.saving = slot.saving.then(async () => {
      // A newer one is on its way to the disk already.
      if (slot.current !== loaded) return;
      try {
        await files.save(toSaved(loaded));
      } catch (error) {
        options.onProblem(
          'the snapshot cannot be kept on disk; it is served from memory all the same',
          error,
        );
      }
    });
  }

  /** A database that stands behind what is served was restored from a backup: said once, never followed in silence. */
  function reportOlder(slot: Slot, target: EnvironmentRevision): void {
    const served = slot.current?.snapshot.revision ?? 0;
    if (target.revision >= served || slot.reportedOlder === target.revision) return;
    slot.reportedOlder = target.revision;
    options.onProblem(
      `revision \`${served}\` is served and the database stands at the older \`${target.revision}\`: if it was restored from a backup, stop every process, remove \`snapshots\` from the data directory, and start again`,
      null,
    );
  }

  async function loadOnce(slot: Slot, target: EnvironmentRevision, readAt: number): Promise<void> {
    reportOlder(slot, target);
    const environment = options.directory.environment(target.environmentId);
    if (environment === null) return;
    const { current } = slot;
    if (current !== null && current.source === 'database' && current.snapshot.revision >= target.revision)
      return;
    const loaded = await loadSnapshot(options.source, target, environment.key, current, readAt);
    for (const one of loaded.contained) {
      options.onProblem(`the stored ${one.kind} \`${one.key}\` is ${one.handling}: ${one.problem}`, null);
    }
    if (swap(slot, loaded)) save(slot, loaded);
  }

  async function loadLatest(productId: string, environmentId: string): Promise<void> {
    const readAt = options.now();
    const [target] = await options.source.environmentRevisions({ productId, environmentId });
    if (target !== undefined) await loadOnce(slotOf(productId, environmentId), target, readAt);
  }

  /** One load at a time for each slot; whoever asks during one gets one that began after the question. */
  function load(productId: string, environmentId: string): Promise<void> {
    const slot = slotOf(productId, environmentId);
    if (slot.loading !== null) {
      slot.loadAgain = true;
      return slot.loading;
    }
    slot.loading = (async () => {
      try {
        do {
          slot.loadAgain = false;
          await loadLatest(productId, environmentId);
        } while (slot.loadAgain);
      } finally {
        slot.loading = null;
      }
    })();
    return slot.loading;
  }

  async function loadAll(): Promise<void> {
    const targets = await options.source.environmentRevisions({});
    const failures: unknown[] = [];
    for (const target of targets) {
      const { productId, environmentId } = target;
      const slot = slotOf(productId, environmentId);
      reportOlder(slot, target);
      const { current } = slot;
      if (current?.source === 'database' && current.snapshot.revision >= target.revision) continue;
      await load(productId, environmentId).catch((error: unknown) => failures.push(error));
    }
    forgetRemoved();
    if (failures.length > 0) throw failures[0];
  }

  /** What was removed is served no more, and nobody watches over it. */
  function forgetRemoved(): void {
    for (const [name, { current }] of slots) {
      if (current !== null && options.directory.environment(current.environmentId) === null)
        slots.delete(name);
    }
  }

  function reloadQuietly(): Promise<void> {
    return loadAll().catch((error: unknown) => {
      options.onProblem('the catalog cannot be loaded; what is in memory is served on', error);
    });
  }

  options.feed.subscribe(async (notice) => {
    if (notice.kind === 'directory') return reloadQuietly();
    if (notice.kind !== 'revision') return;
    const { current } = slotOf(notice.productId, notice.environmentId);
    if (current !== null && current.snapshot.revision >= notice.revision) return;
    await load(notice.productId, notice.environmentId);
  });
  options.feed.subscribeToReset(reloadQuietly);

  async function serveSaved(saved: SavedSnapshot): Promise<boolean> {
    const slot = slotOf(saved.productId, saved.environmentId);
    if (slot.current !== null) return false;
    return swap(slot, await fromSaved(saved));
  }

  return {
    current: (productId, environmentId) =>
      slots.get(`${productId} ${environmentId}`)?.current?.snapshot ?? null,

    async atLeast(productId, environmentId, revision, deadlineMilliseconds): Promise<Snapshot> {
      const slot = slotOf(productId, environmentId);
      const ready = () => {
        const snapshot = slot.current?.snapshot ?? null;
        return snapshot !== null && snapshot.revision >= revision ? snapshot : null;
      };
      const now = ready();
      if (now !== null) return now;
      const failure = await before(load(productId, environmentId), deadlineMilliseconds);
      const loaded = ready();
      if (loaded !== null) return loaded;
      throw new ServiceError(
        'unavailable',
        'REVISION_UNAVAILABLE',
        `Revision \`${revision}\` has not reached this process in time; ask again in a moment.`,
        { retryAfterSeconds: 1, cause: failure },
      );
    },

    async startFromDisk(): Promise<number> {
      let served = 0;
      for (const saved of (await options.files?.readAll()) ?? []) {
        try {
          if (await serveSaved(saved)) served += 1;
        } catch (error) {
          options.onProblem('a saved snapshot cannot be compiled', error);
        }
      }
      return served;
    },

    loadAll,

    startChecking(): void {
      const every = options.checkMilliseconds ?? CHECK_MILLISECONDS;
      timer = setInterval(() => void reloadQuietly(), every * (0.9 + Math.random() * 0.2));
      timer.unref();
    },

    async stop(): Promise<void> {
      if (timer !== null) clearInterval(timer);
      await Promise.allSettled([...slots.values()].flatMap((slot) => [slot.loading, slot.saving]));
    },

    report(): readonly SnapshotReport[] {
      return [...slots.values()].flatMap(({ current }) =>
        current === null
          ? []
          : [
              {
                productId: current.snapshot.productId,
                environmentId: current.environmentId,
                environment: current.snapshot.environment,
                revision: current.snapshot.revision,
                source: current.source,
                readAtMilliseconds: current.readAtMilliseconds,
                contained: current.contained,
              },
            ],
      );
    },

    onSwap(listener): void {
      swapListeners.push(listener);
    },
  };
}

/** Resolves when the work is done or the time is over, whichever is first; with the error, where there was one. */
async function before(work: Promise<void>, deadlineMilliseconds: number): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), deadlineMilliseconds);
  });
  try {
    return await Promise.race([
      work.then(
        () => undefined,
        (error: unknown) => error,
      ),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}
