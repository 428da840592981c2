import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { identityOf, isAlive } from './embedded/process-identity.js';

/*
 * The folder of one process below the folder of all journals. Whose it is stands in it, so that others know when its owner has ended.
 * That may be wrong (a machine without process numbers, a clock that jumps) and costs nothing then: whoever takes a file moves it, and its
 * owner answers nothing that it does not find at its place afterwards.
 */

const OWNER = 'owner.json';
const NEW = 'new-';
/** Of another machine nobody knows whether its processes live but by this. */
const BEAT_MILLISECONDS = 30_000;
const SILENT_MILLISECONDS = 120_000;

export interface JournalFolder {
  readonly path: string;
  /** Leaves what lies in it to others. */
  leave(): Promise<void>;
}

export async function makeJournalFolder(root: string): Promise<JournalFolder> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  const name = randomUUID();
  const path = join(root, name);
  const making = join(root, `${NEW}${name}`);
  await mkdir(making, { mode: 0o700 });
  const owner = { ...identityOf(process.pid), host: hostname() };
  const file = await open(join(making, OWNER), 'wx', 0o600);
  try {
    await file.writeFile(JSON.stringify(owner));
    await file.sync();
  } finally {
    await file.close();
  }
  // With its owner from the first moment on: without one it would be anybody's.
  await rename(making, path);
  await syncFolder(root);
  const beat = setInterval(() => {
    const now = new Date();
    utimes(join(path, OWNER), now, now).catch(() => undefined);
  }, BEAT_MILLISECONDS);
  beat.unref();
  return {
    path,
    async leave() {
      clearInterval(beat);
      await rm(join(path, OWNER), { force: true });
      // Only where nothing is left in it.
      await rmdir(path).catch(() => undefined);
    },
  };
}

/** Folders of processes that have ended. */
export async function abandonedFolders(root: string, own: string | null): Promise<readonly string[]> {
  const names = await readdir(root).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const abandoned: string[] = [];
  for (const name of names) {
    const path = join(root, name);
    if (path === own) continue;
    if (name.startsWith(NEW)) {
      if (await isOld(path)) await rm(path, { recursive: true, force: true });
    } else if (!(await isOwned(path))) {
      abandoned.push(path);
    }
  }
  return abandoned;
}

export async function removeFolder(path: string): Promise<void> {
  await rm(join(path, OWNER), { force: true });
  await rmdir(path).catch(() => undefined);
}

export async function syncFolder(path: string): Promise<void> {
  // File systems that cannot sync a folder do not need it.
  const handle = await open(path, 'r').catch(() => null);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

async function isOwned(path: string): Promise<boolean> {
  const text = await readFile(join(path, OWNER), 'utf8').catch(() => null);
  if (text === null) return false;
  try {
    const { pid, startedAt, host } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (host !== hostname()) return !(await isOld(join(path, OWNER)));
    return (
      typeof pid === 'number' && isAlive({ pid, startedAt: typeof startedAt === 'string' ? startedAt : null })
    );
  } catch {
    return false;
  }
}

async function isOld(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found === null || Date.now() - found.mtimeMs > SILENT_MILLISECONDS;
}
