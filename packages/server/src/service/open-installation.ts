import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseClock } from './clock.js';
import type { LoadedDirectory } from './directory.js';
import type { KeyRingLoader } from './keys/key-ring-loader.js';
import type { RunningSnapshots } from './snapshots.js';

/** Neither the database nor the disk had anything: no question could be answered. The cause is the database's error. */
export class NothingToServeError extends Error {
  override readonly name = 'NothingToServeError';

  constructor(cause: unknown) {
    super('The database is away, and there is nothing on disk to answer from.', { cause });
  }
}

export interface InstallationParts {
  /** Brings the schema up to date. */
  readonly migrate: () => Promise<unknown>;
  /** Makes what every installation has. */
  readonly seed: () => Promise<void>;
  readonly clock: DatabaseClock;
  readonly directory: LoadedDirectory;
  readonly keys: KeyRingLoader;
  readonly snapshots: RunningSnapshots;
  readonly feed: { start(): Promise<void> };
  readonly isUnavailable: (error: unknown) => boolean;
  /** Of those: the database says that it is about to take connections. */
  readonly isStarting: (error: unknown) => boolean;
  readonly onProblem: (problem: string, error: unknown) => void;
}

export interface Installation {
  /**
   * Makes the process able to answer: from the database, or from what the last run left on disk when the database is away, and
   * then from the database as soon as it is there (law 1). A database that says that it is starting is waited for. Rejects where waiting
   * would not help, and with `NothingToServeError` where there is nothing on disk either.
   */
  open(): Promise<void>;
  /** `database` once everything was loaded from it; `disk` while it was not yet reached. */
  source(): 'none' | 'disk' | 'database';
  close(): void;
}

const RETRY_MILLISECONDS = 1000;
/** A database that was killed replays its journal for so long; whoever starts both at once should not have to start one twice. */
const STARTING_MILLISECONDS = 30_000;
const STARTING_RETRY_MILLISECONDS = 200;

export function createInstallation(parts: InstallationParts): Installation {
  let source: 'none' | 'disk' | 'database' = 'none';
  const closing = new AbortController();

  async function openFromDatabase(): Promise<void> {
    await parts.migrate();
    await parts.clock.refresh();
    await parts.directory.load();
    // The feed stands before anything is loaded, so that no change falls between the two.
    await parts.feed.start();
    await parts.seed();
    await parts.directory.load();
    await parts.keys.load();
    await parts.snapshots.loadAll();
    parts.snapshots.startChecking();
    parts.clock.start();
    source = 'database';
  }

  /** The error after which waiting would not help, or has not helped; `null`: everything was loaded. */
  async function tryToOpen(): Promise<unknown> {
    for (let waited = 0; ; waited += STARTING_RETRY_MILLISECONDS) {
      try {
        await openFromDatabase();
        return null;
      } catch (error) {
        if (!parts.isUnavailable(error)) {
          throw error;
        }
        const served = await openFromDisk();
        if (served || !parts.isStarting(error) || waited >= STARTING_MILLISECONDS) {
          return error;
        }
        await sleep(STARTING_RETRY_MILLISECONDS);
      }
    }
  }

  async function openFromDisk(): Promise<boolean> {
    const known = await parts.directory.loadFromDisk();
    await parts.keys.loadFromDisk();
    const served = await parts.snapshots.startFromDisk();
    source = known && served > 0 ? 'disk' : 'none';
    return source === 'disk';
  }

  async function retry(): Promise<void> {
    while (!closing.signal.aborted && source !== 'database') {
      await sleep(RETRY_MILLISECONDS, undefined, { signal: closing.signal, ref: false }).catch(
        () => undefined,
      );
      if (closing.signal.aborted) {
        return;
      }
      await openFromDatabase().catch((error: unknown) =>
        parts.onProblem('the database is still away; answers come from what is on disk', error),
      );
    }
  }

  return {
    async open() {
      const error = await tryToOpen();
      if (error === null) {
        return;
      }
      if (source === 'none') {
        throw new NothingToServeError(error);
      }
      parts.onProblem('the database is away; the process starts from what is on disk', error);
      void retry();
    },
    source: () => source,
    close: () => closing.abort(),
  };
}
