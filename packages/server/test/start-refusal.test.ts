import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, existsSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createTestDatabase } from '@pennon/testkit/test-database';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isRoot, mountMemoryDisk } from './embedded-support.js';
import {
  cleanUp,
  databasePid,
  makeDataDirectory,
  processesIn,
  type Started,
  type StartOptions,
  start,
  stop,
  takePort,
} from './start-support.js';

/** Nothing here asks about the example, and publishing it takes its time. */
const LEAN = { PENNON_EXAMPLE: 'off' };

/** What a refused start says: sentences for a person, and nothing of the program's insides before or after them. */
async function refusal(options: StartOptions): Promise<{ text: string; refused: Started }> {
  const refused = start({ ...options, settings: { ...LEAN, ...options.settings } });
  expect(await refused.ended).toBe(1);
  const lines = refused.errors().split('\n');
  const text = lines
    .filter((line) => !line.startsWith('Warning: Node') && !line.includes('"Stopped."'))
    .join('\n');
  expect(text).not.toMatch(/^\s+at |"level"|connection.*lost/m);
  expect(refused.output()).not.toContain('is running at');
  return { text: text.trim(), refused };
}

describe('a start is refused with a sentence', { timeout: 120_000 }, () => {
  it('while another runs on the same directory, which goes on', async () => {
    const dataDirectory = makeDataDirectory();
    const first = start({ dataDirectory, settings: LEAN });
    const address = await first.address();
    const database = databasePid(dataDirectory);

    const second = await refusal({ dataDirectory });
    expect(second.text).toContain(`is in use by process ${first.child.pid}. Stop that Pennon first`);
    expect((await fetch(`${address}/readyz`)).status).toBe(200);
    expect(databasePid(dataDirectory)).toBe(database);

    await stop(first, dataDirectory);
  });

  it('on a taken port, before anything is made; and when it is taken meanwhile, with no database left', async () => {
    const dataDirectory = join(makeDataDirectory(), 'never');
    onTestFinished(() => cleanUp(dataDirectory));
    const { port, release } = await takePort();
    const settings = { ...LEAN, PORT: String(port) };
    const sentence = `The port ${port} of 127.0.0.1 is taken by another program. Stop that one, or choose another port: \`PORT=8081\`.`;
    expect((await refusal({ dataDirectory, settings })).text).toBe(sentence);
    expect(existsSync(dataDirectory)).toBe(false);

    await release();
    const late = refusal({ dataDirectory, settings });
    await expect
      .poll(() => existsSync(join(dataDirectory, 'keys.json')), { interval: 2, timeout: 30_000 })
      .toBe(true);
    const again = await takePort(port);
    expect((await late).text).toBe(sentence);
    expect(databasePid(dataDirectory)).toBeNull();
    expect(processesIn(dataDirectory)).toEqual([]);

    await again.release();
    const started = start({ dataDirectory, settings });
    expect(await started.address()).toBe(`http://127.0.0.1:${port}`);
    await stop(started, dataDirectory);
  });

  it('that names every wrong setting at once and shows no secret, before anything is made', async () => {
    const folder = makeDataDirectory();
    const dataDirectory = join(folder, 'never');
    const settings = {
      PORT: 'abc',
      PENNON_ADMIN_KEY: 'short-and-secret',
      DATABASE_URL: 'mysql://root:hunter2@db/x',
      PENNON_EXAMPLE: 'maybe',
      PENNON_SERVR_KEY: 'x'.repeat(40),
    };
    const { text } = await refusal({ dataDirectory, settings });
    expect(text).toMatch(/^These settings are wrong:\n/);
    for (const name of ['PORT', 'PENNON_ADMIN_KEY', 'DATABASE_URL', 'PENNON_EXAMPLE'])
      expect(text).toContain(`\`${name}\` must`);
    expect(text).toContain('Did you mean `PENNON_SERVER_KEY`?');
    expect(text).not.toMatch(/hunter2|short-and-secret|xxxx/);
    expect(existsSync(dataDirectory)).toBe(false);
  });

  it('when the database of `DATABASE_URL` is away and nothing is on disk, or refuses the account', async () => {
    const { port, release } = await takePort();
    await release();
    const settings = { DATABASE_URL: `postgres://someone:hunter2@127.0.0.1:${port}/pennon` };
    const { text } = await refusal({ dataDirectory: makeDataDirectory(), settings });
    expect(text).toContain(`The database does not answer (connect ECONNREFUSED 127.0.0.1:${port})`);
    expect(text).toContain('`DATABASE_URL`');
    expect(text).not.toContain('hunter2');

    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const wrong = new URL(database.url);
    wrong.password = 'hunter2';
    const locked = await refusal({
      dataDirectory: makeDataDirectory(),
      settings: { DATABASE_URL: wrong.href },
    });
    expect(locked.text).toMatch(
      /^The database refuses: password authentication failed .* Correct `DATABASE_URL`/,
    );
    expect(locked.text).not.toContain('hunter2');
  });
});

