import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, customer, flag, flags, RUNTIME_CATALOG } from './runtime-support.js';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  await customer(server, 'acme', 'pro');
});
afterAll(() => server.stop());

describe('OFREP single', () => {
  it('K-1 K-2 answers every type with key, value, reason, variant and metadata', async () => {
    const expected: readonly [string, string][] = [
      [
        'plain-on',
        '{"key":"plain-on","value":true,"reason":"STATIC","variant":"on","metadata":{"cause":"NO_RULES"}}',
      ],
      [
        'page-size',
        '{"key":"page-size","value":50,"reason":"STATIC","variant":"large","metadata":{"cause":"NO_RULES"}}',
      ],
      [
        'ratio',
        '{"key":"ratio","value":1.0,"reason":"STATIC","variant":"whole","metadata":{"cause":"NO_RULES"}}',
      ],
      [
        'theme',
        '{"key":"theme","value":{"background":"black","sizes":[1,2]},"reason":"STATIC","variant":"dark","metadata":{"cause":"NO_RULES"}}',
      ],
    ];
    for (const [key, text] of expected) {
      const answer = await flag(server, key, { targetingKey: 'acme' });
      expect(answer.status).toBe(200);
      expect(answer.text).toBe(text);
      expect(answer.headers.get('content-type')).toContain('application/json');
      expect(Number(answer.headers.get('pennon-revision'))).toBeGreaterThan(0);
    }
  });

  it('K-2 sends a kill switch as STATIC with its cause, and a code default without a value', async () => {
    expect((await flag(server, 'killed', {})).body).toEqual({
      key: 'killed',
      value: false,
      reason: 'STATIC',
      variant: 'off',
      metadata: { cause: 'DISABLED' },
    });
    expect((await flag(server, 'coded', {})).body).toEqual({
      key: 'coded',
      reason: 'DISABLED',
      metadata: { cause: 'DISABLED' },
    });
  });

  it('X-1 reads entitlements as flags', async () => {
    expect((await flag(server, 'advanced-analytics', { targetingKey: 'acme' })).body.value).toBe(true);
    expect((await flag(server, 'advanced-analytics', { targetingKey: 'nobody' })).body.value).toBe(false);
    const limit = await flag(server, 'max_lists', { targetingKey: 'acme' });
    expect(limit.body).toMatchObject({ value: 25, variant: 'granted' });
  });

  it('K-7 gates a flag by an entitlement', async () => {
    expect((await flag(server, 'analytics-ui', { targetingKey: 'acme' })).body.value).toBe(true);
    const refused = await flag(server, 'analytics-ui', { targetingKey: 'nobody' });
    expect(refused.body).toMatchObject({
      value: false,
      reason: 'DEFAULT',
      metadata: { cause: 'NOT_ENTITLED' },
    });
  });

  it('tolerates an empty body, `{}` and a null context', async () => {
    for (const body of [undefined, {}, { context: null }, { context: {} }]) {
      const answer = await ask(server, '/ofrep/v1/evaluate/flags/plain-on', body);
      expect(answer.status).toBe(200);
      expect(answer.body.value).toBe(true);
    }
  });

  it('refuses what is no context, with a body that every client reads', async () => {
    for (const body of [{ context: 'acme' }, { context: [] }, { context: 5 }, []]) {
      const answer = await ask(server, '/ofrep/v1/evaluate/flags/plain-on', body);
      expect(answer.status).toBe(400);
      expect(answer.body).toMatchObject({ key: 'plain-on', errorCode: 'INVALID_CONTEXT', metadata: {} });
      expect(answer.body.errorDetails).toBeTypeOf('string');
    }
  });

  it('refuses malformed JSON as PARSE_ERROR', async () => {
    const answer = await ask(server, '/ofrep/v1/evaluate/flags/plain-on', '{"context":');
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ key: 'plain-on', errorCode: 'PARSE_ERROR' });
  });

  it('says TARGETING_KEY_MISSING only where the path needs a subject', async () => {
    const answer = await flag(server, 'ai-assistant-enabled', {});
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ key: 'ai-assistant-enabled', errorCode: 'TARGETING_KEY_MISSING' });
  });

  it('K-4 answers a context of nothing but an instance, always the same', async () => {
    const first = await flag(server, 'ai-assistant-enabled', { instanceId: 'inst_acme' });
    expect(first.status).toBe(200);
    expect(first.body.reason).toBe('SPLIT');
    for (let round = 0; round < 20; round += 1) {
      expect((await flag(server, 'ai-assistant-enabled', { instanceId: 'inst_acme' })).text).toBe(first.text);
    }
  });

  it('answers 401, 403, 404, 405, 413 and 415 with OFREP bodies', async () => {
    const noKey = await flag(server, 'plain-on', {}, { key: null });
    expect(noKey.status).toBe(401);
    expect(noKey.body).toMatchObject({ key: 'plain-on', errorCode: 'GENERAL' });
    expect(noKey.body.metadata).toBeTypeOf('object');

    const missing = await flag(server, 'no-such-flag', {});
    expect(missing.status).toBe(404);
    expect(missing.body).toMatchObject({ key: 'no-such-flag', errorCode: 'FLAG_NOT_FOUND', metadata: {} });

    const got = await server.request('GET', '/ofrep/v1/evaluate/flags/plain-on', { key: server.serverKey });
    expect(got.status).toBe(405);
    expect(got.body.errorCode).toBe('GENERAL');

    const configuration = await server.request('GET', '/ofrep/v1/configuration', { key: server.serverKey });
    expect(configuration.status).toBe(404);

    const large = await flag(server, 'plain-on', { text: 'x'.repeat(70_000) });
    expect(large.status).toBe(413);
    expect(large.body.errorCode).toBe('GENERAL');

    const form = await server.request('POST', '/ofrep/v1/evaluate/flags/plain-on', {
      key: server.serverKey,
      body: 'a=1',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(form.status).toBe(415);
    expect(form.body).toMatchObject({ errorCode: 'GENERAL' });
  });

  it('accepts X-API-Key as well', async () => {
    const answer = await flag(
      server,
      'plain-on',
      {},
      { key: null, headers: { 'x-api-key': server.serverKey } },
    );
    expect(answer.status).toBe(200);
  });
});

