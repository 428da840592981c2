import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { customerToken, expectStatus } from './runtime-support.js';

const governed = 'owner: canary-owner@example.com, purpose: canary-purpose, removal: permanent';

const CATALOG = `
product: { key: test, name: Test Product, defaultPlan: free }
features:
  - { key: minutes, name: Calling minutes, description: Calls from the app, type: metered, category: limit, reset: { every: month, anchor: license }, unit: { one: minute, other: minutes }, clientVisible: true, ${governed} }
  - { key: exports, name: Export, type: boolean, category: subscription, clientVisible: true, ${governed} }
  - { key: seats, type: limit, category: limit, clientVisible: true, unit: { one: seat, other: seats }, ${governed} }
  - { key: sends, type: metered, category: limit, per: user, reset: { every: day, count: 2, anchor: calendar }, clientVisible: true, ${governed} }
  - { key: branding, type: config, category: subscription, clientVisible: true, ${governed} }
  - { key: canary-hidden, type: boolean, category: subscription, ${governed} }
  - { key: canary-ux, type: boolean, category: ux, clientVisible: true, ${governed} }
  - { key: canary-experimental, type: boolean, category: experimental, clientVisible: true, expires: '2099-01-01', rollback: canary-rollback, ${governed} }
  - { key: canary-unsold, type: boolean, category: subscription, clientVisible: true, ${governed} }
plans:
  - { key: enterprise, name: Enterprise, rank: 3, defaultGroup: canary-default, price: { amount: 1234567, currency: JPY, every: month, source: list }, entitlements: [{ feature: minutes, value: unlimited }, { feature: seats, value: 100 }, { feature: branding, value: { logo: canary-config } }, { feature: canary-hidden, value: true }] }
  - { key: free, name: Free, rank: 0, price: { amount: 0, currency: USD, every: month, source: list }, entitlements: [{ feature: seats, value: 1 }, { feature: canary-ux, value: true }] }
  - { key: pro, version: 0, rank: 1, offered: false, name: canary-retired, entitlements: [{ feature: minutes, value: 1 }, { feature: canary-unsold, value: true }] }
  - key: pro
    version: 1
    name: Professional
    description: For teams
    rank: 1
    price: { amount: 4950, currency: USD, every: month, source: list 2027 }
    entitlements:
      - feature: minutes
        split: { by: customer.key, seed: canary-seed, values: [{ value: 3000, weight: 50 }, { value: 2500, weight: 50 }] }
      - { feature: seats, value: 5 }
      - { feature: sends, value: 300 }
      - { feature: canary-experimental, value: true }
  - { key: quote, rank: 9, entitlements: [{ feature: exports, value: true }] }
addons:
  - { key: minutes-pack, name: More minutes, plans: [pro, enterprise], maxQuantity: 10, price: { amount: 900, currency: EUR, every: month, source: list }, entitlements: [{ feature: minutes, add: 1000 }, { feature: canary-hidden, override: true }] }
  - { key: export-pack, entitlements: [{ feature: exports, override: true }] }
  - { key: canary-internal-pack, entitlements: [{ feature: canary-hidden, override: true }] }
  - { key: canary-old-pack, offered: false, entitlements: [{ feature: exports, override: true }] }
groups:
  - { key: canary-default, mode: overlay, entitlements: [{ feature: exports, value: true }] }
segments:
  - { key: canary-segment, condition: 'customer.attributes.canary == true', entitlements: [{ feature: exports, value: true }] }
flags:
  - { key: canary-flag, type: boolean, category: release, clientVisible: true, default: true, owner: canary, purpose: canary, removal: canary, expires: '2099-01-01' }
tests:
  - { name: canary-test, given: { plan: free }, expect: { seats: 1 } }
`;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
});
afterAll(() => server?.stop());

function catalog(
  query = '',
  headers: Readonly<Record<string, string>> = {},
  key: string | null = server.clientKey,
): Promise<TestResponse> {
  return server.request('GET', `/api/v1/public/catalog${query}`, { key, headers });
}

