import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importCustomers, startPennon } from './pennon-server.mjs';
import { processorSeconds } from './processor-seconds.mjs';
import { machine, median } from './rounds.mjs';

/*
 * Recorded usage over HTTP, everything durable: server with its embedded database, and a client that makes, sends and reads every
 * batch, all on the same machine. Two hot customers, and ten thousand.
 */
const SECONDS = Number(process.env.SECONDS ?? 10);
const ROUNDS = Number(process.env.ROUNDS ?? 3);
const BATCHES = (process.env.BATCHES ?? '100,1000').split(',').map(Number);
const IN_FLIGHT = Number(process.env.IN_FLIGHT ?? 16);
const CUSTOMERS = (process.env.CUSTOMERS ?? '2,10000').split(',').map(Number);
const MOST = Math.max(...CUSTOMERS);

const folder = mkdtempSync(join(tmpdir(), 'pennon-usage-'));
// Open to pass through: a database started by root would else lie elsewhere, and stay there.
chmodSync(folder, 0o711);
const governed = { category: 'limit', owner: 'a@example.com', purpose: 'Benchmark', removal: 'permanent' };
const catalog = {
  product: { key: 'bench', name: 'Benchmark', defaultPlan: 'big' },
  features: [{ key: 'units', type: 'metered', ...governed, reset: { every: 'month' } }],
  plans: [{ key: 'big', version: 0, rank: 0, entitlements: [{ feature: 'units', value: 1_000_000_000 }] }],
};
const environment = { PENNON_LOG_LEVEL: 'warn' };
const server = await startPennon({ directory: folder, catalog, environment });
process.once('uncaughtException', (error) => {
  console.error(error);
  void server.stop().then(() => process.exit(1));
});
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const { hostname, port } = new URL(server.url);
let sent = 0;
const run = Date.now().toString(36);

function send(events) {
  const body = JSON.stringify(events);
  return new Promise((resolve, reject) => {
    const call = request(
      {
        agent,
        hostname,
        port,
        path: '/oep/v1/usage',
        method: 'POST',
        headers: {
          authorization: `Bearer ${server.serverKey}`,
          'content-type': 'application/cloudevents-batch+json',
          'pennon-product': 'bench',
          'content-length': Buffer.byteLength(body),
        },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part) => {
          text += part;
        });
        response.on('end', () => {
          if (response.statusCode !== 202) reject(new Error(`${response.statusCode} ${text}`));
          else resolve(JSON.parse(text));
        });
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}

function batchOf(size, customers) {
  const time = new Date().toISOString();
  return Array.from({ length: size }, () => {
    sent += 1;
    return {
      specversion: '1.0',
      id: `${run}-${sent}`,
      source: '/benchmark',
      type: 'usage',
      subject: `customer-${(sent * 7919) % customers}`,
      time,
      datacontenttype: 'application/json',
      data: { key: 'units', amount: 1 + (sent % 5), attributes: { model: 'large', region: 'eu' } },
    };
  });
}

async function load(size, customers, seconds) {
  const latencies = [];
  let recorded = 0;
  const until = performance.now() + seconds * 1000;
  const began = performance.now();
  const before = processorSeconds(server);
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (performance.now() < until) {
        const at = performance.now();
        const answer = await send(batchOf(size, customers));
        if (answer.accepted !== size) throw new Error(JSON.stringify(answer).slice(0, 500));
        latencies.push(performance.now() - at);
        recorded += size;
      }
    }),
  );
  const took = (performance.now() - began) / 1000;
  const after = processorSeconds(server);
  const cost = (name) => ((after[name] - before[name]) * 1e6) / recorded;
  latencies.sort((left, right) => left - right);
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))];
  return {
    perSecond: recorded / took,
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    server: cost('server'),
    database: cost('database'),
    client: cost('client'),
  };
}

const began = performance.now();
await importCustomers(server, MOST);
console.log(
  `Recorded usage over HTTP, durable, client included — ${machine()}, ${SECONDS} s a round, medians of ${ROUNDS}, ${IN_FLIGHT} calls in flight; ${MOST} customers made in ${((performance.now() - began) / 1000).toFixed(0)} s\n`,
);
console.log(
  '| customers | events a call | events/s | p50 ms | p95 ms | p99 ms | server µs/event | database | client |',
);
console.log('| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |');
for (const customers of CUSTOMERS) {
  for (const size of BATCHES) {
    for (let told = 0; told < customers; told += size) await send(batchOf(size, customers));
    await load(size, customers, 2);
    const results = [];
    for (let round = 0; round < ROUNDS; round += 1) results.push(await load(size, customers, SECONDS));
    const of = (name) => median(results.map((result) => result[name]));
    console.log(
      `| ${customers} | ${size} | ${of('perSecond').toFixed(0)} | ${of('p50').toFixed(0)} | ${of('p95').toFixed(0)} | ${of('p99').toFixed(0)} | ${of('server').toFixed(0)} | ${of('database').toFixed(0)} | ${of('client').toFixed(0)} |`,
    );
  }
}
agent.destroy();
await server.stop();
rmSync(folder, { recursive: true, force: true });
