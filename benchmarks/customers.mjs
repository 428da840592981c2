/**
 * A million customers in the store and few in memory: what a cold evaluation costs beside a warm one, and a search by prefix.
 * `node benchmarks/customers.mjs [customers] [cold evaluations] [customers in memory]`
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeServer } from '../packages/server/dist/compose.js';
import { createLog } from '../packages/server/dist/log.js';
import { listCustomers } from '../packages/server/dist/service/contracts/list-customers.js';
import { searchUsers } from '../packages/server/dist/service/contracts/search-members.js';
import { evaluateFlag } from '../packages/server/dist/service/evaluate-flag.js';
import { createProduct } from '../packages/server/dist/service/products/create-product.js';
import { publish } from '../packages/server/dist/service/publish.js';
import { Secret } from '../packages/server/dist/service/secret.js';
import { systemContext } from '../packages/server/dist/service/seed.js';
import { startEmbeddedDatabase } from '../packages/server/dist/store/embedded/start-embedded-database.js';

const CUSTOMERS = Number(process.argv[2] ?? 1_000_000);
const EVALUATIONS = Number(process.argv[3] ?? 5000);
/** Few enough that every one of them is full before the end. */
const IN_MEMORY = Number(process.argv[4] ?? 10_000);
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
  customersInMemory: IN_MEMORY,
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
  const some = () => Math.floor(Math.random() * CUSTOMERS);
  const searches = {
    'one letter, a million found': () => 'a',
    'a word of all, a million found': () => 'acme',
    'every key, a million found': () => 'cust',
    'a rare word': () => `word${some() % 50000}`,
    'a mail address': () => `mail${some()}@`,
    'a key, to the end': () => `customer-${some()}`,
    'a common and a rare word': () => `acme word${some() % 50000}`,
    'two common words': () => 'acme even',
    'three common words and a rare one': () => `acme even cust word${some() % 50000}`,
    'two common words that never meet': () => 'even odd',
    nobody: () => `nobody${some()}`,
    'a common word and nobody': () => `acme nobody${some()}`,
  };
  const searchPage = (query) => listCustomers(parts.management, admin, { environment: 'production' }, query);
  for (const [name, search] of Object.entries(searches)) {
    const queries = Array.from({ length: 100 }, () => ({ search: search(), limit: 50 }));
    await report(`search: ${name}`, queries, 1, searchPage);
  }
  const cursors = [];
  let page = await searchPage({ search: 'acme', limit: 50 });
  while (cursors.length < 100 && page.nextCursor !== null) {
    cursors.push({ search: 'acme', limit: 50, cursor: page.nextCursor });
    page = await searchPage(cursors.at(-1));
  }
  await report('search: pages 2 to 101 of a word of all', cursors, 1, searchPage);
  const users = ['ada', 'user', 'ada person77', 'user-123456', 'user4711@', 'nobody'];
  const userQueries = Array.from({ length: 120 }, (_, index) => ({ search: users[index % users.length] }));
  await report('search: users', userQueries, 1, (query) =>
    searchUsers(parts.management, admin, { environment: 'production' }, query),
  );
  const memory = () => `resident ${(process.memoryUsage().rss / 1e6).toFixed(0)} MB`;
  for (const round of [1, 2, 3]) {
    const from = (round - 1) * 2 * IN_MEMORY;
    const different = Array.from(
      { length: 2 * IN_MEMORY },
      (_, index) => `customer-${1 + ((from + index) % CUSTOMERS)}`,
    );
    await report(`cold evaluation of ${2 * IN_MEMORY} others, 16 at once`, different, 16, evaluate);
    const { pieces } = parts.customers.statistics();
    console.log(
      `memory for at most ${IN_MEMORY} customers: ${memory()}, ${pieces} pieces of customers, users and teams`,
    );
  }
}

/**
 * Each statement is a generate_series into tables without secondary indexes, which are built at the end: half the time of keeping
 * them up to date. Names are drawn from 50,000 words, so that some beginnings find a million and some find nobody.
 */
async function seed(pool, environmentId, productId) {
  const client = await pool.connect();
  try {
    await client.query('set statement_timeout = 0');
    await client.query('set synchronous_commit = off');
    await client.query("set maintenance_work_mem = '256MB'");
    const { rows: indexes } = await client.query(
      `select indexname as name, indexdef as definition from pg_indexes
       where schemaname = 'public' and tablename in ('search_word', 'license', 'access_grant', 'customer_user')
         and indexdef not like '%UNIQUE%'`,
    );
    for (const { name } of indexes) await client.query(`drop index ${name}`);
    const id = "('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid";
    const licenseId = (n) => `('00000000-0000-7000-9${n}00-' || lpad(to_hex(i), 12, '0'))::uuid`;
    for (let from = 1; from <= CUSTOMERS; from += PART) {
      const to = Math.min(CUSTOMERS, from + PART - 1);
      const series = `generate_series(${from}, ${to}) i`;
      const fill = (text, ...values) => client.query(text, values);
      await fill(
        `insert into customer (id, environment_id, key, external_id, name, email, attributes, version, created_at)
         select ${id}, $1, 'customer-' || i, 'crm-' || i, 'Acme word' || (i::bigint * 7919 % 50000), 'mail' || i || '@example.com', '{"region":"eu"}', 1, now()
         from ${series}`,
        environmentId,
      );
      await fill(
        `insert into search_word (customer_id, kind, key, word, environment_id)
         select ${id}, 'customer', '', word, $1 from ${series}, lateral (values
           ('customer-' || i), ('crm-' || i), ('mail' || i || '@example.com'), ('acme'), ('word' || (i::bigint * 7919 % 50000)),
           (case when i % 2 = 0 then 'even' else 'odd' end)) as w (word)`,
        environmentId,
      );
      await fill(
        `insert into customer_user (customer_id, id, key, environment_id, name, email, attributes, version, created_at)
         select ${id}, gen_random_uuid(), 'user-' || i, $1, 'Ada Person' || (i % 9973), 'user' || i || '@example.com', '{}', 1, now() from ${series}`,
        environmentId,
      );
      await fill(
        `insert into search_word (customer_id, kind, key, word, environment_id)
         select ${id}, 'user', 'user-' || i, word, $1 from ${series}, lateral (values
           ('user-' || i), ('user' || i || '@example.com'), ('ada'), ('person' || (i % 9973))) as w (word)`,
        environmentId,
      );
      for (const [n, status, startsAt, endsAt] of [
        [0, 'active', '2026-01-01', 'null'],
        [1, 'ended', '2024-01-01', "'2025-01-01'"],
        [2, 'active', '2026-06-01', 'null'],
      ]) {
        await fill(
          `insert into license (customer_id, id, environment_id, product_id, plan_key, plan_version, quantity, kind, status, starts_at, ends_at, anchor, addons, version, created_at)
           select ${id}, ${licenseId(n)}, $1, $2, 'pro', 0, 1, 'paid', '${status}', '${startsAt}', ${endsAt}, '2026-01-01T00:00:00[UTC]', '[]', 1, now() from ${series}`,
          environmentId,
          productId,
        );
      }
      await fill(
        `insert into access_grant (id, environment_id, product_id, target_kind, target_key, kind, effect, starts_at, reason, version, created_at)
         select ${licenseId(9)}, $1, $2, 'customer', 'customer-' || i, 'support', '{"type":"set","feature":"reports","value":true}', '2026-01-01', 'benchmark', 1, now()
         from ${series}`,
        environmentId,
        productId,
      );
    }
    for (const { definition } of indexes) await client.query(definition);
    await client.query('vacuum (analyze) customer, search_word, customer_user, license, access_grant');
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
