import { describe, expect, it } from 'vitest';
import { multiplyExactly, tenThousandths } from './decimal.js';

describe('multiplyExactly', () => {
  it('K-8 floors once, at the end', () => {
    const factor = tenThousandths('1.1') ?? 0n;
    expect(multiplyExactly(100, [factor, factor])).toBe(121);
    expect(multiplyExactly(1, [tenThousandths('0.5') ?? 0n, tenThousandths('2') ?? 0n])).toBe(1);
    expect(multiplyExactly(10, [tenThousandths('0.3333') ?? 0n])).toBe(3);
  });

  it('K-8 stops at what JSON carries exactly', () => {
    expect(multiplyExactly(Number.MAX_SAFE_INTEGER, [tenThousandths('2') ?? 0n])).toBe(
      Number.MAX_SAFE_INTEGER,
    );
  });

  it('K-8 reads decimals of at most four places and nothing else', () => {
    expect(['1', '1.5', '0.0001', '12.3456'].map(tenThousandths)).toEqual([10000n, 15000n, 1n, 123456n]);
    for (const text of ['', '-1', '1.23456', '1e3', '.5', '1.', ' 1', 'NaN'])
      expect(tenThousandths(text)).toBeNull();
  });
});
