import { fork, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { NODE_OPTIONS, startPennon } from './pennon-server.mjs';
import { machine, median } from './rounds.mjs';

/*
 * OFREP over HTTP, one process, load by wrk on the same machine. What is compared is the server's CPU time for a request,
 * because the load generator shares the cores: utime + stime of the process from /proc, before and after a round.
 */
const ROUNDS = Number(process.env.ROUNDS ?? 5);
const SECONDS = Number(process.env.SECONDS ?? 5);
/** Only the cases whose names match. */
const ONLY = new RegExp(process.env.ONLY ?? '');
const CONNECTIONS = 32;

if (spawnSync('wrk', ['-v']).error !== undefined) {
  console.error('wrk is not installed; on Debian: apt-get install wrk');
  process.exit(1);
}

const flags = Array.from({ length: 100 }, (_, index) => ({
  key: `flag-${String(index).padStart(3, '0')}`,
  type: 'boolean',
  category: 'release',
  owner: 'web@example.com',
  purpose: 'One of a hundred',
  removal: 'With the benchmark',
  expires: '2099-01-01',
  default: false,
  rules: [
    {
      if: 'user.country == "DE" && plan.tier in ["pro", "enterprise"]',
      rollout: { by: 'user.key', percentage: 50 },
    },
    { if: 'user.email.endsWith("@acme.example")', serve: true },
  ],
}));
const catalog = {
  product: { key: 'bench', name: 'Benchmark', defaultPlan: 'pro' },
  features: [
    {
      key: 'reports',
      type: 'boolean',
      category: 'subscription',
      owner: 'web@example.com',
      purpose: 'Reports',
      removal: 'permanent',
    },
  ],
  plans: [{ key: 'pro', version: 0, rank: 1, entitlements: [{ feature: 'reports', value: true }] }],
  flags: [{ ...flags[0], key: 'screen', requires: ['reports'] }, ...flags],
};
const context = { targetingKey: 'acme', user: { key: 'u_7', country: 'DE', email: 'ada@acme.example' } };
const body = JSON.stringify({ context });

const folder = mkdtempSync(join(tmpdir(), 'pennon-benchmark-'));
// Open to pass through: a database started by root would else lie elsewhere, and stay there.
chmodSync(folder, 0o711);
/** The bare server is given the same. */
const nodeOptions = process.env.PENNON_NODE_OPTIONS?.split(' ') ?? NODE_OPTIONS;
const pennon = await startPennon({ directory: join(folder, 'data'), catalog, nodeOptions });
const ask = (path, headers = {}) =>
  fetch(`${pennon.url}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${pennon.serverKey}`,
      'pennon-product': 'bench',
      ...headers,
    },
    body,
  });
const single = '/ofrep/v1/evaluate/flags/screen';
const bulk = '/ofrep/v1/evaluate/flags';
const bulkAnswer = await ask(bulk);
const singleAnswer = await ask(single);
const etag = bulkAnswer.headers.get('etag');
const bodies = { [single]: await singleAnswer.text(), [bulk]: await bulkAnswer.text() };
/** What Pennon says beyond the body, for the bare server that writes the very same bytes. */
const ownHeaders = Object.fromEntries(
  [...singleAnswer.headers].filter(([name]) => !['date', 'connection', 'keep-alive'].includes(name)),
);
const bare = fork(new URL('./bare-server.mjs', import.meta.url), {
  execArgv: nodeOptions,
  env: { ...process.env, BODIES: JSON.stringify(bodies), HEADERS: JSON.stringify(ownHeaders) },
});
const { port } = await new Promise((resolve) => bare.once('message', resolve));
const unleash = fork(new URL('./peers/unleash-server.mjs', import.meta.url), {
  stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
});
const unleashAt = await new Promise((resolve) => unleash.once('message', resolve));

function cpuMilliseconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/**
 * No context twice, as a server sends them that passes on what it knows of each request. The users are a hundred, so that they
 * are in memory; asking for ever new ones is another benchmark (`npm run customers`).
 */
const EVER_DIFFERENT = `
local asked = 0
local countries = { "DE", "FR", "AT", "CH" }
request = function()
  asked = asked + 1
  wrk.body = string.format(
    '{"context":{"targetingKey":"acme","user":{"key":"u_%d","country":"%s","email":"ada@acme.example"},"request":"r_%d"}}',
    asked % 100, countries[asked % 4 + 1], asked + START)
  return wrk.format()
end
`;
let rounds = 0;

