import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { isDatabaseUnavailable } from '../../store/database-error.js';
import { claimMove, holdMove, noteFault, releaseMove, takeItems } from '../../store/plan-move-rows.js';
import { applyBatch, BATCH, failItem, undoBatch } from './plan-move-apply.js';
import { type PlanMoveServices, previewPage } from './plan-move-preview.js';
import type { PlanMoveRow } from './plan-move-record.js';

/*
 * Works on moves under a lease: whichever process finds one without a living process at it. Nothing is held between two transactions but
 * the row's lease, so that kill -9 costs at most its length.
 */

export interface PlanMoveRunner {
  start(): void;
  /** There may be something to do: look now. */
  wake(): void;
  /** Ends after the transaction under way; another process goes on at once. */
  stop(): Promise<void>;
}

export interface PlanMoveRunnerOptions {
  readonly services: PlanMoveServices;
  readonly onProblem: (problem: string, error: unknown) => void;
  readonly pollMilliseconds?: number;
}

const POLL_MILLISECONDS = 2000;

export function createPlanMoveRunner(options: PlanMoveRunnerOptions): PlanMoveRunner {
  const { services, onProblem, pollMilliseconds = POLL_MILLISECONDS } = options;
  const holder = randomUUID();
  let stopping = false;
  let wakeUp: (() => void) | null = null;
  let running: Promise<void> | null = null;

  async function sleep(): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pollMilliseconds);
      timer.unref();
      wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    wakeUp = null;
  }

  async function work(move: PlanMoveRow): Promise<void> {
    try {
      let current: PlanMoveRow | null = move;
      while (current !== null && !stopping) current = await step(services, holder, current);
    } finally {
      await releaseMove(services.database, holder, move.id);
    }
  }

  async function loop(): Promise<void> {
    while (!stopping) {
      let move: PlanMoveRow | null = null;
      try {
        move = await claimMove(services.database, holder);
        if (move !== null) await work(move);
      } catch (error) {
        if (!isDatabaseUnavailable(error)) onProblem('a plan move could not go on; it is tried again', error);
        if (move !== null) {
          const message = error instanceof Error ? error.message : String(error);
          await noteFault(services.database, move.id, message).catch(() => undefined);
        }
        move = null;
      }
      if (move === null && !stopping) await sleep();
    }
  }

  return {
    start() {
      running ??= loop();
    },
    wake() {
      wakeUp?.();
    },
    async stop() {
      stopping = true;
      wakeUp?.();
      await running;
    },
  };
}

/** One transaction of work. `null`: nothing is left, or it is another's now. */
async function step(
  services: PlanMoveServices,
  holder: string,
  move: PlanMoveRow,
): Promise<PlanMoveRow | null> {
  switch (move.status) {
    case 'previewing': {
      const after = await previewPage(services, holder, move);
      return after?.status === 'previewing' ? after : null;
    }
    case 'running': {
      const done = await applyOrFail(services, holder, move);
      if (done === 0) await finish(services, holder, move, 'finished');
      return done === null || done === 0 ? null : move;
    }
    case 'undoing': {
      const done = await undoBatch(services, holder, move);
      if (done === 0) await finish(services, holder, move, 'undone');
      return done === null || done === 0 ? null : move;
    }
    case 'draft':
    case 'finished':
    case 'undone':
    case 'discarded':
      return null;
  }
}

/** A batch that cannot be written is gone through one by one, and what brings it down is failed with its reason. */
async function applyOrFail(
  services: PlanMoveServices,
  holder: string,
  move: PlanMoveRow,
): Promise<number | null> {
  try {
    return await applyBatch(services, holder, move);
  } catch (error) {
    if (isDatabaseUnavailable(error)) throw error;
  }
  for (let index = 0; index < BATCH; index += 1) {
    try {
      const done = await applyBatch(services, holder, move, 1);
      if (done === null || done === 0) return done;
    } catch (error) {
      if (isDatabaseUnavailable(error)) throw error;
      await failItem(services, holder, move, error instanceof Error ? error.message : String(error));
    }
  }
  return BATCH;
}

/** Under the move's lock: a retry that came after the last look has put items back, and then it is not over. */
async function finish(
  services: PlanMoveServices,
  holder: string,
  move: PlanMoveRow,
  status: 'finished' | 'undone',
): Promise<void> {
  await services.database.transaction().execute(async (transaction) => {
    if ((await holdMove(transaction, holder, move)) === null) return;
    if ((await takeItems(transaction, move.id, 'selected', 1)).length > 0) return;
    await sql`update plan_move set status = ${status}, finished_at = clock_timestamp(), fault = null
      where id = ${move.id}`.execute(transaction);
  });
}
