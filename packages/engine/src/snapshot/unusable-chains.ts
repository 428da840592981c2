import { LIMITS } from '../model/limits.js';

/** What is taken up between two yields. */
const SLICE = 512;

/** The graph of who asks for whom, of those only who ask for anyone. */
export type Asks = ReadonlyMap<string, ReadonlySet<string>>;

/** Settles from those who ask for nobody upwards; who is never settled stands in a circle, or above one. */
class Settling {
  readonly faults = new Map<string, string>();
  readonly #asks: Asks;
  readonly #askers = new Map<string, string[]>();
  /** Not settled yet: how many of those asked for are not. */
  readonly #waiting = new Map<string, number>();
  readonly #depths = new Map<string, number>();

  constructor(asks: Asks) {
    this.#asks = asks;
    for (const [key, others] of asks) {
      let waiting = 0;
      for (const other of others) {
        if (!asks.has(other)) continue;
        waiting += 1;
        const askers = this.#askers.get(other);
        if (askers === undefined) this.#askers.set(other, [key]);
        else askers.push(key);
      }
      this.#waiting.set(key, waiting);
    }
  }

  *run(): Generator<void> {
    yield* this.#settle([...this.#waiting.keys()].filter((key) => this.#waiting.get(key) === 0));
    if (this.#waiting.size === 0) return;
    const circular = this.#withoutThoseAbove();
    for (const key of circular) {
      this.faults.set(key, `\`${key}\` is asked for by what it asks for itself: a circle.`);
    }
    yield* this.#settle(circular);
  }

  *#settle(ready: string[]): Generator<void> {
    for (let index = 0; index < ready.length; index += 1) {
      const key = ready[index] ?? '';
      this.#waiting.delete(key);
      this.#depths.set(key, this.#depthOf(key));
      for (const asker of this.#askers.get(key) ?? []) {
        const waiting = this.#waiting.get(asker);
        if (waiting === undefined) continue;
        this.#waiting.set(asker, waiting - 1);
        if (waiting === 1 && !this.faults.has(asker)) ready.push(asker);
      }
      if (index % SLICE === SLICE - 1) yield;
    }
  }

  /** One that cannot be used asks for nobody: the chain ends there, and begins anew above it. */
  #depthOf(key: string): number {
    if (this.faults.has(key)) return 1;
    let deepest = 0;
    for (const other of this.#asks.get(key) ?? []) deepest = Math.max(deepest, this.#depths.get(other) ?? 1);
    if (deepest < LIMITS.dependencyDepth.value) return deepest + 1;
    const { value, unit } = LIMITS.dependencyDepth;
    this.faults.set(
      key,
      `What \`${key}\` asks for asks for others in turn, more than ${value} ${unit} deep.`,
    );
    return 1;
  }

  /** Of those who were not settled: without those for whom nobody in a circle asks. */
  #withoutThoseAbove(): string[] {
    const left = new Set(this.#waiting.keys());
    const asked = new Map<string, number>();
    for (const key of left) {
      asked.set(key, (this.#askers.get(key) ?? []).filter((asker) => left.has(asker)).length);
    }
    const above = [...left].filter((key) => asked.get(key) === 0);
    for (let key = above.pop(); key !== undefined; key = above.pop()) {
      left.delete(key);
      for (const other of this.#asks.get(key) ?? []) {
        const count = asked.get(other);
        if (count === undefined || !left.has(other)) continue;
        asked.set(other, count - 1);
        if (count === 1) above.push(other);
      }
    }
    return [...left];
  }
}

/**
 * Who asks in a circle or too deep, with why. None of that can be published; forced into the data it disables those few, and nobody
 * who asks for them goes round or exhausts the stack. INVARIANT: a function of the graph alone, so that a flag answers the same alone
 * and among all.
 */
export function* unusableChains(asks: Asks): Generator<void, ReadonlyMap<string, string>> {
  if (asks.size === 0) return new Map();
  const settling = new Settling(asks);
  yield* settling.run();
  return settling.faults;
}
