/** Below it nobody asks who is near; so what is far from its limit needs no place in an index. */
const LEAST_PERCENT = 50;
/** Ten thousand times the limit: more says nothing more. */
const MOST_PERCENT = 1_000_000;
/** Times a hundred it is still an integer that a number holds exactly. */
const EXACT = 90_000_000_000_000;

/**
 * Whole percent of a limit that are taken, rounded down; beyond it rounded up, so that 100 is all of it and 101 is over it, however
 * little. `null` below half of it, and where there is no limit. With a limit of 0 whatever is taken is the most there is.
 */
export function percentOf(taken: number, limit: number | null): number | null {
  const percent = wholePercent(taken, limit);
  return percent === null || percent < LEAST_PERCENT ? null : percent;
}

/** The same, however little it is; `null` only where there is no limit. */
export function wholePercent(taken: number, limit: number | null): number | null {
  if (limit === null) return null;
  if (taken <= 0) return 0;
  if (limit <= 0) return MOST_PERCENT;
  const isOver = taken > limit;
  if (taken >= EXACT) {
    const exact = (BigInt(taken) * 100n + (isOver ? BigInt(limit - 1) : 0n)) / BigInt(limit);
    return Math.min(Number(exact), MOST_PERCENT);
  }
  const percent = (taken * 100) / limit;
  return Math.min(isOver ? Math.ceil(percent) : Math.floor(percent), MOST_PERCENT);
}
