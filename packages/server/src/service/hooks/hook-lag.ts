import type { Kysely } from 'kysely';
import { isDatabaseUnavailable } from '../../store/database-error.js';
import { readHookLag } from '../../store/hook-log.js';
import { fromInstant } from '../../store/instant.js';
import type { Tables } from '../../store/tables.js';
import type { Clock } from '../ports.js';

/** How far behind webhooks are, as it was read last. */
export interface HookLagReport {
  /** Since the delivery that is due the longest was due; 0 where none is. */
  readonly deliverySeconds: number;
  /** Since the oldest event was told that nobody has numbered; 0 where none is. */
  readonly numberingSeconds: number;
}

export interface HookLag {
  start(): void;
  stop(): Promise<void>;
  report(): HookLagReport;
}

const READ_MILLISECONDS = 5000;

/** Reads now and then, so that whoever asks for metrics waits for no database. */
export function createHookLag(options: {
  readonly database: Kysely<Tables>;
  readonly clock: Clock;
  readonly onProblem: (problem: string, error: unknown) => void;
}): HookLag {
  const { database, clock, onProblem } = options;
  let last: HookLagReport = { deliverySeconds: 0, numberingSeconds: 0 };
  let timer: NodeJS.Timeout | null = null;
  let reading: Promise<void> = Promise.resolve();

  async function read(): Promise<void> {
    try {
      const now = clock.now();
      const { due, told } = await readHookLag(database, fromInstant(now));
      const since = (at: Date | null) => (at === null ? 0 : Math.max(0, now - at.getTime()) / 1000);
      last = { deliverySeconds: since(due), numberingSeconds: since(told) };
    } catch (error) {
      if (!isDatabaseUnavailable(error)) onProblem('how far webhooks are behind could not be read', error);
    }
  }

  return {
    start() {
      timer ??= setInterval(() => {
        reading = read();
      }, READ_MILLISECONDS).unref();
    },
    async stop() {
      if (timer !== null) clearInterval(timer);
      await reading;
    },
    report: () => last,
  };
}
