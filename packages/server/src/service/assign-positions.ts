const GAP = 1024;

/**
 * Positions for items in the wanted order, touching as few as possible: the longest run of items whose present positions are
 * in order already keeps them; the others go into the gaps. Returns only what changes. An insertion in the middle of ten
 * thousand flags is one row, not ten thousand.
 */
export function assignPositions(
  wanted: readonly string[],
  present: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const kept = longestIncreasing(wanted, present);
  const assigned = new Map<string, number>();
  let before = 0;
  let waiting: string[] = [];
  for (const id of [...wanted, null]) {
    if (id !== null && !kept.has(id)) {
      waiting.push(id);
      continue;
    }
    const after = id === null ? before + GAP * (waiting.length + 1) : (present.get(id) ?? 0);
    const step = Math.min(GAP, Math.floor((after - before) / (waiting.length + 1)));
    if (waiting.length > 0 && step < 1) return renumbered(wanted, present);
    for (const [index, one] of waiting.entries()) assigned.set(one, before + step * (index + 1));
    waiting = [];
    before = after;
  }
  return assigned;
}

/** No room is left between two neighbours: everything is spaced out anew. */
function renumbered(
  wanted: readonly string[],
  present: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const assigned = new Map<string, number>();
  for (const [index, id] of wanted.entries()) {
    const position = (index + 1) * GAP;
    if (present.get(id) !== position) assigned.set(id, position);
  }
  return assigned;
}

/** Patience sorting, O(n log n): the items of a longest strictly increasing subsequence of positions. */
function longestIncreasing(
  wanted: readonly string[],
  present: ReadonlyMap<string, number>,
): ReadonlySet<string> {
  const tails: { readonly id: string; readonly position: number }[] = [];
  const previous = new Map<string, string | null>();
  for (const id of wanted) {
    const position = present.get(id);
    if (position === undefined || position < 1) continue;
    let low = 0;
    let high = tails.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((tails[middle]?.position ?? 0) < position) low = middle + 1;
      else high = middle;
    }
    previous.set(id, low === 0 ? null : (tails[low - 1]?.id ?? null));
    tails[low] = { id, position };
  }
  const kept = new Set<string>();
  let id: string | null = tails.at(-1)?.id ?? null;
  while (id !== null) {
    kept.add(id);
    id = previous.get(id) ?? null;
  }
  return kept;
}

/** A place after everything else, for a single new item. */
export function lastPosition(positions: Iterable<number>): number {
  let last = 0;
  for (const position of positions) last = Math.max(last, position);
  return last + GAP;
}