describe('OFREP with a client key', () => {
  it('never tells what is invisible from what does not exist', async () => {
    const options = { key: server.clientKey };
    const hidden = await flag(server, 'hidden-on', {}, options);
    const missing = await flag(server, 'hidden-xx', {}, options);
    expect(hidden.status).toBe(404);
    expect(hidden.text.replaceAll('hidden-on', 'hidden-xx')).toBe(missing.text);
    const names = (answer: typeof hidden) => [...answer.headers.keys()].sort();
    expect(names(hidden)).toEqual(names(missing));
    const feature = await flag(server, 'secret-feature', {}, options);
    expect(feature.text.replaceAll('secret-feature', 'hidden-xx')).toBe(missing.text);
  });

  it('learns nothing of a customer, and is told so', async () => {
    const options = { key: server.clientKey };
    const context = { targetingKey: 'acme', customer: 'acme' };
    const feature = await flag(server, 'advanced-analytics', context, options);
    expect(feature.body).toMatchObject({ value: false, metadata: { warning: 'CUSTOMER_NOT_PROVEN' } });
    const gated = await flag(server, 'analytics-ui', context, options);
    expect(gated.body).toMatchObject({ value: false });
    const known = await flags(server, context, options);
    const unknown = await flags(server, { targetingKey: 'nobody', customer: 'nobody' }, options);
    const without = (text: string) =>
      JSON.parse(text).flags.filter((item: { key: string }) => item.key !== 'ai-assistant-enabled');
    expect(without(known.text)).toEqual(without(unknown.text));
    expect(known.headers.get('pennon-customer-version')).toBe('0');
  });

  it('sees in bulk only what is clientVisible, sorted', async () => {
    const answer = await flags(server, { targetingKey: 'u1' }, { key: server.clientKey });
    const keys = answer.body.flags.map((item: { key: string }) => item.key);
    expect(keys).toEqual([...keys].sort());
    expect(keys).toContain('killed');
    expect(keys).toContain('coded');
    expect(keys).not.toContain('hidden-on');
    expect(keys).not.toContain('secret-feature');
  });
});
