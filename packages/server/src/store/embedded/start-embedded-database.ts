import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { findBinaries } from './binaries.js';
import { type Claim, takeClaim } from './claim-file.js';
import { connectionUrl, databaseName, loadOrCreatePassword } from './credentials.js';
import { diskFull, EmbeddedDatabaseError } from './embedded-database-error.js';
import { type Home, prepareHome } from './home.js';
import { ensureCluster } from './initialize.js';
import { launchDatabase } from './launch.js';
import { alreadyRunning, stopOrphan } from './orphan.js';
import { type Postmaster, type PostmasterEnd, signalPostmaster } from './postmaster.js';
import { socketDirectory } from './settings.js';
import { type LockConnection, tryLock } from './supervisor-lock.js';

export interface EmbeddedDatabaseOptions {
  /** Password, log and, where possible, the data themselves live here; made if it is missing. */
  readonly directory: string;
  readonly log?: (line: string) => void;
  /** For tests only: nothing is forced to disk. */
  readonly fast?: boolean;
  readonly maxConnections?: number;
  /** Taken if it is free, so that a database that died comes back under its old address. */
  readonly preferredPort?: number;
}

export interface EmbeddedDatabase {
  /** `postgres://…` with the password: TCP on 127.0.0.1, and with `?host=` the socket that goes before it where there is one. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Resolves when the database has ended, whoever ended it. A new one may be started then. */
  readonly exited: Promise<DatabaseEnd>;
  /** Ends it: open transactions are rolled back, what was committed stays. May be called again. */
  stop(): Promise<void>;
}

export interface DatabaseEnd extends PostmasterEnd {
  /** Whether `stop` was called before. */
  readonly expected: boolean;
}

/** Other starts that come in between are few; each of them either wins or leaves. */
const attempts = 5;

/**
 * Starts the PostgreSQL of a directory under the supervision of this process. Rejects with an EmbeddedDatabaseError whose message can
 * be shown as it is.
 */
export async function startEmbeddedDatabase(options: EmbeddedDatabaseOptions): Promise<EmbeddedDatabase> {
  const log = options.log ?? (() => undefined);
  const home = await prepareHome(options.directory, findBinaries());
  const taken = takeClaim(home.directory, randomUUID());
  if ('heldBy' in taken) throw alreadyRunning(home.directory, taken.heldBy);
  try {
    return await start(home, taken.claim, options, log);
  } catch (error) {
    taken.claim.release();
    throw error;
  }
}

async function start(
  home: Home,
  claim: Claim,
  options: EmbeddedDatabaseOptions,
  log: (line: string) => void,
): Promise<EmbeddedDatabase> {
  const settings = { fast: options.fast ?? false, maxConnections: options.maxConnections ?? 60 };
  const password = await loadOrCreatePassword(home);
  for (let attempt = 0; attempt < attempts; attempt++) {
    await stopOrphan(home, password, log);
    await ensureCluster(home, password, settings.fast);
    const outcome = await launchDatabase(home, password, settings, options.preferredPort ?? null);
    if (outcome.kind === 'ready') {
      const database = supervise(home, claim, password, outcome.postmaster, outcome.lock, log);
      try {
        await outcome.lock.createDatabase(databaseName);
        return database;
      } catch (error) {
        await database.stop();
        throw isDiskFull(error) ? diskFull(home.dataDirectory, error) : error;
      }
    }
  }
  throw new EmbeddedDatabaseError(
    'ALREADY_RUNNING',
    `Others start and stop the database in \`${home.directory}\` at the same time. Leave it to one of them.`,
  );
}

/** The database's own code for a disk that is full (SQLSTATE class 53). */
function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '53100';
}

function supervise(
  home: Home,
  claim: Claim,
  password: string,
  postmaster: Postmaster,
  firstLock: LockConnection,
  log: (line: string) => void,
): EmbeddedDatabase {
  let stopping: Promise<void> | null = null;
  let lock = firstLock;

  const exited = postmaster.exited.then(async (end) => {
    await lock.release();
    claim.release();
    return { ...end, expected: stopping !== null };
  });

  /** PostgreSQL ends all connections when one backend crashes, and goes on; the lock must not stay free for longer than that. */
  const keepLock = async () => {
    for (;;) {
      await lock.lost;
      while (postmaster.ended() === null && stopping === null) {
        const outcome = await tryLock(postmaster.port, password);
        if (outcome.kind === 'taken') {
          lock = outcome.connection;
          break;
        }
        if (outcome.kind === 'held') {
          log(`Process ${outcome.pid ?? '(unknown)'} has taken over the database ${postmaster.pid}.`);
          return;
        }
        await sleep(50);
      }
      if (postmaster.ended() !== null || stopping !== null) return;
    }
  };
  void keepLock();

  return {
    url: connectionUrl(postmaster.port, password, databaseName, socketDirectory(home.dataDirectory)),
    port: postmaster.port,
    pid: postmaster.pid,
    exited,
    stop() {
      stopping ??= stopPostmaster(home, postmaster).then(async () => void (await exited));
      return stopping;
    },
  };
}

/** Fast first: it writes a checkpoint, so that the next start has nothing to replay. The deadlines leave time for a slow disk. */
async function stopPostmaster(home: Home, postmaster: Postmaster): Promise<void> {
  for (const [mode, milliseconds] of [
    ['fast', 10_000],
    ['immediate', 6_000],
    ['kill', 2_000],
  ] as const) {
    if (postmaster.ended() !== null) return;
    signalPostmaster(home.binaries, postmaster.pid, mode);
    const deadline = new AbortController();
    await Promise.race([
      postmaster.exited.finally(() => deadline.abort()),
      sleep(milliseconds, undefined, { signal: deadline.signal }).catch(() => undefined),
    ]);
  }
}
