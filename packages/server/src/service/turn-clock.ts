/**
 * The time of one process as the lanes of consume see it: a monotonic clock, timers, and turns of the event loop. Simulated histories
 * bring their own, so that a seed plays the same history again (law 2 is proven on this very code).
 */
export interface TurnClock {
  /** Monotonic, in milliseconds. */
  now(): number;
  /** Calls back once, at the earliest after so many milliseconds; the answer takes that back. */
  after(milliseconds: number, callBack: () => void): () => void;
  /** Once the event loop has dealt with what is ready. */
  nextTurn(): Promise<void>;
}

export const PROCESS_CLOCK: TurnClock = {
  now: () => performance.now(),
  after(milliseconds, callBack) {
    const timer = setTimeout(callBack, milliseconds);
    return () => clearTimeout(timer);
  },
  nextTurn: () =>
    new Promise((resolve) => {
      setImmediate(resolve);
    }),
};
