import { setTimeout as sleep } from 'node:timers/promises';
import {
  type EmbeddedDatabase,
  type EmbeddedDatabaseOptions,
  startEmbeddedDatabase,
} from './start-embedded-database.js';

export interface KeptDatabaseOptions extends Omit<EmbeddedDatabaseOptions, 'preferredPort'> {
  /** Called when the database came back under another address, because its port was taken meanwhile. */
  readonly onAddressChange?: (url: string) => void;
}

export interface KeptDatabase {
  /** The address in force; it stays the same over restarts unless `onAddressChange` says otherwise. */
  url(): string;
  /** The process number of the database in force, for the log and for tests. */
  pid(): number;
  /** Ends the database and the watching over it. May be called again. */
  stop(): Promise<void>;
}

const firstDelayMilliseconds = 100;
const longestDelayMilliseconds = 30_000;
/** A database that lived this long did not die of its start; the next delay is the first one again. */
const steadyMilliseconds = 60_000;

/**
 * Starts the embedded database and starts it again whenever it dies. The first start rejects like `startEmbeddedDatabase`; later ones
 * are tried for ever, at most every 30 seconds: meanwhile evaluation goes on from memory (law 1), and a full disk may be emptied.
 */
export async function keepEmbeddedDatabase(options: KeptDatabaseOptions): Promise<KeptDatabase> {
  const log = options.log ?? (() => undefined);
  const stopped = new AbortController();
  let database = await startEmbeddedDatabase(options);

  const restart = async (url: string, preferredPort: number, delay: number): Promise<number> => {
    for (let wait = delay; ; wait = nextDelay(wait)) {
      await sleep(wait, undefined, { signal: stopped.signal }).catch(() => undefined);
      if (stopped.signal.aborted) return wait;
      try {
        database = await startEmbeddedDatabase({ ...options, preferredPort });
        log(`The embedded database runs again (process ${database.pid}).`);
        if (database.url !== url) options.onAddressChange?.(database.url);
        return nextDelay(wait);
      } catch (error) {
        log(`The embedded database could not be started again: ${messageOf(error)}`);
      }
    }
  };

  const watch = async (): Promise<void> => {
    let delay = firstDelayMilliseconds;
    for (;;) {
      const began = performance.now();
      const watched: EmbeddedDatabase = database;
      const end = await watched.exited;
      if (end.expected || stopped.signal.aborted) return;
      log(
        `The embedded database has ended (${end.signal ?? `exit code ${end.exitCode}`}); it is started again.`,
      );
      if (performance.now() - began > steadyMilliseconds) delay = firstDelayMilliseconds;
      delay = await restart(watched.url, watched.port, delay);
      if (stopped.signal.aborted) return;
    }
  };
  const watching = watch();

  return {
    url: () => database.url,
    pid: () => database.pid,
    async stop() {
      stopped.abort();
      await database.stop();
      // A restart that was under way when we were asked to stop has just brought up another one.
      await watching;
      await database.stop();
    },
  };
}

function nextDelay(milliseconds: number): number {
  return Math.min(milliseconds * 2, longestDelayMilliseconds);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
