import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const FILE = fileURLToPath(new URL('../../../examples/billing-adapter/lemon-squeezy.mjs', import.meta.url));
const ENVIRONMENT = '/api/v1/environments/production';
const SECRET = 'a secret of the store';
const reason = 'a test';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: export, type: boolean, category: subscription, owner: a@example.com, purpose: A test, removal: permanent }
plans:
  - { key: free, rank: 0, entitlements: [] }
  - { key: pro, rank: 1, entitlements: [{ feature: export, value: true }] }
billing:
  - { key: lemon-squeezy, items: [{ price: '4711', plan: pro }] }
`;

type Handle = (
  rawBody: string,
  signature: string | undefined,
  settings: { readonly url: string; readonly adminKey: string; readonly secret: string },
) => Promise<number>;

let server: TestServer;
let handle: Handle;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  ({ handle } = (await import(FILE)) as { readonly handle: Handle });
  const body = { key: 'lemon-squeezy', provider: 'api', mode: 'live', reason };
  await server.request('POST', `${ENVIRONMENT}/billing-connections`, { body });
  await server.request('PUT', `${ENVIRONMENT}/customers/acme`, { body: { reason } });
});
afterAll(() => server.stop());

function webhook(status: string, updatedAt: string, more: object = {}): string {
  return JSON.stringify({
    meta: { event_name: 'subscription_updated', custom_data: { pennon_customer: 'acme' } },
    data: {
      type: 'subscriptions',
      id: '1',
      attributes: {
        store_id: 1,
        customer_id: 5,
        product_id: 7,
        variant_id: 4711,
        status,
        trial_ends_at: null,
        ends_at: null,
        first_subscription_item: { id: 1, quantity: 2 },
        created_at: '2026-01-01T10:00:00.000000Z',
        updated_at: updatedAt,
        ...more,
      },
    },
  });
}

async function deliver(rawBody: string, secret = SECRET): Promise<number> {
  const signature = createHmac('sha256', secret).update(rawBody).digest('hex');
  return handle(rawBody, signature, { url: server.url, adminKey: server.adminKey, secret: SECRET });
}

async function licenses() {
  return (await server.request('GET', `${ENVIRONMENT}/customers/acme/licenses`)).body.items;
}

describe('K-12 an adapter in thirty lines', () => {
  it('is as short as that', async () => {
    const lines = (await readFile(FILE, 'utf8')).split('\n').filter((line) => line.trim() !== '');
    expect(lines.length).toBeLessThanOrEqual(36);
    const code = lines.filter((line) => !/^(import|\/\*\*)/.test(line) && line !== '}');
    expect(code.length).toBeLessThanOrEqual(34);
  });

  it('opens what was bought, in any order, and closes what is over', async () => {
    expect(await deliver(webhook('active', '2026-02-01T10:00:00.000000Z'))).toBe(200);
    expect(await licenses()).toMatchObject([{ plan: 'pro', status: 'active', quantity: 2 }]);
    expect(await deliver(webhook('on_trial', '2026-01-01T10:00:00.000000Z'))).toBe(200);
    expect(await licenses()).toMatchObject([{ status: 'active' }]);
    const endsAt = '2099-01-01T00:00:00.000000Z';
    expect(await deliver(webhook('cancelled', '2026-03-01T10:00:00.000000Z', { ends_at: endsAt }))).toBe(200);
    expect(await licenses()).toMatchObject([{ status: 'canceled', endsAt: '2099-01-01T00:00:00.000Z' }]);
    expect(await deliver(webhook('expired', '2026-04-01T10:00:00.000000Z'))).toBe(200);
    expect(await licenses()).toMatchObject([{ status: 'ended' }]);
  });

  it('believes only what is signed, and asks to be told again what could not be taken in', async () => {
    expect(await deliver(webhook('active', '2026-05-01T10:00:00.000000Z'), 'another secret')).toBe(400);
    expect(await handle('{}', undefined, { url: server.url, adminKey: 'x', secret: SECRET })).toBe(400);
    const nobody = webhook('active', '2026-05-01T10:00:00.000000Z').replace('acme', 'nobody-here');
    expect(await deliver(nobody)).toBe(500);
  });
});
