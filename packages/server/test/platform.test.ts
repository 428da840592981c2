import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

describe('operations', () => {
  it('answers liveness, readiness and metrics without a credential', async () => {
    expect(await server.request('GET', '/healthz', { key: null })).toMatchObject({
      status: 200,
      body: { alive: true },
    });
    const ready = await server.request('GET', '/readyz', { key: null });
    expect(ready).toMatchObject({
      status: 200,
      body: { ready: true, databaseReachable: true, problems: [] },
    });
    const metrics = await server.request('GET', '/metrics', { key: null });
    expect(metrics.text).toContain(
      'pennon_http_requests_total{route="/healthz",method="GET",status="200"} 1',
    );
    expect(metrics.text).toContain('pennon_database_pool_connections');
  });

  it('describes itself, and shows the description without anything from outside', async () => {
    const { body } = await server.request('GET', '/openapi.json', { key: null });
    expect(body.openapi).toMatch(/^3\.1/);
    expect(Object.keys(body.paths)).toContain('/api/v1/environments/{environment}');
    const docs = await server.request('GET', '/docs/', { key: null });
    expect(docs.status).toBe(200);
    expect(docs.text).not.toMatch(/(src|href)="https?:/);
    expect(docs.headers.get('content-security-policy')).toContain("default-src 'self'");
    for (const [, path] of docs.text.matchAll(/(?:src|href)="(?:\.\/)?([^"]+)"/g)) {
      expect((await server.request('GET', `/docs/${path}`, { key: null })).status).toBe(200);
    }
    const described = await server.request('GET', '/docs/json', { key: null });
    expect(described.body).toEqual(body);
    const missing = await server.request('GET', '/docs/no-such-page', { key: null });
    expect(missing.status).toBe(404);
    expect(missing.body.code).toBe('ROUTE_NOT_FOUND');
  });

  it('echoes the request id and a traceparent', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const { headers } = await server.request('GET', '/healthz', {
      headers: { 'x-request-id': 'abc-1', traceparent },
    });
    expect(headers.get('x-request-id')).toBe('abc-1');
    expect(headers.get('traceparent')).toBe(traceparent);
  });
});