/** One round against one server; a refusal under load is a failure of the benchmark. */
function load(target, seconds = SECONDS) {
  const script = join(folder, 'wrk.lua');
  const lines = ['wrk.method = "POST"', `wrk.body = ${JSON.stringify(target.body)}`];
  rounds += 1;
  if (target.everDifferent === true) lines.push(`local START = ${rounds * 1_000_000_000}`, EVER_DIFFERENT);
  for (const [name, value] of Object.entries(target.headers)) {
    lines.push(`wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`);
  }
  writeFileSync(script, lines.join('\n'));
  const before = cpuMilliseconds(target.pid);
  const { stdout } = spawnSync(
    'wrk',
    ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--latency', '-s', script, target.url],
    { encoding: 'utf8' },
  );
  const cpu = cpuMilliseconds(target.pid) - before;
  const requests = Number(/(\d+) requests in/.exec(stdout)[1]);
  if (/Non-2xx or 3xx/.test(stdout)) throw new Error(`refusals under load of ${target.url}:\n${stdout}`);
  return { perSecond: requests / seconds, cpu: (cpu * 1000) / requests, p99: /99%\s+(\S+)/.exec(stdout)[1] };
}

const headers = {
  'Content-Type': 'application/json',
  Authorization: `Bearer ${pennon.serverKey}`,
  'Pennon-Product': 'bench',
};
const ours = (path, extra = {}) => ({
  name: 'Pennon',
  pid: pennon.pid,
  url: `${pennon.url}${path}`,
  body,
  headers: { ...headers, ...extra },
});
const floor = (path, { name = 'bare node:http', query = '' } = {}) => ({
  name,
  pid: bare.pid,
  url: `http://127.0.0.1:${port}${path}${query}`,
  body,
  headers,
});
const theirs = {
  name: 'Unleash server, frontend API',
  pid: unleash.pid,
  url: `${unleashAt.url}/api/frontend`,
  body: JSON.stringify({
    context: { userId: 'u_7', properties: { country: 'DE', tier: 'pro', email: 'ada@acme.example' } },
  }),
  headers: { 'Content-Type': 'application/json', Authorization: unleashAt.token },
};
const sameHeaders = { name: 'bare node:http, our headers too', query: '?headers' };
const everDifferent = (target) => ({ ...target, everDifferent: true });
const cases = [
  { name: 'single flag', targets: [ours(single), floor(single), floor(single, sameHeaders)] },
  { name: 'single flag, ever different contexts', targets: [ours(single), floor(single)].map(everDifferent) },
  { name: 'bulk of 100 flags', targets: [ours(bulk), floor(bulk), theirs] },
  { name: 'bulk, ever different contexts', targets: [ours(bulk), floor(bulk)].map(everDifferent) },
  { name: 'bulk, nothing changed (304)', targets: [ours(bulk, { 'If-None-Match': etag })] },
].filter(({ name }) => ONLY.test(name));

console.log(
  `load average: ${loadavg()
    .map((value) => value.toFixed(2))
    .join(', ')}`,
);
console.log(
  `OFREP over HTTP — ${machine()}, wrk with ${CONNECTIONS} connections, medians of ${ROUNDS} rounds of ${SECONDS} s in turn\n`,
);
console.log('| case | server | requests/s | CPU µs a request | p99 | by CPU, Pennon = 1 |');
console.log('| --- | --- | ---: | ---: | ---: | ---: |');
for (const { name, targets } of cases) {
  const rounds = targets.map(() => []);
  // What is compiled during the first second is not what a server costs.
  for (const target of targets) load(target, 2);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, target] of targets.entries()) rounds[index].push(load(target));
  }
  const base = median(rounds[0].map((result) => result.cpu));
  for (const [index, target] of targets.entries()) {
    const cpu = median(rounds[index].map((result) => result.cpu));
    const perSecond = median(rounds[index].map((result) => result.perSecond));
    console.log(
      `| ${name} | ${target.name} | ${perSecond.toFixed(0)} | ${cpu.toFixed(1)} | ${rounds[index].at(-1).p99} | ${(cpu / base).toFixed(2)} |`,
    );
  }
}
bare.kill();
const unleashEnded = new Promise((resolve) => unleash.once('exit', resolve));
unleash.send('stop');
await unleashEnded;
await pennon.stop();
rmSync(folder, { recursive: true, force: true });
