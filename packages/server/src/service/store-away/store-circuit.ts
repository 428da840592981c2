import type { TurnClock } from '../turn-clock.js';

/**
 * Whether the store can be reached, as consumes need it: found out by a probe once somebody suspects that it cannot, and then by one every
 * half second until it can. While nobody suspects anything, nothing is asked and no timer runs.
 */
export interface StoreCircuit {
  isAway(): boolean;
  /** For how long it has been away; `null`: it is not. */
  awayMilliseconds(): number | null;
  /** A consume got no answer. Resolves when the store has been asked. */
  suspect(): Promise<void>;
  stop(): void;
}

export interface StoreCircuitOptions {
  /** Resolves when the store takes a commit; what is aborted is not waited for. */
  readonly probe: (signal: AbortSignal) => Promise<void>;
  readonly clock: Pick<TurnClock, 'now'>;
  readonly onAway: (error: unknown) => void;
  readonly onBack: (awayMilliseconds: number) => void;
}

const PROBE_MILLISECONDS = 500;
const PAUSE_MILLISECONDS = 500;

export function createStoreCircuit(options: StoreCircuitOptions): StoreCircuit {
  const { clock } = options;
  let awaySince: number | null = null;
  let probing: Promise<void> | null = null;
  let timer: NodeJS.Timeout | null = null;
  let stopped = false;

  async function probe(): Promise<void> {
    const timeout = new AbortController();
    const end = setTimeout(() => timeout.abort(), PROBE_MILLISECONDS);
    try {
      await options.probe(timeout.signal);
      const since = awaySince;
      awaySince = null;
      if (since !== null) options.onBack(clock.now() - since);
    } catch (error) {
      if (stopped) return;
      if (awaySince === null) {
        awaySince = clock.now();
        options.onAway(error);
      }
      timer = setTimeout(ask, PAUSE_MILLISECONDS).unref();
    } finally {
      clearTimeout(end);
      probing = null;
    }
  }

  function ask(): Promise<void> {
    timer = null;
    probing ??= probe();
    return probing;
  }

  return {
    isAway: () => awaySince !== null,
    awayMilliseconds: () => (awaySince === null ? null : clock.now() - awaySince),
    suspect: () => (stopped || timer !== null ? Promise.resolve() : ask()),
    stop() {
      stopped = true;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
