import { parseArgs } from 'node:util';
import { type OwnDatabase, startOwnDatabase } from '../own-database.js';
import { type ProofLine, textOfLine } from '../proof-line.js';
import { ProcessPool } from '../real-processes.js';
import { ADMIN_KEY, SERVER_KEY } from '../real-servers.js';
import { BillingSite } from './billing-site.js';
import { runBillingHistories } from './run-billing-histories.js';
import { runBillingKills } from './run-billing-kills.js';

/*
 * `npm run prove:billing`: what is delivered in any order, any number of times and with gaps comes to what delivery in order gives, and
 * nothing that was acknowledged is lost, whoever is killed. docs/reference/billing.md says what each part proves, and what it does not.
 */

const PARTS = ['histories', 'kills'] as const;
type Part = (typeof PARTS)[number];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    histories: { type: 'string' },
    kills: { type: 'string' },
  },
});
const firstSeed = Number(values.seed);
const histories = Number(values.histories ?? (values.short ? 60 : 1000));
const kills = Number(values.kills ?? (values.short ? 3 : 30));
let failed = false;

function print(line: ProofLine): void {
  process.stdout.write(`${textOfLine(line)}\n`);
  failed ||= line.violations > 0 || line.cases === 0;
}

function report(part: Part): (seed: number, violations: readonly string[]) => void {
  return (seed, violations) => {
    process.stderr.write(
      `seed ${seed}: ${violations.join('\n  ')}\n  again: npm run prove:billing -- ${part} --${part} 1 --seed ${seed}\n`,
    );
  };
}

async function withPool(
  fast: boolean,
  work: (pool: ProcessPool, site: BillingSite, database: OwnDatabase) => Promise<void>,
): Promise<void> {
  const database = await startOwnDatabase(fast);
  const pool = new ProcessPool(database.url);
  const site = new BillingSite({
    databaseUrl: database.url,
    urls: () => pool.alive.map(({ url }) => url),
    adminKey: ADMIN_KEY,
    serverKey: SERVER_KEY,
  });
  try {
    // One first: two of them would migrate and seed an empty database at once.
    await pool.grow(1);
    await site.install();
    await pool.grow(2);
    await work(pool, site, database);
  } finally {
    await pool.close();
    await site.close();
    await database.stop();
  }
}

const RUNS: Readonly<Record<Part, () => Promise<void>>> = {
  histories: () =>
    withPool(true, async (_, site) => {
      const onProgress = (done: number) => {
        if (done % 100 === 0) process.stderr.write(`billing-histories ${done} so far\n`);
      };
      print(
        await runBillingHistories({
          site,
          count: histories,
          firstSeed,
          onViolation: report('histories'),
          onProgress,
        }),
      );
    }),
  kills: () =>
    withPool(false, async (pool, site, database) => {
      print(await runBillingKills({ pool, site, database, kills, firstSeed, onViolation: report('kills') }));
    }),
};

const unknown = positionals.filter((text) => !PARTS.some((part) => part === text));
if (unknown.length > 0) {
  process.stderr.write(`There is no part \`${unknown.join(' ')}\`; the parts are ${PARTS.join(', ')}.\n`);
  process.exit(2);
}
for (const part of PARTS) if (positionals.length === 0 || positionals.includes(part)) await RUNS[part]();
process.exit(failed ? 1 : 0);
