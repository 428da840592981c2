import { setImmediate as nextTurn } from 'node:timers/promises';

/** How long work that can be cut may hold the event loop at a time (DESIGN §5). */
export const SLICE_MILLISECONDS = 3;

/** Runs a generator to its end, giving the event loop its turn whenever a slice is used up. */
export async function runInSlices<Result>(work: Generator<void, Result>): Promise<Result> {
  let started = performance.now();
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    if (performance.now() - started >= SLICE_MILLISECONDS) {
      await nextTurn();
      started = performance.now();
    }
  }
}
