import { register } from 'node:module';
import { makeServerDatabase, type ServerDatabase } from './composed-servers.js';
import type { PlantedFault } from './planted-fault.js';
import { PLANTED_FAULTS } from './planted-faults.js';
import type { ProofLine } from './proof-line.js';
import type { ScriptDatabase } from './run-interleavings.js';

export interface FaultsOptions {
  readonly database: ScriptDatabase;
  /** Of a role that may make databases. */
  readonly adminUrl: string;
  /** At most so many histories or scripts for each fault. */
  readonly count: number;
  /** Only those; default all. */
  readonly names?: readonly string[];
  readonly onCaught?: (fault: PlantedFault, line: ProofLine, violation: string) => void;
  readonly onMissed?: (fault: PlantedFault) => void;
}

/** Each takes seconds. */
const MOST_SERVER_HISTORIES = 10;

/** Part (e): every planted fault must be caught by the part of the proof that claims to. */
export async function runFaults(options: FaultsOptions): Promise<ProofLine> {
  register('./plant-fault-hooks.js', import.meta.url);
  const chosen = PLANTED_FAULTS.filter(({ name }) => options.names?.includes(name) ?? true);
  const needsServers = chosen.some(({ caughtBy }) => caughtBy === 'servers');
  const servers = needsServers ? await makeServerDatabase(options.adminUrl) : null;
  let missed = 0;
  const searchOne = async (fault: PlantedFault): Promise<void> => {
    const { line, violation } = await search(fault, options, servers);
    if (line.violations > 0) {
      options.onCaught?.(fault, line, violation);
    } else {
      missed += 1;
      options.onMissed?.(fault);
    }
  };
  try {
    for (const fault of chosen) if (fault.caughtBy !== 'servers') await searchOne(fault);
    // Most of their time they wait for each other.
    await Promise.all(chosen.filter(({ caughtBy }) => caughtBy === 'servers').map(searchOne));
  } finally {
    await servers?.drop();
  }
  return {
    name: 'planted-faults',
    cases: chosen.length,
    kills: 0,
    violations: missed,
    seed: 1,
    more: { caught: chosen.length - missed },
  };
}

/** With a copy of the product, and of the part of the proof, in which the fault is planted. */
async function search(
  fault: PlantedFault,
  { count, database }: FaultsOptions,
  servers: ServerDatabase | null,
): Promise<{ readonly line: ProofLine; readonly violation: string }> {
  let violation = '';
  const question = {
    count,
    firstSeed: fault.firstSeed ?? 1,
    untilViolated: true,
    onViolation: (_seed: number, violations: readonly string[]) => {
      violation = violations[0] ?? '';
    },
  };
  switch (fault.caughtBy) {
    case 'histories':
    case 'stream':
    case 'credits':
    case 'reservations': {
      const part: typeof import('./run-histories.js') = await import(
        new URL(`./run-histories.js?fault=${fault.name}`, import.meta.url).href
      );
      const profile = fault.caughtBy === 'histories' ? 'consume' : fault.caughtBy;
      const line = await part.runHistories({ ...question, profile });
      return { line, violation };
    }
    case 'servers': {
      if (servers === null) throw new Error('There is no database for servers.');
      const part: typeof import('./composed-servers.js') = await import(
        new URL(`./composed-servers.js?fault=${fault.name}`, import.meta.url).href
      );
      const most = Math.min(count, MOST_SERVER_HISTORIES);
      const line = await part.runComposedHistories({ ...question, count: most, database: servers });
      return { line, violation };
    }
    case 'interleavings': {
      const part: typeof import('./run-interleavings.js') = await import(
        new URL(`./run-interleavings.js?fault=${fault.name}`, import.meta.url).href
      );
      const line = await part.runInterleavings({ ...question, database });
      return { line, violation };
    }
  }
}
