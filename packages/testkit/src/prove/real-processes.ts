import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type ServerProcess, startServerProcess } from '../server-process.js';
import { Wire } from '../wire.js';
import { type BundledServer, bundleServer } from './bundled-server.js';
import { ADMIN_KEY, CLIENT_KEY, type RealServer, SERVER_KEY, type ServerPool } from './real-servers.js';

/* Server processes over one PostgreSQL that are killed without warning and come back. */

const READY_MILLISECONDS = 180_000;
const PASSWORD = 'prove';

export interface RealProcess extends ServerProcess, RealServer {}

export interface PoolOptions {
  /** Started from the built files as they lie there, instead of from a bundle of them. */
  readonly asInstalled?: boolean;
  /** Each reaches the database over a wire of its own, which can be cut. */
  readonly wired?: boolean;
}

/** What stays of a process that is killed: its role, its disk, and its wire. */
interface Place {
  readonly role: string;
  readonly folder: string;
  readonly wire: Wire | null;
  readonly databaseUrl: string;
}

let bundled: Promise<BundledServer> | null = null;

/** All pools of this process start the same files, which go with it. */
function bundleOnce(): Promise<BundledServer> {
  bundled ??= bundleServer().then((bundle) => {
    process.once('exit', () => bundle.remove());
    return bundle;
  });
  return bundled;
}

/** So many processes; one that is killed is replaced in the background. */
export class ProcessPool implements ServerPool {
  readonly #databaseUrl: string;
  readonly #options: PoolOptions;
  readonly #alive: RealProcess[] = [];
  readonly #starting = new Set<Promise<void>>();
  readonly #freePlaces: Place[] = [];
  readonly #placeOf = new Map<RealServer, Place>();
  #roles = 0;
  #closed = false;
  #failure: unknown = null;
  /** Long enough for a database that comes back on a machine that has other things to do. */
  readonly patienceMilliseconds = 600_000;
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
      this.#freePlaces.push(await this.#makePlace());
      this.#start();
    }
    await Promise.all(this.#starting);
    void this.alive;
  }

  async kill(server: RealServer): Promise<void> {
    const process = this.#alive.find((one) => one === server);
    const place = this.#placeOf.get(server);
    if (process === undefined || place === undefined) return;
    this.#alive.splice(this.#alive.indexOf(process), 1);
    this.kills += 1;
    await process.kill();
    place.wire?.goAway(false);
    this.#placeOf.delete(server);
    this.#freePlaces.push(place);
    this.#start();
  }

  async whole(): Promise<void> {
    while (this.#starting.size > 0) await Promise.all(this.#starting);
    void this.alive;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#starting);
    await Promise.all(this.#alive.splice(0).map((process) => process.kill()));
    for (const { folder, wire } of [...this.#placeOf.values(), ...this.#freePlaces]) {
      wire?.close();
      rmSync(folder, { recursive: true, force: true });
    }
  }

  #start(): void {
    if (this.#closed) return;
    const starting = this.#startOne().finally(() => this.#starting.delete(starting));
    this.#starting.add(starting);
  }

  /** A database that is away lets a start fail; then the next one is tried. */
  async #startOne(): Promise<void> {
    const place = this.#freePlaces.pop();
    if (place === undefined) return;
    for (let attempt = 0; attempt < 5; attempt += 1) {
      try {
        const { role, wire } = place;
        const started = await this.#startAs(place);
        const cutOff = (away: boolean) => wire?.goAway(away);
        const process = { ...started, role, cutOff, isCutOff: () => wire?.isAway === true };
        this.#placeOf.set(process, place);
        if (this.#closed) await process.kill();
        else this.#alive.push(process);
        return;
      } catch (error) {
        if (attempt === 4) this.#failure = error;
      }
    }
  }

  async #startAs({ databaseUrl, folder }: Place): Promise<ServerProcess> {
    const settings = {
      databaseUrl,
      product: 'test',
      adminKey: ADMIN_KEY,
      serverKey: SERVER_KEY,
      clientKey: CLIENT_KEY,
    };
    const bundle = this.#options.asInstalled === true ? null : await bundleOnce();
    return startServerProcess(settings, {
      logLevel: 'error',
      readyMilliseconds: READY_MILLISECONDS,
      dataDirectory: folder,
      ...(bundle === null ? {} : { main: bundle.main }),
    });
  }

  async #makePlace(): Promise<Place> {
    const role = await this.#makeRole();
    const url = new URL(this.#databaseUrl);
    url.username = role;
    url.password = PASSWORD;
    const wire = this.#options.wired === true ? new Wire(url.hostname, Number(url.port)) : null;
    if (wire !== null) {
      url.host = `127.0.0.1:${await wire.listen()}`;
      // Not the socket, which goes before it.
      url.search = '';
    }
    const folder = mkdtempSync(join(tmpdir(), 'pennon-prove-process-'));
    return { role, folder, wire, databaseUrl: url.href };
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
