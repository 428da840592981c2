import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/* Server processes as users run them (`main`), over one PostgreSQL, that are killed without warning and come back. */

export const ADMIN_KEY = 'prove-admin-key-0123456789abcdef0123456789abcdef';
export const SERVER_KEY = 'prove-server-key-0123456789abcdef0123456789abcdef';
const CLIENT_KEY = 'prove-client-key-0123456789abcdef0123456789abcdef';
const READY_MILLISECONDS = 120_000;

export interface RealProcess {
  readonly url: string;
  readonly pid: number;
  /** Resolves once it is gone. */
  kill(): Promise<void>;
  signal(name: 'SIGSTOP' | 'SIGCONT'): void;
}

export async function startRealProcess(databaseUrl: string): Promise<RealProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'pennon-prove-process-'));
  const port = await freePort();
  const main = import.meta.resolve('@pennon/server/main');
  // It ends with this process, whatever becomes of that.
  const program = `import { main } from ${JSON.stringify(main)}; process.exit(await main({ parentPid: ${process.pid} }));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: process.env.PATH ?? '',
      HOST: '127.0.0.1',
      PORT: String(port),
      DATABASE_URL: databaseUrl,
      PENNON_DATA_DIR: folder,
      PENNON_EXAMPLE: 'off',
      PENNON_PRODUCT: 'test',
      PENNON_ADMIN_KEY: ADMIN_KEY,
      PENNON_SERVER_KEY: SERVER_KEY,
      PENNON_CLIENT_KEY: CLIENT_KEY,
      PENNON_LOG_LEVEL: 'error',
    },
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (part: string) => {
    said = `${said}${part}`.slice(-4000);
  });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  const url = `http://127.0.0.1:${port}`;
  await ready(url, child, () => said);
  return {
    url,
    pid: child.pid ?? 0,
    async kill() {
      child.kill('SIGKILL');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
    signal(name) {
      child.kill(name);
    },
  };
}

async function ready(url: string, child: ChildProcess, said: () => string): Promise<void> {
  const deadline = Date.now() + READY_MILLISECONDS;
  while (Date.now() < deadline && child.exitCode === null) {
    const answer = await fetch(`${url}/readyz`).catch(() => null);
    if (answer?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.kill('SIGKILL');
  throw new Error(`A server process did not become ready: ${said()}`);
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

/** So many processes; one that is killed is replaced in the background. */
export class ProcessPool {
  readonly #databaseUrl: string;
  readonly #alive: RealProcess[] = [];
  readonly #starting = new Set<Promise<void>>();
  #closed = false;
  #failure: unknown = null;
  kills = 0;

  constructor(databaseUrl: string) {
    this.#databaseUrl = databaseUrl;
  }

  get alive(): readonly RealProcess[] {
    if (this.#failure !== null) throw this.#failure;
    return this.#alive;
  }

  async grow(count: number): Promise<void> {
    const before = this.#starting.size + this.#alive.length;
    for (let index = before; index < count; index += 1) this.#start();
    await Promise.all(this.#starting);
  }

  async kill(process: RealProcess): Promise<void> {
    const place = this.#alive.indexOf(process);
    if (place === -1) return;
    this.#alive.splice(place, 1);
    this.kills += 1;
    await process.kill();
    this.#start();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#starting);
    await Promise.all(this.#alive.splice(0).map((process) => process.kill()));
  }

  #start(): void {
    if (this.#closed) return;
    const starting = this.#startOne().finally(() => this.#starting.delete(starting));
    this.#starting.add(starting);
  }

  /** A database that is away lets a start fail; then the next one is tried. */
  async #startOne(): Promise<void> {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      try {
        const process = await startRealProcess(this.#databaseUrl);
        if (this.#closed) await process.kill();
        else this.#alive.push(process);
        return;
      } catch (error) {
        if (attempt === 4) this.#failure = error;
      }
    }
  }
}
