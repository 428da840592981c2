const DECIMAL = /^(\d{1,12})(?:\.(\d{1,4}))?$/;
const SCALE = 10_000n;

/** A decimal text of at most four decimals in ten-thousandths; `null` when it is none. */
export function tenThousandths(text: string): bigint | null {
  const match = DECIMAL.exec(text);
  if (match === null) return null;
  return BigInt(match[1] ?? '0') * SCALE + BigInt((match[2] ?? '').padEnd(4, '0') || '0');
}

/**
 * `amount` times all factors as one exact rational, floored once: 1.1 × 1.1 of 100 is 121, not 120. Capped at what JSON carries
 * exactly.
 */
export function multiplyExactly(amount: number, factors: readonly bigint[]): number {
  let numerator = BigInt(amount);
  let denominator = 1n;
  for (const factor of factors) {
    numerator *= factor;
    denominator *= SCALE;
  }
  const result = numerator / denominator;
  return result > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(result);
}
