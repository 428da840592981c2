import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { customer, customerToken, flags, license, RUNTIME_CATALOG, warm } from './runtime-support.js';

/* The evaluated body decides the ETag, and with it everything that can change an answer. */

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
});
afterAll(() => server.stop());

async function etagOf(context: object, key: string = server.serverKey): Promise<string> {
  const answer = await flags(server, context, { key });
  expect(answer.status).toBe(200);
  const etag = answer.headers.get('etag') ?? '';
  expect(etag).toMatch(/^"\d+\.\d+\.[0-9a-f]{32}"$/);
  return etag;
}

async function statusWith(context: object, etag: string, key: string = server.serverKey): Promise<number> {
  return (await flags(server, context, { key, headers: { 'if-none-match': etag } })).status;
}

/** A change of the customer's data as the REST API makes it, straight in the store. */
async function change(key: string, statement: string, values: readonly unknown[]): Promise<void> {
  const { pool } = server.parts.database;
  const environment = server.parts.directory.environment(server.environment)?.id ?? '';
  await pool.query(statement, [...values]);
  const raised = await pool.query(
    'update customer set version = version + 1 where environment_id = $1 and key = $2 returning version',
    [environment, key],
  );
  await server.parts.customers.atLeast(environment, key, Number(raised.rows[0].version), 1000);
}

describe('bulk ETag', () => {
  it('answers 304 with the tag and no body while nothing changed, however the tag is written', async () => {
    await customer(server, 'same', 'pro');
    await warm(server, 'same');
    const context = { targetingKey: 'same' };
    const etag = await etagOf(context);
    const again = await flags(server, context, { headers: { 'if-none-match': etag } });
    expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', etag]);
    expect(again.headers.get('vary')).toContain('Authorization');
    for (const written of [`W/${etag}`, `"other", ${etag}`, '*', etag.slice(1, -1)]) {
      expect(await statusWith(context, written)).toBe(304);
    }
    for (const written of ['"other"', '"1.1.00000000000000000000000000000000"', '']) {
      expect(await statusWith(context, written)).toBe(200);
    }
  });

  it('another attribute of the same subject gives 200', async () => {
    const etag = await etagOf({ targetingKey: 'same' });
    expect(await statusWith({ targetingKey: 'same', user: { country: 'CH' } }, etag)).toBe(200);
  });

  it('K-6 a license change gives 200', async () => {
    await customer(server, 'upgraded');
    await warm(server, 'upgraded');
    const context = { targetingKey: 'upgraded' };
    const etag = await etagOf(context);
    await license(server, 'upgraded', 'pro');
    await warm(server, 'upgraded');
    expect(await statusWith(context, etag)).toBe(200);
  });

  it('X-12 a grant that ends by the clock gives 200', async () => {
    await customer(server, 'demo');
    await change(
      'demo',
      `insert into access_grant (id, environment_id, product_id, target_kind, target_key, kind, effect, starts_at, ends_at,
         reason, version, created_at)
       values (gen_random_uuid(), $1, $2, 'customer', 'demo', 'demo', $3, now() - interval '1 day',
         now() + interval '2 seconds', 'A test.', 1, now())`,
      [
        server.parts.directory.environment(server.environment)?.id,
        server.parts.directory.product(server.product)?.id,
        JSON.stringify({ type: 'set', feature: 'advanced-analytics', value: true }),
      ],
    );
    await warm(server, 'demo');
    const context = { targetingKey: 'demo' };
    const during = await flags(server, context);
    const item = (body: { flags: { key: string; value: unknown }[] }) =>
      body.flags.find((one) => one.key === 'advanced-analytics')?.value;
    expect(item(during.body)).toBe(true);
    const etag = during.headers.get('etag') ?? '';
    await expect.poll(() => statusWith(context, etag), { timeout: 5000, interval: 100 }).toBe(200);
    expect(item((await flags(server, context)).body)).toBe(false);
  });

  it('K-4 a step of a ramp gives 200', async () => {
    const step = new Date(server.parts.clock.now() + 2500).toISOString();
    await server.publish(`${RUNTIME_CATALOG}
  - key: ramped
    type: boolean
    category: release
    clientVisible: true
    owner: team@example.com
    purpose: A test
    removal: After the test
    expires: '2099-01-01'
    default: false
    rules:
      - rollout: { ramp: [{ at: '2026-01-01T00:00:00Z', percentage: 0 }, { at: '${step}', percentage: 100 }] }
`);
    const context = { targetingKey: 'visitor' };
    const etag = await etagOf(context, server.clientKey);
    expect(await statusWith(context, etag, server.clientKey)).toBe(304);
    await expect
      .poll(() => statusWith(context, etag, server.clientKey), { timeout: 6000, interval: 100 })
      .toBe(200);
  });

  it('differs by the reach of the credential, and survives a publish that changes nothing of the answer', async () => {
    const context = { targetingKey: 'same' };
    const etag = await etagOf(context, server.clientKey);
    const token = await customerToken(server, 'same');
    const proven = await flags(server, context, {
      key: server.clientKey,
      headers: { 'pennon-customer-token': token, 'if-none-match': etag },
    });
    expect(proven.status).toBe(200);
    // Without the ramp of the test above, which this client has seen.
    await server.publish(RUNTIME_CATALOG);
    const ours = await etagOf(context, server.clientKey);
    const hidden = 'key: hidden-on, type: boolean, category: release, default: ';
    await server.publish(RUNTIME_CATALOG.replace(`${hidden}true`, `${hidden}false`));
    expect(await statusWith(context, ours, server.clientKey)).toBe(304);
  });

  it('never answers a re-fetch from something older than it names', async () => {
    const context = { targetingKey: 'same' };
    const etag = await etagOf(context);
    const ask = (query: string) =>
      server.request('POST', `/ofrep/v1/evaluate/flags?${query}`, {
        key: server.serverKey,
        body: { context },
      });
    expect((await ask(`flagConfigEtag=${encodeURIComponent(etag)}`)).status).toBe(200);
    const past = Math.floor(Date.now() / 1000) - 10;
    expect((await ask(`flagConfigLastModified=${past}`)).status).toBe(200);
    expect((await ask(`flagConfigLastModified=${new Date(past * 1000).toISOString()}`)).status).toBe(200);
    const future = await ask(`flagConfigEtag=${encodeURIComponent(etag.replace(/^"\d+/, '"999999'))}`);
    expect(future.status).toBe(503);
    expect(future.headers.get('retry-after')).toMatch(/^\d+$/);
    expect((await ask('flagConfigLastModified=yesterday')).status).toBe(400);
  });
});
