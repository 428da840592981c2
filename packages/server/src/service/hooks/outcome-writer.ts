import type { Kysely } from 'kysely';
import { type DeliveryOutcome, writeOutcomes } from '../../store/hook-deliveries.js';
import type { Tables } from '../../store/tables.js';
import { newId } from '../new-id.js';

/*
 * Writes what attempts came to, many in one statement. An outcome that cannot be written is tried again until the claim lapses: then the
 * delivery is somebody's again, and the listener sees the same id twice.
 */

export interface OutcomeWriter {
  add(outcome: Omit<DeliveryOutcome, 'logId'>): void;
  /** Writes what is left. */
  stop(): Promise<void>;
}

export interface OutcomeWriterOptions {
  readonly database: Kysely<Tables>;
  readonly onProblem: (problem: string, error: unknown) => void;
}

const GATHER_MILLISECONDS = 20;
const AT_ONCE = 500;
const AGAIN_MILLISECONDS = 500;
const ATTEMPTS = 60;

export function createOutcomeWriter({ database, onProblem }: OutcomeWriterOptions): OutcomeWriter {
  let waiting: DeliveryOutcome[] = [];
  let writing: Promise<void> | null = null;
  let stopping = false;

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      if (!stopping) await pause(GATHER_MILLISECONDS);
      const some = waiting.slice(0, AT_ONCE);
      waiting = waiting.slice(AT_ONCE);
      await writeSome(some);
    }
  }

  async function writeSome(some: readonly DeliveryOutcome[]): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await writeOutcomes(database, some);
        return;
      } catch (error) {
        if (attempt === 1) onProblem('outcomes of webhooks could not be written', error);
        if (stopping || attempt >= ATTEMPTS) return;
        await pause(AGAIN_MILLISECONDS);
      }
    }
  }

  function write(): void {
    writing ??= writeAll().finally(() => {
      writing = null;
      if (waiting.length > 0) write();
    });
  }

  return {
    add(outcome) {
      waiting.push({ ...outcome, logId: newId() });
      write();
    },
    async stop() {
      stopping = true;
      while (writing !== null) await writing;
    },
  };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
