import { afterEach, describe, expect, it } from 'vitest';
import { ServiceError } from '../service-error.js';
import type { ConsumptionJournal } from './journal.js';
import type { JournalEntry } from './journal-entry.js';
import { createReconciler, type Reconciler } from './reconciler.js';
import { WaitingEntries } from './waiting-entries.js';

function entry(id: string): JournalEntry {
  return {
    format: 1,
    id,
    at: 0,
    asOf: 0,
    environmentId: 'e',
    productId: 'p',
    customerKey: 'acme',
    customerId: 'c',
    idempotencyKey: id,
    requestHash: '',
    mode: 'all',
    actor: 'server-key:k',
    items: [],
  };
}

interface World {
  readonly reconciler: Reconciler;
  readonly waiting: WaitingEntries;
  /** In the order in which it happened. */
  readonly events: string[];
  readonly problems: string[];
  away: boolean;
}

let running: Reconciler | null = null;
afterEach(() => running?.stop());

function world(left: readonly JournalEntry[], count: (entry: JournalEntry) => Promise<void>): World {
  const events: string[] = [];
  const problems: string[] = [];
  const waiting = new WaitingEntries();
  const journal: ConsumptionJournal = {
    append: () => Promise.reject(new Error('Not asked for.')),
    forget: (place) => void events.push(`forgot ${place}`),
    takeOver: async () => left.map((one) => ({ text: JSON.stringify(one), place: one.id })),
    report: () => ({ bytes: 0 }),
    close: async () => undefined,
  };
  const all: World = {
    waiting,
    events,
    problems,
    away: false,
    reconciler: createReconciler({
      journal,
      waiting,
      circuit: {
        isAway: () => all.away,
        awayMilliseconds: () => null,
        suspect: async () => undefined,
        stop: () => undefined,
      },
      clock: { now: () => performance.now() },
      async count(one) {
        events.push(`asked ${one.id}`);
        await count(one);
        events.push(`counted ${one.id}`);
      },
      onCounted: () => undefined,
      onProblem: (problem) => problems.push(problem),
    }),
  };
  running = all.reconciler;
  return all;
}

async function until(what: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!what()) {
    if (performance.now() > deadline) throw new Error('It did not come to that.');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const REFUSAL = new ServiceError('not-found', 'ENTITLEMENT_NOT_FOUND', 'There is no `calls`.');
const SILENCE = new ServiceError('unavailable', 'UNAVAILABLE', 'Not now.');
const GONE = new ServiceError('not-found', 'CUSTOMER_NOT_FOUND', 'Gone.');

describe('what waits to be counted', () => {
  it('leaves the journal only after it is counted', async () => {
    const { reconciler, waiting, events } = world([entry('a')], async () => undefined);
    await reconciler.start();
    expect(waiting.size).toBe(1);
    await until(() => waiting.size === 0);
    expect(events).toEqual(['asked a', 'counted a', 'forgot a']);
  });

  it('is asked again where the store does not answer, as often as it takes', async () => {
    let silent = 3;
    const { reconciler, waiting, events } = world([entry('a')], async () => {
      silent -= 1;
      if (silent >= 0) throw SILENCE;
    });
    await reconciler.start();
    await until(() => waiting.size === 0);
    expect(events.filter((event) => event === 'asked a')).toHaveLength(4);
    expect(events.at(-1)).toBe('forgot a');
  });

  it('stays and is named where the store refuses it, and holds up nothing else', async () => {
    const { reconciler, waiting, events, problems } = world([entry('a'), entry('b')], async ({ id }) => {
      if (id === 'a') throw REFUSAL;
    });
    await reconciler.start();
    await until(() => waiting.size === 1 && waiting.refused().length === 1);
    expect(events).not.toContain('forgot a');
    expect(events).toContain('forgot b');
    expect(waiting.refused()[0]?.problem).toBe(REFUSAL.message);
    expect(problems).toHaveLength(1);
  });

  it('is let go where its customer was erased', async () => {
    const { reconciler, waiting, events } = world([entry('a')], async () => {
      throw GONE;
    });
    await reconciler.start();
    await until(() => waiting.size === 0);
    expect(events).toEqual(['asked a', 'forgot a']);
  });

  it('is given up by the journal once, also where a stop comes upon what is under way', async () => {
    const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    let asked = 0;
    const { reconciler, waiting, events } = world([entry('a')], async ({ id }) => {
      asked += 1;
      if (id === 'a' && asked === 1) {
        await wait(100);
        waiting.add(entry('b'), null, 'b');
        throw SILENCE;
      }
      // Longer than until the next pass would begin by itself.
      await wait(400);
    });
    await reconciler.start();
    await until(() => asked === 1);
    await reconciler.stop();
    await wait(500);
    expect(events.filter((event) => event.endsWith(' b'))).toEqual(['asked b', 'counted b', 'forgot b']);
  });

  it('is not touched while the store is away', async () => {
    const all = world([entry('a')], async () => undefined);
    all.away = true;
    await all.reconciler.start();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(all.events).toEqual([]);
    all.away = false;
    all.reconciler.wake();
    await until(() => all.waiting.size === 0);
  });
});
