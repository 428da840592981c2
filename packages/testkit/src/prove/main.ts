import { parseArgs } from 'node:util';
import { PROFILES } from './draw-calls.js';
import { type OwnDatabase, startOwnDatabase } from './own-database.js';
import { runPauses } from './paused-process.js';
import { type ProofLine, textOfLine } from './proof-line.js';
import { runFaults } from './run-faults.js';
import { NAMES, runHistories } from './run-histories.js';
import { makeScriptDatabase, runInterleavings, type ScriptDatabase } from './run-interleavings.js';
import { runRealHistories } from './run-real-histories.js';
import { runHistory } from './simulated-history.js';

/*
 * `npm run prove:limits`: the proof that limits are not overshot, part by part, with a line for each. docs/reference/proof-of-limits.md
 * says what each part proves, and what it does not.
 */

const PARTS = ['a', 'b', 'c', 'd', 'e'] as const;
type Part = (typeof PARTS)[number];

/** How much of each part; the long form is what the documentation quotes. */
interface Figures {
  readonly histories: number;
  readonly interleavings: number;
  readonly realHistories: number;
  readonly processes: number;
  readonly killsEach: number;
  readonly databaseKillEvery: number;
  readonly pauses: number;
  readonly reservations: number;
  /** Histories with named holders and lots. */
  readonly credits: number;
  /** Histories in which batch follows batch. */
  readonly streams: number;
  /** At most so many cases for each planted fault. */
  readonly faultCases: number;
}

const LONG: Figures = {
  histories: 20_000,
  interleavings: 200,
  realHistories: 300,
  processes: 5,
  killsEach: 5,
  databaseKillEvery: 7,
  pauses: 40,
  reservations: 5000,
  credits: 5000,
  streams: 4000,
  faultCases: 1000,
};
const SHORT: Figures = {
  histories: 60,
  interleavings: 8,
  realHistories: 1,
  processes: 3,
  killsEach: 2,
  databaseKillEvery: 1,
  pauses: 1,
  reservations: 25,
  credits: 25,
  streams: 20,
  faultCases: 300,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    histories: { type: 'string' },
    interleavings: { type: 'string' },
    'real-histories': { type: 'string' },
    processes: { type: 'string' },
    /** (b) begins no history after so long. */
    minutes: { type: 'string' },
    /** (b) starts the built files as they lie there, which costs three times the processor time. */
    'as-installed': { type: 'boolean', default: false },
    pauses: { type: 'string' },
    reservations: { type: 'string' },
    credits: { type: 'string' },
    streams: { type: 'string' },
    /** What kind of history `--trace` tells of; default that of the part. */
    profile: { type: 'string' },
    fault: { type: 'string', multiple: true },
    trace: { type: 'boolean', default: false },
    /** A PostgreSQL whose role may make databases and roles, instead of an own one. */
    database: { type: 'string' },
  },
});

const standard = values.short ? SHORT : LONG;
const figures: Figures = {
  ...standard,
  histories: Number(values.histories ?? standard.histories),
  interleavings: Number(values.interleavings ?? standard.interleavings),
  realHistories: Number(values['real-histories'] ?? standard.realHistories),
  processes: Number(values.processes ?? standard.processes),
  pauses: Number(values.pauses ?? standard.pauses),
  reservations: Number(values.reservations ?? standard.reservations),
  credits: Number(values.credits ?? standard.credits),
  streams: Number(values.streams ?? standard.streams),
};
const firstSeed = Number(values.seed);
let failed = false;

function print(line: ProofLine): void {
  process.stdout.write(`${textOfLine(line)}\n`);
  failed ||= line.violations > 0 || line.cases === 0;
}

/** What was found, and how it is seen again. */
function report(how: string): (seed: number, violations: readonly string[]) => void {
  return (seed, violations) => {
    process.stderr.write(
      `seed ${seed}: ${violations.join('\n  ')}\n  again: npm run prove:limits -- ${how} --seed ${seed}\n`,
    );
  };
}

