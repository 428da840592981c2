/**
 * A segment of a million members: put in by one CSV file over HTTP, then asked about. Says how long the file took, what asking
 * costs beside an empty segment, and how much memory the process holds before and after.
 * `node --expose-gc benchmarks/members.mjs [members] [evaluations]`
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { composeServer } from '../packages/server/dist/compose.js';
import { createLog } from '../packages/server/dist/log.js';
import { createProduct } from '../packages/server/dist/service/products/create-product.js';
import { publish } from '../packages/server/dist/service/publish.js';
import { Secret } from '../packages/server/dist/service/secret.js';
import { systemContext } from '../packages/server/dist/service/seed.js';
import { startEmbeddedDatabase } from '../packages/server/dist/store/embedded/start-embedded-database.js';

const MEMBERS = Number(process.argv[2] ?? 1_000_000);
const EVALUATIONS = Number(process.argv[3] ?? 5000);
const CATALOG = `
product: { key: bench, name: Bench, defaultPlan: free }
features:
  - { key: reports, type: boolean, category: subscription, owner: a@example.com, purpose: Bench, removal: permanent }
plans:
  - { key: free, entitlements: [] }
segments:
  - { key: large, entitlements: [{ feature: reports, value: true }] }
flags:
  - { key: reports-ui, type: boolean, category: release, owner: a@example.com, purpose: Bench, removal: Later, expires: '2030-01-01', requires: [reports], rules: [{ serve: true }] }
`;

const folder = mkdtempSync(join(tmpdir(), 'pennon-bench-'));
chmodSync(folder, 0o711);
const database = await startEmbeddedDatabase({ directory: join(folder, 'postgres'), maxConnections: 60 });
const text = () => randomBytes(24).toString('hex');
const keys = { admin: text(), server: text(), client: text() };
const server = await composeServer({
  databaseUrl: new Secret(database.url),
  dataDirectory: null,
  fixedKeys: {
    admin: new Secret(keys.admin),
    server: new Secret(keys.server),
    client: new Secret(keys.client),
  },
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
  await publish(parts.publishing, why, {
    product: parts.directory.product('bench'),
    edit: { type: 'document', files: [{ name: 'catalog.yaml', text: CATALOG }], base: null, prune: true },
    environments: null,
    dryRun: false,
  });
  const url = await server.app.listen({ host: '127.0.0.1', port: 0 });
  await report(url, 'asked of an empty segment', false);
  const memoryBefore = megabytes();

  const startedAt = performance.now();
  const response = await fetch(
    `${url}/api/v1/environments/production/products/bench/segments/large/members/import?reason=benchmark`,
    {
      method: 'POST',
      headers: { authorization: `Bearer ${keys.admin}`, 'content-type': 'text/csv' },
      body: ReadableStream.from(file()),
      duplex: 'half',
    },
  );
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(`import: ${response.status} ${await response.text()}`);
  console.log(
    `import of ${MEMBERS} lines: ${seconds.toFixed(0)} s, ${Math.round(MEMBERS / seconds)} a second`,
  );
  const memoryAfter = megabytes();
  console.log(`memory: ${memoryBefore} MB before, ${memoryAfter} MB after (rss, after collection)`);

  await report(url, `asked of a segment of ${MEMBERS}`, true);
}

function* file() {
  yield Buffer.from('kind,key,endsAt\n');
  for (let start = 0; start < MEMBERS; start += 1000) {
    let lines = '';
    for (let index = start; index < Math.min(MEMBERS, start + 1000); index += 1) {
      lines += `customer,member-${index},2100-01-01T00:00:00Z\n`;
    }
    yield Buffer.from(lines);
  }
}

function megabytes() {
  globalThis.gc?.();
  return Math.round(process.memoryUsage().rss / 1024 / 1024);
}

/** Every customer for the first time, one after the other, over HTTP. */
async function report(url, name, expected) {
  const times = [];
  for (let index = 0; index < EVALUATIONS; index += 1) {
    const customer = `member-${Math.floor((index * MEMBERS) / EVALUATIONS)}`;
    const began = performance.now();
    const response = await fetch(`${url}/ofrep/v1/evaluate/flags/reports-ui`, {
      method: 'POST',
      headers: { authorization: `Bearer ${keys.server}`, 'content-type': 'application/json' },
      body: JSON.stringify({ context: { targetingKey: customer } }),
    });
    const { value } = await response.json();
    times.push(performance.now() - began);
    if (value !== expected) throw new Error(`${customer} was answered ${value}.`);
  }
  times.sort((left, right) => left - right);
  const at = (share) => (times[Math.floor(times.length * share)] ?? 0).toFixed(2);
  console.log(`${name}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms over ${EVALUATIONS} customers`);
}
