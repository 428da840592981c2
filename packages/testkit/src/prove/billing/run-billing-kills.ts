import type { OwnDatabase } from '../own-database.js';
import type { ProofLine } from '../proof-line.js';
import type { ProcessPool } from '../real-processes.js';
import { type Seeded, seeded } from '../seeded.js';
import type { BillingSite } from './billing-site.js';
import { drawLife, type LifeNames } from './draw-subscription.js';
import { readOutcome } from './read-outcome.js';

/*
 * Deliveries come in while processes and the database are killed without warning. A provider tells what was not acknowledged again,
 * and forgets what was: nothing of that may be lost, and its work is done once.
 */

export interface BillingKillsOptions {
  readonly pool: ProcessPool;
  readonly site: BillingSite;
  readonly database: OwnDatabase;
  /** Of processes; every fourth time the database too. */
  readonly kills: number;
  readonly firstSeed: number;
  readonly onViolation?: (seed: number, violations: readonly string[]) => void;
}

const CLIENTS = 6;
const DAY_SECONDS = 86_400;
const GIVE_UP_MILLISECONDS = 2000;

/** A life that was told while others were killed. */
interface Lived extends LifeNames {
  readonly seed: number;
  readonly begin: number;
}

export async function runBillingKills(options: BillingKillsOptions): Promise<ProofLine> {
  const { pool, site, firstSeed } = options;
  const chance = seeded(firstSeed);
  const lives: Lived[] = [];
  const begin = Math.floor(Date.now() / 1000 / DAY_SECONDS) * DAY_SECONDS - 300 * DAY_SECONDS;
  const acknowledged = new Set<string>();
  let isEnding = false;
  let attempts = 0;

  async function client(number: number): Promise<void> {
    for (let turn = 0; !isEnding; turn += 1) {
      const prefix = `k${firstSeed}c${number}t${turn}`;
      const key = `life-${prefix}`;
      const seed = firstSeed * 7919 + number * 104_729 + turn;
      await site.makeCustomer(key);
      lives.push({ seed, begin, key, prefix });
      for (const { body } of drawLife(seeded(seed), { key, prefix }, begin).events) {
        // Tells it again until it is acknowledged, as a provider does.
        for (let told = false; !told; ) {
          attempts += 1;
          told = await site.deliver(body, attempts, AbortSignal.timeout(GIVE_UP_MILLISECONDS));
          if (!told) await sleep(30);
        }
        acknowledged.add(String(body.id));
      }
    }
  }

  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
  const databaseKills = await killAll(options, chance);
  isEnding = true;
  await clients;
  await pool.grow(2);
  await site.settle();
  const violations = [...(await checkInbox(site, acknowledged)), ...(await checkOnce(site))];
  // Each life once more, in order and in peace: what was made under fire must be what that gives.
  violations.push(...(await compareWithPeace(site, lives)));
  if (violations.length > 0) options.onViolation?.(firstSeed, violations);
  return {
    name: 'billing-kills',
    cases: lives.length,
    kills: pool.kills,
    violations: violations.length,
    seed: firstSeed,
    more: { 'database-kills': databaseKills, acknowledged: acknowledged.size, attempts },
  };
}

async function killAll({ pool, database, kills }: BillingKillsOptions, chance: Seeded): Promise<number> {
  let databaseKills = 0;
  for (let killed = 0; killed < kills; ) {
    await sleep(100 + chance.below(900));
    if (killed % 4 === 2 && databaseKills <= killed / 4) {
      databaseKills += 1;
      await database.killAndRestart();
    }
    // Somebody must be left to be asked.
    if (pool.alive.length < 2) continue;
    killed += 1;
    await pool.kill(chance.pick(pool.alive));
  }
  return databaseKills;
}

/** INVARIANT: what was acknowledged is there, and was worked on. */
async function checkInbox(site: BillingSite, acknowledged: ReadonlySet<string>): Promise<string[]> {
  const { rows } = await site.tables.query<{ event_id: string; state: string; problem: string | null }>(
    'select event_id, state, problem from webhook_inbox',
  );
  const kept = new Map(rows.map((row) => [row.event_id, row]));
  return [...acknowledged].flatMap((id) => {
    const row = kept.get(id);
    if (row === undefined) return [`${id} was acknowledged and is lost`];
    return row.state === 'done' || row.state === 'ignored' ? [] : [`${id} is ${row.state}: ${row.problem}`];
  });
}

/** INVARIANT: no license is made twice, and each has one entry of the audit for each of its versions. */
async function checkOnce(site: BillingSite): Promise<string[]> {
  const twice = await site.tables.query<{ name: string }>(
    `select c.key || ' ' || count(*) as name from license l join customer c on c.id = l.customer_id
     left join billing_license b on b.customer_id = l.customer_id and b.license_id = l.id
     where l.status <> 'ended' and b.license_id is null group by c.key`,
  );
  const uneven = await site.tables.query<{ name: string }>(
    `select l.id || ' has version ' || l.version || ' and ' || count(a.id) || ' entries' as name
     from license l left join audit_entry a on a.object_id = l.id::text
     group by l.id, l.version having count(a.id) <> l.version`,
  );
  return [
    ...twice.rows.map(({ name }) => `a license of nobody: ${name}`),
    ...uneven.rows.map(({ name }) => name),
  ];
}

async function compareWithPeace(site: BillingSite, lives: readonly Lived[]): Promise<string[]> {
  for (const { seed, begin, prefix } of lives) {
    const peace = peaceOf(prefix);
    await site.makeCustomer(peace.key);
    for (const { body } of drawLife(seeded(seed), peace, begin).events) {
      if (!(await site.deliver(body, 0))) throw new Error('A delivery in peace was not taken in.');
    }
  }
  await site.settle();
  const violations: string[] = [];
  for (const { key, prefix } of lives) {
    const peace = peaceOf(prefix);
    const under = JSON.stringify(await readOutcome(site.tables, key, prefix));
    const inPeace = JSON.stringify(await readOutcome(site.tables, peace.key, peace.prefix));
    if (under !== inPeace) violations.push(`${prefix}\n    under fire: ${under}\n    in peace: ${inPeace}`);
  }
  return violations;
}

function peaceOf(prefix: string): LifeNames {
  return { key: `peace-${prefix}`, prefix: `p${prefix}` };
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
