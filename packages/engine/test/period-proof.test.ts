import { describe, expect, it } from 'vitest';
import { provePeriods } from './period-proof.js';

describe('law 9: periods against another library', () => {
  it('10,000 instants of random zones, anchors and intervals lie where stepping from the anchor puts them', () => {
    const { checks, zones, faults } = provePeriods(10_000, Date.now() >>> 0);
    expect(faults).toEqual([]);
    expect(checks).toBeGreaterThanOrEqual(10_000);
    expect(zones).toBeGreaterThan(200);
  });
});
