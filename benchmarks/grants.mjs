/**
 * A million grants, two million licenses and a million memberships in the store: what the lists of grants and of what ends soon cost.
 * `node benchmarks/grants.mjs [grants] [--plans]`
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeServer } from '../packages/server/dist/compose.js';
import { createLog } from '../packages/server/dist/log.js';
import { listApplications } from '../packages/server/dist/service/contracts/bundle-applications.js';
import { listEnding } from '../packages/server/dist/service/contracts/list-ending.js';
import { listCustomerGrants, listGrants } from '../packages/server/dist/service/contracts/list-grants.js';
import { createProduct } from '../packages/server/dist/service/products/create-product.js';
import { publish } from '../packages/server/dist/service/publish.js';
import { Secret } from '../packages/server/dist/service/secret.js';
import { systemContext } from '../packages/server/dist/service/seed.js';
import { findItemReferences } from '../packages/server/dist/store/catalog-references.js';
import { startEmbeddedDatabase } from '../packages/server/dist/store/embedded/start-embedded-database.js';

const GRANTS = Number(process.argv[2] ?? 1_000_000);
const CUSTOMERS = Math.ceil(GRANTS / 4);
const CATALOG = `
product: { key: bench, name: Bench, defaultPlan: free }
features:
  - { key: reports, type: boolean, category: subscription, owner: a@example.com, purpose: Bench, removal: permanent }
plans:
  - { key: free, entitlements: [] }
  - { key: pro, entitlements: [{ feature: reports, value: true }] }
segments:
  - { key: demoing }
  - { key: large, condition: 'customer.size > 100' }
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
  const startedAt = performance.now();
  for (const statement of seed()) {
    await parts.database.pool.query(
      'set statement_timeout = 0; ' +
        statement
          .replaceAll('$environment', `'${environment.id}'::uuid`)
          .replaceAll('$product', `'${product.id}'::uuid`),
    );
  }
  console.log(`${GRANTS} grants seeded in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  await measure(parts, product);
}

/** One grant in a hundred rests on a contract and never ends; the others end over two years, half of that passed. */
function seed() {
  const at = (days) => `now() + (n % 1000003) * interval '1 minute' - interval '${days} days'`;
  return [
    `insert into customer (id, environment_id, key, attributes, version, created_at)
      select gen_random_uuid(), $environment, 'c-' || n, '{}', 1, now() from generate_series(1, ${CUSTOMERS}) n`,
    `insert into customer_user (customer_id, id, key, environment_id, attributes, version, created_at)
      select id, gen_random_uuid(), 'u-' || key, $environment, '{}', 1, now() from customer`,
    `insert into access_grant (id, environment_id, product_id, target_kind, target_key, kind, effect, starts_at, ends_at,
        reason, contract_reference, version, created_at)
      select gen_random_uuid(), $environment, $product,
        case when n % 1000 = 0 then 'segment' when n % 3 = 0 then 'user' else 'customer' end,
        case when n % 1000 = 0 then 'demoing' when n % 3 = 0 then 'u-c-' || n % ${CUSTOMERS} else 'c-' || n % ${CUSTOMERS} end,
        case when n % 100 = 1 then 'contract' else 'demo' end, '{"type":"set","feature":"reports","value":true}',
        now() - interval '400 days', case when n % 100 = 1 then null else ${at(350)} end,
        'benchmark', case when n % 100 = 1 then 'C-' || n end, 1, now()
      from generate_series(1, ${GRANTS}) n where not (n % 1000 = 0 and n > 500000)`,
    `insert into license (customer_id, id, environment_id, product_id, plan_key, plan_version, quantity, kind, status,
        starts_at, ends_at, anchor, addons, version, created_at)
      select c.id, gen_random_uuid(), $environment, $product, 'pro', 0, 1,
        case when n % 5 = 0 then 'trial' else 'paid' end, 'active', now() - interval '400 days',
        case when n % 2 = 0 then ${at(350)} end, '2026-01-01T00:00:00Z', '[]', 1, now()
      from customer c, generate_series(1, 8) n`,
    `insert into membership (environment_id, member_kind, member_key, product_id, container_kind, container_key, id,
        starts_at, ends_at, reason, version, created_at)
      select $environment, 'user', 'm-' || n, $product, 'segment', 'demoing', gen_random_uuid(),
        now() - interval '400 days', ${at(350)}, 'benchmark', 1, now() from generate_series(1, ${GRANTS}) n`,
    `insert into bundle_application (id, environment_id, product_id, bundle_key, bundle_version, target_kind, target_key,
        kind, starts_at, ends_at, reason, version, created_at)
      select gen_random_uuid(), $environment, $product, 'tour', 1, 'customer', 'c-' || n, 'demo',
        now() - interval '400 days', ${at(350)}, 'benchmark', 1, now() from generate_series(1, ${Math.ceil(GRANTS / 10)}) n`,
    'analyze',
  ];
}

async function measure(parts, product) {
  const services = {
    ...parts.management,
    snapshots: parts.snapshots,
    customers: parts.customers,
    knownUntil: parts.knownUntil,
  };
  const credential = { kind: 'admin', keyId: 'benchmark', environmentId: null, productId: null };
  const named = { environment: 'production' };
  const grants = (query) => () => listGrants(services, credential, named, query);
  const cases = {
    'grants of the environment': grants({}),
    'grants that end within 7 days': grants({ endsWithinDays: 7 }),
    'grants of contracts': grants({ kind: 'contract' }),
    'grants of one contract': grants({ contractReference: 'C-1001' }),
    'grants that end within 7 days, of contracts': grants({ kind: 'contract', endsWithinDays: 7 }),
    'all grants, ended ones too': grants({ revoked: true }),
    'everything that reaches one customer': () =>
      listCustomerGrants(services, credential, { ...named, customer: 'c-777' }, {}),
    'all that ends within 7 days': () => listEnding(services, credential, named, { withinDays: 7 }),
    'all that ends within 90 days, 500': () =>
      listEnding(services, credential, named, { withinDays: 90, limit: 500 }),
    'trials that end within 30 days': () =>
      listEnding(services, credential, named, { withinDays: 30, kind: 'trial' }),
    'contracts that end within 30 days': () =>
      listEnding(services, credential, named, { withinDays: 30, kind: 'contract' }),
    'applications of bundles': () => listApplications(services, credential, named, {}),
    'who still names a feature (before it is removed)': () =>
      findItemReferences(parts.database.kysely, product.id, { kind: 'feature', key: 'other' }, Date.now()),
  };
  const second = await listEnding(services, credential, named, { withinDays: 90, limit: 500 });
  cases['all that ends within 90 days, the second 500'] = () =>
    listEnding(services, credential, named, { withinDays: 90, limit: 500, cursor: second.nextCursor });
  for (const [name, work] of Object.entries(cases)) {
    const times = [];
    for (let round = 0; round < 30; round += 1) {
      const startedAt = performance.now();
      await work();
      times.push(performance.now() - startedAt);
      if (times[0] > 2000 && round > 2) break;
    }
    times.sort((left, right) => left - right);
    const [median, last] = [times[times.length >> 1], times.at(-1)].map((time) => time.toFixed(1));
    console.log(`${name.padEnd(52)} median ${median} ms, slowest ${last} ms`);
  }
}
