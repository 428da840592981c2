import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Binaries, program } from './binaries.js';
import { fromFileError, systemErrorCode } from './embedded-database-error.js';
import type { Home } from './home.js';
import { notExecutable } from './initialize.js';
import { isPidAlive, isPostgresOf, worksNobodyIn } from './process-identity.js';
import { type ServerSettings, serverArguments, serverEnvironment } from './settings.js';

/** The main process of a running database that this process started. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  /** How it ended; null while it runs. */
  ended(): PostmasterEnd | null;
  readonly exited: Promise<PostmasterEnd>;
  /** What it has written to its log since it was started. */
  logTail(): string;
}

export interface PostmasterEnd {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A log of this size is put aside at the next start; one older log is kept. */
const logBytesToPutAside = 5 * 1024 * 1024;

/** Starts the server and returns at once. Detached, so that Ctrl-C reaches us and not it: the drain still needs a database. */
export async function launchPostmaster(home: Home, settings: ServerSettings): Promise<Postmaster> {
  const logPath = join(home.directory, 'postgres.log');
  const log = openLog(logPath);
  const logStart = statSync(logPath).size;
  const path = program(home.binaries, 'postgres');
  removeSockets(home.dataDirectory);
  try {
    const child = spawn(path, serverArguments(home.dataDirectory, settings), {
      cwd: home.dataDirectory,
      env: serverEnvironment,
      // A file and not a pipe: a pipe that nobody reads stops a backend, and one whose reader died kills it.
      stdio: ['ignore', log, log],
      detached: true,
      ...(home.runAs ?? {}),
    });
    let end: PostmasterEnd | null = null;
    const exited = new Promise<PostmasterEnd>((resolve) => {
      child.on('exit', (exitCode, signal) => {
        end = { exitCode, signal };
        resolve(end);
      });
    });
    await new Promise<void>((resolve, reject) => {
      child.on('spawn', resolve);
      child.on('error', (error) => reject(notExecutable(path, error)));
    });
    child.unref();
    const pid = child.pid ?? -1;
    return { pid, port: settings.port, ended: () => end, exited, logTail: () => readFrom(logPath, logStart) };
  } finally {
    closeSync(log);
  }
}

/** Of a database that was killed: nobody listens there, and the next port may be another. */
function removeSockets(dataDirectory: string): void {
  for (const name of readdirSync(dataDirectory)) {
    if (name.startsWith('.s.PGSQL.')) rmSync(join(dataDirectory, name), { force: true });
  }
}

function openLog(path: string): number {
  try {
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > logBytesToPutAside)
      renameSync(path, `${path}.1`);
    return openSync(path, 'a', 0o600);
  } catch (error) {
    throw fromFileError(error, path);
  }
}

function readFrom(path: string, start: number): string {
  try {
    const file = openSync(path, 'r');
    try {
      const buffer = Buffer.alloc(16 * 1024);
      return buffer.toString('utf8', 0, readSync(file, buffer, 0, buffer.length, start));
    } finally {
      closeSync(file);
    }
  } catch {
    return '';
  }
}

/** What `postmaster.pid` says of the running database. */
export interface RunningDatabase {
  readonly pid: number;
  readonly port: number;
}

/**
 * The database that works in the data directory, or null. A `postmaster.pid` whose number has gone to a stranger is removed, because
 * PostgreSQL refuses to start beside any living process of the same account.
 * INVARIANT: it is removed only when no process works in the directory. The file carries the key of the shared memory by which
 * PostgreSQL recognises backends that outlived their postmaster; without it two would write the same files.
 */
export function findRunningDatabase(dataDirectory: string): RunningDatabase | null {
  const path = join(dataDirectory, 'postmaster.pid');
  let lines: string[];
  try {
    lines = readFileSync(path, 'utf8').split('\n');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  if (!Number.isSafeInteger(pid) || pid <= 0 || !isPidAlive(pid)) return null;
  if (isPostgresOf(pid, dataDirectory)) return { pid, port: Number.isSafeInteger(port) ? port : 0 };
  if (worksNobodyIn(dataDirectory)) rmSync(path, { force: true });
  return null;
}

type StopMode = 'fast' | 'immediate' | 'kill';
const stopSignals: Record<StopMode, NodeJS.Signals> = {
  fast: 'SIGINT',
  immediate: 'SIGQUIT',
  kill: 'SIGKILL',
};

/** Sends the signal of a shutdown mode; a process that is gone already is what was wanted. */
export function signalPostmaster(binaries: Binaries, pid: number, mode: StopMode): void {
  try {
    if (process.platform === 'win32' && mode !== 'kill') {
      // Windows has no such signals; this program speaks to the server in their place.
      execFileSync(program(binaries, 'pg_ctl'), ['kill', mode === 'fast' ? 'INT' : 'QUIT', String(pid)]);
    } else {
      process.kill(pid, stopSignals[mode]);
    }
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH') throw error;
  }
}

/** Polls until `done`, or until the time is over. True when it was done. */
export async function waitUntil(
  done: () => boolean | Promise<boolean>,
  milliseconds: number,
  intervalMilliseconds = 20,
): Promise<boolean> {
  const end = performance.now() + milliseconds;
  for (;;) {
    if (await done()) return true;
    if (performance.now() >= end) return false;
    await sleep(intervalMilliseconds);
  }
}
