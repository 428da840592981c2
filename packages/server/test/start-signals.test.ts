import { describe, expect, it } from 'vitest';
import { startLoad } from './start-load.js';
import {
  databasePid,
  keysOf,
  makeDataDirectory,
  processesIn,
  type Started,
  start,
  stop,
} from './start-support.js';

interface Ending {
  readonly name: string;
  readonly command: readonly string[];
  /** How the start is ended, under load. */
  readonly end: (started: Started) => void;
  /** Exit code of what was started, or its signal. */
  readonly outcome: number | NodeJS.Signals;
  readonly why: string;
}

const DIRECTLY = [process.execPath, 'tools/start.mjs'];
const BY_NPM = ['npm', 'start'];

const ENDINGS: readonly Ending[] = [
  {
    name: 'SIGTERM',
    command: DIRECTLY,
    end: ({ child }) => void child.kill('SIGTERM'),
    outcome: 0,
    why: 'Stopping: SIGTERM.',
  },
  {
    name: 'SIGINT to the whole group, as Ctrl-C sends it, also twice',
    command: BY_NPM,
    end: ({ child }) => {
      process.kill(-(child.pid ?? 0), 'SIGINT');
      setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGINT'), 50);
    },
    outcome: 0,
    why: 'Stopping: SIGINT.',
  },
  {
    name: 'kill -9 of the npm that started it',
    command: BY_NPM,
    end: ({ child }) => void child.kill('SIGKILL'),
    outcome: 'SIGKILL',
    why: 'Stopping: the process that started this one has ended.',
  },
];

describe('under a load of consumes and publishes', { timeout: 180_000 }, () => {
  it.each(ENDINGS)(
    '$name drains: nothing acknowledged is lost, nothing is half-done, no database is left',
    async (ending) => {
      const dataDirectory = makeDataDirectory();
      const first = start({ dataDirectory, command: ending.command });
      const load = await startLoad(await first.address(), keysOf(dataDirectory));
      await load.running(50);
      ending.end(first);
      expect(await first.ended, first.errors()).toBe(ending.outcome);
      await load.stop();
      expect(first.errors()).toContain(ending.why);
      expect(first.errors()).toContain('Stopped.');
      expect(first.errors()).not.toMatch(/"level":"(warn|error|fatal)"/);
      expect(databasePid(dataDirectory)).toBeNull();
      expect(processesIn(dataDirectory)).toEqual([]);

      const second = start({ dataDirectory });
      await load.expectKept(await second.address());
      await stop(second, dataDirectory);
    },
  );
});
