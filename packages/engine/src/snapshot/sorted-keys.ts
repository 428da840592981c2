const RUN = 256;

function merge(left: readonly string[], right: readonly string[]): string[] {
  const merged: string[] = [];
  let l = 0;
  let r = 0;
  while (l < left.length && r < right.length) {
    const a = left[l] as string;
    const b = right[r] as string;
    if (a <= b) {
      merged.push(a);
      l += 1;
    } else {
      merged.push(b);
      r += 1;
    }
  }
  for (; l < left.length; l += 1) merged.push(left[l] as string);
  for (; r < right.length; r += 1) merged.push(right[r] as string);
  return merged;
}

/** Sorts by code units in short runs, yielding between them: ten thousand keys at once would hold the process for milliseconds. */
export function* sortInSlices(keys: readonly string[]): Generator<void, readonly string[]> {
  let runs: string[][] = [];
  for (let from = 0; from < keys.length; from += RUN) {
    runs.push(keys.slice(from, from + RUN).sort());
    yield;
  }
  while (runs.length > 1) {
    const next: string[][] = [];
    for (let index = 0; index < runs.length; index += 2) {
      next.push(merge(runs[index] ?? [], runs[index + 1] ?? []));
      yield;
    }
    runs = next;
  }
  return runs[0] ?? [];
}
