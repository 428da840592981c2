/** Chance that a seed plays again: the same seed, the same draws in the same order. */
export interface Seeded {
  /** In `[0, 1)`. */
  draw(): number;
  /** An integer in `[0, count)`. */
  below(count: number): number;
  /** In `[from, to)`, not rounded. */
  between(from: number, to: number): number;
  chance(probability: number): boolean;
  pick<Item>(items: readonly Item[]): Item;
}

/** sfc32 (Doty-Humphrey), seeded through splitmix32. */
export function seeded(seed: number): Seeded {
  let state = seed | 0;
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return mixed ^ (mixed >>> 15);
  };
  let [a, b, c, d] = [next(), next(), next(), next()];

  function draw(): number {
    const sum = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  }

  function below(count: number): number {
    return Math.floor(draw() * count);
  }

  return {
    draw,
    below,
    between: (from, to) => from + draw() * (to - from),
    chance: (probability) => draw() < probability,
    pick(items) {
      const index = below(items.length);
      const item = items[index];
      if (item === undefined) throw new Error('There is nothing to pick from.');
      return item;
    },
  };
}
