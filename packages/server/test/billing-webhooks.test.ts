import { event, subscription } from '@pennon/testkit/stripe-shapes';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import Stripe from 'stripe';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Call, caller } from './contracts-support.js';
import { entitlement } from './runtime-support.js';

const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: export, type: boolean, category: subscription, owner: a@example.com, purpose: A test, removal: permanent }
plans:
  - { key: free, rank: 0, entitlements: [] }
  - { key: pro, rank: 1, entitlements: [{ feature: export, value: true }] }
billing:
  - { key: stripe, items: [{ price: price_pro, plan: pro }] }
`;
const SECRET = 'whsec_of_the_endpoint';

let server: TestServer;
let call: Call;
let path: string;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  call = caller(server);
  const body = { key: 'stripe', provider: 'stripe', mode: 'live', secret: SECRET };
  const made = await call('POST', '/billing-connections', body);
  expect(made.status, made.text).toBe(201);
  path = made.body.webhookPath;
});
afterAll(() => server.stop());

async function post(
  payload: string,
  options: { secret?: string; to?: string; type?: string; signature?: string | null } = {},
) {
  const { secret = SECRET, to = path, type = 'application/json; charset=utf-8', signature } = options;
  const header = signature ?? Stripe.webhooks.generateTestHeaderString({ payload, secret });
  const headers: Record<string, string> = { 'content-type': type };
  if (signature !== null) headers['stripe-signature'] = header;
  const answer = await fetch(`${server.url}${to}`, { method: 'POST', headers, body: payload });
  return { status: answer.status, body: await answer.json() };
}

function told(customer: string, status: string, more: Parameters<typeof event>[3] = {}): string {
  const metadata = { pennon_customer: customer };
  const said = subscription('new', {
    id: `sub_${customer}`,
    customer: `cus_${customer}`,
    status,
    more: { metadata },
  });
  // Spaces and the order of members are the provider's: the signature is over the octets.
  return JSON.stringify(
    event('new', 'customer.subscription.updated', said, { id: `evt_${customer}`, ...more }),
    null,
    2,
  );
}

async function until(check: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('It never came to be.');
}

const mayExport = async (customer: string) => (await entitlement(server, 'export', customer)).body.hasAccess;

describe('K-12 over HTTP', () => {
  it('a signed event opens a feature, with no sync by hand', async () => {
    await call('PUT', '/customers/acme', {});
    expect(await mayExport('acme')).toBe(false);
    expect(await post(told('acme', 'active'))).toEqual({ status: 200, body: { received: true } });
    await until(() => mayExport('acme'));
    expect(await post(told('acme', 'active'))).toEqual({ status: 200, body: { received: true } });
  });

  it('what nobody is linked to is listed, page by page, until it is', async () => {
    for (const name of ['zoe', 'yan', 'xia']) await post(told(name, 'active'));
    const list = async (query = '') => (await call('GET', `/billing-problems${query}`)).body;
    await until(async () => (await list()).items.length === 3);
    const [first, ...more] = (await list()).items;
    expect(first).toMatchObject({
      connection: 'stripe',
      subscription: 'sub_xia',
      code: 'CUSTOMER_NOT_LINKED',
      name: 'cus_xia',
      item: null,
    });
    const page = await list('?limit=1');
    const rest = await list(`?limit=5&cursor=${encodeURIComponent(page.nextCursor)}`);
    expect([page.items, rest.items]).toEqual([[first], more]);
    await call('PUT', '/customers/zoe', {});
    await post(told('zoe', 'active', { id: 'evt_zoe_again' }));
    await until(async () => (await list()).items.length === 2);
    expect(await mayExport('zoe')).toBe(true);
  });

  it('refuses what is not signed, in words, and keeps nothing of it', async () => {
    const body = told('mallory', 'active');
    for (const wrong of [
      { secret: 'whsec_guess' },
      { signature: null },
      { signature: 't=1,v1=zz' },
      { signature: 'x' },
    ]) {
      const refused = await post(body, wrong);
      expect([refused.status, refused.body.code]).toEqual([400, 'SIGNATURE_REFUSED']);
    }
    const rows = await server.parts.database.kysely
      .selectFrom('webhook_inbox')
      .selectAll()
      .where('event_id', '=', 'evt_mallory')
      .execute();
    expect(rows).toEqual([]);
  });

  it('refuses other connections, providers, media types and bodies that are too large', async () => {
    const body = told('eve', 'active');
    const gone = path.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
    for (const to of [gone, '/webhooks/stripe/stripe', path.replace('stripe', 'paddle')]) {
      expect(await post(body, { to }), to).toMatchObject({
        status: 400,
        body: { code: 'SIGNATURE_REFUSED' },
      });
      // Whoever has no secret cannot tell one that is there from one that is not.
      const wrong = { secret: 'whsec_guess' };
      if (to.includes('paddle')) continue;
      const [there, missing] = [await post(body, wrong), await post(body, { ...wrong, to })];
      expect([missing.status, missing.body.code, missing.body.detail]).toEqual([
        there.status,
        there.body.code,
        there.body.detail,
      ]);
      expect(there.body.detail).toMatch(/fits no active secret/);
    }
    expect((await post(body, { to: path.replace('stripe', 'nobody') })).status).toBe(404);
    expect((await post(body, { type: 'text/plain' })).status).toBe(415);
    expect((await post(`${body}${' '.repeat(1_100_000)}`)).status).toBe(413);
  });

  it('says 200 to what is signed and cannot be read, so that nobody sends it for three days', async () => {
    for (const odd of ['{', '[1]', '{"a":1,"a":2}', `${'['.repeat(5000)}`]) {
      expect(await post(odd), odd.slice(0, 20)).toEqual({ status: 200, body: { received: true } });
    }
  });
});
