import type { TurnClock } from './turn-clock.js';

/**
 * What is ready to be decided together. With a place free, whoever comes is begun at once; while all places are taken, those who come
 * wait and go into the next one together. Nothing is held where nobody waits, not even a timer.
 */
export interface JointRunner<Batch, Result> {
  /** @param groupKey only batches with the same one go together */
  submit(groupKey: string, batch: Batch): Promise<Result>;
}

export interface JointRunnerOptions<Batch, Result> {
  /** So many are under way at a time. */
  readonly places: number;
  readonly maximumTogether: number;
  /** One result for each batch, in their order. */
  readonly run: (batches: readonly Batch[]) => Promise<readonly Result[]>;
  /** Once a batch's time has come nothing is tried any more. */
  readonly deadlineOf: (batch: Batch) => number;
  readonly refuseLate: () => unknown;
  readonly clock: Pick<TurnClock, 'now'>;
}

interface Waiting<Batch, Result> {
  readonly batch: Batch;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export function createJointRunner<Batch, Result>(
  options: JointRunnerOptions<Batch, Result>,
): JointRunner<Batch, Result> {
  const groups = new Map<string, Waiting<Batch, Result>[]>();
  let underWay = 0;

  /** The group that waits longest; what is left of it waits behind the others. */
  function take(): readonly Waiting<Batch, Result>[] {
    for (const [groupKey, waiting] of groups) {
      groups.delete(groupKey);
      const taken = waiting.splice(0, options.maximumTogether);
      if (waiting.length > 0) groups.set(groupKey, waiting);
      const now = options.clock.now();
      const inTime = taken.filter(({ batch }) => options.deadlineOf(batch) > now);
      for (const { batch, reject } of taken) {
        if (options.deadlineOf(batch) <= now) reject(options.refuseLate());
      }
      if (inTime.length > 0) return inTime;
    }
    return [];
  }

  async function work(): Promise<void> {
    underWay += 1;
    // Who comes in the same turn of the event loop goes along.
    await Promise.resolve();
    for (let taken = take(); taken.length > 0; taken = take()) {
      await runOnce(taken);
    }
    underWay -= 1;
  }

  async function runOnce(taken: readonly Waiting<Batch, Result>[]): Promise<void> {
    try {
      const results = await options.run(taken.map(({ batch }) => batch));
      for (const [place, { resolve, reject }] of taken.entries()) {
        const result = results[place];
        if (result === undefined) reject(new Error('A batch was lost on its way.'));
        else resolve(result);
      }
    } catch (error) {
      for (const { reject } of taken) reject(error);
    }
  }

  return {
    submit(groupKey, batch) {
      return new Promise((resolve, reject) => {
        const waiting = groups.get(groupKey);
        if (waiting === undefined) groups.set(groupKey, [{ batch, resolve, reject }]);
        else waiting.push({ batch, resolve, reject });
        if (underWay < options.places) void work();
      });
    },
  };
}
