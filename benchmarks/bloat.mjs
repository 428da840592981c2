import { randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeServer } from '@pennon/server/compose';
import { createLog } from '@pennon/server/log';
import { consumeUsage } from '@pennon/server/service/consume-usage';
import { createCustomerRegistration } from '@pennon/server/service/register-customer';
import { Secret } from '@pennon/server/service/secret';
import { startEmbeddedDatabase } from '@pennon/server/store/embedded/start-embedded-database';
import pg from 'pg';

/*
 * Whether a hot row bloats: consumes of one quota through the service on the embedded database, and what the tables are afterwards. Ends
 * with 1 where the account or the row of its hour did not stay on a few pages. `CONSUMES`, `IN_FLIGHT`: fewer in flight are smaller
 * batches, and so more versions of the row.
 */
const CONSUMES = Number(process.env.CONSUMES ?? 1_000_000);
const IN_FLIGHT = Number(process.env.IN_FLIGHT ?? 256);
const PAGE = 8192;
const MOST_PAGES = 8;
const HOT_SHARE = 0.99;
/** From half of a limit on each percent is a step, which an index has to hear of: some fifty in a period, however many consumes. */
const STEPS = 60;

const folder = mkdtempSync(join(tmpdir(), 'pennon-bloat-'));
// Open to pass through: a database started by root would else lie elsewhere, and stay there.
chmodSync(folder, 0o711);
const database = await startEmbeddedDatabase({ directory: join(folder, 'postgres') });
const key = () => new Secret(randomBytes(24).toString('hex'));
const adminSecret = key();
const server = await composeServer({
  databaseUrl: new Secret(database.url),
  dataDirectory: join(folder, 'data'),
  fixedKeys: { admin: adminSecret, server: key(), client: key() },
  preferredProducts: ['bench'],
  version: 'benchmark',
  log: createLog('silent'),
});
await server.open();
const { app, parts } = server;
await app.ready();
await prepare();

const dependencies = {
  directory: parts.directory,
  snapshots: parts.snapshots,
  customers: parts.customers,
  clock: parts.clock,
  knownUntil: parts.knownUntil,
  balances: parts.accounts,
  batcher: parts.consumption,
  recent: parts.recent,
  registerCustomer: createCustomerRegistration(parts.management, parts.customers),
};
const production = parts.directory.environment('production');
const credential = { kind: 'server', keyId: randomUUID(), environmentId: production.id, productId: null };
const context = { targetingKey: 'hot' };
const client = new pg.Client({ connectionString: database.url });
await client.connect();

let failed = false;
try {
  await consume();
  const before = await sizes();
  const began = performance.now();
  await consumeAll(CONSUMES);
  const seconds = (performance.now() - began) / 1000;
  const after = await sizes();
  console.log(
    `${CONSUMES} consumes of one quota, ${IN_FLIGHT} in flight, in ${seconds.toFixed(1)} s (${Math.round(CONSUMES / seconds)}/s)`,
  );
  console.log(
    'table                    bytes before    bytes after   index after  updates     HOT   dead rows',
  );
  for (const [name, now] of after) {
    const then = before.get(name) ?? { bytes: 0, updates: 0, hot: 0 };
    const updates = now.updates - then.updates;
    const share = updates === 0 ? null : (now.hot - then.hot) / updates;
    const columns = [then.bytes, now.bytes, now.indexes].map((value) => String(value).padStart(14));
    const hot = share === null ? '      -' : `${(share * 100).toFixed(2)} %`;
    console.log(
      `${name.padEnd(22)}${columns.join('')}${String(updates).padStart(9)}  ${hot}${String(now.dead).padStart(9)}`,
    );
    const isHot = name === 'account' || name.startsWith('usage_hour');
    const isApart = updates - (now.hot - then.hot) > STEPS + updates * (1 - HOT_SHARE);
    if (isHot && (now.bytes > MOST_PAGES * PAGE || isApart)) {
      failed = true;
      console.log(`  ${name} did not stay on ${MOST_PAGES} pages, or too many of its updates were not HOT.`);
    }
  }
  const { rows } = await client.query('select sum(used)::bigint as used from account');
  if (Number(rows[0].used) !== CONSUMES + 1) throw new Error(`The account says ${rows[0].used}.`);
} finally {
  await client.end();
  await server.close();
  await database.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;

/** As a client does: where nobody knows the outcome, the same key asks again. */
async function consume() {
  const idempotencyKey = randomUUID();
  for (;;) {
    try {
      return await consumeOnce(idempotencyKey);
    } catch (error) {
      if (error.kind !== 'unavailable') throw error;
    }
  }
}

async function consumeOnce(idempotencyKey) {
  const answer = await consumeUsage(dependencies, credential, {
    operation: 'consume',
    requestId: 'benchmark',
    idempotencyKey,
    body: { context, key: 'units' },
    items: [{ key: 'units', amount: 1, attributes: {} }],
    mode: 'all',
    context,
    product: 'bench',
    environment: undefined,
    consistency: undefined,
  });
  if (answer.decisions[0]?.allowed !== true) throw new Error('A consume was denied.');
}

async function consumeAll(count) {
  let left = count;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      await consume();
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

/** What the tables of one consume are on disk, and how their rows were updated. */
async function sizes() {
  // Each backend tells its counts when it has been idle for a second.
  await new Promise((resolve) => setTimeout(resolve, 2500));
  const { rows } = await client.query(
    `select relname as name, pg_relation_size(relid) as bytes, pg_indexes_size(relid) as indexes, n_tup_upd as updates,
       n_tup_hot_upd as hot, n_dead_tup as dead
     from pg_stat_user_tables where relname ~ '^(account|account_period|usage_hour_.*|consumption_.*)$'
       and (pg_relation_size(relid) > 0 or relname = 'account') order by relname`,
  );
  return new Map(
    rows.map(({ name, ...row }) => [
      name,
      Object.fromEntries(Object.entries(row).map(([column, value]) => [column, Number(value)])),
    ]),
  );
}

/** A product with one metered feature, whose limit is near enough that the account passes through every percent. */
async function prepare() {
  const authorization = `Bearer ${adminSecret.reveal()}`;
  const call = async (method, url, payload) => {
    const answer = await app.inject({ method, url, payload, headers: { authorization } });
    if (answer.statusCode >= 300) throw new Error(`${method} ${url}: ${answer.statusCode} ${answer.body}`);
  };
  const governed = { category: 'limit', owner: 'a@example.com', purpose: 'Benchmark', removal: 'permanent' };
  await call('POST', '/api/v1/products', { key: 'bench', name: 'Benchmark', reason: 'Benchmark' });
  await call('PUT', '/api/v1/products/bench/catalog?base=0&reason=benchmark', {
    product: { key: 'bench', name: 'Benchmark', defaultPlan: 'big' },
    features: [{ key: 'units', type: 'metered', ...governed, reset: { every: 'month' } }],
    plans: [{ key: 'big', version: 0, rank: 0, entitlements: [{ feature: 'units', value: CONSUMES + 1 }] }],
  });
}
