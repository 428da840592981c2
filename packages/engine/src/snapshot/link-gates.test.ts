import { expect, it } from 'vitest';
import type { Catalog, Feature } from '../model/catalog.js';
import { compileSnapshot } from './compile-snapshot.js';
import type { Snapshot } from './snapshot.js';

function compile(features: readonly Feature[], previous?: Snapshot): Snapshot {
  const catalog: Catalog = {
    features,
    plans: [],
    addons: [],
    groups: [],
    segments: [],
    flags: [{ key: 'gated', type: 'boolean', requires: ['paid'] }],
    billing: [],
    tests: [],
  };
  const input = { catalog, environment: 'production', revision: 1, productId: 'id' };
  return compileSnapshot(previous === undefined ? input : { ...input, previous }).snapshot;
}

const PAID: Feature = { key: 'paid', type: 'boolean' };

it('K-7 a gate holds the features of its own snapshot, although the flag was not compiled anew', () => {
  const first = compile([PAID]);
  expect(first.flags.get('gated')?.gate[0]?.feature).toBe(first.features.get('paid'));

  const moved = compile([{ key: 'other', type: 'boolean' }, PAID], first);
  expect(moved.flags.get('gated')?.gate[0]?.feature).toBe(moved.features.get('paid'));
  expect(moved.features.get('paid')?.index).toBe(1);
  expect(first.flags.get('gated')?.gate[0]?.feature?.index).toBe(0);

  const gone = compile([], moved);
  expect(gone.flags.get('gated')?.gate).toMatchObject([{ key: 'paid', feature: null }]);
});

it('a flag whose features stayed is the very object of the snapshot before', () => {
  const first = compile([PAID]);
  expect(compile([PAID], first).flags.get('gated')).toBe(first.flags.get('gated'));
});
