import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { keepEmbeddedDatabase } from '../src/store/embedded/keep-embedded-database.js';
import { type Answer, asker, keysOf, makeDataDirectory, start, stop } from './start-support.js';

const FIXED = {
  PENNON_ADMIN_KEY: 'admin'.repeat(7),
  PENNON_SERVER_KEY: 'server'.repeat(6),
  PENNON_CLIENT_KEY: 'client'.repeat(6),
};

describe('settings', { timeout: 120_000 }, () => {
  it('fixed keys work, are written nowhere and are not printed; without the example an empty product is there', async () => {
    const dataDirectory = makeDataDirectory();
    const started = start({ dataDirectory, settings: { ...FIXED, PENNON_EXAMPLE: 'off' } });
    const address = await started.address();
    const products = await asker(address, FIXED.PENNON_ADMIN_KEY)('GET', '/api/v1/products');
    expect(products.body).toMatchObject({ items: [{ key: 'default', headRevision: 0 }] });
    const flags = await asker(address, FIXED.PENNON_SERVER_KEY)('POST', '/ofrep/v1/evaluate/flags', {
      context: { targetingKey: 'acme' },
    });
    expect(flags).toMatchObject({ status: 200, body: { flags: [] } });
    expect(existsSync(join(dataDirectory, 'keys.json'))).toBe(false);
    const said = started.output() + started.errors();
    for (const key of Object.values(FIXED)) expect(said).not.toContain(key);
    expect(started.output()).toContain(
      'Keys from the settings: PENNON_ADMIN_KEY, PENNON_SERVER_KEY, PENNON_CLIENT_KEY.',
    );
    await stop(started, dataDirectory);
  });

  it('only the keys that the settings leave out are made and kept', async () => {
    const dataDirectory = makeDataDirectory();
    const { PENNON_ADMIN_KEY } = FIXED;
    const started = start({ dataDirectory, settings: { PENNON_ADMIN_KEY, PENNON_EXAMPLE: 'off' } });
    const address = await started.address();
    expect(Object.keys(keysOf(dataDirectory)).sort()).toEqual(['client', 'server']);
    expect((await asker(address, PENNON_ADMIN_KEY)('GET', '/api/v1/products')).status).toBe(200);
    await stop(started, dataDirectory);
  });
});

describe('with `DATABASE_URL`', { timeout: 120_000 }, () => {
  it('law 1 starts from disk while the database is away, answers, says so, and goes over to the database when it is back', async () => {
    const dataDirectory = makeDataDirectory();
    const elsewhere = makeDataDirectory();
    const options = { directory: join(elsewhere, 'postgres'), fast: true };
    const database = await keepEmbeddedDatabase(options);
    const settings = { DATABASE_URL: database.url() };
    const first = start({ dataDirectory, settings });
    const evaluate = async (address: string): Promise<Answer> =>
      asker(address, keysOf(dataDirectory).server)('POST', '/ofrep/v1/evaluate/flags/new-navigation', {
        context: { targetingKey: 'acme' },
      });
    const known = await evaluate(await first.address());
    expect(known).toMatchObject({ status: 200, body: { value: true } });
    await stop(first, dataDirectory);
    await database.stop();

    const second = start({ dataDirectory, settings });
    const address = await second.address();
    expect((await evaluate(address)).body).toMatchObject({ value: true });
    const ready = await fetch(`${address}/readyz`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toMatchObject({
      ready: true,
      databaseReachable: false,
      problems: expect.arrayContaining([expect.stringContaining('The database does not answer')]),
    });
    const consume = asker(address, keysOf(dataDirectory).server);
    const body = { context: { targetingKey: 'acme' }, key: 'calling-minutes', amount: 1 };
    const refused = await consume('POST', '/oep/v1/consume', body, { 'idempotency-key': 'away' });
    expect(refused.status).toBe(503);

    const port = Number(new URL(database.url()).port);
    const { startEmbeddedDatabase } = await import('../src/store/embedded/start-embedded-database.js');
    const back = await startEmbeddedDatabase({ ...options, preferredPort: port });
    expect(back.port).toBe(port);
    await expect
      .poll(async () => (await (await fetch(`${address}/readyz`)).json()) as unknown, { timeout: 20_000 })
      .toMatchObject({ databaseReachable: true, problems: [] });
    const spent = await consume('POST', '/oep/v1/consume', body, { 'idempotency-key': 'back' });
    expect(spent.status).toBe(200);
    await stop(second, dataDirectory);
    await back.stop();
  });
});
