import { OFREPProvider } from '@openfeature/ofrep-provider';
import { type Client, ErrorCode, OpenFeature } from '@openfeature/server-sdk';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { customer, RUNTIME_CATALOG, warm } from './runtime-support.js';

let server: TestServer;
let client: Client;

async function clientOf(name: string, headers: readonly [string, string][]): Promise<Client> {
  const provider = new OFREPProvider({ baseUrl: server.url, headers: [...headers] });
  await OpenFeature.setProviderAndWait(name, provider);
  return OpenFeature.getClient(name);
}

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  await customer(server, 'acme', 'pro');
  await warm(server, 'acme');
  client = await clientOf('server', [['Authorization', `Bearer ${server.serverKey}`]]);
});
afterAll(async () => {
  await OpenFeature.close();
  await server.stop();
});

describe('the published server provider (K-1)', () => {
  it('K-2 reads every type', async () => {
    const context = { targetingKey: 'acme' };
    expect(await client.getBooleanValue('plain-on', false, context)).toBe(true);
    expect(await client.getStringValue('greeting', 'none', context)).toBe('Hi');
    expect(await client.getStringValue('greeting', 'none', { ...context, user: { country: 'CH' } })).toBe(
      'Good day',
    );
    expect(await client.getNumberValue('page-size', 0, context)).toBe(50);
    expect(await client.getNumberValue('ratio', 0, context)).toBe(1);
    expect(await client.getObjectValue('theme', {}, context)).toEqual({ background: 'black', sizes: [1, 2] });
  });

  it('carries reason, variant and flat metadata', async () => {
    const details = await client.getBooleanDetails('analytics-ui', true, { targetingKey: 'nobody' });
    expect(details).toMatchObject({
      value: false,
      variant: 'off',
      reason: 'DEFAULT',
      flagMetadata: { cause: 'NOT_ENTITLED' },
    });
    expect(details.errorCode).toBeUndefined();
  });

  it('a kill switch beats the default in the code', async () => {
    const details = await client.getBooleanDetails('killed', true, {});
    expect(details).toMatchObject({ value: false, reason: 'STATIC', flagMetadata: { cause: 'DISABLED' } });
  });

  it('serves the default of the code where the flag says so, and where it is missing or of another type', async () => {
    expect(await client.getStringValue('coded', 'mine', {})).toBe('mine');
    const missing = await client.getBooleanDetails('no-such-flag', true, {});
    expect(missing).toMatchObject({ value: true, errorCode: ErrorCode.FLAG_NOT_FOUND });
    const mismatch = await client.getStringDetails('plain-on', 'mine', {});
    expect(mismatch).toMatchObject({ value: 'mine', errorCode: ErrorCode.TYPE_MISMATCH });
  });

  it('reports a missing targeting key as such', async () => {
    const details = await client.getBooleanDetails('ai-assistant-enabled', true, {});
    expect(details).toMatchObject({ value: true, errorCode: ErrorCode.TARGETING_KEY_MISSING });
  });

  it('reports contradicting parts as an invalid context', async () => {
    await customer(server, 'globex', 'pro');
    await warm(server, 'globex');
    const details = await client.getBooleanDetails('plain-on', false, {
      customer: 'acme',
      targetingKey: 'globex',
    });
    expect(details).toMatchObject({ value: false, errorCode: ErrorCode.INVALID_CONTEXT });
  });

  it('X-1 gates on an entitlement by its bare key', async () => {
    expect(await client.getBooleanValue('advanced-analytics', false, { targetingKey: 'acme' })).toBe(true);
    expect(await client.getNumberValue('max_lists', 0, { targetingKey: 'acme' })).toBe(25);
    expect(await client.getObjectValue('branding', {}, { targetingKey: 'acme' })).toEqual({ logo: 'custom' });
  });

  it('K-4 answers a context of nothing but an instance behind 10 %, and always the same', async () => {
    const ask = () => client.getBooleanValue('ai-assistant-enabled', false, { instanceId: 'inst_acme' });
    const first = await client.getBooleanDetails('ai-assistant-enabled', false, { instanceId: 'inst_acme' });
    expect(first.errorCode).toBeUndefined();
    expect(first.reason).toBe('SPLIT');
    for (let round = 0; round < 25; round += 1) {
      expect(await ask()).toBe(first.value);
    }
    let on = 0;
    for (let index = 0; index < 300; index += 1) {
      const context = { instanceId: `inst_${index}` };
      on += (await client.getBooleanValue('ai-assistant-enabled', false, context)) ? 1 : 0;
    }
    // 10 % of 300 is 30; five standard deviations either way.
    expect(on).toBeGreaterThan(4);
    expect(on).toBeLessThan(57);
  });

  it('takes both headers, and serves the default when unauthorised', async () => {
    const byHeader = await clientOf('api-key', [['X-API-Key', server.serverKey]]);
    expect(await byHeader.getBooleanValue('plain-on', false, {})).toBe(true);
    const stranger = await clientOf('stranger', [['Authorization', `Bearer ${'x'.repeat(48)}`]]);
    const details = await stranger.getBooleanDetails('plain-on', false, {});
    expect(details).toMatchObject({ value: false, errorCode: ErrorCode.GENERAL });
  });
});
