import { describe, expect, it } from 'vitest';
import { createConsumeBatcher, type Settlement } from './consume-batcher.js';

function answers(requests: readonly number[]): readonly Settlement<number>[] {
  return requests.map((request) => ({ ok: true, answer: request * 2 }));
}

function batcherOf(
  run: (requests: readonly number[], deadline: number) => Promise<readonly Settlement<number>[]>,
  options: { maximumBatch?: number; maximumQueue?: number; deadlineMilliseconds?: number } = {},
) {
  return createConsumeBatcher<number, number>({
    run,
    together: (first, other) => first % 2 === other % 2,
    isAwaited: () => false,
    maximumBatch: options.maximumBatch ?? 256,
    maximumQueue: options.maximumQueue ?? 2000,
    deadlineMilliseconds: options.deadlineMilliseconds ?? 1000,
    refuse: (why) => new Error(why),
  });
}

/** Batches of two that say at once that they are sent, and whose outcome is known when the test says so. */
function followingBatcher(
  onOutcome: (name: string) => void = () => undefined,
  isSent: (name: string) => boolean = () => true,
  isAwaited: (name: string) => boolean = () => false,
) {
  const log: string[] = [];
  const outcomes: (() => void)[] = [];
  const batcher = createConsumeBatcher<number, number, string>({
    run: async (requests, _deadline, { behind, isUnderWay, onSent }) => {
      const name = String(requests[0]);
      log.push(`${name} behind ${behind}${isUnderWay ? ', under way' : ''}`);
      if (isSent(name)) onSent(name);
      await new Promise<void>((resolve) => outcomes.push(resolve));
      log.push(`${name} done`);
      onOutcome(name);
      return answers(requests);
    },
    together: () => true,
    isAwaited,
    maximumBatch: 2,
    maximumQueue: 100,
    deadlineMilliseconds: 1000,
    refuse: (why) => new Error(why),
  });
  return {
    ...{ batcher, log },
    followed: () => log.filter((line) => line.includes('behind')),
    /** `false`: nothing is under way. */
    async settleNext(): Promise<boolean> {
      const outcome = outcomes.shift();
      outcome?.();
      await pause(1);
      return outcome !== undefined;
    },
  };
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe('consume batcher', () => {
  it('X-5 gives each caller its own answer, in order of arrival, one transaction at a time', async () => {
    let inFlight = 0;
    let most = 0;
    const batches: number[][] = [];
    const batcher = batcherOf(async (requests) => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      batches.push([...requests]);
      await pause(2);
      inFlight -= 1;
      return answers(requests);
    });
    const requests = Array.from({ length: 600 }, (_, index) => index * 2);
    const result = await Promise.all(requests.map((request) => batcher.submit('acme', request)));
    expect(result).toEqual(requests.map((request) => request * 2));
    expect(most).toBe(1);
    expect(batches.flat()).toEqual(requests);
    expect(batches.every((batch) => batch.length <= 256)).toBe(true);
    expect(batcher.report()).toEqual({ lanes: 0, waiting: 0 });
  });

  it('keeps customers apart and puts into one batch only what may be together', async () => {
    const batches: number[][] = [];
    const batcher = batcherOf(async (requests) => {
      batches.push([...requests]);
      return answers(requests);
    });
    await Promise.all([1, 2, 3, 4].map((request) => batcher.submit('acme', request)));
    await batcher.submit('globex', 5);
    expect(batches).toEqual([[1, 3], [2, 4], [5]]);
  });

  it('refuses at once when the queue is full, and says so', async () => {
    const batcher = batcherOf(
      async (requests) => {
        await pause(5);
        return answers(requests);
      },
      { maximumQueue: 2, maximumBatch: 1 },
    );
    const first = batcher.submit('acme', 2);
    await Promise.resolve();
    await Promise.resolve();
    const settled = await Promise.allSettled([
      first,
      ...[4, 6, 8, 10].map((request) => batcher.submit('acme', request)),
    ]);
    const refused = settled.filter((one) => one.status === 'rejected');
    expect(refused.length).toBeGreaterThanOrEqual(1);
    for (const one of refused) {
      expect(String(one.reason)).toContain('queue-full');
    }
  });

  it('tells everyone at the deadline when the store hangs, and never starts a second batch meanwhile', async () => {
    let started = 0;
    let release: () => void = () => undefined;
    const batcher = batcherOf(
      (requests) => {
        started += 1;
        return new Promise((resolve) => {
          release = () => resolve(answers(requests));
        });
      },
      { deadlineMilliseconds: 30 },
    );
    const inBatch = batcher.submit('acme', 2);
    await pause(5);
    const waiting = batcher.submit('acme', 4);
    const [one, two] = await Promise.allSettled([inBatch, waiting]);
    expect(one).toMatchObject({ status: 'rejected', reason: { message: 'deadline' } });
    expect(two).toMatchObject({ status: 'rejected', reason: { message: 'deadline' } });
    expect(started).toBe(1);
    release();
    await pause(2);
    const again = batcher.submit('acme', 6);
    await pause(2);
    release();
    expect(await again).toBe(12);
  });

  it('hands a fault of the store to everyone in the batch and goes on with the next', async () => {
    let calls = 0;
    const batcher = batcherOf(async (requests) => {
      calls += 1;
      if (calls === 1) {
        throw new Error('away');
      }
      return answers(requests);
    });
    const settled = await Promise.allSettled([1, 2].map((request) => batcher.submit('acme', request)));
    expect(settled[0]).toMatchObject({ status: 'rejected', reason: { message: 'away' } });
    expect(settled[1]).toMatchObject({ status: 'fulfilled', value: 4 });
  });

  it('has the next batch at the store before all callers of the one before are told, and tells each of them', async () => {
    let told = 0;
    const toldAtStart: number[] = [];
    const batcher = batcherOf(
      async (requests) => {
        toldAtStart.push(told);
        await pause(1);
        return answers(requests);
      },
      { maximumBatch: 100 },
    );
    const call = async (request: number): Promise<number> => {
      const answer = await batcher.submit('acme', request);
      told += 1;
      return answer;
    };
    const requests = Array.from({ length: 300 }, (_, index) => index * 2);
    const result = await Promise.all(requests.map(call));
    expect(result).toEqual(requests.map((request) => request * 2));
    expect(toldAtStart[0]).toBe(0);
    expect(toldAtStart[1]).toBeLessThan(100);
    expect(toldAtStart).toHaveLength(3);
    expect(batcher.report()).toEqual({ lanes: 0, waiting: 0 });
  });

  it('lets the first half of a batch come back while the other half is told', async () => {
    const sizes: number[] = [];
    const batcher = batcherOf(async (requests) => {
      sizes.push(requests.length);
      await pause(1);
      return answers(requests);
    });
    const caller = async (first: number): Promise<void> => {
      for (let call = 0; call < 5; call += 1) {
        expect(await batcher.submit('acme', first + 2 * call)).toBe((first + 2 * call) * 2);
      }
    };
    await Promise.all(Array.from({ length: 64 }, (_, index) => caller(index * 10)));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(320);
    expect(sizes.slice(0, 3)).toEqual([64, 32, 32]);
    await batcher.drain();
  });

  it('sends a batch behind one whose outcome is not known yet once the callers before that one are told, and tells each caller what its own batch said', async () => {
    const { batcher, log, followed, settleNext } = followingBatcher((name) => {
      if (name === '4') throw new Error('not committed');
    });
    const calls = Promise.allSettled(
      Array.from({ length: 22 }, (_, index) => batcher.submit('acme', index * 2)),
    );
    await pause(5);
    expect(log).toEqual(['0 behind null', '4 behind 0, under way']);
    while (await settleNext());
    expect(followed()).toEqual([
      ...['0 behind null', '4 behind 0, under way', '8 behind 4, under way', '12 behind 8, under way'],
      ...['16 behind 12, under way', '20 behind 16, under way', '24 behind 20, under way'],
      ...['28 behind 24, under way', '32 behind 28, under way', '36 behind 32, under way'],
      '40 behind 36, under way',
    ]);
    expect(log.indexOf('0 done')).toBeLessThan(log.indexOf('8 behind 4, under way'));
    expect(log.indexOf('8 behind 4, under way')).toBeLessThan(log.indexOf('4 done'));
    const settled = await calls;
    expect(
      settled.map((one) => (one.status === 'fulfilled' ? one.value : String(one.reason.message))),
    ).toEqual(
      Array.from({ length: 22 }, (_, index) => (index === 2 || index === 3 ? 'not committed' : index * 4)),
    );
    await batcher.drain();
    expect(batcher.report()).toEqual({ lanes: 0, waiting: 0 });
  });

  it('lets another process come first that waits for the customer, and goes on a moment after that', async () => {
    const { batcher, log, settleNext } = followingBatcher(undefined, undefined, (name) => name === '4');
    const calls = Array.from({ length: 12 }, (_, index) => batcher.submit('acme', index * 2));
    await pause(2);
    // It is known with the outcome of `4`, when `8` is on its way.
    for (let batch = 0; batch < 3; batch += 1) await settleNext();
    const doneAt = performance.now();
    while (!log.includes('12 behind 8')) await pause(1);
    expect(performance.now() - doneAt).toBeGreaterThan(2);
    while (await settleNext());
    await Promise.all(calls);
    expect(log).toEqual([
      ...['0 behind null', '4 behind 0, under way', '0 done', '8 behind 4, under way', '4 done', '8 done'],
      ...[
        '12 behind 8',
        '16 behind 12, under way',
        '12 done',
        '20 behind 16, under way',
        '16 done',
        '20 done',
      ],
    ]);
    await batcher.drain();
  });

  it('still knows the batch before when its outcome is known, and no longer when the lane fell idle', async () => {
    const { batcher, followed, settleNext } = followingBatcher();
    const comesBack = batcher.submit('acme', 0).then(() => batcher.submit('acme', 4));
    const other = batcher.submit('acme', 2);
    await pause(2);
    while (await settleNext());
    expect(await Promise.all([comesBack, other])).toEqual([8, 4]);
    const later = batcher.submit('acme', 6);
    await pause(2);
    while (await settleNext());
    expect(await later).toBe(12);
    expect(followed()).toEqual(['0 behind null', '4 behind 0', '6 behind null']);
  });

  it('has nothing behind a batch that sent nothing', async () => {
    const { batcher, followed, settleNext } = followingBatcher(
      () => undefined,
      (name) => name !== '4',
    );
    const calls = Promise.all(Array.from({ length: 8 }, (_, index) => batcher.submit('acme', index * 2)));
    await pause(2);
    while (await settleNext());
    await calls;
    expect(followed()).toEqual([
      '0 behind null',
      '4 behind 0, under way',
      '8 behind null',
      '12 behind 8, under way',
    ]);
  });

  it('drains: what was accepted is answered, what comes later is refused', async () => {
    const batcher = batcherOf(async (requests) => {
      await pause(5);
      return answers(requests);
    });
    const accepted = batcher.submit('acme', 2);
    const drained = batcher.drain();
    await expect(batcher.submit('acme', 4)).rejects.toThrow('closed');
    expect(await accepted).toBe(4);
    await drained;
  });
});
