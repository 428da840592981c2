import { randomUUID } from 'node:crypto';
import type { Instant } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import type { Kysely } from 'kysely';
import { isDatabaseUnavailable } from '../../store/database-error.js';
import { giveLeaseBack, takeLease } from '../../store/lease-rows.js';
import type { Tables } from '../../store/tables.js';
import { forgetPeriods, forgetValues, type ValuedPeriod } from '../../store/usage-forgetting.js';
import { keptFrom } from '../usage-retention.js';

/*
 * Forgets periods that are over, and the values that `aggregation: unique` remembers of them. One process at a time does it, under a lease,
 * in batches with a pause between, so that nobody waits for it.
 */

export interface UsageKeeper {
  /** Forgets all that may be forgotten; returns how many periods. Used by `start`, and by whoever wants it now. */
  keep(now: Instant): Promise<number>;
  start(): void;
  stop(): Promise<void>;
}

export interface UsageKeeperOptions {
  readonly database: Kysely<Tables>;
  readonly clock: { now(): Instant };
  readonly historyMonths: number;
  readonly onProblem: (problem: string, error: unknown) => void;
}

const LEASE = 'usage-retention';
const LEASE_SECONDS = 60;
const AGAIN_MILLISECONDS = 6 * 3_600_000;
const RETRY_MILLISECONDS = 60_000;
const PAUSE_MILLISECONDS = 50;
const PERIODS_AT_ONCE = 1000;
const STEPS_AT_ONCE = 200;
/** Whatever a feature says of late events, after so long none counts into the period any more. */
const LATE = (LIMITS.lateEventDays.value + 1) * 86_400_000;

export function createUsageKeeper(options: UsageKeeperOptions): UsageKeeper {
  const { database, clock, onProblem } = options;
  const holder = randomUUID();
  let stopping = false;
  let wakeUp: (() => void) | null = null;
  let running: Promise<void> | null = null;

  function pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      wakeUp = resolve;
      setTimeout(resolve, stopping ? 0 : milliseconds).unref();
    });
  }

  const isOurs = () => takeLease(database, { name: LEASE, holder, seconds: LEASE_SECONDS });

  async function keep(now: Instant): Promise<number> {
    let forgotten = 0;
    // INVARIANT: values go before the periods that they belong to: without the period nobody knows that it is over.
    for (let after: ValuedPeriod | null = null; !stopping && (await isOurs()); ) {
      after = await forgetValues(database, now - LATE, after, STEPS_AT_ONCE);
      if (after === null) break;
      await pause(PAUSE_MILLISECONDS);
    }
    while (!stopping && (await isOurs())) {
      const count = await forgetPeriods(database, keptFrom(now, options.historyMonths), PERIODS_AT_ONCE);
      forgotten += count;
      if (count < PERIODS_AT_ONCE) break;
      await pause(PAUSE_MILLISECONDS);
    }
    return forgotten;
  }

  async function loop(): Promise<void> {
    while (!stopping) {
      let next = AGAIN_MILLISECONDS;
      try {
        await keep(clock.now());
      } catch (error) {
        next = RETRY_MILLISECONDS;
        if (!isDatabaseUnavailable(error)) onProblem('usage that is too old could not be forgotten', error);
      }
      await pause(next);
    }
  }

  return {
    keep,
    start() {
      running ??= loop();
    },
    async stop() {
      stopping = true;
      wakeUp?.();
      await running;
      if (running !== null) await giveLeaseBack(database, LEASE, holder).catch(() => undefined);
    },
  };
}
