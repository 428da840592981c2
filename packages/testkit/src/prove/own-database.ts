import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type EmbeddedDatabase,
  startEmbeddedDatabase,
} from '@pennon/server/store/embedded/start-embedded-database';

export interface OwnDatabase {
  readonly url: string;
  /** `kill -9` of the postmaster; resolves when it is up again under the same address, having replayed what was committed. */
  killAndRestart(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A PostgreSQL for one run, in a folder that a guard removes when this process ends, however that happens.
 * @param fast nothing is forced to disk: for what proves nothing about crashes of the database.
 */
export async function startOwnDatabase(fast: boolean): Promise<OwnDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'pennon-prove-'));
  // As root the database runs under another account, which must be able to pass.
  chmodSync(folder, 0o711);
  const guard = spawn(
    process.execPath,
    [createRequire(import.meta.url).resolve('@pennon/testkit/cluster-guard'), folder],
    { detached: true, stdio: ['pipe', 'ignore', 'ignore'] },
  );
  guard.unref();
  const start = (preferredPort?: number): Promise<EmbeddedDatabase> =>
    startEmbeddedDatabase({
      directory: join(folder, 'postgres'),
      fast,
      maxConnections: 200,
      ...(preferredPort === undefined ? {} : { preferredPort }),
    });
  let database = await start();
  const { url, port } = database;
  return {
    url,
    async killAndRestart() {
      process.kill(database.pid, 'SIGKILL');
      await database.exited;
      database = await start(port);
      if (database.url !== url) throw new Error('The database came back under another address.');
    },
    async stop() {
      await database.stop();
      guard.stdin.end();
    },
  };
}
