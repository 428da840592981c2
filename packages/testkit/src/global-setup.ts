import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedDatabase } from '@pennon/server/store/embedded/start-embedded-database';
import { migrate } from '@pennon/server/store/migrate';
import pg from 'pg';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** The cluster of this run, as its only role; `createTestDatabase` makes one database of it per caller. */
    readonly adminDatabaseUrl: string;
    /** The name of a database with the schema of this release and no rows, to be copied. */
    readonly migratedDatabase: string;
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
  project.provide('migratedDatabase', await makeMigratedDatabase(database.url));
  return async () => {
    await database.stop();
    guard.stdin.end();
  };
}

async function makeMigratedDatabase(adminUrl: string): Promise<string> {
  const name = 'migrated';
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  await migrate(url.href);
  return name;
}
