import { register } from 'node:module';
import { PLANTED_FAULTS, type PlantedFault } from './planted-faults.js';
import type { ProofLine } from './proof-line.js';
import type { ScriptDatabase } from './run-interleavings.js';

export interface FaultsOptions {
  readonly database: ScriptDatabase;
  /** At most so many histories or scripts for each fault. */
  readonly count: number;
  /** Only those; default all. */
  readonly names?: readonly string[];
  readonly onCaught?: (fault: PlantedFault, line: ProofLine, violation: string) => void;
  readonly onMissed?: (fault: PlantedFault) => void;
}

/** Part (e): every planted fault must be caught by the part of the proof that claims to. */
export async function runFaults(options: FaultsOptions): Promise<ProofLine> {
  register('./plant-fault-hooks.js', import.meta.url);
  const chosen = PLANTED_FAULTS.filter(({ name }) => options.names?.includes(name) ?? true);
  let missed = 0;
  for (const fault of chosen) {
    const { line, violation } = await search(fault, options);
    if (line.violations > 0) {
      options.onCaught?.(fault, line, violation);
    } else {
      missed += 1;
      options.onMissed?.(fault);
    }
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
async function search(fault: PlantedFault, { count, database }: FaultsOptions) {
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
    case 'credits':
    case 'reservations': {
      const part: typeof import('./run-histories.js') = await import(
        new URL(`./run-histories.js?fault=${fault.name}`, import.meta.url).href
      );
      const profile = fault.caughtBy === 'histories' ? 'consume' : fault.caughtBy;
      const line = await part.runHistories({ ...question, profile });
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