describe('a start in a directory that cannot be written', { timeout: 120_000 }, () => {
  it('says so on a disk that is mounted read-only', async (context) => {
    const folder = makeDataDirectory();
    const cannot = mountMemoryDisk(folder, 'ro,mode=755');
    if (cannot !== null) return context.skip(cannot);
    const dataDirectory = join(folder, 'data');
    const { text } = await refusal({ dataDirectory });
    expect(text).toMatch(/^The keys cannot be read from or kept in .* \(the disk is read-only\)/);
    // With every key from the settings there is no file to write, and the database is the one that minds.
    const keys = {
      PENNON_ADMIN_KEY: 'a'.repeat(32),
      PENNON_SERVER_KEY: 'b'.repeat(32),
      PENNON_CLIENT_KEY: 'c'.repeat(32),
    };
    const fixed = await refusal({ dataDirectory, settings: keys });
    expect(fixed.text).toContain('cannot be written, so the embedded database cannot start');
  });

  it.skipIf(isRoot)('says so of a folder that this account may not write', async () => {
    const folder = makeDataDirectory();
    chmodSync(folder, 0o555);
    const { text } = await refusal({ dataDirectory: join(folder, 'data') });
    chmodSync(folder, 0o755);
    expect(text).toContain('(this account may not)');
  });

  it('says so on a full disk, and works when there is room again', async (context) => {
    const folder = makeDataDirectory();
    const cannot = mountMemoryDisk(folder, 'size=200m,mode=755');
    if (cannot !== null) return context.skip(cannot);
    const dataDirectory = join(folder, 'data');
    mkdirSync(dataDirectory, { mode: 0o711 });
    fill(join(folder, 'filler'));
    const { text } = await refusal({ dataDirectory });
    expect(text).toContain('the disk is full');
    rmSync(join(folder, 'filler'));
    const started = start({ dataDirectory, settings: LEAN });
    expect((await fetch(`${await started.address()}/readyz`)).status).toBe(200);
    await stop(started, dataDirectory);

    fill(join(folder, 'filler'));
    const again = await refusal({ dataDirectory });
    expect(again.text).toMatch(/The disk .* is full/);
    rmSync(join(folder, 'filler'));
    const third = start({ dataDirectory, settings: LEAN });
    await third.address();
    await stop(third, dataDirectory);
    cleanUp(dataDirectory);
  });
});

/** The program of util-linux that plays a terminal. */
const TERMINAL = 'script';

/** Writes a file until the disk has no byte left. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (let size = 1024 * 1024; size >= 1; ) {
      try {
        writeSync(file, Buffer.alloc(size));
      } catch {
        size = Math.floor(size / 2);
      }
    }
  } finally {
    closeSync(file);
  }
}

describe('a terminal', { timeout: 120_000 }, () => {
  it('shows the greeting without lines of a log, and says that it stops on Ctrl-C', async (context) => {
    if (!hasScript()) return context.skip('the program `script` that plays a terminal is not there');
    const dataDirectory = makeDataDirectory();
    const command = [TERMINAL, '-qefc', `exec ${process.execPath} tools/start.mjs`, '/dev/null'];
    const started = start({ dataDirectory, command, settings: LEAN });
    await started.address();
    started.child.stdin?.write('\u0003');
    expect(await started.ended).toBe(0);
    expect(databasePid(dataDirectory)).toBeNull();
    expect(started.output()).not.toContain('"level"');
    expect(started.output()).toMatch(/Ctrl-C stops it\.[\s\S]*Stopping: SIGINT\.\s+Stopped\.\s*$/);
  });
});

function hasScript(): boolean {
  try {
    return /util-linux/.test(execFileSync(TERMINAL, ['--version'], { encoding: 'utf8' }));
  } catch {
    return false;
  }
}
