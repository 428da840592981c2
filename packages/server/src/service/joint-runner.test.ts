import { describe, expect, it } from 'vitest';
import { createJointRunner } from './joint-runner.js';

interface Batch {
  readonly name: string;
  readonly deadline: number;
}

/** Each run ends when the test says so. */
function runnerOf(options: { places?: number; maximumTogether?: number; now?: () => number } = {}) {
  const runs: { readonly names: readonly string[]; end(error?: Error): void }[] = [];
  const runner = createJointRunner<Batch, string>({
    places: options.places ?? 1,
    maximumTogether: options.maximumTogether ?? 100,
    run: (batches) =>
      new Promise((resolve, reject) => {
        const names = batches.map(({ name }) => name);
        runs.push({
          names,
          end: (error) => (error === undefined ? resolve(names.map((name) => `${name}!`)) : reject(error)),
        });
      }),
    deadlineOf: ({ deadline }) => deadline,
    refuseLate: () => new Error('too late'),
    clock: { now: options.now ?? (() => 0) },
  });
  return { runs, submit: (name: string, group = 'one') => runner.submit(group, { name, deadline: 10 }) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('joint runner', () => {
  it('X-5 begins at once where a place is free, with all who come in the same turn', async () => {
    const { runs, submit } = runnerOf();
    const answers = ['a', 'b'].map((name) => submit(name));
    await turn();
    expect(runs.map(({ names }) => names)).toEqual([['a', 'b']]);
    runs[0]?.end();
    expect(await Promise.all(answers)).toEqual(['a!', 'b!']);
  });

  it('lets those who come while all places are taken go together, each with its own answer', async () => {
    const { runs, submit } = runnerOf({ places: 2 });
    const early = submit('a');
    await turn();
    const second = submit('b');
    await turn();
    const late = ['c', 'd', 'e'].map((name) => submit(name));
    await turn();
    expect(runs.map(({ names }) => names)).toEqual([['a'], ['b']]);
    runs[1]?.end();
    expect(await second).toBe('b!');
    await turn();
    expect(runs.at(-1)?.names).toEqual(['c', 'd', 'e']);
    runs[2]?.end();
    expect(await Promise.all(late)).toEqual(['c!', 'd!', 'e!']);
    runs[0]?.end();
    expect(await early).toBe('a!');
  });

  it('takes no more than may go together, one group at a time, and lets none wait behind another for ever', async () => {
    const { runs, submit } = runnerOf({ maximumTogether: 2 });
    const first = submit('first');
    await turn();
    const waiting = [submit('a1', 'A'), submit('a2', 'A'), submit('a3', 'A'), submit('b1', 'B')];
    const order: (readonly string[] | undefined)[] = [];
    for (let run = 0; run < 4; run += 1) {
      order.push(runs[run]?.names);
      runs[run]?.end();
      await turn();
    }
    expect(order).toEqual([['first'], ['a1', 'a2'], ['b1'], ['a3']]);
    expect(await Promise.all([first, ...waiting])).toEqual(['first!', 'a1!', 'a2!', 'a3!', 'b1!']);
  });

  it('refuses what is too late without trying it, and goes on after a run that failed', async () => {
    let now = 0;
    const { runs, submit } = runnerOf({ now: () => now });
    const failed = submit('a');
    await turn();
    const late = submit('b');
    now = 11;
    runs[0]?.end(new Error('away'));
    await expect(failed).rejects.toThrow('away');
    await expect(late).rejects.toThrow('too late');
    expect(runs).toHaveLength(1);
    now = 0;
    const next = submit('c');
    await turn();
    runs[1]?.end();
    expect(await next).toBe('c!');
  });
});
