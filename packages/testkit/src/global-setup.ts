import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  const guard = spawn(
    process.execPath,
    [createRequire(import.meta.url).resolve('@pennon/testkit/cluster-guard'), folder],
    { detached: true, stdio: ['pipe', 'ignore', 'ignore'] },
  );
  guard.unref();
  const database = await startEmbeddedDatabase({
    directory: join(folder, 'postgres'),
    fast: true,
    maxConnections: 200,
  });
  project.provide('adminDatabaseUrl', database.url);
  return async () => {
    await database.stop();
    guard.stdin.end();
  };
}
