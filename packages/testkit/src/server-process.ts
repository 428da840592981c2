import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callHttp } from './http-call.js';

/** A server as users run it (`main`), in a process of its own. */
export interface ServerProcess {
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  /** `SIGKILL`: no goodbye. Resolves once it is gone. */
  kill(): Promise<void>;
  signal(name: 'SIGSTOP' | 'SIGCONT'): void;
}

/** Whose process it is: the installation behind a database, and the keys that it is started with. */
export interface ServerProcessSettings {
  readonly databaseUrl: string;
  readonly product: string;
  readonly adminKey: string;
  readonly serverKey: string;
  readonly clientKey: string;
}

export interface ServerProcessOptions {
  /** The module that is started; default `@pennon/server/main`. */
  readonly main?: string;
  readonly logLevel?: 'warn' | 'error';
  readonly readyMilliseconds?: number;
  /** Besides what every process is started with, or instead of it. */
  readonly environment?: Readonly<Record<string, string>>;
  /** What an earlier one has left. Default: a folder of its own, removed with it. */
  readonly dataDirectory?: string;
}

/** Resolves when it is ready to be asked. It ends with this process, whatever becomes of that. */
export async function startServerProcess(
  settings: ServerProcessSettings,
  options: ServerProcessOptions = {},
): Promise<ServerProcess> {
  const { main = import.meta.resolve('@pennon/server/main'), logLevel = 'warn' } = options;
  const folder = options.dataDirectory ?? (await mkdtemp(join(tmpdir(), 'pennon-process-')));
  const port = await freePort();
  const program = `import { main } from ${JSON.stringify(main)}; process.exit(await main({ parentPid: ${process.pid} }));`;
  // The flag is that of `npm start`.
  const child = spawn(process.execPath, ['--max-semi-space-size=64', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: process.env.PATH ?? '',
      HOST: '127.0.0.1',
      PORT: String(port),
      DATABASE_URL: settings.databaseUrl,
      PENNON_DATA_DIR: folder,
      PENNON_EXAMPLE: 'off',
      PENNON_PRODUCT: settings.product,
      PENNON_ADMIN_KEY: settings.adminKey,
      PENNON_SERVER_KEY: settings.serverKey,
      PENNON_CLIENT_KEY: settings.clientKey,
      PENNON_LOG_LEVEL: logLevel,
      // Where tests listen.
      PENNON_WEBHOOK_NETWORKS: '127.0.0.1',
      ...options.environment,
    },
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (part: string) => {
    said = `${said}${part}`.slice(-4000);
  });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    if (options.dataDirectory === undefined) await rm(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${port}`;
  if (!(await isReady(url, child, options.readyMilliseconds ?? 60_000))) {
    await kill();
    throw new Error(`A server process did not become ready: ${said}`);
  }
  return {
    url,
    kill,
    signal(name) {
      child.kill(name);
    },
  };
}

async function isReady(url: string, child: ChildProcess, milliseconds: number): Promise<boolean> {
  const deadline = Date.now() + milliseconds;
  while (Date.now() < deadline && child.exitCode === null) {
    const answer = await callHttp('GET', `${url}/readyz`, {}).catch(() => null);
    if (answer?.status === 200) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
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
