import { OutcomeUnknown } from '../outcome-unknown.js';
import { ServiceError } from '../service-error.js';
import type { TurnClock } from '../turn-clock.js';
import type { ConsumptionJournal } from './journal.js';
import { fromJournalText, type JournalEntry } from './journal-entry.js';
import type { StoreCircuit } from './store-circuit.js';
import type { WaitingEntries, WaitingEntry } from './waiting-entries.js';

/** Brings into the store what was answered without it: as soon as it answers, and of processes that have ended, too. */
export interface Reconciler {
  /** Reads what ended processes left behind; resolves when it is known, not when it is counted. */
  start(): Promise<void>;
  /** Something waits, or the store is back. */
  wake(): void;
  stop(): Promise<void>;
}

export interface ReconcilerOptions {
  readonly journal: ConsumptionJournal;
  readonly waiting: WaitingEntries;
  readonly circuit: StoreCircuit;
  readonly clock: Pick<TurnClock, 'now'>;
  /** Counts one entry, once however often it is called. */
  readonly count: (entry: JournalEntry) => Promise<void>;
  readonly onCounted: (count: number) => void;
  readonly onProblem: (problem: string, error: unknown) => void;
}

/** So many are under way at once; those of one customer share transactions. */
const TOGETHER = 512;
const PAUSE_MILLISECONDS = 200;
/** What the store refuses (a feature that has left the catalog) may be mended by a publish. */
const REFUSED_MILLISECONDS = 30_000;
const LOOK_MILLISECONDS = 15_000;
const STOP_MILLISECONDS = 5000;

export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { journal, waiting, circuit, clock } = options;
  let stopping = false;
  let stopped = false;
  let complained = false;
  let running: Promise<void> | null = null;
  let timer: NodeJS.Timeout | null = null;
  let looking: NodeJS.Timeout | null = null;

  function wake(): void {
    if (stopping || running !== null || timer !== null || waiting.size === 0) return;
    timer = setTimeout(() => {
      timer = null;
      running = pass().finally(() => {
        running = null;
        wake();
      });
    }, PAUSE_MILLISECONDS).unref();
  }

  /** Until nothing is left that may be tried now, or the store answers nothing. */
  async function pass(): Promise<void> {
    let counted = 0;
    while (!stopped && !circuit.isAway()) {
      const due = waiting.due(clock.now(), TOGETHER);
      if (due.length === 0) break;
      const done = await Promise.all(due.map(countOne));
      const successes = done.filter((one) => one).length;
      counted += successes;
      if (successes === 0) break;
    }
    if (counted > 0) options.onCounted(counted);
  }

  async function countOne(one: WaitingEntry): Promise<boolean> {
    try {
      await options.count(one.entry);
    } catch (error) {
      if (!isGone(error)) {
        postpone(one, error);
        return false;
      }
      // Erased meanwhile: there is nobody any more for whom it could count.
      options.onProblem('what was answered without the store is of a customer that is gone', error);
    }
    // INVARIANT: the journal gives up an entry only after its commit.
    waiting.remove(one);
    if (one.place !== null) journal.forget(one.place);
    return true;
  }

  function postpone(one: WaitingEntry, error: unknown): void {
    if (error instanceof ServiceError && error.kind === 'unavailable') {
      one.notBefore = clock.now() + PAUSE_MILLISECONDS;
      if (error instanceof OutcomeUnknown) void circuit.suspect();
      return;
    }
    const problem = error instanceof Error ? error.message : String(error);
    if (one.problem === null) {
      options.onProblem('what was answered without the store cannot be counted; it is tried again', error);
    }
    one.problem = problem;
    one.notBefore = clock.now() + REFUSED_MILLISECONDS;
  }

  async function look(): Promise<void> {
    for (const { text, place } of await journal.takeOver()) {
      const entry = fromJournalText(text);
      const known = entry === null ? undefined : waiting.get(entry.id);
      if (entry === null) {
        options.onProblem('a line of the journal is of a later version; it stays there', new Error(place));
      } else if (known === undefined) {
        waiting.add(entry, null, place);
      } else {
        // Its own file, which came back from another folder.
        known.place = place;
      }
    }
    wake();
  }

  async function lookAround(): Promise<void> {
    try {
      await look();
      complained = false;
    } catch (error) {
      if (!complained) options.onProblem('journals of other processes cannot be read', error);
      complained = true;
    }
  }

  return {
    async start() {
      await lookAround();
      looking = setInterval(lookAround, LOOK_MILLISECONDS).unref();
    },
    wake,
    async stop() {
      // No pass begins beside the last one: what both counted, the journal would be told to give up twice.
      stopping = true;
      if (timer !== null) clearTimeout(timer);
      if (looking !== null) clearInterval(looking);
      const patience = setTimeout(() => {
        stopped = true;
      }, STOP_MILLISECONDS);
      await running;
      // With the store there, what waits is not left to a next process that may never come.
      await pass();
      clearTimeout(patience);
      stopped = true;
    },
  };
}

function isGone(error: unknown): boolean {
  return error instanceof ServiceError && error.code === 'CUSTOMER_NOT_FOUND';
}
