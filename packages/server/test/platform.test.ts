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
