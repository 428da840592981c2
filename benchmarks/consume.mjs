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
import { variants } from './peers/consume-variants.mjs';
import { machine, median } from './rounds.mjs';

/*
 * One hot quota, everything durable (fsync on, one row of record and idempotency for each decision), the database and the
 * caller on the same machine. Each of the usual one-transaction-per-request ways is tried at every size of pool, and the best of
 * all of them is what Pennon is compared with.
 */
const SECONDS = Number(process.env.SECONDS ?? 3);
const ROUNDS = Number(process.env.ROUNDS ?? 3);
const IN_FLIGHT = [1, 16, 64, 256, 1000];
const POOLS = (process.env.POOLS ?? '1,2,4,8,16,32').split(',').map(Number);

const folder = mkdtempSync(join(tmpdir(), 'pennon-consume-'));
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

const evaluation = {
  directory: parts.directory,
  snapshots: parts.snapshots,
  customers: parts.customers,
  clock: parts.clock,
  metrics: parts.metrics,
  feed: parts.feed,
  knownUntil: parts.knownUntil,
};
const dependencies = {
  ...evaluation,
  balances: parts.accounts,
  batcher: parts.consumption,
  recent: parts.recent,
  registerCustomer: createCustomerRegistration(parts.management, parts.customers),
};
const production = parts.directory.environment('production');
const credential = { kind: 'server', keyId: randomUUID(), environmentId: production.id, productId: null };
const context = { targetingKey: 'hot' };

async function pennon() {
  const idempotencyKey = randomUUID();
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
  if (answer === undefined) throw new Error('no answer');
}

async function load(call, inFlight) {
  const latencies = [];
  let decided = 0;
  const until = performance.now() + SECONDS * 1000;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (performance.now() < until) {
        const startedAt = performance.now();
        await call();
        latencies.push(performance.now() - startedAt);
        decided += 1;
      }
    }),
  );
  latencies.sort((left, right) => left - right);
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))];
  return { perSecond: decided / SECONDS, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

async function rounds(call, inFlight) {
  const results = [];
  for (let round = 0; round < ROUNDS; round += 1) results.push(await load(call, inFlight));
  return Object.fromEntries(
    ['perSecond', 'p50', 'p95', 'p99'].map((name) => [name, median(results.map((result) => result[name]))]),
  );
}

const row = (name, result) =>
  console.log(
    `| ${name} | ${result.perSecond.toFixed(0)} | ${result.p50.toFixed(2)} | ${result.p95.toFixed(2)} | ${result.p99.toFixed(2)} |`,
  );

console.log(`Consume, one hot quota, durable — ${machine()}, ${SECONDS} s a round, medians of ${ROUNDS}\n`);
console.log('| who, requests in flight | decisions/s | p50 ms | p95 ms | p99 ms |');
console.log('| --- | ---: | ---: | ---: | ---: |');
await load(pennon, 64);
const ours = new Map();
for (const inFlight of IN_FLIGHT) {
  ours.set(inFlight, await rounds(pennon, inFlight));
  row(`Pennon in process, ${inFlight}`, ours.get(inFlight));
}

const account = await findAccount();
const held = [];
let best = null;
for (const variant of variants) {
  for (const size of POOLS) {
    const pool = new pg.Pool({
      connectionString: database.url,
      max: size,
      pipeline: variant.pipeline === true,
    });
    const call = variant.prepare(variant.pipeline ? await spread(pool, size) : pool, account);
    await load(call, Math.min(size, 8));
    const result = await rounds(call, 256);
    held.splice(0).forEach((client) => {
      client.release();
    });
    await pool.end();
    row(`${variant.name}, pool of ${size}, 256`, result);
    if (best === null || result.perSecond > best.perSecond)
      best = { ...result, name: `${variant.name}, pool of ${size}` };
  }
}
const ratio = ours.get(256).perSecond / best.perSecond;
console.log(
  `\nBest other: ${best.name}, ${best.perSecond.toFixed(0)}/s. Pennon at 256 in flight: ${ratio.toFixed(1)} times as many.\n`,
);

await app.close().catch(() => {});
await server.close();
await database.stop();
rmSync(folder, { recursive: true, force: true });

async function prepare() {
  const call = async (method, path, body, headers = {}) => {
    const response = await app.inject({
      method,
      url: path,
      payload: body,
      headers: { authorization: `Bearer ${adminKey()}`, ...headers },
    });
    if (response.statusCode >= 300)
      throw new Error(`${method} ${path}: ${response.statusCode} ${response.body}`);
    return response.json();
  };
  await call('POST', '/api/v1/products', { key: 'bench', name: 'Benchmark', reason: 'benchmark' });
  await call('PUT', '/api/v1/products/bench/catalog?base=0&reason=benchmark', {
    product: { key: 'bench', name: 'Benchmark' },
    features: [
      {
        key: 'units',
        type: 'metered',
        category: 'limit',
        owner: 'a@example.com',
        purpose: 'Hot',
        removal: 'permanent',
        reset: { every: 'month' },
      },
    ],
    plans: [{ key: 'big', version: 0, rank: 0, entitlements: [{ feature: 'units', value: 1_000_000_000 }] }],
  });
  await call('PUT', '/api/v1/environments/production/customers/hot', { reason: 'benchmark' });
  await call('POST', '/api/v1/environments/production/customers/hot/licenses', {
    product: 'bench',
    plan: 'big',
    kind: 'paid',
    reason: 'benchmark',
  });
}

function adminKey() {
  return adminSecret.reveal();
}

/** Connections that are held and written to in turn, without waiting for the answers before. */
async function spread(pool, size) {
  for (let count = 0; count < size; count += 1) held.push(await pool.connect());
  let turn = 0;
  return {
    query: (statement) => {
      turn += 1;
      return held[turn % held.length].query(statement);
    },
  };
}

async function findAccount() {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const { rows } = await client.query(
    "select customer_id, product_id, environment_id, feature, scope from account where feature = 'units'",
  );
  await client.end();
  return rows[0];
}
