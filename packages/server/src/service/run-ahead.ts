import type { Instant } from '@pennon/engine/model/customer';
import type { LockRequest } from '../store/account-transaction.js';
import type { Accounts } from '../store/accounts.js';
import type { Evaluations } from './batch-request.js';
import type { ConsumeRequest } from './consume-request.js';
import { decideAhead, type SentBatch } from './decide-ahead.js';
import { noteBalances } from './note-balances.js';
import type { CustomerStates } from './ports.js';
import type { Settled } from './settle-batch.js';
import type { TurnClock } from './turn-clock.js';

/*
 * A batch in one round trip (ADR 31): decided on what the batch before it leaves, at the instant that the store's clock shows by then, and
 * sent with the question whether all of that is so.
 */

export interface AheadRunner {
  /** The store's clock, as it was read a moment ago. */
  hear(now: Instant): void;
  /** `null`: it was not worth a guess, or the guess was wrong; nothing is written, and the batch is decided under its locks. */
  run(
    requests: readonly ConsumeRequest[],
    evaluations: Evaluations,
    lockRequest: LockRequest,
    behind: SentBatch,
    onSent: (sent: SentBatch) => void,
  ): Promise<Settled | null>;
}

export interface AheadDependencies {
  readonly accounts: Pick<Accounts, 'writeAhead'>;
  readonly customers: CustomerStates;
  readonly clock: Pick<TurnClock, 'now'>;
}

const NOTHING_HELD = { holds: new Map() };

export function createAheadRunner({ accounts, customers, clock }: AheadDependencies): AheadRunner {
  const trust = createTrust(clock);
  let heard: { readonly now: Instant; readonly at: number } | null = null;

  function hear(now: Instant): void {
    heard = { now, at: clock.now() };
  }

  return {
    hear,
    async run(requests, evaluations, lockRequest, behind, onSent) {
      const [first] = requests;
      if (first === undefined || heard === null || !trust.has(lockRequest.customerId)) return null;
      // Read before it was heard, so that it is hardly ever ahead of the store's own, which is what the store compares it with.
      const now = Math.floor(heard.now + clock.now() - heard.at);
      const ahead = decideAhead(behind, lockRequest, requests, evaluations, now);
      if (ahead === null) return null;
      const { place, outcome } = await accounts.writeAhead(lockRequest, ahead, behind.place);
      onSent({ place, productId: lockRequest.productId, frame: ahead.expected, write: ahead.write });
      const { stood, now: then } = await outcome;
      hear(then);
      trust.note(lockRequest.customerId, stood);
      if (!stood) return null;
      noteBalances(customers, first, ahead.write, NOTHING_HELD);
      return ahead.settled;
    },
  };
}

const FIRST_PAUSE_MILLISECONDS = 20;
const LONGEST_PAUSE_MILLISECONDS = 5000;
const CUSTOMERS_KNOWN = 10_000;

/** Where a guess was wrong, another process is at the same customer, or callers repeat their calls: none is made for a while, each time longer. */
function createTrust(clock: Pick<TurnClock, 'now'>): {
  has(customerId: string): boolean;
  note(customerId: string, wasRight: boolean): void;
} {
  const doubted = new Map<string, { readonly until: number; readonly pause: number }>();
  return {
    has(customerId) {
      const doubt = doubted.get(customerId);
      return doubt === undefined || doubt.until <= clock.now();
    },
    note(customerId, wasRight) {
      const doubt = doubted.get(customerId);
      if (wasRight) {
        if (doubt !== undefined) doubted.delete(customerId);
        return;
      }
      if (doubted.size >= CUSTOMERS_KNOWN) doubted.clear();
      const pause =
        doubt === undefined
          ? FIRST_PAUSE_MILLISECONDS
          : Math.min(doubt.pause * 2, LONGEST_PAUSE_MILLISECONDS);
      doubted.set(customerId, { until: clock.now() + pause, pause });
    },
  };
}