async function partA(database: ScriptDatabase): Promise<void> {
  if (figures.histories > 0) {
    const onViolation = report('a --trace');
    print(await runHistories({ count: figures.histories, firstSeed, onViolation }));
  }
  if (figures.streams > 0) {
    const onViolation = report('a --profile stream --trace');
    print(await runHistories({ count: figures.streams, firstSeed, profile: 'stream', onViolation }));
  }
  if (figures.credits > 0) {
    const onViolation = report('a --profile credits --trace');
    print(await runHistories({ count: figures.credits, firstSeed, profile: 'credits', onViolation }));
  }
  if (figures.interleavings > 0) {
    const onViolation = report('a --histories 0 --streams 0 --credits 0 --interleavings 1');
    print(await runInterleavings({ count: figures.interleavings, firstSeed, database, onViolation }));
  }
}

async function partD(): Promise<void> {
  const onViolation = report('d --reservations 1 --trace');
  const { reservations: count } = figures;
  print(await runHistories({ count, firstSeed, profile: 'reservations', onViolation }));
}

async function partE(database: ScriptDatabase): Promise<void> {
  const line = await runFaults({
    database,
    adminUrl: database.url,
    count: figures.faultCases,
    ...(values.fault === undefined ? {} : { names: values.fault }),
    onCaught: (fault, { cases }, violation) =>
      process.stdout.write(
        `  ${fault.name}: caught by ${fault.caughtBy} in case ${cases} (${violation.slice(0, 140)})\n`,
      ),
    onMissed: (fault) => process.stdout.write(`  ${fault.name}: NOT CAUGHT by ${fault.caughtBy}\n`),
  });
  print(line);
}

async function partB(database: OwnDatabase): Promise<void> {
  const { realHistories: count, processes, killsEach, databaseKillEvery } = figures;
  const onViolation = report('b --real-histories 1');
  const onProgress = (line: ProofLine) => void process.stderr.write(`${textOfLine(line)} so far\n`);
  print(
    await runRealHistories({
      count,
      firstSeed,
      database,
      processes,
      killsEach,
      databaseKillEvery,
      asInstalled: values['as-installed'],
      ...(values.minutes === undefined ? {} : { minutes: Number(values.minutes) }),
      onViolation,
      onProgress,
    }),
  );
}

async function partC(database: OwnDatabase): Promise<void> {
  const onViolation = report('c --pauses 1');
  print(await runPauses({ count: figures.pauses, firstSeed, database, onViolation }));
}

/** Parts (b) and (c) stand on an own PostgreSQL that forces every commit to disk. */
async function withDurableDatabase(part: (database: OwnDatabase) => Promise<void>): Promise<void> {
  const database = await startOwnDatabase(false);
  try {
    await part(database);
  } finally {
    await database.stop();
  }
}

/** Parts (a) and (e) lose no time with disks: nothing of them is about crashes of the database. */
async function withScriptDatabase(part: (database: ScriptDatabase) => Promise<void>): Promise<void> {
  const own = values.database === undefined ? await startOwnDatabase(true) : null;
  const database = await makeScriptDatabase(values.database ?? own?.url ?? '');
  try {
    await part(database);
  } finally {
    await database.drop();
    await own?.stop();
  }
}

const RUNS: Readonly<Record<Part, () => Promise<void>>> = {
  a: () => withScriptDatabase(partA),
  b: () => withDurableDatabase(partB),
  c: () => withDurableDatabase(partC),
  d: partD,
  e: () => withScriptDatabase(partE),
};

/** One history, told event by event. */
async function trace(): Promise<void> {
  const named = PROFILES.find((name) => name === values.profile);
  const profile = named ?? (positionals.includes('d') ? 'reservations' : 'consume');
  const result = await runHistory(firstSeed, { profile, trace: true });
  process.stdout.write(`${[...result.trace, ...result.violations].join('\n')}\n`);
  print({
    name: NAMES[profile],
    cases: 1,
    kills: result.kills,
    violations: result.violations.length,
    seed: firstSeed,
    more: { fingerprint: result.fingerprint },
  });
}

const unknown = positionals.filter((text) => !PARTS.some((part) => part === text));
if (unknown.length > 0) {
  process.stderr.write(`There is no part \`${unknown.join(' ')}\`; the parts are ${PARTS.join(', ')}.\n`);
  process.exit(2);
}
// Errors are many in histories and nobody reads where they were made.
Error.stackTraceLimit = values.trace ? 10 : 0;
if (values.trace) await trace();
else for (const part of PARTS) if (positionals.length === 0 || positionals.includes(part)) await RUNS[part]();
process.exit(failed ? 1 : 0);
