import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../src/test-server.js';

const at = (path: string): URL => new URL(`../../../examples/${path}`, import.meta.url);

/** As much of the application as a visitor needs. */
interface Application {
  inject(request: object): Promise<{
    readonly statusCode: number;
    readonly headers: Readonly<Record<string, unknown>>;
    readonly body: string;
    // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape.
    json(): any;
  }>;
  close(): Promise<void>;
}

interface Settings {
  readonly pennonUrl: string;
  readonly serverKey: string;
  readonly domain?: string;
}

let server: TestServer;
let application: Application;

beforeAll(async () => {
  server = await startTestServer({
    product: 'saleshub',
    catalog: await readFile(at('saleshub/catalog.yaml'), 'utf8'),
  });
  const { createApplication } = (await import(at('app/application.mjs').href)) as {
    createApplication: (settings: Settings) => Promise<Application>;
  };
  application = await createApplication({ pennonUrl: server.url, serverKey: server.serverKey });
});
afterAll(async () => {
  await application.close();
  await server.stop();
});

async function customerOn(customer: string, plan: string, planVersion?: number): Promise<string> {
  await manage('PUT', `customers/${customer}`, { reason: 'test' });
  const license = await manage('POST', `customers/${customer}/licenses`, {
    product: 'saleshub',
    plan,
    ...(planVersion === undefined ? {} : { planVersion }),
    kind: 'paid',
    reason: 'test',
  });
  return license.id;
}

async function changePlan(
  customer: string,
  license: string,
  plan: string,
  planVersion: number,
): Promise<void> {
  const path = `customers/${customer}/licenses/${license}`;
  const current = await server.request('GET', `/api/v1/environments/production/${path}`);
  const changed = await server.request('PATCH', `/api/v1/environments/production/${path}`, {
    headers: { 'if-match': current.headers.get('etag') ?? '' },
    body: { plan, planVersion, reason: 'the customer changed the plan' },
  });
  expect(changed.status, changed.text).toBe(200);
}

async function manage(method: string, path: string, body: object): Promise<{ readonly id: string }> {
  const answer = await server.request(method, `/api/v1/environments/production/${path}`, { body });
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer.body;
}

async function visit(customer: string, method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) {
  const reply = await application.inject({
    method,
    url,
    headers: { 'x-customer': customer, accept: 'application/json' },
    ...(payload === undefined ? {} : { payload }),
  });
  const isJson = String(reply.headers['content-type'] ?? '').includes('json');
  return { status: reply.statusCode, text: reply.body, body: isJson ? reply.json() : null };
}

describe('an application that holds no plan', () => {
  it('K-7 shows a gated screen: locked on Starter, open on Professional, without other code', async () => {
    await customerOn('initech', 'starter');
    await customerOn('globex', 'pro', 0);
    expect((await visit('initech', 'GET', '/')).body.gates['features.smart-send-times']).toBe(false);
    expect((await visit('globex', 'GET', '/')).body.gates['features.smart-send-times']).toBe(true);
    const page = await application.inject({
      url: '/',
      headers: { 'x-customer': 'initech', accept: 'text/html' },
    });
    expect(page.body).toContain('locked');
    expect(page.body).toContain('0/50');
  });

  it('P-7 C-3 spends calling minutes until refused with 3000/3000, is upgraded by one license change and goes on', async () => {
    const license = await customerOn('hooli', 'pro', 0);
    expect((await visit('hooli', 'POST', '/calls', { minutes: 2990 })).body).toEqual({
      minutes: 2990,
      used: '2990/3000',
    });
    expect((await visit('hooli', 'POST', '/calls', { minutes: 10 })).body).toEqual({
      minutes: 10,
      used: '3000/3000',
    });
    const refused = await visit('hooli', 'POST', '/calls', { minutes: 1 });
    expect(refused.status).toBe(402);
    expect(refused.body.error).toContain('3000/3000');
    await changePlan('hooli', license, 'enterprise', 0);
    expect((await visit('hooli', 'POST', '/calls', { minutes: 1 })).body).toEqual({
      minutes: 1,
      used: '3001/12000',
    });
  });

  it('C-3 refuses an export and a role change in the backend, whatever a screen showed', async () => {
    await customerOn('umbrella', 'starter');
    await customerOn('wonka', 'enterprise');
    expect((await visit('umbrella', 'GET', '/reports/export')).status).toBe(403);
    expect((await visit('umbrella', 'POST', '/users/ada/role', { role: 'owner' })).status).toBe(403);
    expect((await visit('wonka', 'GET', '/reports/export')).text).toContain('wonka');
    expect((await visit('wonka', 'POST', '/users/ada/role', { role: 'owner' })).body).toEqual({
      user: 'ada',
      role: 'owner',
    });
  });

  it('C-3 C-4 refuses the eleventh professional, also when eleven ask at once; deleting one frees a place', async () => {
    await customerOn('soylent', 'pro', 0);
    const replies = await Promise.all(
      Array.from({ length: 11 }, (_, index) =>
        visit('soylent', 'POST', '/professionals', { name: `p${index}` }),
      ),
    );
    expect(replies.filter((reply) => reply.status === 201)).toHaveLength(10);
    const refused = replies.find((reply) => reply.status === 402);
    expect(refused?.body.error).toBe('You are using 10/10 professionals. Upgrade to add more.');
    const hired = replies.findIndex((reply) => reply.status === 201);
    expect((await visit('soylent', 'DELETE', `/professionals/p${hired}`)).status).toBe(204);
    expect((await visit('soylent', 'POST', '/professionals', { name: 'twelve' })).status).toBe(201);
  });

  it('K-9 offers the assistant with 100K and 1M tokens, and a downgrade closes it', async () => {
    const license = await customerOn('tyrell', 'pro', 0);
    const first = await visit('tyrell', 'POST', '/assistant', { tokensIn: 60_000, tokensOut: 30_000 });
    expect(first.body).toEqual({ tokens: 90_000, used: '90000/100000' });
    expect((await visit('tyrell', 'POST', '/assistant', { tokensIn: 10_000, tokensOut: 1 })).status).toBe(
      402,
    );
    await changePlan('tyrell', license, 'enterprise', 0);
    const second = await visit('tyrell', 'POST', '/assistant', { tokensIn: 10_000, tokensOut: 1 });
    expect(second.body).toEqual({ tokens: 10_001, used: '100001/1000000' });
    await changePlan('tyrell', license, 'starter', 0);
    expect((await visit('tyrell', 'POST', '/assistant', { tokensIn: 1, tokensOut: 1 })).status).toBe(403);
  });

  it('holds no plan: none of its files names one', async () => {
    for (const name of ['application.mjs', 'limits.mjs', 'screen.mjs']) {
      expect(await readFile(at(`app/${name}`), 'utf8')).not.toMatch(/enterprise|starter|'pro'|"pro"/);
    }
  });
});
