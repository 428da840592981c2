import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { startEmbeddedDatabase } from '@pennon/server/store/embedded/start-embedded-database';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** The cluster of this run, as its only role; `createTestDatabase` makes one database of it per caller. */
    readonly adminDatabaseUrl: string;
  }
}

/** One PostgreSQL for a whole test run. It writes to disk without waiting for it, because nothing of it outlives the run. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'pennon-test-'));
  // As root the database runs under another account, which must be able to pass.
  chmodSync(folder, 0o711);
  const directory = join(folder, 'postgres');
  const database = await startEmbeddedDatabase({ directory, fast: true, maxConnections: 200 });
  const guard = spawn(
    process.execPath,
    [
      createRequire(import.meta.url).resolve('@pennon/testkit/cluster-guard'),
      String(database.pid),
      folder,
      ...dataElsewhere(directory),
    ],
    { detached: true, stdio: ['pipe', 'ignore', 'ignore'] },
  );
  guard.unref();
  project.provide('adminDatabaseUrl', database.url);
  return async () => {
    await database.stop();
    guard.stdin.end();
    rmSync(folder, { recursive: true, force: true });
  };
}

/** The folder of the data when it could not be below ours. */
function dataElsewhere(directory: string): string[] {
  const data = readFileSync(join(directory, 'data-made'), 'utf8').trim();
  return data.startsWith(directory) ? [] : [dirname(data)];
}
