/** What a part of the proof has done, in one line. */
export interface ProofLine {
  readonly name: string;
  readonly cases: number;
  /** `kill -9` of processes and databases, real or simulated. */
  readonly kills: number;
  readonly violations: number;
  readonly seed: number;
  readonly more?: Readonly<Record<string, number | string>>;
}

export function textOfLine({ name, cases, kills, violations, seed, more }: ProofLine): string {
  const rest = Object.entries(more ?? {}).map(([key, value]) => ` ${key}=${value}`);
  return `${name} cases=${cases} kills=${kills} violations=${violations} seed=${seed}${rest.join('')}`;
}
