import { fork } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { composeServer } from '../packages/server/dist/compose.js';
import { createLog } from '../packages/server/dist/log.js';
import { createProduct } from '../packages/server/dist/service/products/create-product.js';
import { publish } from '../packages/server/dist/service/publish.js';
import { Secret } from '../packages/server/dist/service/secret.js';
import { systemContext } from '../packages/server/dist/service/seed.js';
import { startEmbeddedDatabase } from '../packages/server/dist/store/embedded/start-embedded-database.js';
import { machine, median } from './rounds.mjs';

/*
 * Publishing one of 10,000 flags: for how long is the event loop held in the process that publishes and in another that
 * follows, and how soon is the change served in each. The pause of the loop beside an idle second is the baseline: on a busy
 * machine the scheduler alone takes it away for milliseconds.
 */
const FLAGS = Number(process.env.FLAGS ?? 10_000);
const ROUNDS = Number(process.env.ROUNDS ?? 15);
const PRODUCT = 'bench';

function flag(index, on) {
  return {
    key: `flag-${String(index).padStart(5, '0')}`,
    type: 'boolean',
    category: 'release',
    owner: 'web@example.com',
    purpose: 'One of ten thousand',
    removal: 'permanent',
    default: on,
    rules: [
      { if: `user.country == "DE" && user.age > ${index % 90}`, rollout: { by: 'user.key', percentage: 50 } },
      { if: 'user.email.endsWith("@acme.example")', serve: true },
    ],
  };
}

async function startServer(databaseUrl, dataDirectory) {
  const fixedKeys = Object.fromEntries(
    ['admin', 'server', 'client'].map((kind) => [kind, new Secret(kind.repeat(8))]),
  );
  const server = await composeServer({
    databaseUrl: new Secret(databaseUrl),
    dataDirectory,
    fixedKeys,
    preferredProducts: [PRODUCT],
    version: 'benchmark',
    log: createLog('silent'),
  });
  await server.open();
  return server;
}

function snapshotOf(server) {
  const product = server.parts.directory.product(PRODUCT);
  const environment = server.parts.directory.environment('production');
  return product === null ? null : server.parts.snapshots.current(product.id, environment.id);
}

/** CPU time of this thread in milliseconds: what others take from the machine does not count. Null where there is no /proc. */
function threadMilliseconds() {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6;
  } catch {
    return null;
  }
}

/**
 * The longest that the loop was held while `work` runs, in milliseconds: by the wall (beyond the sampling interval), and by the
 * CPU time that this thread used between two turns of a timer.
 */
async function pauses(work) {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  let before = threadMilliseconds();
  let longestTurn = before === null ? Number.NaN : 0;
  const timer = setInterval(() => {
    const now = threadMilliseconds();
    longestTurn = Math.max(longestTurn, now - before);
    before = now;
  }, 1);
  histogram.enable();
  await work();
  histogram.disable();
  clearInterval(timer);
  return { longest: histogram.max / 1e6 - 1, turn: longestTurn };
}

async function follow(databaseUrl, directory) {
  const server = await startServer(databaseUrl, directory);
  process.on('message', async (message) => {
    if (message === 'stop') {
      await server.close();
      process.exit(0);
    }
    const result = await pauses(async () => {
      for (let left = 2000; left > 0 && (snapshotOf(server)?.revision ?? 0) < message.revision; left -= 1)
        await wait(1);
      await wait(200);
    });
    process.send({ ...result, revision: snapshotOf(server)?.revision });
  });
  process.send('ready');
}

async function main() {
  const folder = mkdtempSync(join(tmpdir(), 'pennon-bench-'));
  // Open to pass through: a database started by root would else lie elsewhere, and stay there.
  chmodSync(folder, 0o711);
  const database = await startEmbeddedDatabase({ directory: join(folder, 'postgres') });
  const server = await startServer(database.url, join(folder, 'writer'));
  await createProduct(server.parts.management, systemContext('benchmark'), {
    key: PRODUCT,
    name: 'Benchmark',
    reason: 'benchmark',
  });
  const run = (edit) =>
    publish(server.parts.publishing, systemContext('benchmark'), {
      product: server.parts.directory.product(PRODUCT),
      edit,
      environments: ['production'],
      dryRun: false,
    });

  const text = JSON.stringify({ flags: Array.from({ length: FLAGS }, (_, index) => flag(index, false)) });
  const firstAt = performance.now();
  const first = await pauses(() =>
    run({ type: 'document', files: [{ name: 'catalog.json', text }], base: null, prune: false }),
  );
  const firstMilliseconds = performance.now() - firstAt;

  const follower = fork(fileURLToPath(import.meta.url), ['follow', database.url, join(folder, 'reader')]);
  await new Promise((resolve) => follower.once('message', resolve));
  await wait(2000);
  const idle = await pauses(() => wait(1000));

  const rows = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const index = (round * 7919) % FLAGS;
    const followed = new Promise((resolve) => follower.once('message', resolve));
    follower.send({ revision: round + 2 });
    await wait(20);
    const startedAt = performance.now();
    let answeredAfter = 0;
    const own = await pauses(async () => {
      await run({
        type: 'item',
        kind: 'flag',
        key: flag(index, true).key,
        method: 'replace',
        file: { name: 'flag', text: JSON.stringify(flag(index, true)) },
        precondition: { kind: 'exists' },
      });
      answeredAfter = performance.now() - startedAt;
      // The copy on disk is written after the answer; it may not hold the loop either.
      await wait(200);
    });
    rows.push({ answeredAfter, own, other: await followed });
  }
  const line = (name, side, member) => {
    const values = rows.map((row) => row[side][member]);
    console.log(`| ${name} | ${median(values).toFixed(1)} | ${Math.max(...values).toFixed(1)} |`);
  };
  console.log(`${machine()}, load average ${loadavg()[0].toFixed(1)} on ${cpus().length} cores`);
  console.log(
    `\n${FLAGS} flags; first publish of all of them: ${firstMilliseconds.toFixed(0)} ms, longest turn ${first.turn.toFixed(1)} ms CPU`,
  );
  console.log(
    `idle second: longest turn ${idle.turn.toFixed(1)} ms CPU, longest pause ${idle.longest.toFixed(1)} ms\n`,
  );
  console.log(`publish one of them, ${ROUNDS} rounds:`);
  console.log('| | median | worst |\n| --- | ---: | ---: |');
  line('publishing process: longest turn of the loop, CPU (ms)', 'own', 'turn');
  line('publishing process: longest pause of the loop, wall (ms)', 'own', 'longest');
  line('following process: longest turn of the loop, CPU (ms)', 'other', 'turn');
  line('following process: longest pause of the loop, wall (ms)', 'other', 'longest');
  const answers = rows.map((row) => row.answeredAfter);
  console.log(`| answered after (ms) | ${median(answers).toFixed(0)} | ${Math.max(...answers).toFixed(0)} |`);
  follower.send('stop');
  await new Promise((resolve) => follower.once('exit', resolve));
  await server.close();
  await database.stop();
  rmSync(folder, { recursive: true, force: true });
}

if (process.argv[2] === 'follow') await follow(process.argv[3], process.argv[4]);
else await main();
