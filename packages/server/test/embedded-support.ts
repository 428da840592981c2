import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { onTestFinished } from 'vitest';

export const isRoot = process.getuid?.() === 0;

/** An empty folder that every account may pass through; it goes with the test, and with it what still runs in it. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pennon-embedded-'));
  chmodSync(folder, 0o711);
  onTestFinished(() => {
    endDatabaseIn(join(folder, 'postgres'));
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  return folder;
}

/** A failed test leaves its database behind; its number is in the data directory. */
export function endDatabaseIn(directory: string): void {
  try {
    const data = readFileSync(join(directory, 'data-made'), 'utf8').trim();
    process.kill(Number.parseInt(readFileSync(join(data, 'postmaster.pid'), 'utf8'), 10), 'SIGQUIT');
  } catch {
    // Nothing runs there: as it should be.
  }
}

/** Mounts a memory disk, or answers why that is not possible here (no root, or a container without the right to mount). */
export function mountMemoryDisk(path: string, options: string): string | null {
  if (!isRoot) return 'only root may mount';
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'pipe' });
  } catch (error) {
    return `no memory disk can be mounted here: ${String(error)}`;
  }
  onTestFinished(() => {
    endDatabaseIn(join(path, 'postgres'));
    execFileSync('umount', ['-l', path]);
  });
  return null;
}

export async function query(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(statement)).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

export interface SupervisorProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  /** The first line that it says: the database is up, or why not. */
  readonly answer: Promise<SupervisorAnswer>;
}

export type SupervisorAnswer =
  | { readonly up: true; readonly url: string; readonly pid: number }
  | { readonly up: false; readonly code: string; readonly message: string };

/** Another process that starts the database of a directory and stays, as a second Pennon would. */
export function spawnSupervisor(directory: string): SupervisorProcess {
  const module = createRequire(import.meta.url).resolve(
    '@pennon/server/store/embedded/start-embedded-database',
  );
  const script = `
    import { startEmbeddedDatabase } from ${JSON.stringify(pathToFileURL(module).href)};
    try {
      const { url, pid } = await startEmbeddedDatabase({ directory: ${JSON.stringify(directory)}, fast: true });
      console.log(JSON.stringify({ up: true, url, pid }));
      setInterval(() => {}, 60_000);
    } catch (error) {
      console.log(JSON.stringify({ up: false, code: error.code, message: error.message }));
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const answer = new Promise<SupervisorAnswer>((resolve, reject) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (text.includes('\n')) resolve(JSON.parse(text) as SupervisorAnswer);
    });
    child.on('exit', (code, signal) =>
      reject(new Error(`The supervisor ended without a word: ${code ?? signal}`)),
    );
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, pid: child.pid ?? -1, answer };
}

export function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.on('exit', () => resolve());
  });
}
