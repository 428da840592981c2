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
 * One hot quota, and ten thousand of as many customers; everything durable (fsync on, one row of record and idempotency for each decision), the database and the
 * caller on the same machine. Each of the usual one-transaction-per-request ways is tried at every size of pool, and the best of
 * all of them is what Pennon is compared with.
 */
const SECONDS = Number(process.env.SECONDS ?? 3);
const ROUNDS = Number(process.env.ROUNDS ?? 3);
const IN_FLIGHT = [1, 16, 64, 256, 1000];
const QUOTAS = Number(process.env.QUOTAS ?? 10_000);
/** Only the subjects whose names match. */
const ONLY = new RegExp(process.env.ONLY ?? '');
/** How many of the best other ways are measured in turn with Pennon, and how often. */
const DUELS = 2;
const PAIRS = Number(process.env.PAIRS ?? 7);
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
let turn = 0;
/** Customers in turn, so that no two requests in flight are of one. */
const turnOf = (count) => {
  turn += 1;
  return (turn * 7919) % count;
};

const pennon = (who) => async () => {
  const context = { targetingKey: who() };
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
};
const SUBJECTS = [
  { name: 'one hot quota', count: 1, who: () => 'customer-0' },
  { name: `${QUOTAS} quotas`, count: QUOTAS, who: () => `customer-${turnOf(QUOTAS)}` },
];

/** Everybody is known and has an account before anything is counted. */
async function warm(count) {
  const left = Array.from({ length: Math.max(count, 1000) }, (_, index) => index % count);
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (let one = left.pop(); one !== undefined; one = left.pop()) {
        await pennon(() => `customer-${one}`)().catch(() => left.unshift(one));
      }
    }),
  );
}

async function load(call, inFlight) {
  const latencies = [];
  let decided = 0;
  let unknown = 0;
  const until = performance.now() + SECONDS * 1000;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (performance.now() < until) {
        const startedAt = performance.now();
        // 503 is an answer: whoever cannot be decided within a second is told so.
        const known = await call().then(
          () => true,
          (error) => {
            if (error.kind === 'unavailable') return false;
            throw error;
          },
        );
        latencies.push(performance.now() - startedAt);
        if (known) decided += 1;
        else unknown += 1;
      }
    }),
  );
  latencies.sort((left, right) => left - right);
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))];
  return { perSecond: decided / SECONDS, p50: at(0.5), p95: at(0.95), p99: at(0.99), unknown };
}

async function rounds(call, inFlight) {
  const results = [];
  for (let round = 0; round < ROUNDS; round += 1) results.push(await load(call, inFlight));
  return Object.fromEntries(
    ['perSecond', 'p50', 'p95', 'p99', 'unknown'].map((name) => [
      name,
      median(results.map((result) => result[name])),
    ]),
  );
}

const row = (name, result) =>
  console.log(
    `| ${name} | ${result.perSecond.toFixed(0)} | ${result.p50.toFixed(2)} | ${result.p95.toFixed(2)} | ${result.p99.toFixed(2)} | ${result.unknown.toFixed(0)} |`,
  );

