import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

let database: TestDatabase;
let dataDirectory: string;
beforeAll(async () => {
  database = await createTestDatabase();
  dataDirectory = await mkdtemp(join(tmpdir(), 'pennon-start-'));
});
afterAll(async () => {
  await database.drop();
  await rm(dataDirectory, { recursive: true, force: true });
});

interface Started {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly errors: () => string;
  readonly exitCode: Promise<number | null>;
}

/** The whole program, as `npm start` runs it, on the database of this test. */
function start(settings: Record<string, string> = {}): Started {
  const main = import.meta.resolve('@pennon/server/main');
  const script = `import(${JSON.stringify(main)}).then(({ main }) => main()).then((code) => process.exit(code));`;
  const child = spawn(process.execPath, ['-e', script], {
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      DATABASE_URL: database.url,
      PENNON_DATA_DIR: dataDirectory,
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  let errors = '';
  child.stdout.on('data', (part) => {
    output += part;
  });
  child.stderr.on('data', (part) => {
    errors += part;
  });
  const exitCode = new Promise<number | null>((resolve) => child.on('close', resolve));
  return { child, output: () => output, errors: () => errors, exitCode };
}

async function addressOf(started: Started): Promise<string> {
  await expect.poll(() => started.output() || started.errors(), { timeout: 25_000 }).toContain('Ctrl-C');
  return /running at (http:\S+)/.exec(started.output())?.[1] ?? '';
}

async function stop(started: Started): Promise<void> {
  started.child.kill('SIGTERM');
  expect(await started.exitCode).toBe(0);
}

function run(command: string): Promise<string> {
  return new Promise((resolve) => {
    const shell = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    shell.stdout.on('data', (part) => {
      text += part;
    });
    shell.on('close', () => resolve(text));
  });
}

describe('a start', () => {
  it('prints the address, new keys once, and three commands that work when pasted', async () => {
    const first = start();
    const url = await addressOf(first);
    const stored = JSON.parse(await readFile(join(dataDirectory, 'keys.json'), 'utf8'));
    expect(first.output()).toContain(stored.admin);
    const commands = first.output().match(/^ {2}curl .*$/gm) ?? [];
    const [flag, consumed, plan] = await Promise.all(commands.map(run));
    expect(JSON.parse(flag ?? '')).toMatchObject({ key: 'advanced-analytics-v2-ui', variant: 'off' });
    expect(JSON.parse(consumed ?? '')).toMatchObject({ entitlement: { key: 'calling-minutes' } });
    expect(JSON.parse(plan ?? '')).toMatchObject({ key: 'pro', version: 1 });
    expect(first.errors()).not.toContain(stored.admin);

    const path = `${url}/api/v1/products/saleshub/flags/new-navigation`;
    const headers = { authorization: `Bearer ${stored.admin}`, 'if-match': '*' };
    expect((await fetch(`${path}?reason=mine`, { method: 'DELETE', headers })).status).toBeLessThan(500);
    const changed = await fetch(`${path}?reason=mine`, {
      method: 'PATCH',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify({ purpose: 'Changed by a person' }),
    });
    expect(changed.status).toBe(200);
    await stop(first);

    const second = start();
    const again = await addressOf(second);
    expect(second.output()).not.toContain(stored.admin);
    const kept = await fetch(`${again}/api/v1/products/saleshub/flags/new-navigation`, { headers });
    expect(await kept.json()).toMatchObject({ purpose: 'Changed by a person' });
    await stop(second);
  }, 90_000);

  it('with fixed keys writes none, and without the example begins with an empty product', async () => {
    const own = await createTestDatabase();
    onTestFinished(() => own.drop());
    const keys = {
      PENNON_ADMIN_KEY: 'a'.repeat(32),
      PENNON_SERVER_KEY: 'b'.repeat(32),
      PENNON_CLIENT_KEY: 'c'.repeat(32),
    };
    const directory = join(dataDirectory, 'fixed');
    const started = start({
      ...keys,
      DATABASE_URL: own.url,
      PENNON_EXAMPLE: 'off',
      PENNON_PRODUCT: 'shop',
      PENNON_DATA_DIR: directory,
    });
    const url = await addressOf(started);
    const products = await fetch(`${url}/api/v1/products`, {
      headers: { 'x-api-key': keys.PENNON_ADMIN_KEY },
    });
    expect(await products.json()).toMatchObject({ items: [{ key: 'shop', headRevision: 0 }] });
    expect(existsSync(join(directory, 'keys.json'))).toBe(false);
    expect(started.output() + started.errors()).not.toMatch(/a{32}|b{32}|c{32}/);
    await stop(started);
  }, 60_000);

  it('a taken port ends in a sentence that says what to do', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    onTestFinished(() => void holder.close());
    const address = holder.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const started = start({ PORT: String(port) });
    expect(await started.exitCode).toBe(1);
    expect(started.errors()).toContain(`The port ${port} of 127.0.0.1 is taken by another program.`);
    expect(started.errors()).not.toContain('    at ');
  }, 60_000);

  it('wrong settings are named all at once, and nothing is begun', async () => {
    const started = start({ PORT: 'x', PENNON_ADMIN_KEY: 'short', DATABASE_URL: 'nonsense' });
    expect(await started.exitCode).toBe(1);
    for (const name of ['PORT', 'PENNON_ADMIN_KEY', 'DATABASE_URL'])
      expect(started.errors()).toContain(`\`${name}\` must`);
  });
});
