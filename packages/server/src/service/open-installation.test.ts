import { describe, expect, it } from 'vitest';
import { createInstallation, NothingToServeError } from './open-installation.js';

class Away extends Error {
  readonly starting: boolean;

  constructor(starting: boolean) {
    super('away');
    this.starting = starting;
  }
}

function installationOf(migrate: () => Promise<unknown>, onDisk = false) {
  const nothing = async (): Promise<void> => undefined;
  return createInstallation({
    migrate,
    seed: nothing,
    clock: { refresh: nothing, start: () => undefined, stop: () => undefined, now: () => 0 } as never,
    directory: { load: nothing, loadFromDisk: async () => onDisk } as never,
    keys: { load: nothing, loadFromDisk: nothing } as never,
    snapshots: {
      loadAll: nothing,
      startChecking: () => undefined,
      startFromDisk: async () => (onDisk ? 1 : 0),
    } as never,
    feed: { start: nothing },
    isUnavailable: (error) => error instanceof Away,
    isStarting: (error) => error instanceof Away && error.starting,
    onProblem: () => undefined,
  });
}

describe('a start', () => {
  it('law 1: waits for a database that says that it is starting, where there is nothing on disk', async () => {
    let asked = 0;
    const installation = installationOf(async () => {
      asked += 1;
      if (asked < 4) throw new Away(true);
    });
    await installation.open();
    expect([asked, installation.source()]).toEqual([4, 'database']);
    installation.close();
  });

  it('law 1: does not wait for it where there is something on disk to answer from', async () => {
    const installation = installationOf(() => Promise.reject(new Away(true)), true);
    await installation.open();
    expect(installation.source()).toBe('disk');
    installation.close();
  });

  it('ends where the database does not answer at all, and at once where waiting would not help', async () => {
    const away = installationOf(() => Promise.reject(new Away(false)));
    await expect(away.open()).rejects.toBeInstanceOf(NothingToServeError);
    const wrong = installationOf(() => Promise.reject(new Error('A schema of a newer Pennon.')));
    await expect(wrong.open()).rejects.toThrow('newer');
  });
});
