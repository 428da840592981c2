/**
 * A million customers in the store and few in memory: what a cold evaluation costs beside a warm one, and a search by prefix.
 * `node benchmarks/customers.mjs [customers] [cold evaluations]`
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeServer } from '../packages/server/dist/compose.js';
import { createLog } from '../packages/server/dist/log.js';
import { listCustomers } from '../packages/server/dist/service/contracts/customers.js';
import { evaluateFlag } from '../packages/server/dist/service/evaluate-flag.js';
import { createProduct } from '../packages/server/dist/service/products/create-product.js';
import { publish } from '../packages/server/dist/service/publish.js';
import { Secret } from '../packages/server/dist/service/secret.js';
import { systemContext } from '../packages/server/dist/service/seed.js';
import { startEmbeddedDatabase } from '../packages/server/dist/store/embedded/start-embedded-database.js';

const CUSTOMERS = Number(process.argv[2] ?? 1_000_000);
const EVALUATIONS = Number(process.argv[3] ?? 5000);
const PART = 100_000;
const CATALOG = `
product: { key: bench, name: Bench, defaultPlan: free }
features:
  - { key: reports, type: boolean, category: subscription, owner: a@example.com, purpose: Bench, removal: permanent }
plans:
  - { key: free, entitlements: [] }
  - { key: pro, entitlements: [{ feature: reports, value: true }] }
flags:
  - { key: reports-ui, type: boolean, category: release, owner: a@example.com, purpose: Bench, removal: Later, expires: '2030-01-01', requires: [reports], rules: [{ rollout: { percentage: 50 } }] }
`;

const folder = mkdtempSync(join(tmpdir(), 'pennon-bench-'));
chmodSync(folder, 0o711);
const database = await startEmbeddedDatabase({ directory: join(folder, 'postgres'), maxConnections: 60 });
const secret = () => new Secret(randomBytes(24).toString('hex'));
const server = await composeServer({
  databaseUrl: new Secret(database.url),
  dataDirectory: null,
  fixedKeys: { admin: secret(), server: secret(), client: secret() },
  preferredProducts: ['bench'],
  version: 'benchmark',
  log: createLog('silent'),
  customerDeadlineMilliseconds: 5000,
});
async function stop() {
  await server.close();
  await database.stop();
  rmSync(folder, { recursive: true, force: true });
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGPIPE']) {
  process.once(signal, () => void stop().finally(() => process.exit(1)));
}
try {
  await run();
} finally {
  await stop();
}

async function run() {
  await server.open();
  const { parts } = server;
  const why = systemContext('benchmark');
  await createProduct(parts.management, why, { key: 'bench', name: 'Bench', reason: 'benchmark' });
  const product = parts.directory.product('bench');
  const environment = parts.directory.environment('production');
  await publish(parts.publishing, why, {
    product,
    edit: { type: 'document', files: [{ name: 'catalog.yaml', text: CATALOG }], base: null, prune: true },
    environments: null,
    dryRun: false,
  });
  const seedStartedAt = performance.now();
  await seed(parts.database.pool, environment.id, product.id);
  console.log(
    `${CUSTOMERS} customers seeded in ${((performance.now() - seedStartedAt) / 1000).toFixed(0)} s`,
  );

  const credential = {
    kind: 'server',
    keyId: 'benchmark',
    environmentId: environment.id,
    productId: product.id,
  };
  const services = {
    directory: parts.directory,
    snapshots: parts.snapshots,
    customers: parts.customers,
    clock: parts.clock,
    knownUntil: parts.knownUntil,
  };
  const evaluate = (key) =>
    evaluateFlag(services, credential, 'reports-ui', { context: { customer: key, user: 'nobody' } });
  const picked = () => `customer-${1 + Math.floor(Math.random() * CUSTOMERS)}`;
  const keys = Array.from({ length: EVALUATIONS }, picked);

  for (let index = 0; index < 500; index += 1) await evaluate(picked());
  await report('cold evaluation, one after the other', keys, 1, evaluate);
  await report('warm evaluation, the same again', keys, 1, evaluate);
  const before = parts.customers.statistics().loads;
  const others = Array.from({ length: EVALUATIONS }, picked);
  await report('cold evaluation, 16 at once', others, 16, evaluate);
  const statements = parts.customers.statistics().loads - before;
  console.log(`statements for ${new Set(others).size} different customers: ${statements}`);
  const admin = { kind: 'admin', keyId: 'benchmark', environmentId: null, productId: null };
  const prefixes = Array.from(
    { length: 200 },
    (_, index) => ['cust', 'customer-9', `word${index}`, 'acme', 'crm-12'][index % 5],
  );
  await report('search by prefix, page of 50', prefixes, 1, (search) =>
    listCustomers(parts.management, admin, { environment: 'production' }, { search }),
  );
  const { heapUsed, rss } = process.memoryUsage();
  console.log(
    `memory: heap ${(heapUsed / 1e6).toFixed(0)} MB, resident ${(rss / 1e6).toFixed(0)} MB, ${parts.customers.statistics().pieces} pieces`,
  );
}

async function seed(pool, environmentId, productId) {
  await pool.query('set statement_timeout = 0');
  const client = await pool.connect();
  try {
    await client.query('set statement_timeout = 0');
    await client.query('set synchronous_commit = off');
    const id = "('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid";
    for (let from = 1; from <= CUSTOMERS; from += PART) {
      const to = Math.min(CUSTOMERS, from + PART - 1);
      const series = `generate_series(${from}, ${to}) i`;
      await client.query(
        `insert into customer (id, environment_id, key, external_id, name, attributes, version, created_at)
         select ${id}, $1, 'customer-' || i, 'crm-' || i, 'Acme word' || (i % 5000), '{"region":"eu"}', 1, now() from ${series}`,
        [environmentId],
      );
      await client.query(
        `insert into customer_word (customer_id, word, environment_id)
         select ${id}, word, $1 from ${series}, lateral (values ('customer-' || i), ('crm-' || i), ('acme'), ('word' || (i % 5000))) as w (word)`,
        [environmentId],
      );
      await client.query(
        `insert into license (customer_id, id, environment_id, product_id, plan_key, plan_version, quantity, kind, status, starts_at, anchor, addons, version, created_at)
         select ${id}, gen_random_uuid(), $1, $2, 'pro', 0, 1, 'paid', 'active', '2026-01-01', '2026-01-01T00:00:00[UTC]', '[]', 1, now() from ${series}`,
        [environmentId, productId],
      );
      await client.query(
        `insert into access_grant (id, environment_id, product_id, target_kind, target_key, kind, effect, starts_at, reason, version, created_at)
         select gen_random_uuid(), $1, $2, 'customer', 'customer-' || i, 'support', '{"type":"set","feature":"reports","value":true}', '2026-01-01', 'benchmark', 1, now()
         from ${series} where i % 3 = 0`,
        [environmentId, productId],
      );
    }
    await client.query('analyze');
  } finally {
    client.release(true);
  }
}

async function report(name, inputs, atOnce, call) {
  const took = [];
  const queue = [...inputs];
  const startedAt = performance.now();
  const worker = async () => {
    for (let input = queue.pop(); input !== undefined; input = queue.pop()) {
      const before = performance.now();
      await call(input);
      took.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  const seconds = (performance.now() - startedAt) / 1000;
  took.sort((left, right) => left - right);
  const at = (share) => took[Math.min(took.length - 1, Math.floor(took.length * share))].toFixed(3);
  console.log(
    `${name}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms, ${(inputs.length / seconds).toFixed(0)}/s`,
  );
}
