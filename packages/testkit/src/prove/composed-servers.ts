import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeServer } from '@pennon/server/compose';
import { createLog } from '@pennon/server/log';
import { createProduct } from '@pennon/server/service/products/create-product';
import { Secret } from '@pennon/server/service/secret';
import { systemContext } from '@pennon/server/service/seed';
import { migrate } from '@pennon/server/store/migrate';
import pg from 'pg';
import { Wire } from '../wire.js';
import type { ProofLine } from './proof-line.js';
import { runRealHistory } from './real-history.js';
import { installCatalog } from './real-installation.js';
import { ADMIN_KEY, CLIENT_KEY, type RealServer, SERVER_KEY, type ServerPool } from './real-servers.js';
import { seeded } from './seeded.js';

/*
 * Real histories over whole servers in this process, each with a wire of its own to the database: for planted faults, which must be seen
 * soon. Nobody is killed; everything else is as over processes of their own.
 */

export interface ServerDatabase {
  readonly url: string;
  drop(): Promise<void>;
}

export interface ComposedOptions {
  readonly database: ServerDatabase;
  readonly count: number;
  readonly firstSeed: number;
  readonly onViolation: (seed: number, violations: readonly string[]) => void;
}

const PRODUCT = 'test';

/** Nothing is away for longer than a second or two; but the machine may have other things to do. */
const PATIENCE_MILLISECONDS = 120_000;

function poolOf(alive: readonly RealServer[]): ServerPool {
  const nothing = () => Promise.resolve();
  return { alive, patienceMilliseconds: PATIENCE_MILLISECONDS, kill: nothing, whole: nothing };
}

/** Until one of them is violated. */
export async function runComposedHistories(options: ComposedOptions): Promise<ProofLine> {
  const { database, count, firstSeed } = options;
  const tables = new pg.Pool({ connectionString: database.url, max: 2 });
  const servers = await Promise.all([startComposed(database.url), startComposed(database.url)]);
  const processes = poolOf(servers);
  const trouble = { database: null, killsEach: 0, killsDatabase: false, outages: 1 };
  let cases = 0;
  let violated = 0;
  try {
    while (cases < count && violated === 0) {
      const seed = firstSeed + cases;
      cases += 1;
      const { violations } = await runRealHistory(seed, { ...trouble, processes, tables });
      if (violations.length === 0) continue;
      violated += 1;
      options.onViolation(seed, violations);
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await tables.end();
  }
  return { name: 'composed-servers', cases, kills: 0, violations: violated, seed: firstSeed };
}

/** A database of its own with schema, product and catalog, on that PostgreSQL. */
export async function makeServerDatabase(adminUrl: string): Promise<ServerDatabase> {
  const name = `prove_${randomUUID().replaceAll('-', '')}`;
  const asAdmin = async (text: string): Promise<void> => {
    const client = new pg.Client({ connectionString: adminUrl });
    await client.connect();
    await client.query(text).finally(() => client.end());
  };
  await asAdmin(`create database ${name}`);
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  await migrate(url.href);
  const server = await startComposed(url.href);
  await installCatalog(poolOf([server]), seeded(1));
  await server.stop();
  return { url: url.href, drop: () => asAdmin(`drop database if exists ${name} with (force)`) };
}

async function startComposed(
  databaseUrl: string,
): Promise<RealServer & { readonly stop: () => Promise<void> }> {
  const url = new URL(databaseUrl);
  const wire = new Wire(url.hostname, Number(url.port));
  url.host = `127.0.0.1:${await wire.listen()}`;
  // Not the socket, which goes before it.
  url.search = '';
  const folder = mkdtempSync(join(tmpdir(), 'pennon-prove-server-'));
  const server = await composeServer({
    databaseUrl: new Secret(url.href),
    dataDirectory: folder,
    fixedKeys: {
      admin: new Secret(ADMIN_KEY),
      server: new Secret(SERVER_KEY),
      client: new Secret(CLIENT_KEY),
    },
    preferredProducts: [PRODUCT],
    version: '0.0.0-prove',
    log: createLog('silent'),
    checkResponses: false,
    customerDeadlineMilliseconds: 5000,
    trustedProxies: [],
  });
  await server.open();
  const { parts } = server;
  if (parts.directory.product(PRODUCT) === null) {
    const reason = 'The product of the proof.';
    await createProduct(parts.management, systemContext(reason), { key: PRODUCT, name: PRODUCT, reason });
  }
  return {
    url: await server.app.listen({ host: '127.0.0.1', port: 0 }),
    role: '',
    cutOff: (away) => wire.goAway(away),
    isCutOff: () => wire.isAway,
    async stop() {
      wire.goAway(false);
      await server.close();
      wire.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