console.log(`Consume, durable — ${machine()}, ${SECONDS} s a round, medians of ${ROUNDS}\n`);
console.log('| who, requests in flight | decisions/s | p50 ms | p95 ms | p99 ms | 503 |');
console.log('| --- | ---: | ---: | ---: | ---: | ---: |');
const held = [];
const summaries = [];
for (const subject of SUBJECTS.filter(({ name }) => ONLY.test(name))) {
  const ask = pennon(subject.who);
  await warm(subject.count);
  const ours = new Map();
  for (const inFlight of IN_FLIGHT) {
    ours.set(inFlight, await rounds(ask, inFlight));
    row(`Pennon in process, ${subject.name}, ${inFlight}`, ours.get(inFlight));
  }
  const accounts = await findAccounts(subject.count);
  const next = () => accounts[turnOf(accounts.length)];
  const others = [];
  for (const variant of variants) {
    for (const size of POOLS) {
      const result = await withPool(variant, size, next, (call) => rounds(call, 256));
      const name = `${variant.name}, pool of ${size}`;
      row(`${name}, ${subject.name}, 256`, result);
      others.push({ variant, size, name, perSecond: result.perSecond });
    }
  }
  // Minutes of the machine differ by more than the ways do: the best of them and Pennon once more, in turn.
  others.sort((left, right) => right.perSecond - left.perSecond);
  const best = others.slice(0, DUELS);
  const alike = others.find(({ variant }) => variant.keepsHistory);
  for (const other of [...best, ...(best.includes(alike) ? [] : [alike])]) {
    const pairs = await withPool(other.variant, other.size, next, async (call) => {
      const found = [];
      for (let pair = 0; pair < PAIRS; pair += 1) found.push([await load(ask, 256), await load(call, 256)]);
      return found;
    });
    const [pennons, theirs] = [0, 1].map((side) => median(pairs.map((pair) => pair[side].perSecond)));
    const times = pairs.map(([left, right]) => left.perSecond / right.perSecond).sort((a, b) => a - b);
    summaries.push(
      `${subject.name}, 256 in flight, ${PAIRS} rounds in turn: Pennon ${pennons.toFixed(0)}/s, p99 ${median(pairs.map(([left]) => left.p99)).toFixed(1)} ms; ` +
        `${other.name} ${theirs.toFixed(0)}/s: ${median(times).toFixed(1)} times as many (${times[0].toFixed(1)} to ${times.at(-1).toFixed(1)}).`,
    );
  }
}
console.log(`\n${summaries.join('\n')}\n`);

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
    product: { key: 'bench', name: 'Benchmark', defaultPlan: 'big' },
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
  for (let first = 0; first < QUOTAS; first += 500) {
    const lines = Array.from({ length: Math.min(500, QUOTAS - first) }, (_, index) =>
      JSON.stringify({ key: `customer-${first + index}` }),
    );
    const answer = await app.inject({
      method: 'POST',
      url: '/api/v1/environments/production/import/customers?reason=benchmark',
      payload: `${lines.join('\n')}\n`,
      headers: { authorization: `Bearer ${adminKey()}`, 'content-type': 'application/x-ndjson' },
    });
    if (!answer.body.includes('"refused":0')) throw new Error(answer.body.slice(-300));
  }
}

function adminKey() {
  return adminSecret.reveal();
}

async function withPool(variant, size, next, act) {
  const pool = new pg.Pool({
    connectionString: database.url,
    max: size,
    pipeline: variant.pipeline === true,
  });
  const call = variant.prepare(variant.pipeline ? await spread(pool, size) : pool, next);
  await load(call, Math.min(size, 8));
  const result = await act(call);
  held.splice(0).forEach((client) => {
    client.release();
  });
  await pool.end();
  return result;
}

/** Connections that are held and written to in turn, without waiting for the answers before. */
async function spread(pool, size) {
  for (let count = 0; count < size; count += 1) held.push(await pool.connect());
  let place = 0;
  return {
    query: (statement) => {
      place += 1;
      return held[place % held.length].query(statement);
    },
  };
}

/** Those of customers who have consumed nothing yet are made here, as the first request of each would. */
async function findAccounts(count) {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(
    `insert into account (customer_id, product_id, environment_id, feature, scope, used, reserved, updated_at)
     select c.id, p.id, c.environment_id, 'units', '', 0, 0, clock_timestamp() from customer c, product p where p.key = 'bench'
     on conflict do nothing`,
  );
  const { rows } = await client.query(
    `select a.customer_id, a.product_id, a.environment_id, a.feature, a.scope from account a join customer c on c.id = a.customer_id
     where a.feature = 'units' order by c.created_at, c.key limit $1`,
    [count],
  );
  await client.end();
  return rows;
}
