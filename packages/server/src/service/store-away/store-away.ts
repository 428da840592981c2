import type { ConsumeBatcher } from '../consume-batcher.js';
import type { ConsumeAnswer, ConsumeRequest } from '../consume-request.js';
import type { EvaluationDependencies } from '../evaluation-request.js';
import type { FreshBalances } from '../strong-evaluation.js';
import { PROCESS_CLOCK } from '../turn-clock.js';
import { type AwayConsumption, createAwayConsumption } from './away-consumption.js';
import { countLater } from './count-later.js';
import type { ConsumptionJournal } from './journal.js';
import { createReconciler } from './reconciler.js';
import { createStoreCircuit } from './store-circuit.js';
import { WaitingEntries } from './waiting-entries.js';

/** Consume with the store away: answers that the catalog allows, their journal, and what is counted of it afterwards. */
export interface StoreAway {
  readonly consumption: AwayConsumption;
  /** Reads what ended processes left behind, and begins to count it. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Once nothing is answered any more. */
  close(): Promise<void>;
  report(): StoreAwayReport;
}

export interface StoreAwayReport {
  /** `null`: the store is there. */
  readonly awayMilliseconds: number | null;
  /** Answers that do not stand in the store yet, and how old the oldest is. */
  readonly waiting: number;
  readonly oldestMilliseconds: number | null;
  readonly bytes: number;
  /** Those that the store refuses to count, with what it says of one. */
  readonly refused: number;
  readonly refusal: string | null;
}

export interface StoreAwayOptions {
  readonly lanes: ConsumeBatcher<ConsumeRequest, ConsumeAnswer>;
  /** `null`: there is no directory to keep one in, so that nothing is answered without the store. */
  readonly journal: ConsumptionJournal | null;
  readonly evaluation: EvaluationDependencies;
  readonly balances: FreshBalances;
  readonly probe: (signal: AbortSignal) => Promise<void>;
  readonly isUnavailable: (error: unknown) => boolean;
  readonly onAnswered: (feature: string, policy: string) => void;
  readonly onAway: (error: unknown) => void;
  readonly onBack: (awayMilliseconds: number, waiting: number) => void;
  readonly onCounted: (count: number) => void;
  readonly onProblem: (problem: string, error: unknown) => void;
}

const NOTHING: StoreAwayReport = {
  awayMilliseconds: null,
  waiting: 0,
  oldestMilliseconds: null,
  bytes: 0,
  refused: 0,
  refusal: null,
};

export function createStoreAway(options: StoreAwayOptions): StoreAway {
  const { lanes, journal, evaluation, balances, onProblem } = options;
  if (journal === null) {
    const nothing = async (): Promise<void> => undefined;
    const consumption = { ...lanes, toldBefore: () => null };
    return { consumption, start: nothing, stop: nothing, close: nothing, report: () => NOTHING };
  }
  const waiting = new WaitingEntries();
  const circuit = createStoreCircuit({
    probe: options.probe,
    clock: PROCESS_CLOCK,
    onAway: options.onAway,
    onBack(awayMilliseconds) {
      options.onBack(awayMilliseconds, waiting.size);
      reconciler.wake();
    },
  });
  const reconciler = createReconciler({
    journal,
    waiting,
    circuit,
    clock: PROCESS_CLOCK,
    count: (entry) => countLater({ ...evaluation, balances, lanes: consumption }, entry),
    onCounted: options.onCounted,
    onProblem,
  });
  const consumption = createAwayConsumption({
    lanes,
    journal,
    waiting,
    circuit,
    clock: evaluation.clock,
    knownUntil: evaluation.knownUntil,
    turns: PROCESS_CLOCK,
    isUnavailable: options.isUnavailable,
    onAnswered: options.onAnswered,
    onWaiting: () => reconciler.wake(),
  });
  return {
    consumption,
    start: () => reconciler.start(),
    async stop() {
      await reconciler.stop();
      circuit.stop();
    },
    close: () => journal.close(),
    report() {
      const oldest = waiting.oldest();
      const refused = waiting.refused();
      return {
        awayMilliseconds: circuit.awayMilliseconds(),
        waiting: waiting.size,
        oldestMilliseconds: oldest === null ? null : Math.max(0, evaluation.clock.now() - oldest),
        bytes: journal.report().bytes,
        refused: refused.length,
        refusal: refused[0]?.problem ?? null,
      };
    },
  };
}
