import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeConsistency } from '../src/service/consistency.js';
import { ask, consume, customer, customerToken, idempotencyKey, RUNTIME_CATALOG } from './runtime-support.js';

/* What is refused leaves nothing behind and gives nothing away. */

let server: TestServer;
let environmentId: string;

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  await customer(server, 'acme', 'pro');
  await customer(server, 'other', 'pro');
  const environment = await server.request('GET', `/api/v1/environments/${server.environment}`);
  environmentId = environment.body.id;
});
afterAll(() => server.stop());

function isKnown(key: string): Promise<boolean> {
  const path = `/api/v1/environments/${server.environment}/customers/${key}`;
  return server.request('GET', path).then(({ status }) => status === 200);
}

describe('a consistency token that somebody wrote', () => {
  const waitingFor = (customerKey: string, version: number) =>
    encodeConsistency({ customers: [{ environmentId, customerKey, version }] });
  const askWith = (key: string, token: string) =>
    ask(server, '/ofrep/v1/evaluate/flags/plain-on', {}, { key, headers: { 'pennon-consistency': token } });

  it('law 11: tells a client key nothing of any customer', async () => {
    const answers = [];
    for (const token of [waitingFor('acme', 1), waitingFor('acme', 999), waitingFor('nobody', 1)]) {
      answers.push(await askWith(server.clientKey, token));
    }
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  });

  it('law 11: tells a customer token of its own customer only', async () => {
    const token = await customerToken(server, 'acme');
    expect((await askWith(token, waitingFor('other', 999))).status).toBe(200);
    expect((await askWith(token, waitingFor('nobody', 1))).status).toBe(200);
    expect((await askWith(token, waitingFor('acme', 1))).status).toBe(200);
    expect((await askWith(token, waitingFor('acme', 999))).status).toBe(503);
  });

  it('still makes a server key wait for any customer of its environment', async () => {
    expect((await askWith(server.serverKey, waitingFor('acme', 1))).status).toBe(200);
    expect((await askWith(server.serverKey, waitingFor('acme', 999))).status).toBe(503);
  });
});

describe('a bulk re-fetch', () => {
  it('refuses a barrier that stands in the query twice', async () => {
    for (const name of ['flagConfigEtag', 'flagConfigLastModified']) {
      const answer = await ask(server, `/ofrep/v1/evaluate/flags?${name}=1&${name}=2`, {});
      expect(answer).toMatchObject({ status: 400, body: { errorCode: 'PARSE_ERROR' } });
      expect(answer.body.errorDetails).toContain(`\`${name}\``);
    }
  });
});

describe('a consumption that is refused', () => {
  it('leaves no customer behind', async () => {
    const refused: readonly [string, number, string][] = [
      ['no-such-feature', 404, 'ENTITLEMENT_NOT_FOUND'],
      ['plain-on', 400, 'TYPE_MISMATCH'],
      ['advanced-analytics', 400, 'TYPE_MISMATCH'],
      ['max_lists', 400, 'TYPE_MISMATCH'],
      ['per-user-exports', 400, 'TARGETING_KEY_MISSING'],
    ];
    for (const [feature, status, errorCode] of refused) {
      const who = `passer-by-${feature}`;
      expect(await consume(server, who, { key: feature })).toMatchObject({ status, body: { errorCode } });
      expect(await isKnown(who)).toBe(false);
    }
    const release = await ask(
      server,
      '/oep/v1/release',
      { context: { targetingKey: 'passer-by' }, key: 'calling-minutes', amount: 1 },
      { headers: { 'idempotency-key': idempotencyKey() } },
    );
    expect(release).toMatchObject({ status: 400, body: { errorCode: 'TYPE_MISMATCH' } });
    expect(await isKnown('passer-by')).toBe(false);
  });
});

describe('a change', () => {
  it('law 8: is refused with a reason of spaces, in the body as in the query', async () => {
    const path = `/api/v1/environments/${server.environment}/customers/blank`;
    const body = { reason: ' \t ' };
    expect(await server.request('PUT', path, { body })).toMatchObject({
      status: 400,
      body: { code: 'VALIDATION_FAILED', errors: [{ pointer: '/reason' }] },
    });
    expect(await isKnown('blank')).toBe(false);
    const flag = `/api/v1/products/${server.product}/flags/plain-on?reason=%20`;
    const removal = await server.request('DELETE', flag, { headers: { 'if-match': '*' } });
    expect(removal).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
  });
});