describe('C-4 GET /api/v1/public/catalog', () => {
  it('lists offered plans by rank, each with a row for every feature that is sold, in the order of the catalog', async () => {
    const { status, body } = await catalog();
    expect(status).toBe(200);
    expect(body.product).toEqual({ id: expect.any(String), key: 'test', name: 'Test Product' });
    expect(body.features).toEqual([
      {
        key: 'minutes',
        name: 'Calling minutes',
        description: 'Calls from the app',
        type: 'metered',
        unit: { one: 'minute', other: 'minutes' },
        per: 'customer',
        period: { every: 'month', count: 1 },
      },
      {
        key: 'exports',
        name: 'Export',
        description: null,
        type: 'boolean',
        unit: null,
        per: 'customer',
        period: null,
      },
      {
        key: 'seats',
        name: 'seats',
        description: null,
        type: 'limit',
        unit: { one: 'seat', other: 'seats' },
        per: 'customer',
        period: null,
      },
      {
        key: 'sends',
        name: 'sends',
        description: null,
        type: 'metered',
        unit: null,
        per: 'user',
        period: { every: 'day', count: 2 },
      },
      {
        key: 'branding',
        name: 'branding',
        description: null,
        type: 'config',
        unit: null,
        per: 'customer',
        period: null,
      },
    ]);
    expect(
      body.plans.map(({ key, version }: { key: string; version: number }) => `${key}@${version}`),
    ).toEqual(['free@0', 'pro@1', 'enterprise@0', 'quote@0']);
    for (const plan of body.plans) {
      const rows = plan.features.map(({ feature }: { feature: string }) => feature);
      expect(rows).toEqual(['minutes', 'exports', 'seats', 'sends', 'branding']);
    }
    const [free, pro, enterprise, quote] = body.plans;
    expect(free).toMatchObject({
      name: 'Free',
      isDefault: true,
      price: { amount: 0, currency: 'USD', every: 'month', source: 'list', text: '$0' },
      addons: ['export-pack'],
    });
    expect(pro).toMatchObject({
      description: 'For teams',
      isDefault: false,
      price: { amount: 4950, text: '$49.50', source: 'list 2027' },
      addons: ['minutes-pack', 'export-pack'],
    });
    expect(enterprise.price.text).toBe('¥1,234,567');
    expect(quote).toMatchObject({ name: 'quote', price: null });
  });

  it('says what is in a plan: default groups count, a split promises the least, unlimited is said twice', async () => {
    const { plans } = (await catalog()).body;
    const row = (plan: number, feature: number) => plans[plan].features[feature];
    expect(row(0, 0)).toEqual({
      feature: 'minutes',
      included: false,
      limit: 0,
      unlimited: false,
      most: null,
      text: 'Not included',
    });
    expect(row(0, 2)).toMatchObject({ included: true, limit: 1, text: '1 seat' });
    expect(row(1, 0)).toMatchObject({
      included: true,
      limit: 2500,
      most: 3000,
      text: 'From 2,500 minutes per month',
    });
    expect(row(1, 3)).toMatchObject({ limit: 300, text: '300 per user every 2 days' });
    expect(row(2, 0)).toMatchObject({ limit: 9007199254740991, unlimited: true, text: 'Unlimited' });
    expect(row(2, 1)).toMatchObject({ included: true, limit: null, text: 'Included' });
    expect(row(2, 4)).toMatchObject({ included: true, limit: null, text: 'Included' });
    expect(row(3, 1)).toMatchObject({ included: true });
  });

  it('lists the add-ons with what they do and the plans that they go with', async () => {
    expect((await catalog()).body.addons).toEqual([
      {
        key: 'minutes-pack',
        version: 0,
        name: 'More minutes',
        description: null,
        price: { amount: 900, currency: 'EUR', every: 'month', source: 'list', text: '€9' },
        plans: ['pro', 'enterprise'],
        maxQuantity: 10,
        features: [
          {
            feature: 'minutes',
            effect: 'add',
            limit: 1000,
            unlimited: false,
            text: '+1,000 minutes per month',
          },
        ],
      },
      {
        key: 'export-pack',
        version: 0,
        name: 'export-pack',
        description: null,
        price: null,
        plans: ['free', 'pro', 'enterprise', 'quote'],
        maxQuantity: null,
        features: [
          { feature: 'exports', effect: 'override', limit: null, unlimited: false, text: 'Included' },
        ],
      },
    ]);
  });

  it('tells nothing else: no owner, purpose, rule, group, segment, flag, retired offer or hidden feature', async () => {
    for (const key of [server.clientKey, server.serverKey, server.adminKey]) {
      const answer = await catalog('', {}, key);
      expect(answer.status).toBe(200);
      expect(answer.text).not.toContain('canary');
    }
  });

  it('writes money and numbers as the locale does, and refuses what is none', async () => {
    const german = (await catalog('?locale=de-CH')).body;
    expect(german.locale).toBe('de-CH');
    expect(german.plans[1].price.text).toMatch(/49[.,]50/);
    expect(german.plans[1].features[0].text).toMatch(/^From 2[’']500 minutes per month$/);
    expect((await catalog('?locale=de')).body.plans[1].price.text).toBe('49,50\u00a0$');
    expect((await catalog('?locale=xx')).body.locale).toBe('en');
    const bad = await catalog('?locale=not_a_locale!');
    expect([bad.status, bad.body.code]).toEqual([400, 'LOCALE_INVALID']);
    const nowhere = await catalog('?product_id=nowhere');
    expect([nowhere.status, nowhere.body.code]).toEqual([400, 'PRODUCT_NOT_FOUND']);
    expect((await catalog('?product_id=test')).text).toBe((await catalog()).text);
  });

  it('may be kept for a minute and is asked again with its ETag; a price that changes changes it', async () => {
    const first = await catalog();
    expect(first.headers.get('cache-control')).toBe('private, max-age=60');
    const etag = first.headers.get('etag') ?? '';
    const same = await catalog('', { 'if-none-match': etag });
    expect([same.status, same.text]).toEqual([304, '']);
    await server.publish(CATALOG.replace('amount: 4950', 'amount: 5950'));
    const changed = await catalog('', { 'if-none-match': etag });
    expect(changed.status).toBe(200);
    expect(changed.body.plans[1].price).toMatchObject({ amount: 5950, text: '$59.50' });
  });

  it('takes a client key, a customer token and no less', async () => {
    const token = await customerToken(server, 'acme');
    const own = await catalog('', { 'pennon-customer-token': token });
    expect(own.body).toEqual((await catalog()).body);
    await expectStatus(catalog('', {}, null), 401);
  });
});
