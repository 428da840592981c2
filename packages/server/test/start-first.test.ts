import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  asker,
  databasePid,
  keysOf,
  makeDataDirectory,
  paste,
  processesIn,
  start,
  stop,
} from './start-support.js';

const consume = { context: { targetingKey: 'acme' }, key: 'calling-minutes', amount: 7 };
const license = { product: 'saleshub', plan: 'pro', planVersion: 0, kind: 'paid', reason: 'signed up' };

describe('the first start', { timeout: 120_000 }, () => {
  it('prints the address, new keys once and commands that answer; the next one keeps everything and prints no key', async () => {
    const dataDirectory = makeDataDirectory();
    const first = start({ dataDirectory });
    const address = await first.address();
    const keys = keysOf(dataDirectory);
    const file = join(dataDirectory, 'keys.json');
    expect(first.output()).toContain(`Keys are kept in ${file}`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    for (const key of Object.values(keys)) {
      expect(first.output()).toContain(key);
      expect(first.errors()).not.toContain(key);
    }

    const commands = first.output().match(/^ {2}curl .*$/gm) ?? [];
    const answers = (await Promise.all(commands.map(paste))).map((text) => JSON.parse(text) as unknown);
    expect(answers).toMatchObject([
      { key: 'advanced-analytics-v2-ui', reason: expect.any(String) },
      { entitlement: { key: 'calling-minutes' } },
      { key: 'pro', version: 1 },
    ]);

    const [admin, server] = [asker(address, keys.admin), asker(address, keys.server)];
    const customer = '/api/v1/environments/production/customers/acme';
    expect((await admin('PUT', customer, { name: 'Acme', reason: 'first customer' })).status).toBe(201);
    expect((await admin('POST', `${customer}/licenses`, license)).status).toBe(201);
    const spent = await server('POST', '/oep/v1/consume', consume, { 'idempotency-key': 'call-1' });
    expect(spent.body).toMatchObject({ consumed: 7 });
    await stop(first, dataDirectory);
    expect(processesIn(dataDirectory)).toEqual([]);

    const second = start({ dataDirectory });
    const again = await second.address();
    for (const key of Object.values(keys)) expect(second.output() + second.errors()).not.toContain(key);
    expect(keysOf(dataDirectory)).toEqual(keys);
    expect((await asker(again, keys.admin)('GET', customer)).body).toMatchObject({
      key: 'acme',
      name: 'Acme',
    });
    const question = { context: { targetingKey: 'acme' } };
    const left = await asker(again, keys.server)(
      'POST',
      '/oep/v1/evaluate/entitlements/calling-minutes',
      question,
    );
    expect(left.body).toMatchObject({ usage: 7 });
    await stop(second, dataDirectory);
  });

  it('works as `npm start`, and Ctrl-C ends npm and all that it started with 0', async () => {
    const dataDirectory = makeDataDirectory();
    const npm = start({ dataDirectory, command: ['npm', 'start'] });
    const address = await npm.address();
    expect((await fetch(`${address}/readyz`)).status).toBe(200);
    expect(databasePid(dataDirectory)).not.toBeNull();
    process.kill(-(npm.child.pid ?? 0), 'SIGINT');
    expect(await npm.ended, npm.errors()).toBe(0);
    expect(processesIn(dataDirectory)).toEqual([]);
    await expect(fetch(`${address}/readyz`)).rejects.toThrow();
  });
});
