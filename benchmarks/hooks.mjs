import { fork } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importCustomers, startPennon } from './pennon-server.mjs';
import { processorSeconds } from './processor-seconds.mjs';
import { machine } from './rounds.mjs';

/*
 * Webhooks, everything durable: one server process with its embedded database, and listeners that are processes of their own, all on one
 * machine. How many deliveries a fast listener is sent in a second, out of a backlog and as they are told; and whether listeners that are
 * dead in different ways delay it.
 */
const BACKLOG = Number(process.env.BACKLOG ?? 20_000);
const STEADY_PER_SECOND = Number(process.env.STEADY_PER_SECOND ?? 100);
const STEADY_SECONDS = Number(process.env.STEADY_SECONDS ?? 20);
const CUSTOMERS = Number(process.env.CUSTOMERS ?? 10_000);
const PER_CALL = 500;

const folder = mkdtempSync(join(tmpdir(), 'pennon-hooks-'));
// Open to pass through: a database started by root would else lie elsewhere, and stay there.
chmodSync(folder, 0o711);
const catalog = {
  product: { key: 'bench', name: 'Benchmark', defaultPlan: 'free' },
  features: [
    {
      key: 'reports',
      type: 'boolean',
      category: 'limit',
      owner: 'a@example.com',
      purpose: 'Benchmark',
      removal: 'permanent',
    },
  ],
  plans: [
    { key: 'free', version: 0, rank: 0, entitlements: [] },
    { key: 'full', version: 0, rank: 1, entitlements: [{ feature: 'reports', value: true }] },
  ],
  segments: [{ key: 'early', entitlements: [{ feature: 'reports', value: true }] }],
};
const server = await startPennon({
  directory: join(folder, 'data'),
  catalog,
  environment: { PENNON_LOG_LEVEL: 'error', PENNON_WEBHOOK_NETWORKS: '127.0.0.1' },
});
const listeners = [];
process.once('uncaughtException', (error) => {
  console.error(error);
  for (const { child } of listeners) child.kill();
  void server.stop().then(() => process.exit(1));
});
await importCustomers(server, CUSTOMERS);

async function startListener(kind) {
  const child = fork(new URL('./hook-listener.mjs', import.meta.url), [kind]);
  const hear = () => new Promise((resolve) => child.once('message', resolve));
  const { port } = await hear();
  const ask = (question) => {
    const heard = hear();
    child.send(question);
    return heard;
  };
  const listener = { child, url: `http://127.0.0.1:${port}/`, ask };
  listeners.push(listener);
  return listener;
}

const ROOT = '/api/v1/environments/production';
const hook = (url, types = ['membership.changed']) =>
  server
    .admin('POST', `${ROOT}/webhooks`, { url, types, reason: 'benchmark' })
    .then((response) => response.json());

/** One `membership.changed` for each. */
const tell = (first, count) =>
  server.admin('POST', `${ROOT}/products/bench/segments/early/members`, {
    put: Array.from({ length: count }, (_, index) => ({ kind: 'user', key: `user-${first + index}` })),
    reason: 'benchmark',
  });

async function until(listener, events, seconds) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const seen = await listener.ask('count');
    if (seen.events >= events) return;
    if (Date.now() > deadline) throw new Error(`${seen.events} of ${events} events arrived in ${seconds} s`);
    await pause(100);
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function summary({ first, last, requests, events, latencies }) {
  const sorted = [...latencies].sort((left, right) => left - right);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return {
    perSecond: (requests * 1000) / (last - first),
    twice: requests - events,
    p50: at(0.5),
    p99: at(0.99),
    most: at(1),
  };
}

let told = 0;

/** Told as fast as the server takes them. */
async function burst(fast) {
  await fast.ask('forget');
  for (let count = 0; count < BACKLOG; count += PER_CALL) {
    await tell(told, PER_CALL);
    told += PER_CALL;
  }
  await until(fast, BACKLOG, 300);
  return summary(await fast.ask('all'));
}

/** Everything of before sent again: nothing is told meanwhile. */
async function drain(fast, { id }, from) {
  await fast.ask('forget');
  const before = processorSeconds(server);
  let next = from;
  while (next !== null) {
    const body = { from: next, dead: false, reason: 'benchmark' };
    const answer = await server.admin('POST', `${ROOT}/webhooks/${id}/replay`, body);
    next = (await answer.json()).nextFrom;
  }
  await until(fast, told, 300);
  const after = processorSeconds(server);
  const cost = (name) => ((after[name] - before[name]) * 1e6) / told;
  return { ...summary(await fast.ask('all')), server: cost('server'), database: cost('database') };
}