describe('browsers of another origin', () => {
  const origin = 'https://shop.example';

  it('K-1 may ask the two protocols, with every header that clients send, and read what they need', async () => {
    for (const path of ['/ofrep/v1/evaluate/flags', '/oep/v1/evaluate/entitlements/minutes']) {
      const preflight = await server.request('OPTIONS', path, {
        key: null,
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization,content-type,x-own-header',
        },
      });
      expect(preflight.status).toBe(204);
      const allowed = preflight.headers.get('access-control-allow-headers')?.toLowerCase().split(', ');
      for (const name of [
        'content-type',
        'authorization',
        'x-api-key',
        'if-none-match',
        'last-event-id',
        'pennon-customer-token',
        'x-own-header',
      ]) {
        expect(allowed).toContain(name);
      }
      // A refusal must be readable too, or the page only learns of a network error.
      const refused = await server.request('POST', path, { key: null, headers: { origin }, body: {} });
      expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([401, '*']);
      expect(refused.headers.get('access-control-expose-headers')).toContain('ETag, Retry-After');
      expect(refused.body).toMatchObject({ errorCode: 'GENERAL', metadata: { cause: 'UNAUTHENTICATED' } });
    }
  });

  it('never manage: the management API allows no origin', async () => {
    const response = await server.request('GET', '/api/v1/keys', { headers: { origin } });
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('products and environments', () => {
  const reason = 'a test';
  const headers = { 'if-match': '*' };

  it('are made, read, changed with If-Match and removed, each with its reason', async () => {
    const made = await server.request('POST', '/api/v1/environments', {
      body: { key: 'staging', name: 'Staging', protected: true, reason },
    });
    expect([made.status, made.headers.get('etag')]).toEqual([201, '"1"']);
    const path = '/api/v1/environments/staging';
    expect(
      (await server.request('POST', '/api/v1/environments', { body: { key: 'staging', name: 'x', reason } }))
        .body,
    ).toMatchObject({ status: 409, code: 'ENVIRONMENT_EXISTS' });
    expect((await server.request('PATCH', path, { body: { name: 'S', reason } })).status).toBe(428);
    const stale = await server.request('PATCH', path, {
      body: { name: 'S', reason },
      headers: { 'if-match': '"9"' },
    });
    expect(stale.body).toMatchObject({
      status: 412,
      expected: ['"9"'],
      current: { etag: '"1"', item: { key: 'staging' } },
    });
    const changed = await server.request('PATCH', path, {
      body: { name: 'S', reason },
      headers: { 'if-match': '"1"' },
    });
    expect(changed.body).toMatchObject({ name: 'S', protected: true, version: 2 });
    expect((await server.request('GET', path, { headers: { 'if-none-match': '"2"' } })).status).toBe(304);
    expect((await server.request('DELETE', path, { headers })).body).toMatchObject({ status: 400 });
    expect((await server.request('DELETE', `${path}?reason=over`, { headers })).status).toBe(204);
    expect((await server.request('GET', path)).body).toMatchObject({
      status: 404,
      code: 'ENVIRONMENT_NOT_FOUND',
    });
    const entries = await server.parts.database.pool.query(
      "select action, convert_from(bytes, 'utf8')::json ->> 'reason' as reason from audit_entry where object_kind = 'environment' and actor_kind = 'admin-key' order by id",
    );
    expect(entries.rows).toEqual([
      { action: 'environment.create', reason },
      { action: 'environment.change', reason },
      { action: 'environment.remove', reason: 'over' },
    ]);
  });

  it('an environment that holds something stays, and so does a product that keys name', async () => {
    await server.request('PUT', '/api/v1/environments/development/customers/acme', { body: { reason } });
    const removed = await server.request('DELETE', '/api/v1/environments/development?reason=x', { headers });
    expect(removed.body).toMatchObject({ status: 409, code: 'ENVIRONMENT_IN_USE' });
    await server.request('POST', '/api/v1/products', { body: { key: 'shop', name: 'Shop', reason } });
    await server.request('POST', '/api/v1/keys', {
      body: { kind: 'server', environment: 'production', product: 'shop', name: 'k', reason },
    });
    const product = await server.request('DELETE', '/api/v1/products/shop?reason=x', { headers });
    expect(product.body).toMatchObject({ status: 409, code: 'PRODUCT_IN_USE' });
  });

  it('an environment with a bundle, or a plan move that is not over, says what to do; over, it goes along', async () => {
    const catalog = {
      product: { key: server.product, name: 'Test' },
      features: [
        {
          key: 'export',
          type: 'boolean',
          category: 'subscription',
          owner: 'a@example.com',
          purpose: 'x',
          removal: 'permanent',
        },
      ],
      plans: [0, 1].map((version) => ({ key: 'pro', version, rank: 1, entitlements: [] })),
    };
    const at = '/api/v1/environments/held';
    await server.request('POST', '/api/v1/environments', { body: { key: 'held', name: 'Held', reason } });
    await server.request('PUT', `/api/v1/products/${server.product}/catalog?reason=x&environments=held`, {
      body: catalog,
    });
    const remove = () => server.request('DELETE', `${at}?reason=x`, { headers: { 'if-match': '*' } });
    const bundle = { effects: [{ type: 'deny', feature: 'export' }], reason };
    await server.request('PUT', `${at}/bundles/kit`, { body: bundle });
    expect((await remove()).body.detail).toBe('The environment `held` still has bundles. Delete them first.');
    await server.request('DELETE', `${at}/bundles/kit?reason=x`, { headers: { 'if-match': '*' } });
    const move = { from: { plan: 'pro', version: 0 }, to: { plan: 'pro', version: 1 }, reason };
    const { body: drafted } = await server.request('POST', `${at}/plan-moves`, { body: move });
    const held = await remove();
    expect(held.body).toMatchObject({ status: 409, code: 'ENVIRONMENT_IN_USE' });
    expect(held.body.detail).toContain(`the plan move \`${drafted.id}\`, which is not over`);
    await server.request('POST', `${at}/plan-moves/${drafted.id}/undo`, {
      body: { reason },
      headers: { 'if-match': '*' },
    });
    expect((await remove()).status).toBe(204);
    const { rows } = await server.parts.database.pool.query('select id from plan_move where id = $1', [
      drafted.id,
    ]);
    expect(rows).toEqual([]);
  });

  it('an environment that was removed is served no more and leaves /readyz', async () => {
    const reason = 'A test.';
    await server.request('POST', '/api/v1/environments', {
      body: { key: 'leaving', name: 'Leaving', reason },
    });
    const catalog = { product: { key: server.product, name: 'Test' } };
    const path = `/api/v1/products/${server.product}/catalog?reason=test&environments=leaving`;
    await server.request('PUT', path, { body: catalog });
    const served = async () =>
      (await server.request('GET', '/readyz', { key: null })).body.snapshots.map(
        ({ environment }: { readonly environment: string }) => environment,
      );
    expect(await served()).toContain('leaving');
    await server.request('DELETE', '/api/v1/environments/leaving?reason=test', {
      headers: { 'if-match': '*' },
    });
    expect(await served()).not.toContain('leaving');
  });
});
