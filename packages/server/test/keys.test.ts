import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signCustomerToken } from './customer-token-support.js';
import { WALLED_CATALOG } from './walls-support.js';

/** Client keys see the flag, so that a 200 means that the credential was accepted. */
const CATALOG = WALLED_CATALOG('home', 'a purpose').replace(
  'default: true',
  'default: true, clientVisible: true',
);

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ product: 'home', catalog: CATALOG });
});
afterAll(() => server?.stop());

const reason = 'a test';
const make = async (path: string, body: object) => {
  const answer = await server.request('POST', path, { body: { name: 'k', reason, ...body } });
  expect([answer.status, answer.text]).toEqual([201, expect.anything()]);
  return answer.body;
};
const serverKey = () => make('/api/v1/keys', { kind: 'server', environment: 'production' });
const evaluate = (headers: Record<string, string>) =>
  server.request('POST', '/ofrep/v1/evaluate/flags/menu', {
    key: null,
    headers,
    body: { context: { targetingKey: 'a' } },
  });

describe('keys', () => {
  it('are shown once, work with both headers at once, and are stored as a hash', async () => {
    const created = await serverKey();
    expect(created.key).toMatch(/^pennon_server_[A-Za-z0-9_-]{43}$/);
    expect((await evaluate({ authorization: `Bearer ${created.key}` })).status).toBe(200);
    expect((await evaluate({ 'x-api-key': created.key })).status).toBe(200);
    const read = await server.request('GET', `/api/v1/keys/${created.id}`);
    expect(read.body).toMatchObject({
      hint: `…${created.key.slice(-4)}`,
      environment: 'production',
      product: null,
    });
    expect(JSON.stringify((await server.request('GET', '/api/v1/keys')).body)).not.toContain(created.key);
    const dump = await server.parts.database.pool.query(
      'select k::text as row from api_key k union all select convert_from(bytes, $1) from audit_entry',
      ['utf8'],
    );
    expect(JSON.stringify(dump.rows)).not.toContain(created.key);
  });

  it('are refused at once by the process that revoked them, and by another within a second', async () => {
    const other = await startTestServer({
      product: 'home',
      databaseUrl: server.databaseUrl,
      keys: { admin: server.adminKey, server: server.serverKey, client: server.clientKey },
    });
    try {
      const created = await serverKey();
      const there = () =>
        other.request('POST', '/ofrep/v1/evaluate/flags/menu', {
          key: created.key,
          body: { context: { targetingKey: 'a' } },
        });
      await expect.poll(async () => (await there()).status, { timeout: 2000 }).toBe(200);
      const path = `/api/v1/keys/${created.id}?reason=leaked`;
      expect((await server.request('DELETE', path)).status).toBe(428);
      expect((await server.request('DELETE', path, { headers: { 'if-match': '"7"' } })).status).toBe(412);
      expect((await server.request('DELETE', path, { headers: { 'if-match': '"1"' } })).status).toBe(200);
      expect((await evaluate({ authorization: `Bearer ${created.key}` })).status).toBe(401);
      await expect.poll(async () => (await there()).status, { timeout: 2000 }).toBe(401);
    } finally {
      await other.stop();
    }
  });

  it('end by the clock, and cannot be made to have ended', async () => {
    const expiresAt = new Date(Date.now() + 600).toISOString();
    const created = await make('/api/v1/keys', { kind: 'server', environment: 'production', expiresAt });
    expect((await evaluate({ 'x-api-key': created.key })).status).toBe(200);
    await sleep(700);
    expect((await evaluate({ 'x-api-key': created.key })).status).toBe(401);
    const past = { kind: 'admin', name: 'k', reason, expiresAt: '2020-01-01T00:00:00Z' };
    expect((await server.request('POST', '/api/v1/keys', { body: past })).body).toMatchObject({
      status: 400,
      code: 'VALIDATION_FAILED',
    });
  });

  it('never make one that reaches further than themselves', async () => {
    const bound = await make('/api/v1/keys', { kind: 'admin', environment: 'development', product: 'home' });
    const attempt = (body: object) =>
      server.request('POST', '/api/v1/keys', { key: bound.key, body: { name: 'k', reason, ...body } });
    expect((await attempt({ kind: 'admin' })).status).toBe(403);
    expect((await attempt({ kind: 'server', environment: 'development' })).status).toBe(403);
    expect((await attempt({ kind: 'server', environment: 'production', product: 'home' })).status).toBe(404);
    expect((await attempt({ kind: 'server', environment: 'development', product: 'home' })).status).toBe(201);
  });

  it('are pages of a list', async () => {
    const all = (await server.request('GET', '/api/v1/keys?limit=500')).body.items;
    const first = (await server.request('GET', '/api/v1/keys?limit=2')).body;
    const second = (await server.request('GET', `/api/v1/keys?limit=2&cursor=${first.nextCursor}`)).body;
    expect([...first.items, ...second.items]).toEqual(all.slice(0, 4));
    expect((await server.request('GET', '/api/v1/keys?cursor=abc')).body).toMatchObject({
      status: 400,
      code: 'CURSOR_INVALID',
    });
  });
});

