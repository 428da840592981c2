import pg from 'pg';
import { type ServerProcess, startServerProcess } from '../server-process.js';
import { type BundledServer, bundleServer } from './bundled-server.js';

/* Server processes over one PostgreSQL that are killed without warning and come back. */

export const ADMIN_KEY = 'prove-admin-key-0123456789abcdef0123456789abcdef';
export const SERVER_KEY = 'prove-server-key-0123456789abcdef0123456789abcdef';
const CLIENT_KEY = 'prove-client-key-0123456789abcdef0123456789abcdef';
const READY_MILLISECONDS = 180_000;
const PASSWORD = 'prove';

export interface RealProcess extends ServerProcess {
  /** Whom PostgreSQL takes it for: each has a role of its own, so that its connections are told from those of others. */
  readonly role: string;
}

export interface PoolOptions {
  /** Started from the built files as they lie there, instead of from a bundle of them. */
  readonly asInstalled?: boolean;
}

/** So many processes; one that is killed is replaced in the background. */
export class ProcessPool {
  readonly #databaseUrl: string;
  readonly #options: PoolOptions;
  readonly #alive: RealProcess[] = [];
  readonly #starting = new Set<Promise<void>>();
  readonly #freeRoles: string[] = [];
  #bundle: Promise<BundledServer> | null = null;
  #roles = 0;
  #closed = false;
  #failure: unknown = null;
  kills = 0;

  constructor(databaseUrl: string, options: PoolOptions = {}) {
    this.#databaseUrl = databaseUrl;
    this.#options = options;
  }

  get alive(): readonly RealProcess[] {
    if (this.#failure !== null) throw this.#failure;
    return this.#alive;
  }

  async grow(count: number): Promise<void> {
    const before = this.#starting.size + this.#alive.length;
    for (let index = before; index < count; index += 1) {
      this.#freeRoles.push(await this.#makeRole());
      this.#start();
    }
    await Promise.all(this.#starting);
    void this.alive;
  }

  async kill(process: RealProcess): Promise<void> {
    const place = this.#alive.indexOf(process);
    if (place === -1) return;
    this.#alive.splice(place, 1);
    this.kills += 1;
    await process.kill();
    this.#freeRoles.push(process.role);
    this.#start();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#starting);
    await Promise.all(this.#alive.splice(0).map((process) => process.kill()));
    (await this.#bundle?.catch(() => null))?.remove();
  }

  #start(): void {
    if (this.#closed) return;
    const starting = this.#startOne().finally(() => this.#starting.delete(starting));
    this.#starting.add(starting);
  }

  /** A database that is away lets a start fail; then the next one is tried. */
  async #startOne(): Promise<void> {
    const role = this.#freeRoles.pop() ?? '';
    for (let attempt = 0; attempt < 5; attempt += 1) {
      try {
        const process = { ...(await this.#startAs(role)), role };
        if (this.#closed) await process.kill();
        else this.#alive.push(process);
        return;
      } catch (error) {
        if (attempt === 4) this.#failure = error;
      }
    }
  }

  async #startAs(role: string): Promise<ServerProcess> {
    const url = new URL(this.#databaseUrl);
    url.username = role;
    url.password = PASSWORD;
    const settings = {
      databaseUrl: url.href,
      product: 'test',
      adminKey: ADMIN_KEY,
      serverKey: SERVER_KEY,
      clientKey: CLIENT_KEY,
    };
    if (this.#options.asInstalled !== true) this.#bundle ??= bundleServer();
    const bundle = await this.#bundle;
    return startServerProcess(settings, {
      logLevel: 'error',
      readyMilliseconds: READY_MILLISECONDS,
      ...(bundle === null ? {} : { main: bundle.main }),
    });
  }

  /** It logs in under a name of its own, and is the owner of everything from then on. */
  async #makeRole(): Promise<string> {
    this.#roles += 1;
    const role = `prove_${this.#roles}`;
    const client = new pg.Client({ connectionString: this.#databaseUrl });
    await client.connect();
    try {
      const { rows } = await client.query('select current_user as owner');
      const owner = client.escapeIdentifier(String(rows[0]?.owner));
      await client.query(`do $$ begin
        create role ${role} login superuser password '${PASSWORD}';
        exception when duplicate_object then null; end $$`);
      await client.query(`alter role ${role} set role to ${owner}`);
    } finally {
      await client.end();
    }
    return role;
  }
}
