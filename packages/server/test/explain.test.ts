import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { customer, entitlement, flag, RUNTIME_CATALOG, warm } from './runtime-support.js';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  await customer(server, 'acme', 'pro');
  await warm(server, 'acme');
});
afterAll(() => server.stop());

function explain(body: unknown, key: string = server.adminKey) {
  const path = `/api/v1/environments/${server.environment}/products/${server.product}/explain`;
  return server.request('POST', path, { body, key });
}

describe('explain', () => {
  it('X-2 P-6 tells the steps of a flag, and decides as OFREP does', async () => {
    const context = { targetingKey: 'acme', user: { country: 'CH' } };
    const answer = await explain({ key: 'greeting', context });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      key: 'greeting',
      kind: 'flag',
      customer: 'acme',
      decision: { cause: 'RULE' },
    });
    expect(answer.body.steps.length).toBeGreaterThan(0);
    expect(answer.body.steps.map((step: { step: string }) => step.step)).toContain('rule');
    expect(answer.body.decision.value).toBe((await flag(server, 'greeting', context)).body.value);
  });

  it('X-2 tells the sources of an entitlement, with a server key too', async () => {
    const answer = await explain(
      { key: 'calling-minutes', context: { targetingKey: 'acme' } },
      server.serverKey,
    );
    expect(answer.body).toMatchObject({ kind: 'entitlement', decision: { granted: true } });
    expect(answer.body.steps.map((step: { step: string }) => step.step)).toContain('plan-version');
    const read = await entitlement(server, 'calling-minutes', 'acme');
    expect(answer.body.decision.hasAccess).toBe(read.body.hasAccess);
  });

  it('refuses what does not exist, and clients', async () => {
    expect((await explain({ key: 'nothing' })).status).toBe(404);
    expect((await explain({ key: 'greeting' }, server.clientKey)).status).toBe(403);
    expect((await explain({ key: 'greeting', contxt: {} })).status).toBe(400);
  });
});
