import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importCustomers, startPennon } from './pennon-server.mjs';
import { processorSeconds } from './processor-seconds.mjs';
import { machine, median } from './rounds.mjs';

/*
 * Consume over HTTP, everything durable: one server process, its embedded database, and wrk, all on one machine. Every request has an
 * `Idempotency-Key` of its own. One hot quota, and ten thousand; and beside them the check that is answered from memory.
 */
const SECONDS = Number(process.env.SECONDS ?? 5);
const ROUNDS = Number(process.env.ROUNDS ?? 3);
const IN_FLIGHT = (process.env.IN_FLIGHT ?? '1,16,64,256,1000').split(',').map(Number);
const QUOTAS = Number(process.env.QUOTAS ?? 10_000);
/*
 * Connections are opened before the first request is sent. Node.js accepts one connection in each turn of its event loop: with requests
 * under way a turn takes 10 to 30 ms, and the last of 256 connections would be accepted after seconds, which is not what is measured here.
 */
const OPENING_SECONDS = 1;

if (spawnSync('wrk', ['-v']).error !== undefined) {
  console.error('wrk is not installed; on Debian: apt-get install wrk');
  process.exit(1);
}

const folder = mkdtempSync(join(tmpdir(), 'pennon-consume-http-'));
// Open to pass through: a database started by root would else lie elsewhere, and stay there.
chmodSync(folder, 0o711);
const governed = { category: 'limit', owner: 'a@example.com', purpose: 'Benchmark', removal: 'permanent' };
const catalog = {
  product: { key: 'bench', name: 'Benchmark', defaultPlan: 'big' },
  features: [{ key: 'units', type: 'metered', ...governed, reset: { every: 'month' } }],
  plans: [{ key: 'big', version: 0, rank: 0, entitlements: [{ feature: 'units', value: 1_000_000_000 }] }],
};
const server = await startPennon({
  directory: join(folder, 'data'),
  catalog,
  environment: { PENNON_LOG_LEVEL: 'warn' },
});
process.once('uncaughtException', (error) => {
  console.error(error);
  void server.stop().then(() => process.exit(1));
});
await importCustomers(server, QUOTAS);

const CASES = [
  { name: 'consume, one hot quota', path: '/oep/v1/consume', customers: 1, keyed: true },
  { name: `consume, ${QUOTAS} quotas`, path: '/oep/v1/consume', customers: QUOTAS, keyed: true },
  { name: 'cached check', path: '/oep/v1/evaluate/entitlements/units', customers: 1000, keyed: false },
];

/** A fresh prefix in every round, so that no key comes twice. */
function script({ path, customers, keyed }, prefix, connectionsOfThread) {
  const file = join(folder, 'load.lua');
  const key = keyed ? `headers['idempotency-key'] = '${prefix}-' .. id .. '-' .. count` : '';
  const body = keyed ? `,"key":"units","amount":1` : '';
  writeFileSync(
    file,
    `local threads = 0
function setup(thread) thread:set('id', threads) threads = threads + 1 end
local count = 0
local headers = { authorization = 'Bearer ${server.serverKey}', ['content-type'] = 'application/json', ['pennon-product'] = 'bench' }
local opened = 0
function delay()
  opened = opened + 1
  return opened <= ${connectionsOfThread} and ${OPENING_SECONDS * 1000} or 0
end
function request()
  count = count + 1
  ${key}
  local body = '{"context":{"targetingKey":"customer-' .. ((count * 2 + id) * 7919) % ${customers} .. '"}${body}}'
  return wrk.format('POST', '${path}', headers, body)
end
function done(summary, latency)
  io.write(string.format('RESULT %d %d %f %f %f %f %d', summary.requests, summary.duration, latency:percentile(50), latency:percentile(95), latency:percentile(99), latency.max,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
`,
  );
  return file;
}

/** Not blocking: this process writes nothing meanwhile, and costs nothing. */
function load(subject, inFlight, prefix, seconds) {
  const threads = Math.min(2, inFlight);
  const options = [
    '-t',
    String(threads),
    '-c',
    String(inFlight),
    '-d',
    `${OPENING_SECONDS + seconds}s`,
    '--timeout',
    '5s',
  ];
  const before = processorSeconds(server);
  return new Promise((resolve, reject) => {
    const child = spawn('wrk', [
      ...options,
      '-s',
      script(subject, prefix, Math.floor(inFlight / threads)),
      server.url,
    ]);
    let output = '';
    child.stdout.on('data', (part) => {
      output += part;
    });
    child.once('exit', () => {
      const found = /RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) (\d+)/.exec(output);
      if (found === null) return reject(new Error(output));
      const [requests, microseconds, p50, p95, p99, most, failed] = found.slice(1).map(Number);
      const after = processorSeconds(server);
      const cost = (name) => ((after[name] - before[name]) * 1e6) / requests;
      resolve({
        perSecond: (requests * 1e6) / (microseconds - OPENING_SECONDS * 1e6),
        p50: p50 / 1000,
        p95: p95 / 1000,
        p99: p99 / 1000,
        most: most / 1000,
        failed,
        server: cost('server'),
        database: cost('database'),
      });
    });
  });
}

console.log(
  `Over HTTP, durable, wrk on the same machine — ${machine()}, ${SECONDS} s a round, medians of ${ROUNDS}\n`,
);
console.log(
  '| what | in flight | answers/s | p50 ms | p95 ms | p99 ms | most ms | not 200 | server µs | database µs |',
);
console.log('| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |');
let round = 0;
for (const subject of CASES) {
  // Every customer is known, and has an account, before anything is counted.
  await load(subject, 64, `warm-${subject.customers}`, subject.customers > 1 ? 8 : 3);
  for (const inFlight of IN_FLIGHT) {
    const results = [];
    for (let turn = 0; turn < ROUNDS; turn += 1) {
      round += 1;
      results.push(await load(subject, inFlight, `round-${round}`, SECONDS));
    }
    const of = (name, digits) => median(results.map((result) => result[name])).toFixed(digits);
    console.log(
      `| ${subject.name} | ${inFlight} | ${of('perSecond', 0)} | ${of('p50', 2)} | ${of('p95', 2)} | ${of('p99', 2)} | ${of('most', 0)} | ${of('failed', 0)} | ${of('server', 0)} | ${of('database', 0)} |`,
    );
  }
}
await server.stop();
rmSync(folder, { recursive: true, force: true });
