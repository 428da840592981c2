import type { CompiledFeature, CompiledFlag, Requirement, Snapshot } from './snapshot.js';

/** Flags between two yields. */
const SLICE = 512;

function isSame(gate: readonly Requirement[], before: readonly Requirement[]): boolean {
  return (
    gate.length === before.length && gate.every(({ feature }, index) => feature === before[index]?.feature)
  );
}

/** The flag with its features; the one of the snapshot before, where neither it nor any of them changed. */
function linked(
  flag: CompiledFlag,
  features: ReadonlyMap<string, CompiledFeature>,
  before: CompiledFlag | undefined,
): CompiledFlag {
  const gate = flag.requires.map((key) => ({ key, feature: features.get(key) ?? null, sources: [key] }));
  // What a compilation made is recognised by its variants: a flag that was compiled anew has others.
  if (before?.variants === flag.variants && before.broken === flag.broken && isSame(gate, before.gate)) {
    return before;
  }
  return { ...flag, gate };
}

/** Puts the required features in the place of their keys, so that no evaluation has to look them up. */
export function* linkGates(
  flags: Map<string, CompiledFlag>,
  features: ReadonlyMap<string, CompiledFeature>,
  base: Snapshot | undefined,
): Generator<void, void> {
  let seen = 0;
  for (const [key, flag] of flags) {
    if (flag.requires.length > 0) flags.set(key, linked(flag, features, base?.flags.get(key)));
    seen += 1;
    if (seen % SLICE === 0) yield;
  }
}
