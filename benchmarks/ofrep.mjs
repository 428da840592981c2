import { fork, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPennon } from './pennon-server.mjs';
import { machine, median } from './rounds.mjs';

/*
 * OFREP over HTTP, one process, load by wrk on the same machine. What is compared is the server's CPU time for a request,
 * because the load generator shares the cores: utime + stime of the process from /proc, before and after a round.
 */
const ROUNDS = 5;
const SECONDS = 5;
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
const pennon = await startPennon({ directory: join(folder, 'data'), catalog });
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
const etag = bulkAnswer.headers.get('etag');
const bodies = { [single]: await (await ask(single)).text(), [bulk]: await bulkAnswer.text() };
const bare = fork(new URL('./bare-server.mjs', import.meta.url), {
  env: { ...process.env, BODIES: JSON.stringify(bodies) },
});
const { port } = await new Promise((resolve) => bare.once('message', resolve));

function cpuMilliseconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function load({ pid, url, path, headers }) {
  const script = join(folder, 'wrk.lua');
  const lines = ['wrk.method = "POST"', `wrk.body = ${JSON.stringify(body)}`];
  for (const [name, value] of Object.entries(headers))
    lines.push(`wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`);
  writeFileSync(script, lines.join('\n'));
  const before = cpuMilliseconds(pid);
  const { stdout } = spawnSync(
    'wrk',
    ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '--latency', '-s', script, `${url}${path}`],
    { encoding: 'utf8' },
  );
  const cpu = cpuMilliseconds(pid) - before;
  const requests = Number(/(\d+) requests in/.exec(stdout)[1]);
  if (/Non-2xx or 3xx/.test(stdout)) throw new Error(`refusals under load of ${path}:\n${stdout}`);
  return {
    perSecond: requests / SECONDS,
    cpuMicroseconds: (cpu * 1000) / requests,
    p99: /99%\s+(\S+)/.exec(stdout)[1],
  };
}

const headers = {
  'Content-Type': 'application/json',
  Authorization: `Bearer ${pennon.serverKey}`,
  'Pennon-Product': 'bench',
};
const cases = [
  { name: 'single flag', path: single, headers },
  { name: 'bulk of 100 flags', path: bulk, headers },
  {
    name: 'bulk, nothing changed (304)',
    path: bulk,
    headers: { ...headers, 'If-None-Match': etag },
    alone: true,
  },
];
console.log(
  `OFREP over HTTP — ${machine()}, wrk with ${CONNECTIONS} connections, medians of ${ROUNDS} rounds of ${SECONDS} s\n`,
);
console.log('| case | server | requests/s | CPU µs a request | p99 | of bare by CPU |');
console.log('| --- | --- | ---: | ---: | ---: | ---: |');
for (const each of cases) {
  const rounds = { pennon: [], bare: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    rounds.pennon.push(load({ pid: pennon.pid, url: pennon.url, ...each }));
    if (!each.alone) rounds.bare.push(load({ pid: bare.pid, url: `http://127.0.0.1:${port}`, ...each }));
  }
  const summary = (results) => ({
    perSecond: median(results.map((result) => result.perSecond)),
    cpu: median(results.map((result) => result.cpuMicroseconds)),
    p99: results.at(-1).p99,
  });
  const ours = summary(rounds.pennon);
  const row = (name, result, share) =>
    console.log(
      `| ${each.name} | ${name} | ${result.perSecond.toFixed(0)} | ${result.cpu.toFixed(1)} | ${result.p99} | ${share} |`,
    );
  if (each.alone) {
    row('Pennon', ours, '');
  } else {
    const floor = summary(rounds.bare);
    row('Pennon', ours, `${((floor.cpu / ours.cpu) * 100).toFixed(0)} %`);
    row('bare node:http', floor, '100 %');
  }
}
bare.kill();
await pennon.stop();
rmSync(folder, { recursive: true, force: true });
