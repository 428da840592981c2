import { setTimeout as sleep } from 'node:timers/promises';
import { diskFull, EmbeddedDatabaseError, readOnly } from './embedded-database-error.js';
import { findFreePort } from './free-port.js';
import type { Home } from './home.js';
import { freeBytes } from './initialize.js';
import { launchPostmaster, type Postmaster, signalPostmaster } from './postmaster.js';
import type { ServerSettings } from './settings.js';
import { type LockConnection, tryLock } from './supervisor-lock.js';

export type LaunchOutcome =
  | { readonly kind: 'ready'; readonly postmaster: Postmaster; readonly lock: LockConnection }
  /** Somebody else started a database in the same directory, or took the lock of ours first. */
  | { readonly kind: 'overtaken' };

/** Recovery after a crash replays at most `max_wal_size`, which takes seconds; a slow disk gets its time. */
const readyMilliseconds = 120_000;
/** Backends that outlive a killed postmaster end by themselves, once they notice. */
const leftoverMilliseconds = 10_000;
/** Below this a server cannot even extend its log, and the reason of its end may be missing from it. */
const bytesToBreathe = 1024 * 1024;

/** Starts the server and takes the supervisor's lock; tries again while what is in its way goes away by itself. */
export async function launchDatabase(
  home: Home,
  password: string,
  settings: Omit<ServerSettings, 'port'>,
  preferredPort: number | null,
): Promise<LaunchOutcome> {
  const giveUpAt = performance.now() + leftoverMilliseconds;
  let wanted = preferredPort;
  for (;;) {
    const port = await findFreePort(wanted);
    const postmaster = await launchPostmaster(home, { ...settings, port });
    const outcome = await lockWhenReady(home, postmaster, password);
    if (outcome !== 'ended') return outcome;
    const obstacle = obstacleOf(home, postmaster.logTail());
    switch (obstacle.kind) {
      case 'port-taken':
        wanted = null;
        break;
      case 'other-postmaster':
        return { kind: 'overtaken' };
      case 'leftover-backends':
        if (performance.now() >= giveUpAt) throw leftoverBackends(home);
        await sleep(200);
        break;
      case 'fault':
        throw obstacle.error;
    }
  }
}

async function lockWhenReady(
  home: Home,
  postmaster: Postmaster,
  password: string,
): Promise<LaunchOutcome | 'ended'> {
  const giveUpAt = performance.now() + readyMilliseconds;
  let lastError: unknown;
  while (postmaster.ended() === null) {
    const outcome = await tryLock(postmaster.port, password);
    if (outcome.kind === 'taken') return { kind: 'ready', postmaster, lock: outcome.connection };
    if (outcome.kind === 'held') return { kind: 'overtaken' };
    lastError = outcome.error;
    if (isFinal(lastError) || performance.now() >= giveUpAt) {
      signalPostmaster(home.binaries, postmaster.pid, 'immediate');
      throw new EmbeddedDatabaseError(
        'DID_NOT_START',
        `The embedded database in \`${home.dataDirectory}\` runs but takes no connection: ${String(lastError)}. ` +
          `Its log is \`${home.directory}/postgres.log\`.`,
        lastError,
      );
    }
    await sleep(20);
  }
  return 'ended';
}

/** A refused password stays refused; everything else (starting up, not listening yet) may pass. */
function isFinal(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === '28P01' || error.code === '28000');
}

type Obstacle =
  | { readonly kind: 'port-taken' }
  | { readonly kind: 'other-postmaster' }
  | { readonly kind: 'leftover-backends' }
  | { readonly kind: 'fault'; readonly error: EmbeddedDatabaseError };

/** Reads from the log why the server ended. The texts are PostgreSQL's; `LC_ALL=C` keeps them in English. */
export function obstacleOf(home: Home, log: string): Obstacle {
  if (/lock file "postmaster\.pid" already exists|is another postmaster/.test(log))
    return { kind: 'other-postmaster' };
  if (/pre-existing shared memory block|shared memory block .* is still in use/.test(log)) {
    return { kind: 'leftover-backends' };
  }
  if (/Address already in use|could not bind/.test(log)) return { kind: 'port-taken' };
  return { kind: 'fault', error: faultOf(home, log) };
}

function faultOf(home: Home, log: string): EmbeddedDatabaseError {
  if (
    /No space left on device|Disk quota exceeded/.test(log) ||
    freeBytes(home.dataDirectory) < bytesToBreathe
  ) {
    return diskFull(home.dataDirectory);
  }
  if (/Read-only file system|Permission denied/.test(log)) return readOnly(home.dataDirectory);
  const lines = log.trim().split('\n').slice(-5).join('\n');
  return new EmbeddedDatabaseError(
    'DID_NOT_START',
    `The embedded database in \`${home.dataDirectory}\` did not start. Its log, \`${home.directory}/postgres.log\`, ends with:\n${lines}`,
  );
}

function leftoverBackends(home: Home): EmbeddedDatabaseError {
  return new EmbeddedDatabaseError(
    'ORPHAN_STUCK',
    `Processes of an earlier database still work in \`${home.dataDirectory}\` and did not end within ten seconds. ` +
      'End them (their command begins with `postgres:`) and start again.',
  );
}
