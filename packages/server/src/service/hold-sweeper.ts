import { LIMITS } from '@pennon/engine/model/limits';
import type { Kysely } from 'kysely';
import type { Accounts } from '../store/accounts.js';
import { isDatabaseUnavailable } from '../store/database-error.js';
import {
  deleteFinalReservations,
  type EndedAccounts,
  readEndedAccounts,
} from '../store/reservation-sweep.js';
import type { Tables } from '../store/tables.js';
import { createBatchDecider } from './decide-batch.js';
import { createLeasedSweep, type LeasedSweep } from './leased-sweep.js';
import { idBefore } from './new-id.js';

/*
 * Takes holds that ended off accounts that nobody asks about. Whoever asks does so himself, before anything is decided: no answer waits
 * for this. One process at a time does it, under a lease, with the locks that every consume takes.
 */

export interface HoldSweeperOptions {
  readonly database: Kysely<Tables>;
  readonly accounts: Accounts;
  readonly clock: { now(): number };
  readonly onProblem: (problem: string, error: unknown) => void;
  readonly pollMilliseconds?: number;
}

const LEASE = 'reservations';
const POLL_MILLISECONDS = 1000;
const ACCOUNTS_AT_ONCE = 200;
const FORGET_MILLISECONDS = 60_000;
const FORGOTTEN_AT_ONCE = 5000;
const DAY = 86_400_000;
/** A final reservation still says that it is final for as long as a call about it may be repeated. */
const KEPT = LIMITS.idempotencyDays.value * DAY + LIMITS.reservationSeconds.value * 1000;

export function createHoldSweeper(options: HoldSweeperOptions): LeasedSweep {
  const { database, accounts, clock, onProblem, pollMilliseconds = POLL_MILLISECONDS } = options;
  let forgottenAt = Number.NEGATIVE_INFINITY;

  async function sweep(isStopping: () => boolean): Promise<'done'> {
    for (const ended of await readEndedAccounts(database, ACCOUNTS_AT_ONCE)) {
      if (isStopping()) return 'done';
      // A customer whose lock is not to be had is busy, and takes its holds off itself; the others do not wait for it.
      await endHolds(accounts, ended).catch((error: unknown) => {
        if (!isDatabaseUnavailable(error))
          onProblem('holds that ended could not be taken off an account', error);
      });
    }
    if (performance.now() - forgottenAt >= FORGET_MILLISECONDS) {
      forgottenAt = performance.now();
      const before = idBefore(clock.now() - KEPT);
      const forgotten = await deleteFinalReservations(database, before, FORGOTTEN_AT_ONCE);
      // There are more, and the next sweep goes on: however many are made, no more than the days that they are kept for stay.
      if (forgotten === FORGOTTEN_AT_ONCE) forgottenAt = Number.NEGATIVE_INFINITY;
    }
    return 'done';
  }

  return createLeasedSweep({
    database,
    name: LEASE,
    pollMilliseconds,
    sweep,
    onProblem: (error) => onProblem('reservations that ended could not be swept', error),
  });
}

/** Of one customer and product, in one transaction; what is left over is the next sweep's. */
export async function endHolds(store: Accounts, { accounts, ...whose }: EndedAccounts): Promise<void> {
  const transaction = await store.begin({
    ...whose,
    accounts,
    idempotencyKeys: [],
    reservationIds: [],
    holders: [],
  });
  let open = true;
  try {
    const { frame } = transaction;
    const decider = createBatchDecider(
      frame,
      await transaction.endedHolds(frame.accounts),
      // Nothing is decided here, so that nothing is taken out of a lot.
      new Map(),
    );
    const write = decider.write();
    open = false;
    await (write.consumptions.length > 0 ? transaction.commit(write) : transaction.rollback());
  } catch (error) {
    if (open) await transaction.rollback().catch(() => undefined);
    throw error;
  }
}
