import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { isPidAlive } from '../src/store/embedded/process-identity.js';

/* Starts the real command as a person does, and ends what it started by its number, whatever becomes of the test. */

export const repository = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const SHARED_HOMES = '/var/lib/pennon';
/** A machine that runs other tests beside this one is slow to make a database. */
const START_MILLISECONDS = 60_000;

/** A data directory of its own that is gone after the test, with what still runs in it and with the home elsewhere that it got. */
export function makeDataDirectory(mode = 0o711): string {
  const folder = mkdtempSync(join(tmpdir(), 'pennon-start-'));
  chmodSync(folder, mode);
  onTestFinished(() => {
    cleanUp(folder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  return folder;
}

/** Ends the database of a data directory, and removes its home under `/var/lib/pennon`, if it has one: the one that its own id names. */
export function cleanUp(dataDirectory: string): void {
  const pid = databasePid(dataDirectory);
  if (pid !== null) process.kill(pid, 'SIGQUIT');
  const home = homeElsewhere(dataDirectory);
  if (home !== null) rmSync(home, { recursive: true, force: true, maxRetries: 5 });
}

export function homeElsewhere(dataDirectory: string): string | null {
  const id = readOrNull(join(dataDirectory, 'postgres', 'home-id'))?.trim() ?? '';
  return /^[0-9a-f]{32}$/.test(id) ? join(SHARED_HOMES, id) : null;
}

/** The main process of the embedded database that works for a data directory; null when none does. */
export function databasePid(dataDirectory: string): number | null {
  const data = readOrNull(join(dataDirectory, 'postgres', 'data-made'))?.trim();
  const text = data === undefined ? null : readOrNull(join(data, 'postmaster.pid'));
  const pid = Number.parseInt(text ?? '', 10);
  return pid > 0 && isPidAlive(pid) ? pid : null;
}

function readOrNull(path: string): string | null {
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

export interface StartOptions {
  readonly dataDirectory: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** What is run in the clone; `node tools/start.mjs` unless told otherwise. */
  readonly command?: readonly string[];
  /** The account that starts, for who is root. */
  readonly uid?: number;
}

export interface Started {
  readonly child: ChildProcess;
  /** Everything on standard output: the greeting. */
  readonly output: () => string;
  /** Everything on standard error: the log, or the sentence of a refusal. */
  readonly errors: () => string;
  /** Exit code or the signal's name, once all that was written has been read. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** The greeting has been printed; answers the address in it. */
  readonly address: () => Promise<string>;
}

/** Starts it in a process group of its own, as a terminal does, so that a test can press Ctrl-C: `process.kill(-pid, 'SIGINT')`. */
export function start(options: StartOptions): Started {
  const [program, ...argumentList] = options.command ?? [process.execPath, 'tools/start.mjs'];
  const child = spawn(program ?? '', argumentList, {
    cwd: repository,
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      PENNON_DATA_DIR: options.dataDirectory,
      ...options.settings,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
  // What is typed at a program that has ended reaches nobody.
  child.stdin.on('error', () => undefined);
  const text = { output: '', errors: '' };
  child.stdout.setEncoding('utf8').on('data', (part: string) => {
    text.output += part;
  });
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    text.errors += part;
  });
  onTestFinished(() => endGroup(child));
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.on('close', (code, signal) => resolve(code ?? signal)),
  );
  return {
    child,
    output: () => text.output,
    errors: () => text.errors,
    ended,
    address: async () => {
      await Promise.race([
        expect.poll(() => text.output, { timeout: START_MILLISECONDS, interval: 20 }).toContain('Ctrl-C'),
        ended.then((code) => {
          throw new Error(`It ended with ${code} before it was up:\n${text.output}${text.errors}`);
        }),
      ]);
      return /running at (http:\S+)/.exec(text.output)?.[1] ?? '';
    },
  };
}

/** The number of a group is that of its first process and stays taken while one of its members lives. */
function endGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // All of them have ended: as it should be.
  }
}

/** Stops it as an orchestrator does, and expects that it went well and left nothing running. */
export async function stop(started: Started, dataDirectory: string): Promise<void> {
  started.child.kill('SIGTERM');
  expect(await started.ended, started.errors()).toBe(0);
  expect(databasePid(dataDirectory)).toBeNull();
}

export interface Keys {
  readonly admin: string;
  readonly server: string;
  readonly client: string;
}

export function keysOf(dataDirectory: string): Keys {
  return JSON.parse(readFileSync(join(dataDirectory, 'keys.json'), 'utf8')) as Keys;
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

export type Ask = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<Answer>;

/** Asks with one key; rejects when no whole answer comes. */
export function asker(address: string, key: string): Ask {
  return async (method, path, body, headers) => {
    const response = await fetch(`${address}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
}

/** Runs a line in a shell, as one that was pasted. */
export function paste(command: string): Promise<string> {
  return new Promise((resolve) => {
    const shell = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    shell.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    shell.on('close', () => resolve(text));
  });
}

/** Another program on a port, any free one unless it is named. */
export function takePort(wanted = 0): Promise<{ readonly port: number; release(): Promise<void> }> {
  return new Promise((resolve, reject) => {
    const holder = createServer();
    holder.on('error', reject);
    holder.listen(wanted, '127.0.0.1', () => {
      const address = holder.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      resolve({ port, release: () => new Promise((done) => void holder.close(() => done())) });
    });
  });
}

/** The processes that work in the data directory of the embedded database: none is left after a stop. */
export function processesIn(dataDirectory: string): readonly number[] {
  const data = readOrNull(join(dataDirectory, 'postgres', 'data-made'))?.trim();
  if (data === undefined || process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => (readOrNull(`/proc/${name}/cmdline`) ?? '').includes(data))
    .map(Number);
}
