import { describe, expect, it } from 'vitest';
import { createDatabaseClock } from './clock.js';

function make() {
  const state = { process: 1_000_000, database: 1_000_000, away: false };
  const clock = createDatabaseClock({
    monotonic: () => state.process,
    readDatabaseTime: () =>
      state.away ? Promise.reject(new Error('away')) : Promise.resolve(state.database),
  });
  const pass = (milliseconds: number) => {
    state.process += milliseconds;
    state.database += milliseconds;
  };
  return { state, clock, pass };
}

describe('law 9: the evaluation clock', () => {
  it('is the process clock until the database was asked, then the database clock', async () => {
    const { state, clock } = make();
    expect(clock.now()).toBe(1_000_000);
    state.database = 5_000_000;
    await clock.refresh();
    expect(clock.now()).toBe(5_000_000);
  });

  it('follows a small difference slowly and never runs backwards', async () => {
    const { state, clock, pass } = make();
    await clock.refresh();
    let last = clock.now();
    state.database -= 1000;
    await clock.refresh();
    for (let step = 0; step < 200; step += 1) {
      pass(100);
      const now = clock.now();
      expect(now).toBeGreaterThan(last);
      last = now;
    }
    expect(Math.abs(clock.now() - state.database)).toBeLessThanOrEqual(1);
  });

  it('steps where a clock was wrong by more than seconds', async () => {
    const { state, clock } = make();
    await clock.refresh();
    state.database -= 3_600_000;
    await clock.refresh();
    expect(clock.now()).toBe(state.database);
  });

  it('runs on as it was while the database is away', async () => {
    const { state, clock, pass } = make();
    state.database += 700;
    await clock.refresh();
    state.away = true;
    await expect(clock.refresh()).rejects.toThrow('away');
    pass(50);
    expect(clock.now()).toBe(state.process + 700);
  });

  it('believes the quickest of its comparisons', async () => {
    const state = { process: 0 };
    const delays = [400, 2, 300];
    const clock = createDatabaseClock({
      monotonic: () => state.process,
      readDatabaseTime: () => {
        const delay = delays.shift() ?? 0;
        state.process += delay;
        // The answer was made right before it came back: the slower the way, the more wrong the middle.
        return Promise.resolve(state.process + 10_000);
      },
    });
    await clock.refresh();
    expect(clock.report().offsetMilliseconds).toBeCloseTo(10_001, 0);
  });
});
