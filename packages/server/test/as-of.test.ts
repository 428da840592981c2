import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, customer, flag, RUNTIME_CATALOG, warm } from './runtime-support.js';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  await customer(server, 'acme', 'pro');
  await warm(server, 'acme');
});
afterAll(() => server?.stop());

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function asOf(): Promise<readonly number[]> {
  const context = { targetingKey: 'acme' };
  const answers = [
    await flag(server, 'plain-on', context),
    await ask(server, '/ofrep/v1/evaluate/flags', { context }),
    await ask(server, '/oep/v1/evaluate/entitlements/calling-minutes', { context }),
    await server.request('GET', '/api/v1/customer/feature-flags?product_id=test&customer=acme', {
      key: server.serverKey,
    }),
  ];
  for (const { status } of answers) expect(status).toBe(200);
  expect(answers[2]?.body.asOf).toBe(answers[2]?.headers.get('pennon-as-of'));
  return answers.map(({ headers }) => Date.parse(headers.get('pennon-as-of') ?? ''));
}

describe('law 1: answers say of which state they are', () => {
  it('as of the last change that this process would have heard, which stands still while it hears nothing', async () => {
    const { clock, feed } = server.parts;
    await asOf();
    for (const instant of await asOf()) {
      expect(instant).toBeLessThanOrEqual(clock.now());
      // A poll is due every 0.8 s; a loaded machine is late.
      expect(instant).toBeGreaterThan(clock.now() - 20_000);
    }
    await feed.stop();
    const stopped = clock.now();
    const before = await asOf();
    await pause(1200);
    const after = await asOf();
    expect(after).toEqual(before);
    for (const instant of after) expect(instant).toBeLessThanOrEqual(stopped);
    expect(clock.now() - (after[0] ?? 0)).toBeGreaterThanOrEqual(1200);
  });

  it('the billing key that names no plan is said beside the answer', async () => {
    const context = { targetingKey: 'umbrella', plan: { key: 'no-such-sku' } };
    const one = await flag(server, 'secret-feature', context);
    expect(one.body).toMatchObject({ value: false, metadata: { warning: 'PLAN_NOT_FOUND' } });
    const all = await ask(server, '/ofrep/v1/evaluate/flags', { context });
    const listed = all.body.flags.find(({ key }: { key: string }) => key === 'secret-feature');
    expect(listed).toEqual(one.body);
    const oep = await ask(server, '/oep/v1/evaluate/entitlements/secret-feature', { context });
    expect(oep.body).toMatchObject({ hasAccess: false, metadata: { warning: 'PLAN_NOT_FOUND' } });
    const known = await flag(server, 'secret-feature', { targetingKey: 'umbrella', plan: { key: 'pro@0' } });
    expect(known.body.metadata.warning).toBeUndefined();
  });
});
