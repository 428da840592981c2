import { setTimeout as sleep } from 'node:timers/promises';
import { EmbeddedDatabaseError } from './embedded-database-error.js';
import type { Home } from './home.js';
import { findRunningDatabase, type RunningDatabase, signalPostmaster, waitUntil } from './postmaster.js';
import { identityOf, isAlive } from './process-identity.js';
import { tryLock } from './supervisor-lock.js';

const decideMilliseconds = 10_000;

/**
 * Clears the way for a start: nothing runs in the data directory, or what runs there is watched by nobody and is stopped. Refuses with
 * `ALREADY_RUNNING` when a living supervisor holds the lock.
 */
export async function stopOrphan(home: Home, password: string, log: (line: string) => void): Promise<void> {
  const giveUpAt = performance.now() + decideMilliseconds;
  for (;;) {
    const running = findRunningDatabase(home.dataDirectory);
    if (running === null) return;
    // The port is written a moment after the number.
    if (running.port !== 0) {
      const outcome = await tryLock(running.port, password);
      if (outcome.kind === 'held') throw alreadyRunning(home.directory, outcome.pid);
      if (outcome.kind === 'taken') {
        log(`The database ${running.pid} has lost its supervisor; it is stopped and started anew.`);
        // The lock is kept to the end of the database, so that a second start does not take it for free meanwhile.
        await stopWithin(home, running);
        await outcome.connection.release();
        return;
      }
    }
    if (performance.now() >= giveUpAt) throw stuck(home, running, 'takes no connection');
    await sleep(100);
  }
}

/** Ten seconds in all. Even the hardest way loses nothing that was committed: the log is replayed at the start. */
async function stopWithin(home: Home, running: RunningDatabase): Promise<void> {
  const orphan = identityOf(running.pid);
  const gone = () => !isAlive(orphan);
  for (const [mode, milliseconds] of [
    ['fast', 4_000],
    ['immediate', 5_000],
    ['kill', 1_000],
  ] as const) {
    signalPostmaster(home.binaries, running.pid, mode);
    if (await waitUntil(gone, milliseconds)) return;
  }
  throw stuck(home, running, 'did not end within ten seconds');
}

export function alreadyRunning(directory: string, pid: number | null): EmbeddedDatabaseError {
  const who = pid === null ? 'another process' : `process ${pid}`;
  return new EmbeddedDatabaseError(
    'ALREADY_RUNNING',
    `The database in \`${directory}\` is in use by ${who}. Stop that Pennon first` +
      `${pid === null ? '' : ` (\`kill ${pid}\`)`}, or set \`PENNON_DATA_DIR\` to another folder to run a second one.`,
  );
}

function stuck(home: Home, running: RunningDatabase, what: string): EmbeddedDatabaseError {
  return new EmbeddedDatabaseError(
    'ORPHAN_STUCK',
    `A database without a supervisor, process ${running.pid}, works in \`${home.dataDirectory}\` and ${what}. ` +
      `End it (\`kill ${running.pid}\`) and start again.`,
  );
}
