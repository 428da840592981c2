import { afterEach, describe, expect, it } from 'vitest';
import { createStoreCircuit, type StoreCircuit } from './store-circuit.js';

let running: StoreCircuit | null = null;
afterEach(() => running?.stop());

interface World {
  readonly circuit: StoreCircuit;
  readonly told: string[];
  probes: number;
  /** `hangs`: until it is aborted. */
  store: 'there' | 'away' | 'hangs';
}

function world(store: World['store']): World {
  const told: string[] = [];
  const all: World = {
    told,
    probes: 0,
    store,
    circuit: createStoreCircuit({
      async probe(signal) {
        all.probes += 1;
        if (all.store === 'away') throw new Error('Refused.');
        if (all.store === 'there') return;
        await new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(new Error('Too late.')));
        });
      },
      clock: { now: () => performance.now() },
      onAway: () => told.push('away'),
      onBack: () => told.push('back'),
    }),
  };
  running = all.circuit;
  return all;
}

async function until(what: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!what()) {
    if (performance.now() > deadline) throw new Error('It did not come to that.');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('whether the store is away', () => {
  it('is asked only where somebody suspects it, once for all who do at once', async () => {
    const all = world('there');
    expect(all.probes).toBe(0);
    await Promise.all([all.circuit.suspect(), all.circuit.suspect(), all.circuit.suspect()]);
    expect([all.probes, all.circuit.isAway(), all.told]).toEqual([1, false, []]);
  });

  it('holds until a probe succeeds, and is told once at each end', async () => {
    const all = world('away');
    await all.circuit.suspect();
    expect(all.circuit.isAway()).toBe(true);
    expect(all.circuit.awayMilliseconds()).toBeGreaterThanOrEqual(0);
    await all.circuit.suspect();
    await until(() => all.probes >= 3);
    all.store = 'there';
    await until(() => !all.circuit.isAway());
    expect(all.told).toEqual(['away', 'back']);
    expect(all.circuit.awayMilliseconds()).toBeNull();
  });

  it('a store that hangs is away', async () => {
    const all = world('hangs');
    await all.circuit.suspect();
    expect(all.circuit.isAway()).toBe(true);
    all.circuit.stop();
  });
});
