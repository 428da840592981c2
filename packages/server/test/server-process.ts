import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestServer } from '@pennon/testkit/test-server';

/** A second process of the same installation, with the keys of the first. */
export interface ServerProcess {
  readonly url: string;
  /** `SIGKILL`: no goodbye. */
  kill(): Promise<void>;
}

const MAIN = import.meta.resolve('@pennon/server/main');
/** It ends with the test's process, whatever becomes of that. */
const PROGRAM = `import { main } from ${JSON.stringify(MAIN)}; process.exit(await main({ parentPid: ${process.pid} }));`;
const READY_MILLISECONDS = 30_000;

export async function startServerProcess(server: TestServer): Promise<ServerProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'pennon-process-'));
  const port = await freePort();
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: process.env.PATH ?? '',
      HOST: '127.0.0.1',
      PORT: String(port),
      DATABASE_URL: server.databaseUrl,
      PENNON_DATA_DIR: folder,
      PENNON_EXAMPLE: 'off',
      PENNON_PRODUCT: server.product,
      PENNON_ADMIN_KEY: server.adminKey,
      PENNON_SERVER_KEY: server.serverKey,
      PENNON_CLIENT_KEY: server.clientKey,
      PENNON_LOG_LEVEL: 'warn',
    },
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (part: string) => {
    said += part;
  });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  await ready(url, child, () => said);
  return {
    url,
    async kill() {
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function ready(url: string, child: ChildProcess, said: () => string): Promise<void> {
  const deadline = Date.now() + READY_MILLISECONDS;
  while (Date.now() < deadline && child.exitCode === null) {
    const answer = await fetch(`${url}/readyz`).catch(() => null);
    if (answer?.status === 200) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.kill('SIGKILL');
  throw new Error(`The second process did not become ready: ${said()}`);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
