/*
 * How much is under way to one webhook. INVARIANT: no lane waits for another, so that a listener that is dead delays nobody else's
 * deliveries, and takes no more than one connection once it is known to fail.
 */

/** Requests under way to one webhook from one process. */
const CONCURRENT = 32;
/** Below so much free room nothing is claimed, so that a busy lane claims in handfuls. */
const LEAST_ROOM = 16;
/** So many failures in a row, and one request at a time is tried … */
const FAILURES = 3;
/** … so long after the last: one that refuses at once would else be asked without a pause, and take the time of all others. */
const PAUSE_MILLISECONDS = 200;

export class HookLane {
  #underWay = 0;
  #failures = 0;
  #pauseEnds = 0;
  readonly #monotonic: () => number;

  /** @param monotonic milliseconds */
  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic;
  }

  /** How many deliveries to claim now. */
  room(): number {
    if (this.isFailing()) {
      return this.#underWay > 0 || this.#monotonic() < this.#pauseEnds ? 0 : 1;
    }
    const free = CONCURRENT - this.#underWay;
    return free >= LEAST_ROOM ? free : 0;
  }

  isFailing(): boolean {
    return this.#failures >= FAILURES;
  }

  begin(): void {
    this.#underWay += 1;
  }

  /** @param worked whether the listener accepted; one that does is whole again at once. `null`: it was not asked */
  end(worked: boolean | null): void {
    this.#underWay -= 1;
    if (worked === null) return;
    this.#failures = worked ? 0 : this.#failures + 1;
    this.#pauseEnds = this.#monotonic() + PAUSE_MILLISECONDS;
  }
}