/** A few at a time, as changes come. */
async function steady(fast) {
  await fast.ask('forget');
  const count = STEADY_PER_SECOND * STEADY_SECONDS;
  const perCall = Math.max(1, Math.round(STEADY_PER_SECOND / 20));
  const began = performance.now();
  for (let sent = 0; sent < count; sent += perCall) {
    const ahead = began + (sent * 1000) / STEADY_PER_SECOND - performance.now();
    if (ahead > 0) await pause(ahead);
    await tell(told, perCall);
    told += perCall;
  }
  await until(fast, count, 60);
  return summary(await fast.ask('all'));
}

/** One publish that gives every customer a feature: each is worked out, and told. */
async function publish(listener) {
  // The last in the order in which customers are looked at first: once a change of it is told, all of them are known.
  const keys = Array.from({ length: CUSTOMERS }, (_, index) => `customer-${index}`);
  const key = keys.sort().at(-1);
  for (let round = 0; (await listener.ask('count')).events === 0; round += 1) {
    if (round > 120) throw new Error('nothing was told of what customers may do');
    const grant = {
      target: { kind: 'customer', key },
      kind: 'support',
      product: 'bench',
      reason: 'benchmark',
    };
    const effect = { type: 'set', feature: 'reports', value: true };
    const endsAt = new Date(Date.now() + 1000).toISOString();
    await server.admin('POST', `${ROOT}/grants`, { ...grant, effect, endsAt });
    await pause(2500);
  }
  await pause(2000);
  await listener.ask('forget');
  const began = Date.now();
  const next = { ...catalog, product: { ...catalog.product, defaultPlan: 'full' } };
  await server.admin('PUT', '/api/v1/products/bench/catalog?base=1&reason=benchmark', next);
  await until(listener, CUSTOMERS, 300);
  const { last } = await listener.ask('count');
  return (last - began) / 1000;
}

const row = (name, { perSecond, p50, p99, most, twice, ...cost }) =>
  console.log(
    `| ${name} | ${perSecond.toFixed(0)} | ${p50} | ${p99} | ${most} | ${twice} | ${cost.server?.toFixed(0) ?? ''} | ${cost.database?.toFixed(0) ?? ''} |`,
  );

console.log(`Webhooks, durable, listeners on the same machine — ${machine()}\n`);
console.log('| what | deliveries/s | p50 ms | p99 ms | most ms | sent twice | server µs | database µs |');
console.log('| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |');
const fast = await startListener('fast');
const from = new Date().toISOString();
const own = await hook(fast.url);
await tell(told, PER_CALL);
told += PER_CALL;
await until(fast, PER_CALL, 60);
row(`${BACKLOG} events told at once`, await burst(fast));
row('a backlog, sent again', await drain(fast, own, from));
const alone = await steady(fast);
row(`${STEADY_PER_SECOND} events/s, alone`, alone);

const silent = await startListener('silent');
const closed = await startListener('fast');
closed.child.kill();
await hook(silent.url);
await hook(closed.url);
await hook('https://pennon-benchmark.invalid/');
await pause(2000);
const beside = await steady(fast);
row(
  `${STEADY_PER_SECOND} events/s, beside one that is silent, one that refuses, one without an address`,
  beside,
);
row(`${BACKLOG} events told at once, beside those`, await burst(fast));
const { requests } = await silent.ask('count');
console.log(`\nThe silent one was sent ${requests} requests meanwhile.`);
console.log(`p99 beside the dead ones: ${(beside.p99 / alone.p99).toFixed(2)} × that of alone.`);
const states = await startListener('fast');
await hook(states.url, ['entitlement.changed']);
const seconds = await publish(states);
console.log(
  `A catalog that gives each of ${CUSTOMERS} customers a feature: all told ${seconds.toFixed(1)} s after it was sent, ${(CUSTOMERS / seconds).toFixed(0)} a second.`,
);
for (const { child } of listeners) child.kill();
await server.stop();
rmSync(folder, { recursive: true, force: true });
