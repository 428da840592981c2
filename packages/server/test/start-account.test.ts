import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { firstClosedFolder } from '../src/store/embedded/run-as.js';
import { isRoot } from './embedded-support.js';
import {
  asker,
  cleanUp,
  homeElsewhere,
  keysOf,
  makeDataDirectory,
  processesIn,
  repository,
  start,
  stop,
} from './start-support.js';

/** Nothing here asks about the example, and publishing it takes its time. */
const LEAN = { PENNON_EXAMPLE: 'off' };

describe('the account that starts', { timeout: 120_000 }, () => {
  it.runIf(isRoot)('may be root, with the data directory in a folder that is closed to others', async () => {
    const closed = makeDataDirectory(0o700);
    const dataDirectory = join(closed, 'data');
    onTestFinished(() => cleanUp(dataDirectory));
    const first = start({ dataDirectory, settings: LEAN });
    const address = await first.address();
    const home = homeElsewhere(dataDirectory);
    expect(readFileSync(join(home ?? '', 'belongs-to'), 'utf8')).toBe(`${join(dataDirectory, 'postgres')}\n`);
    const customer = '/api/v1/environments/production/customers/acme';
    const made = await asker(address, keysOf(dataDirectory).admin)('PUT', customer, {
      name: 'Acme',
      reason: 'a test',
    });
    expect(made.status).toBe(201);
    await stop(first, dataDirectory);

    const second = start({ dataDirectory, settings: LEAN });
    const again = asker(await second.address(), keysOf(dataDirectory).admin);
    expect((await again('GET', customer)).body).toMatchObject({ name: 'Acme' });
    expect(homeElsewhere(dataDirectory)).toBe(home);
    await stop(second, dataDirectory);
    expect(processesIn(dataDirectory)).toEqual([]);
  });

  it('may be an ordinary user', async (context) => {
    const user = ordinaryUser();
    if (user === null) return context.skip('`nobody` is not in /etc/passwd, or the clone is closed to it');
    const folder = makeDataDirectory();
    const dataDirectory = join(folder, 'data');
    mkdirSync(dataDirectory);
    chownSync(dataDirectory, user, user);
    chmodSync(dataDirectory, 0o700);
    const started = start({ dataDirectory, uid: user, settings: LEAN });
    const address = await started.address();
    expect((await fetch(`${address}/readyz`)).status).toBe(200);
    expect(statSync(join(dataDirectory, 'postgres', 'data')).uid).toBe(user);
    expect(statSync(join(dataDirectory, 'keys.json')).mode & 0o777).toBe(0o600);
    expect(existsSync(join(dataDirectory, 'postgres', 'home-id'))).toBe(false);
    await stop(started, dataDirectory);
    expect(processesIn(dataDirectory)).toEqual([]);
  });
});

/** Ourselves, or for root an account that has a name and reaches the clone. */
function ordinaryUser(): number | null {
  if (!isRoot) return process.getuid?.() ?? null;
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('nobody:'));
  const [, , uid, gid] = (line ?? '').split(':').map(Number);
  if (uid === undefined || gid === undefined || !(uid > 0)) return null;
  return firstClosedFolder(repository, { uid, gid }) === null ? uid : null;
}
