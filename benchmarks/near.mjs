import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeServer } from '@pennon/server/compose';
import { createLog } from '@pennon/server/log';
import { Secret } from '@pennon/server/service/secret';
import { startEmbeddedDatabase } from '@pennon/server/store/embedded/start-embedded-database';
import pg from 'pg';
import { machine } from './rounds.mjs';

/*
 * Pages of who is near or over a limit, with the limit of each resolved anew, in an environment of many accounts: the first page, one far
 * down, and those of one feature among two.
 */
const ACCOUNTS = Number(process.env.ACCOUNTS ?? 1_000_000);
const ROUNDS = Number(process.env.ROUNDS ?? 50);

const folder = mkdtempSync(join(tmpdir(), 'pennon-near-'));
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
const headers = { authorization: `Bearer ${adminSecret.reveal()}` };

async function call(method, url, payload) {
  const answer = await app.inject({ method, url, payload, headers });
  if (answer.statusCode >= 300) throw new Error(`${method} ${url}: ${answer.statusCode} ${answer.body}`);
  return answer.json();
}

try {
  await prepare();
  console.log(`Who is near a limit, ${ACCOUNTS} accounts — ${machine()}, ${ROUNDS} pages each\n`);
  console.log('| page | p50 ms | p95 ms |');
  console.log('| --- | ---: | ---: |');
  const list = '/api/v1/environments/production/products/bench/usage/near?percent=80';
  await time('first, of 50', async () => `${list}&limit=50`);
  await time('first, of 100', async () => `${list}&limit=100`);
  let cursor = null;
  for (let page = 0; page < 200; page += 1) {
    const { nextCursor } = await call(
      'GET',
      `${list}&limit=100${cursor === null ? '' : `&cursor=${cursor}`}`,
    );
    cursor = nextCursor;
  }
  await time('the 201st, of 50', async () => `${list}&limit=50&cursor=${cursor}`);
  await time('first of one feature, of 50', async () => `${list}&limit=50&feature=other`);
} finally {
  await server.close();
  await database.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function time(name, urlOf) {
  const took = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const url = await urlOf();
    const began = performance.now();
    const { items } = await call('GET', url);
    took.push(performance.now() - began);
    if (items.length === 0) throw new Error(`${name} is empty.`);
  }
  took.sort((left, right) => left - right);
  const at = (share) => took[Math.min(took.length - 1, Math.floor(took.length * share))].toFixed(1);
  console.log(`| ${name} | ${at(0.5)} | ${at(0.95)} |`);
}

/** Customers of a default plan, each with an account; a tenth of them above half of the limit. */
async function prepare() {
  const governed = { category: 'limit', owner: 'a@example.com', purpose: 'Benchmark', removal: 'permanent' };
  const feature = (name) => ({ key: name, type: 'metered', ...governed, reset: { every: 'month' } });
  await call('POST', '/api/v1/products', { key: 'bench', name: 'Benchmark', reason: 'Benchmark' });
  await call('PUT', '/api/v1/products/bench/catalog?base=0&reason=benchmark', {
    product: { key: 'bench', name: 'Benchmark', defaultPlan: 'free' },
    features: [feature('units'), feature('other')],
    plans: [
      {
        key: 'free',
        version: 0,
        rank: 0,
        entitlements: ['units', 'other'].map((name) => ({ feature: name, value: 100 })),
      },
    ],
  });
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const environment = parts.directory.environment('production').id;
  const product = parts.directory.product('bench').id;
  await client.query(
    `insert into customer (id, environment_id, key, attributes, version, created_at)
     select gen_random_uuid(), $1, 'c' || n, '{}', 1, now() from generate_series(1, $2::integer) n`,
    [environment, ACCOUNTS],
  );
  await client.query(
    `insert into account (customer_id, product_id, feature, scope, environment_id, period_start, period_end, used, reserved, updated_at,
       limit_known, percent)
     select id, $2, case when n % 100 = 0 then 'other' else 'units' end, '', $1, now(), now() + interval '20 days',
       case when n % 10 = 0 then 50 + n / 10 % 70 else n % 50 end, 0, now(), 100,
       case when n % 10 = 0 then 50 + n / 10 % 70 end
     from (select id, substr(key, 2)::integer as n from customer) c`,
    [environment, product],
  );
  await client.query('vacuum analyze account');
  await client.query('vacuum analyze customer');
  await client.end();
}