describe('customer tokens (K-9)', () => {
  const token = (created: { id: string; privatePem: string }, more: object = {}) =>
    signCustomerToken(created.privatePem, {
      kid: created.id,
      customer: 'acme',
      environment: 'production',
      ...more,
    });
  const withToken = (text: string) =>
    evaluate({ 'x-api-key': server.clientKey, 'pennon-customer-token': text });

  it('are accepted alone and beside a client key', async () => {
    const pair = await make('/api/v1/token-keys', { environment: 'production' });
    expect((await evaluate({ authorization: `Bearer ${token(pair)}` })).status).not.toBe(401);
    expect((await withToken(token(pair))).status).not.toBe(401);
    const dump = await server.parts.database.pool.query('select t::text as row from token_key t');
    expect(JSON.stringify(dump.rows)).not.toContain(pair.privateJwk.d);
  });

  it('are refused when anything of them is wrong, also beside a good client key', async () => {
    const pair = await make('/api/v1/token-keys', { environment: 'production', product: 'home' });
    const away = await make('/api/v1/token-keys', { environment: 'development' });
    const now = Math.floor(Date.now() / 1000);
    const bad: Record<string, string> = {
      'no token': 'x',
      'another signature': `${token(pair).slice(0, -20)}${'A'.repeat(20)}`,
      'signed by another pair': token({ id: pair.id, privatePem: away.privatePem }),
      'no algorithm': token(pair, { header: { alg: 'none' } }),
      'a symmetric algorithm': token(pair, { header: { alg: 'HS256' } }),
      'a critical extension': token(pair, { header: { crit: ['b64'] } }),
      'an unknown key': token(pair, { header: { kid: '0190a000-0000-7000-8000-00000000dead' } }),
      'another audience': token(pair, { claims: { aud: 'other' } }),
      'no audience': token(pair, { claims: { aud: undefined } }),
      expired: token(pair, { expiresInSeconds: -1 }),
      'no end': token(pair, { claims: { exp: undefined } }),
      'an end that is no number': token(pair, { claims: { exp: String(now + 60) } }),
      'too long a life': token(pair, { expiresInSeconds: 25 * 3600 }),
      'not yet': token(pair, { claims: { nbf: now + 600 } }),
      'no customer': token(pair, { claims: { sub: '' } }),
      'a customer that is no text': token(pair, { claims: { sub: 7 } }),
      'another environment': token(pair, { environment: 'development' }),
      'another product': token(pair, { product: 'nowhere' }),
      'the environment of the client key is another': token(away, { environment: 'development' }),
    };
    const accepted: string[] = [];
    for (const [name, text] of Object.entries(bad)) {
      if ((await withToken(text)).status !== 401) accepted.push(name);
    }
    expect(accepted).toEqual([]);
    expect((await withToken(token(pair))).status).toBe(200);
    const besideServerKey = await evaluate({
      'x-api-key': server.serverKey,
      'pennon-customer-token': token(pair),
    });
    expect(besideServerKey.status).toBe(401);
  });

  it('rotation overlaps, and revoking ends what was accepted a moment ago', async () => {
    const old = await make('/api/v1/token-keys', { environment: 'production' });
    const rotate = (overlapSeconds: number, id: string) =>
      server.request('POST', `/api/v1/token-keys/${id}/rotate`, {
        headers: { 'if-match': '*' },
        body: { overlapSeconds, reason },
      });
    const rotated = await rotate(1, old.id);
    expect(rotated.status).toBe(201);
    expect((await withToken(token(old))).status).toBe(200);
    expect((await withToken(token(rotated.body))).status).toBe(200);
    expect((await rotate(1, old.id)).body).toMatchObject({ status: 409, code: 'TOKEN_KEY_ENDED' });
    await sleep(1100);
    expect((await withToken(token(old))).status).toBe(401);
    const revoked = await server.request('DELETE', `/api/v1/token-keys/${rotated.body.id}?reason=leaked`, {
      headers: { 'if-match': '*' },
    });
    expect(revoked.status).toBe(200);
    expect((await withToken(token(rotated.body))).status).toBe(401);
  });

  it('the snippet of the guide signs one that is accepted', async () => {
    const guide = readFileSync(new URL('../../../docs/guides/customer-tokens.md', import.meta.url), 'utf8');
    const snippet = /```js\n([\s\S]*?)```/.exec(guide)?.[1] ?? '';
    const module = await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(snippet)}`);
    const pair = await make('/api/v1/token-keys', { environment: 'production' });
    const text = module.customerToken({
      keyId: pair.id,
      privatePem: pair.privatePem,
      customer: 'acme',
      user: 'ada',
    });
    expect((await withToken(text)).status).toBe(200);
  });
});

describe('with the database away (law 1)', () => {
  it('a process starts, authenticates and evaluates from what the last run left on disk, and says so', async () => {
    const dataDirectory = await mkdtemp(join(tmpdir(), 'pennon-away-'));
    const keys = { admin: 'a'.repeat(40), server: 'b'.repeat(40), client: 'c'.repeat(40) };
    const began = Date.now();
    const first = await startTestServer({
      product: 'home',
      catalog: WALLED_CATALOG('home', 'p'),
      dataDirectory,
      keys,
    });
    const own = await first.request('POST', '/api/v1/keys', {
      body: { kind: 'server', environment: 'production', name: 'k', reason },
    });
    await first.stop();
    const stopped = Date.now();
    const second = await startTestServer({
      product: 'home',
      dataDirectory,
      keys,
      databaseUrl: 'postgres://nobody:x@127.0.0.1:1/none',
    });
    try {
      for (const key of [keys.server, own.body.key]) {
        const answer = await second.request('POST', '/ofrep/v1/evaluate/flags/menu', {
          key,
          body: { context: { team: { key: 't' } } },
        });
        expect([answer.status, answer.body]).toMatchObject([200, { value: true }]);
        // As old as what is on disk, not as young as the process that reads it.
        const asOf = Date.parse(answer.headers.get('pennon-as-of') ?? '');
        expect(asOf).toBeGreaterThan(began);
        expect(asOf).toBeLessThan(stopped);
      }
      const ready = await second.request('GET', '/readyz');
      expect(ready).toMatchObject({
        status: 200,
        body: { databaseReachable: false, databaseAgeSeconds: null },
      });
      expect(ready.body.snapshots[0]).toMatchObject({ source: 'disk', revision: 1 });
      expect((await second.request('GET', '/healthz')).status).toBe(200);
      const write = await second.request('POST', '/api/v1/products', {
        body: { key: 'p', name: 'p', reason },
      });
      expect([write.status, write.headers.get('retry-after')]).toEqual([503, '1']);
    } finally {
      await second.stop();
      await rm(dataDirectory, { recursive: true, force: true });
    }
  });
});
