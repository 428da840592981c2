import { randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
import { isDatabaseUnavailable } from '../store/database-error.js';
import { giveLeaseBack, takeLease } from '../store/lease-rows.js';
import type { Tables } from '../store/tables.js';

/** What one process at a time does again and again for all of them, under a lease. */
export interface LeasedSweep {
  start(): void;
  /** Ends after the work under way. */
  stop(): Promise<void>;
}

export interface LeasedSweepOptions {
  readonly database: Kysely<Tables>;
  /** Of the lease. */
  readonly name: string;
  /** Of this process, for work that looks at its lease itself; default: one of its own. */
  readonly holder?: string;
  readonly pollMilliseconds: number;
  /** Asked again at once while it answers that there is more. */
  readonly sweep: (isStopping: () => boolean) => Promise<'done' | 'more'>;
  readonly onProblem: (error: unknown) => void;
}

const LEASE_SECONDS = 10;

export function createLeasedSweep(options: LeasedSweepOptions): LeasedSweep {
  const { database, name, holder = randomUUID(), pollMilliseconds, sweep, onProblem } = options;
  let stopping = false;
  let wakeUp: (() => void) | null = null;
  let running: Promise<void> | null = null;

  async function once(): Promise<'done' | 'more'> {
    try {
      const isMine = await takeLease(database, { name, holder, seconds: LEASE_SECONDS });
      return isMine ? await sweep(() => stopping) : 'done';
    } catch (error) {
      if (!isDatabaseUnavailable(error)) onProblem(error);
      return 'done';
    }
  }

  async function loop(): Promise<void> {
    while (!stopping) {
      if ((await once()) === 'more') continue;
      await new Promise<void>((resolve) => {
        wakeUp = resolve;
        setTimeout(resolve, stopping ? 0 : pollMilliseconds).unref();
      });
    }
  }

  return {
    start() {
      running ??= loop();
    },
    async stop() {
      stopping = true;
      wakeUp?.();
      await running;
      if (running !== null) await giveLeaseBack(database, name, holder).catch(() => undefined);
    },
  };
}
