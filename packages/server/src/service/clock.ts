import type { Instant } from '@pennon/engine/model/customer';
import type { Clock } from './ports.js';

/** One comparison of the process clock with the database's: `offset` is what to add, `uncertainty` half the round trip. */
export interface ClockSample {
  readonly offsetMilliseconds: number;
  readonly uncertaintyMilliseconds: number;
}

export interface DatabaseClock extends Clock {
  /** Compares with the database now; rejects when it is away, and the clock then runs on as it was. */
  refresh(): Promise<void>;
  start(): void;
  stop(): void;
  /** For `/readyz` and metrics. `null`: never compared. */
  report(): { readonly offsetMilliseconds: number | null; readonly ageMilliseconds: number | null };
}

export interface ClockOptions {
  /** The database's `clock_timestamp()` in milliseconds since the epoch. */
  readonly readDatabaseTime: () => Promise<number>;
  /** Milliseconds that never jump; by default the process' monotonic clock, based on its start. */
  readonly monotonic?: () => number;
  readonly refreshMilliseconds?: number;
}

const SAMPLES = 3;
const REFRESH_MILLISECONDS = 15_000;
/** A difference below this is slewed, so that two decisions in a row never see time stand still for long. */
const STEP_MILLISECONDS = 5000;
/** Slewing gains or loses at most this share of the time that passes: the clock never runs backwards by it. */
const SLEW_RATE = 0.1;

/**
 * The evaluation clock (law 9): the process' monotonic clock plus its offset to the database's. The system clock is read
 * once, at start; whoever sets it while the process runs changes no decision.
 */
export function createDatabaseClock(options: ClockOptions): DatabaseClock {
  const monotonic = options.monotonic ?? (() => performance.timeOrigin + performance.now());
  let applied = 0;
  let target = 0;
  let appliedAt = monotonic();
  let comparedAt: number | null = null;
  let timer: NodeJS.Timeout | null = null;
  let last = Number.NEGATIVE_INFINITY;

  function advance(at: number): void {
    const room = Math.max(0, at - appliedAt) * SLEW_RATE;
    const missing = target - applied;
    applied += Math.abs(missing) <= room ? missing : Math.sign(missing) * room;
    appliedAt = at;
  }

  async function sample(): Promise<ClockSample> {
    const before = monotonic();
    const database = await options.readDatabaseTime();
    const after = monotonic();
    return {
      offsetMilliseconds: database - (before + after) / 2,
      uncertaintyMilliseconds: (after - before) / 2,
    };
  }

  async function refresh(): Promise<void> {
    let best = await sample();
    for (let round = 1; round < SAMPLES; round += 1) {
      const next = await sample();
      if (next.uncertaintyMilliseconds < best.uncertaintyMilliseconds) best = next;
    }
    const at = monotonic();
    advance(at);
    target = best.offsetMilliseconds;
    const first = comparedAt === null;
    comparedAt = at;
    if (first || Math.abs(target - applied) > STEP_MILLISECONDS) {
      applied = target;
      last = Number.NEGATIVE_INFINITY;
    }
  }

  function schedule(): void {
    const delay = (options.refreshMilliseconds ?? REFRESH_MILLISECONDS) * (0.9 + Math.random() * 0.2);
    timer = setTimeout(() => {
      refresh()
        .catch(() => undefined)
        .finally(() => {
          if (timer !== null) schedule();
        });
    }, delay);
    timer.unref();
  }

  return {
    now(): Instant {
      const at = monotonic();
      advance(at);
      // INVARIANT: between two steps of the clock no later reading is smaller than an earlier one.
      last = Math.max(last, Math.floor(at + applied));
      return last;
    },
    refresh,
    start(): void {
      if (timer === null) schedule();
    },
    stop(): void {
      if (timer !== null) clearTimeout(timer);
      timer = null;
    },
    report() {
      return {
        offsetMilliseconds: comparedAt === null ? null : applied,
        ageMilliseconds: comparedAt === null ? null : monotonic() - comparedAt,
      };
    },
  };
}
