import type { Profile } from './draw-calls.js';
import type { ProofLine } from './proof-line.js';
import { runHistory } from './simulated-history.js';

export interface HistoriesOptions {
  readonly count: number;
  readonly firstSeed: number;
  /** Default `consume`. */
  readonly profile?: Profile;
  /** A planted fault needs to be noticed once. */
  readonly untilViolated?: boolean;
  readonly onViolation?: (seed: number, violations: readonly string[]) => void;
}

/** As the lines of the proof call them. */
export const NAMES: Readonly<Record<Profile, string>> = {
  consume: 'simulated-histories',
  stream: 'batch-behind-batch',
  reservations: 'reservations-racing',
  credits: 'holders-and-lots',
};

/** Part (a): each history under a seed of its own, the first one and those that follow it. */
export async function runHistories(options: HistoriesOptions): Promise<ProofLine> {
  const { profile = 'consume' } = options;
  let kills = 0;
  let violated = 0;
  let cases = 0;
  let calls = 0;
  for (let seed = options.firstSeed; cases < options.count; seed += 1) {
    const result = await runHistory(seed, { profile });
    cases += 1;
    kills += result.kills;
    calls += result.calls;
    if (result.violations.length > 0) {
      violated += 1;
      options.onViolation?.(seed, result.violations);
      if (options.untilViolated === true) break;
    }
  }
  return {
    name: NAMES[profile],
    cases,
    kills,
    violations: violated,
    seed: options.firstSeed,
    more: { calls },
  };
}
