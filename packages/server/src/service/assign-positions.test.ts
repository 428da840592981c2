import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assignPositions, lastPosition } from './assign-positions.js';

const lists = fc.uniqueArray(fc.integer({ min: 0, max: 60 }).map(String), { maxLength: 40 });

describe('positions of items', () => {
  it('give the wanted order, whatever was there before', () => {
    const presents = fc.uniqueArray(
      fc.tuple(fc.integer({ min: 0, max: 60 }).map(String), fc.integer({ min: 1, max: 90 })),
      {
        selector: ([id]) => id,
      },
    );
    fc.assert(
      fc.property(lists, presents, (wanted, entries) => {
        const present = new Map(entries);
        const assigned = assignPositions(wanted, present);
        const positions = wanted.map((id) => assigned.get(id) ?? present.get(id) ?? 0);
        for (const [index, position] of positions.entries()) {
          expect(Number.isInteger(position)).toBe(true);
          expect(position).toBeGreaterThan(positions[index - 1] ?? 0);
        }
      }),
    );
  });

  it('touch one item when one is inserted among ten thousand', () => {
    const wanted = Array.from({ length: 10_000 }, (_, index) => `f${index}`);
    const present = assignPositions(wanted, new Map());
    const changed = assignPositions([...wanted.slice(0, 5000), 'new', ...wanted.slice(5000)], present);
    expect([...changed.keys()]).toEqual(['new']);
    expect(lastPosition(present.values())).toBeGreaterThan(10_000);
  });

  it('touch nothing when the order stays', () => {
    fc.assert(
      fc.property(lists, (wanted) => {
        expect(assignPositions(wanted, assignPositions(wanted, new Map())).size).toBe(0);
      }),
    );
  });

  it('are spaced anew where no room is left', () => {
    const present = new Map([
      ['a', 1],
      ['b', 2],
    ]);
    const assigned = assignPositions(['a', 'x', 'b'], present);
    expect([...assigned].map(([id, position]) => `${id} ${position}`)).toEqual([
      'a 1024',
      'x 2048',
      'b 3072',
    ]);
  });
});
