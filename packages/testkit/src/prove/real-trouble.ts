import type pg from 'pg';
import type { MadeLot } from './check-lots.js';
import { lookAtPhases, PHASES, type Phase } from './kill-phases.js';
import type { OwnDatabase } from './own-database.js';
import { CALLS_LIMIT } from './real-catalog.js';
import type { LimitChange } from './real-heard.js';
import { setLimit, topUp, voidTopUp } from './real-installation.js';
import type { RealServer, ServerPool } from './real-servers.js';
import type { Seeded } from './seeded.js';

/* What befalls the processes and the customer of a real history while its clients call. */

const CHOOSE_MILLISECONDS = 400;

/** Somebody must be left to be asked. */
export async function killProcesses(
  processes: ServerPool,
  tables: pg.Pool,
  chance: Seeded,
  count: number,
  phases: Record<Phase, number>,
): Promise<void> {
  for (let killed = 0; killed < count; ) {
    await sleep(60 + chance.below(200));
    if (processes.alive.length < 2) continue;
    const { victim, phase } = await chooseVictim(processes, tables, chance);
    const dying = processes.kill(victim);
    phases[phase] += 1;
    killed += 1;
    await dying;
  }
}

/** Waits a little for a process that is just in the wanted phase, and else takes any. */
async function chooseVictim(
  processes: ServerPool,
  tables: pg.Pool,
  chance: Seeded,
): Promise<{ readonly victim: RealServer; readonly phase: Phase }> {
  const wanted = chance.pick(PHASES);
  const deadline = Date.now() + CHOOSE_MILLISECONDS;
  for (;;) {
    const phases = await lookAtPhases(tables).catch(() => new Map<string, Phase>());
    const phaseOf = ({ role }: RealServer) => phases.get(role) ?? 'idle';
    const fitting = processes.alive.filter((process) => phaseOf(process) === wanted);
    if (fitting.length > 0) return { victim: chance.pick(fitting), phase: wanted };
    if (Date.now() >= deadline) {
      const victim = chance.pick(processes.alive);
      return { victim, phase: phaseOf(victim) };
    }
    await sleep(2);
  }
}

export async function changeLimits(
  processes: ServerPool,
  tables: pg.Pool,
  chance: Seeded,
  customer: string,
  changes: LimitChange[],
): Promise<void> {
  const count = chance.below(3);
  for (let index = 0; index < count; index += 1) {
    await sleep(100 + chance.below(600));
    const value = CALLS_LIMIT - 100 + chance.below(200);
    await setLimit(processes, chance, customer, { value, number: index });
    changes.push({ value, knownAt: await databaseTime(tables) });
  }
}

/** No two subsets of these sum to the same, so that a limit tells which lots were in force. */
const LOT_AMOUNTS = [3, 5, 9, 17];

export async function buyCredits(
  processes: ServerPool,
  tables: pg.Pool,
  chance: Seeded,
  customer: string,
  lots: MadeLot[],
): Promise<void> {
  const count = chance.below(LOT_AMOUNTS.length + 1);
  for (const amount of LOT_AMOUNTS.slice(0, count)) {
    await sleep(chance.below(800));
    const ends = chance.chance(0.5);
    const endsAt = ends ? (await databaseTime(tables)) + 800 + chance.below(4000) : null;
    const kind = chance.chance(0.4) ? 'promotional' : 'topup';
    const id = await topUp(processes, chance, customer, { amount, kind, endsAt });
    if (id === null) continue;
    const made = { id, knownAt: await databaseTime(tables) };
    lots.push(made);
    if (!chance.chance(0.35)) continue;
    await sleep(chance.below(600));
    if ((await voidTopUp(processes, chance, customer, id)) === null) continue;
    lots.splice(lots.indexOf(made), 1, { ...made, voidKnownAt: await databaseTime(tables) });
  }
}

/**
 * Now and then one of them reaches the database no more, as if a cable was pulled; what it answers meanwhile stands on its disk. Some are
 * killed before they can count that: whoever comes after them does.
 */
export async function cutOff(
  processes: ServerPool,
  chance: Seeded,
  { count, kills }: { readonly count: number; readonly kills: boolean },
): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    await sleep(50 + chance.below(400));
    // The first has been there longest, and knows the customer best: what it does not know, it cannot answer.
    const { alive } = processes;
    const victim = chance.chance(0.7) ? alive[0] : alive[chance.below(alive.length)];
    if (victim === undefined) continue;
    victim.cutOff(true);
    await sleep(500 + chance.below(900));
    if (kills && chance.chance(0.4)) await processes.kill(victim);
    else victim.cutOff(false);
  }
}

/** Milliseconds of the database's clock, rounded up. */
export async function databaseTime(tables: pg.Pool): Promise<number> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const { rows } = await tables.query(
        'select ceil(extract(epoch from clock_timestamp()) * 1000)::bigint as now',
      );
      return Number(rows[0]?.now);
    } catch (error) {
      if (attempt === 400) throw error;
      await sleep(50);
    }
  }
}

export async function killDatabase(
  database: Pick<OwnDatabase, 'killAndRestart'>,
  chance: Seeded,
): Promise<void> {
  await sleep(50 + chance.below(1000));
  await database.killAndRestart();
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
