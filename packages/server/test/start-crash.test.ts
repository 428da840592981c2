import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { isPidAlive } from '../src/store/embedded/process-identity.js';
import { startLoad } from './start-load.js';
import { asker, databasePid, keysOf, makeDataDirectory, processesIn, start, stop } from './start-support.js';

describe('under a load of consumes and publishes', { timeout: 180_000 }, () => {
  it('kill -9 of the server leaves an orphaned database, which the next start replaces; the counts are right', async () => {
    const dataDirectory = makeDataDirectory();
    const first = start({ dataDirectory });
    const load = await startLoad(await first.address(), keysOf(dataDirectory));
    await load.running(50);
    const orphan = databasePid(dataDirectory) ?? 0;
    first.child.kill('SIGKILL');
    expect(await first.ended).toBe('SIGKILL');
    await load.stop();
    expect(isPidAlive(orphan)).toBe(true);

    const second = start({ dataDirectory });
    const address = await second.address();
    expect(isPidAlive(orphan)).toBe(false);
    expect(second.errors()).toContain(`The database ${orphan} has lost its supervisor`);
    await load.expectKept(address);
    await stop(second, dataDirectory);
    expect(processesIn(dataDirectory)).toEqual([]);
  });

  it('kill -9 of the database: evaluation goes on, the database comes back, consume answers again, the counts are right', async () => {
    const dataDirectory = makeDataDirectory();
    const started = start({ dataDirectory });
    const address = await started.address();
    const keys = keysOf(dataDirectory);
    const load = await startLoad(address, keys);
    await load.running(50);
    const evaluate = () =>
      asker(address, keys.server)('POST', '/ofrep/v1/evaluate/flags/new-navigation', {
        context: { targetingKey: 'loaded' },
      });

    let asked = 0;
    let watching = true;
    const evaluation = (async () => {
      for (; watching; asked += 1) {
        expect((await evaluate()).status).toBe(200);
        await sleep(5);
      }
    })();
    const killed = databasePid(dataDirectory) ?? 0;
    process.kill(killed, 'SIGKILL');
    await expect.poll(() => databasePid(dataDirectory) ?? killed, { timeout: 20_000 }).not.toBe(killed);
    const before = load.acknowledged();
    await expect.poll(() => load.acknowledged(), { timeout: 10_000 }).toBeGreaterThan(before + 20);
    watching = false;
    await evaluation;
    expect(asked).toBeGreaterThan(20);
    await load.stop();
    expect(started.errors()).toContain('has ended (SIGKILL); it is started again.');
    await load.expectKept(address);
    const { body } = await asker(address, keys.admin)('GET', '/readyz');
    expect(body).toMatchObject({ ready: true, databaseReachable: true });
    await stop(started, dataDirectory);
    expect(readFileSync(join(dataDirectory, 'postgres', 'postgres.log'), 'utf8')).toContain(
      'database system was not properly shut down',
    );
  });
});
