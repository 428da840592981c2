import { randomUUID } from 'node:crypto';
import { migrate } from '@pennon/server/store/migrate';
import pg from 'pg';
import type { World } from './interleaving-parties.js';
import { PARTIES, type Step, scriptOf } from './interleaving-script.js';
import type { ProofLine } from './proof-line.js';
import { closeRealDatabase, openRealDatabase, type RealDatabase, RealWorld, roleOf } from './real-world.js';
import { SimulatedWorld } from './simulated-world.js';

/*
 * The second half of part (a): the simulated store is believed because it does what PostgreSQL does. Each script is played on both, and
 * after every step whoever got through, whoever waits, and what everybody read must be the same; so must what is stored in the end.
 */

export interface InterleavingsOptions {
  readonly count: number;
  readonly firstSeed: number;
  readonly database: ScriptDatabase;
  readonly untilViolated?: boolean;
  readonly onViolation?: (seed: number, violations: readonly string[]) => void;
}

/** A script that took so long that a timeout may have come in between says nothing; it is played again. */
const LONGEST_SCRIPT_MILLISECONDS = 700;
const ATTEMPTS = 20;

export async function runInterleavings(options: InterleavingsOptions): Promise<ProofLine> {
  const { database } = options;
  const real = await openRealDatabase(database.url, database);
  let violated = 0;
  let cases = 0;
  let steps = 0;
  try {
    for (let seed = options.firstSeed; cases < options.count; seed += 1) {
      const played = await playSurely(real, seed);
      cases += 1;
      steps += played.steps;
      if (played.violations.length > 0) {
        violated += 1;
        options.onViolation?.(seed, played.violations);
        if (options.untilViolated === true) break;
      }
    }
  } finally {
    await closeRealDatabase(real);
  }
  return {
    name: 'scripted-interleavings',
    cases,
    kills: 0,
    violations: violated,
    seed: options.firstSeed,
    more: { steps },
  };
}

interface Played {
  readonly violations: readonly string[];
  readonly steps: number;
}

async function playSurely(real: RealDatabase, seed: number): Promise<Played> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const played = await play(real, seed);
    if (played !== null) return played;
  }
  throw new Error(`The machine is too busy for script ${seed}: it was too slow ${ATTEMPTS} times.`);
}

/** `null`: too slow to say anything. */
async function play(real: RealDatabase, seed: number): Promise<Played | null> {
  const { rows } = await real.monitor.query(
    'select (select revision from environment_revision) as revision, shared_version from environment',
  );
  const simulated = new SimulatedWorld(Number(rows[0]?.revision), Number(rows[0]?.shared_version));
  const actual = await RealWorld.begin(real, [randomUUID(), randomUUID()]);
  const script = scriptOf(seed);
  const violations: string[] = [];
  let steps = 0;
  let began = performance.now();
  let slow = false;
  try {
    while (steps < script.length && violations.length === 0) {
      const step = script.next(simulated.standing());
      if (step === null) break;
      steps += 1;
      const [expected, seen] = [await take(simulated, step), await take(actual, step)];
      slow ||= step.do !== 'wait' && performance.now() - began > LONGEST_SCRIPT_MILLISECONDS;
      if (step.do === 'wait') began = performance.now();
      if (slow) return null;
      if (JSON.stringify(expected) !== JSON.stringify(seen)) {
        violations.push(`after step ${steps} (${JSON.stringify(step)}): ${seen} instead of ${expected}`);
      }
    }
    const [expected, seen] = [await simulated.stored(), await actual.stored()];
    if (violations.length === 0 && expected !== seen)
      violations.push(`stored ${seen} instead of ${expected}`);
    violations.push(...actual.faults);
  } finally {
    await actual.close();
  }
  return { violations, steps };
}

async function take(world: World, step: Step): Promise<readonly string[]> {
  await world.start(step);
  return world.settle();
}

export interface ScriptDatabase {
  readonly url: string;
  readonly environmentId: string;
  readonly productId: string;
}

/** An own database on that PostgreSQL, with one environment and one product. */
export async function makeScriptDatabase(
  adminUrl: string,
): Promise<ScriptDatabase & { readonly drop: () => Promise<void> }> {
  const name = `prove_${randomUUID().replaceAll('-', '')}`;
  await asAdmin(adminUrl, `create database ${name}`);
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  await migrate(url.href);
  const [environmentId, productId] = [randomUUID(), randomUUID()];
  const roles = PARTIES.map(
    (party) => `create role ${roleOf(party)} superuser login password '${decodeURIComponent(url.password)}'`,
  );
  await asAdmin(
    url.href,
    `${PARTIES.map((party) => `drop role if exists ${roleOf(party)}`).join(';')};
     ${roles.join(';')};
     delete from environment_revision; delete from environment; delete from product;
     insert into environment (id, key, name, protected, version, created_at)
       values ('${environmentId}', 'production', 'Production', false, 1, now());
     insert into product (id, key, name, head_revision, version, created_at)
       values ('${productId}', 'test', 'Test', 1, 1, now());
     insert into environment_revision (product_id, environment_id, revision, effective_hash, published_at)
       values ('${productId}', '${environmentId}', 1, '', now())`,
  );
  return {
    url: url.href,
    environmentId,
    productId,
    drop: () => asAdmin(adminUrl, `drop database if exists ${name} with (force)`),
  };
}

async function asAdmin(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
