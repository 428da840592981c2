import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, customer, customerToken, expectStatus, warm } from './runtime-support.js';

const governed = 'owner: team@example.com, purpose: A test, removal: permanent';
const flagged = "owner: team@example.com, purpose: A test, removal: After the test, expires: '2099-01-01'";

/** A system that answers plain booleans: plans, default groups, customer groups of both modes, segments. */
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: exports, type: boolean, category: subscription, clientVisible: true, ${governed} }
  - { key: reports, type: boolean, category: subscription, ${governed} }
  - { key: audit-log, type: boolean, category: subscription, clientVisible: true, ${governed} }
  - { key: seats, type: limit, category: limit, ${governed} }
plans:
  - { key: free, entitlements: [{ feature: seats, value: 1 }] }
  - { key: pro, rank: 1, entitlements: [{ feature: exports, value: true }, { feature: seats, value: 5 }] }
  - key: business
    rank: 2
    defaultGroup: business-default
    entitlements: [{ feature: exports, value: true }]
groups:
  - { key: business-default, mode: overlay, entitlements: [{ feature: reports, value: true }] }
  - { key: beta, mode: replace, entitlements: [{ feature: audit-log, value: true }] }
  - { key: partners, mode: overlay, entitlements: [{ feature: reports, value: true }] }
  - { key: seat-partners, mode: overlay, entitlements: [{ feature: seats, value: 9 }] }
segments:
  - { key: demoing, entitlements: [{ feature: audit-log, value: true }] }
flags:
  - { key: new_dashboard, type: boolean, category: release, clientVisible: true, default: false, rules: [{ if: 'plan.tier == "business"', serve: true }], ${flagged} }
  - { key: internal-switch, type: boolean, category: ops, default: true, ${flagged} }
  - { key: export-screen, type: boolean, category: release, clientVisible: true, requires: [exports], default: true, ${flagged} }
  - { key: greeting, type: string, category: release, variants: { a: Hi, b: Hello }, 'off': a, default: b, ${flagged} }
`;

let server: TestServer;
let productId: string;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  productId = (await server.request('GET', '/api/v1/products/test')).body.id;
});
afterAll(() => server?.stop());

const base = '/api/v1/environments/production';
const reason = 'A test.';
let count = 0;

async function fresh(plan?: string): Promise<string> {
  count += 1;
  const key = `plain-${count}`;
  await customer(server, key, plan);
  await warm(server, key);
  return key;
}

function featureFlags(
  key: string,
  more: { readonly query?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<TestResponse> {
  const path = `/api/v1/customer/feature-flags?product_id=test&customer=${key}${more.query ?? ''}`;
  return server.request('GET', path, { key: server.serverKey, headers: more.headers ?? {} });
}

const join = (group: string, key: string) =>
  expectStatus(
    server.request('PUT', `${base}/products/test/groups/${group}/members/customer/${key}`, {
      body: { reason },
    }),
    201,
  );

const grant = (target: { readonly kind: string; readonly key: string }, effect: object) =>
  expectStatus(
    server.request('POST', `${base}/grants`, {
      body: { product: 'test', target, kind: 'support', effect, reason },
    }),
    201,
  );

const NOTHING = {
  'audit-log': false,
  'export-screen': false,
  exports: false,
  'internal-switch': true,
  new_dashboard: false,
  reports: false,
};

describe('F-2 GET /api/v1/customer/feature-flags', () => {
  it('answers the exact body: every boolean feature and flag, false included, sorted, with the id of the product', async () => {
    const key = await fresh('pro');
    const answer = await featureFlags(key);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      data: {
        product_id: productId,
        featureFlags: { ...NOTHING, exports: true, 'export-screen': true },
        featureFlagSource: 'plan',
        featureFlagGroup: null,
      },
    });
    expect(Object.keys(answer.body.data.featureFlags)).toEqual([
      'audit-log',
      'export-screen',
      'exports',
      'internal-switch',
      'new_dashboard',
      'reports',
    ]);
    const byId = await server.request(
      'GET',
      `/api/v1/customer/feature-flags?product_id=${productId}&customer=${key}`,
      { key: server.serverKey },
    );
    expect(byId.text).toBe(answer.text);
  });

  it.each([
    {
      source: 'plan',
      name: 'the default plan of somebody nobody knows',
      group: null,
      given: async () => 'nobody-knows',
      flags: NOTHING,
    },
    {
      source: 'plan_default_group',
      name: 'the default group of the plan',
      group: 'business-default',
      given: () => fresh('business'),
      flags: { ...NOTHING, exports: true, 'export-screen': true, reports: true, new_dashboard: true },
    },
    {
      source: 'customer_group',
      name: 'a group that replaces the plan as a whole',
      group: 'beta',
      given: async () => {
        const key = await fresh('business');
        await join('beta', key);
        return key;
      },
      flags: { ...NOTHING, 'audit-log': true, new_dashboard: true },
    },
    {
      source: 'customer_group',
      name: 'a group that is laid over the plan',
      group: 'partners',
      given: async () => {
        const key = await fresh('pro');
        await join('partners', key);
        return key;
      },
      flags: { ...NOTHING, exports: true, 'export-screen': true, reports: true },
    },
    {
      source: 'customer_group',
      name: 'of several groups the last in the catalog',
      group: 'partners',
      given: async () => {
        const key = await fresh('pro');
        await join('partners', key);
        await join('beta', key);
        return key;
      },
      flags: { ...NOTHING, 'audit-log': true, reports: true },
    },
    {
      source: 'plan',
      name: 'a group that is laid over nothing boolean takes no part',
      group: null,
      given: async () => {
        const key = await fresh('pro');
        await join('seat-partners', key);
        return key;
      },
      flags: { ...NOTHING, exports: true, 'export-screen': true },
    },
    {
      source: 'user',
      name: 'a grant to the customer, on top of the group, which is still named',
      group: 'beta',
      given: async () => {
        const key = await fresh('pro');
        await join('beta', key);
        await grant({ kind: 'customer', key }, { type: 'set', feature: 'reports', value: true });
        return key;
      },
      flags: { ...NOTHING, 'audit-log': true, reports: true },
    },
    {
      source: 'user',
      name: 'a grant that takes away',
      group: null,
      given: async () => {
        const key = await fresh('pro');
        await grant({ kind: 'customer', key }, { type: 'deny', feature: 'exports' });
        return key;
      },
      flags: NOTHING,
    },
    {
      source: 'user',
      name: 'a grant of a flag',
      group: null,
      given: async () => {
        const key = await fresh('pro');
        await grant({ kind: 'customer', key }, { type: 'flag', flag: 'new_dashboard', variant: 'on' });
        return key;
      },
      flags: { ...NOTHING, exports: true, 'export-screen': true, new_dashboard: true },
    },
    {
      source: 'user',
      name: 'a segment that gives its members a feature',
      group: null,
      given: async () => {
        const key = await fresh('pro');
        const path = `${base}/products/test/segments/demoing/members/customer/${key}`;
        await expectStatus(server.request('PUT', path, { body: { reason } }), 201);
        return key;
      },
      flags: { ...NOTHING, exports: true, 'export-screen': true, 'audit-log': true },
    },
  ])('F-3 $source: $name', async ({ source, group, given, flags }) => {
    const answer = await featureFlags(await given());
    expect(answer.body.data).toEqual({
      product_id: productId,
      featureFlags: flags,
      featureFlagSource: source,
      featureFlagGroup: group,
    });
  });

  it('F-3 a grant to a group is the group’s, one to a user or an instance is the user’s', async () => {
    const key = await fresh('pro');
    await join('seat-partners', key);
    await grant({ kind: 'group', key: 'seat-partners' }, { type: 'set', feature: 'reports', value: true });
    expect((await featureFlags(key)).body.data).toMatchObject({
      featureFlagSource: 'customer_group',
      featureFlagGroup: 'seat-partners',
    });
    await expectStatus(
      server.request('PUT', `${base}/customers/${key}/instances/${key}-eu`, { body: { reason } }),
      201,
    );
    await expectStatus(
      server.request('PUT', `${base}/customers/${key}/users/ada`, { body: { reason } }),
      201,
    );
    await grant({ kind: 'user', key: 'ada' }, { type: 'set', feature: 'audit-log', value: true });
    await grant(
      { kind: 'instance', key: `${key}-eu` },
      { type: 'flag', flag: 'new_dashboard', variant: 'on' },
    );
    const on = { featureFlagSource: 'user', featureFlagGroup: 'seat-partners' };
    const ada = (await featureFlags(key, { query: '&user=ada' })).body.data;
    expect(ada).toMatchObject({ ...on, featureFlags: { 'audit-log': true, new_dashboard: false } });
    const eu = (await featureFlags(key, { query: `&instance=${key}-eu` })).body.data;
    expect(eu).toMatchObject({ ...on, featureFlags: { 'audit-log': false, new_dashboard: true } });
  });

  it('F-3 none: no plan, no group, nothing granted', async () => {
    const other = await startTestServer({ catalog: CATALOG.replace(', defaultPlan: free', '') });
    const path = '/api/v1/customer/feature-flags?product_id=test&customer=nobody';
    const answer = await other.request('GET', path, { key: other.serverKey });
    await other.stop();
    expect(answer.body.data).toMatchObject({ featureFlagSource: 'none', featureFlagGroup: null });
    expect(answer.body.data.featureFlags).toEqual(NOTHING);
  });

  it('F-4 an upgrade opens flags and a downgrade takes them away, on the next request', async () => {
    const key = await fresh('pro');
    const licenses = `${base}/customers/${key}/licenses`;
    const { id } = (await server.request('GET', licenses)).body.items[0];
    const moveTo = (plan: string) =>
      expectStatus(
        server.request('PATCH', `${licenses}/${id}`, {
          body: { plan, planVersion: 0, reason },
          headers: { 'if-match': '*' },
        }),
        200,
      );
    await moveTo('business');
    expect((await featureFlags(key)).body.data.featureFlags).toMatchObject({
      reports: true,
      new_dashboard: true,
    });
    await moveTo('free');
    expect((await featureFlags(key)).body.data.featureFlags).toEqual(NOTHING);
  });

  it('refuses what names no product or no customer, with a code and a way on', async () => {
    const get = (query: string, key = server.serverKey) =>
      server.request('GET', `/api/v1/customer/feature-flags${query}`, { key });
    const cases = [
      ['?customer=acme', 'PRODUCT_MISSING'],
      ['?product_id=&customer=acme', 'PRODUCT_MISSING'],
      ['?product_id=test', 'CUSTOMER_MISSING'],
      ['?product_id=test&customer=', 'CUSTOMER_MISSING'],
      ['?product_id=nowhere&customer=acme', 'PRODUCT_NOT_FOUND'],
      ['?product_id=0190a000-0000-7000-8000-00000000dead&customer=acme', 'PRODUCT_NOT_FOUND'],
      ['?product_id=test&customer=acme&customer=other', 'VALIDATION_FAILED'],
      ['?product_id=test&customr=acme', 'VALIDATION_FAILED'],
    ] as const;
    for (const [query, code] of cases) {
      const { status, body } = await get(query);
      expect([query, status, body.code]).toEqual([query, 400, code]);
      expect(body.detail).toContain('`');
    }
    const alone = await get('?product_id=test&customer=acme', server.clientKey);
    expect([alone.status, alone.body.code]).toEqual([403, 'CREDENTIAL_KIND_REFUSED']);
    const admin = await get('?product_id=test&customer=acme', server.adminKey);
    expect(admin.status).toBe(403);
  });

  it('contradicting names are refused as in OFREP', async () => {
    const key = await fresh('pro');
    const other = await fresh('pro');
    const path = `${base}/customers/${other}/instances/${other}-eu`;
    await expectStatus(server.request('PUT', path, { body: { reason } }), 201);
    const answer = await featureFlags(key, { query: `&instance=${other}-eu` });
    expect([answer.status, answer.body.code]).toEqual([400, 'INVALID_CONTEXT']);
  });

  it('a customer token sees its own customer and what is visible to clients, and chooses nobody else', async () => {
    const key = await fresh('pro');
    await grant({ kind: 'customer', key }, { type: 'set', feature: 'reports', value: true });
    const token = await customerToken(server, key);
    const get = (query: string) =>
      server.request('GET', `/api/v1/customer/feature-flags?product_id=test${query}`, {
        key: null,
        headers: { 'x-api-key': server.clientKey, 'pennon-customer-token': token },
      });
    const own = await get('');
    // INVARIANT: that somebody holds a grant of something invisible is invisible too.
    expect(own.body.data).toEqual({
      product_id: productId,
      featureFlags: { 'audit-log': false, 'export-screen': true, exports: true, new_dashboard: false },
      featureFlagSource: 'plan',
      featureFlagGroup: null,
    });
    expect((await get(`&customer=${key}`)).text).toBe(own.text);
    for (const query of ['&customer=someone', '&user=ada']) {
      const refused = await get(query);
      expect([refused.status, refused.body.code]).toEqual([400, 'TOKEN_CONTRADICTED']);
    }
  });

  it('an unchanged answer is 304, a changed one is not, and caches are told what it depends on', async () => {
    const key = await fresh('pro');
    const first = await featureFlags(key);
    const etag = first.headers.get('etag') ?? '';
    expect(first.headers.get('cache-control')).toBe('private, no-cache');
    for (const name of [
      'Authorization',
      'X-API-Key',
      'Pennon-Customer-Token',
      'Pennon-Product',
      'Pennon-Environment',
    ])
      expect(first.headers.get('vary')).toContain(name);
    const same = await featureFlags(key, { headers: { 'if-none-match': etag } });
    expect([same.status, same.text, same.headers.get('etag')]).toEqual([304, '', etag]);
    await join('partners', key);
    const changed = await featureFlags(key, { headers: { 'if-none-match': etag } });
    expect(changed.status).toBe(200);
    expect(changed.headers.get('etag')).not.toBe(etag);
  });

  it('agrees with OFREP on every boolean', async () => {
    const key = await fresh('business');
    const { featureFlags: plain } = (await featureFlags(key)).body.data;
    const bulk = await ask(server, '/ofrep/v1/evaluate/flags', { context: { customer: key } });
    const booleans = bulk.body.flags.filter((flag: { value: unknown }) => typeof flag.value === 'boolean');
    expect(plain).toEqual(
      Object.fromEntries(booleans.map((flag: { key: string; value: boolean }) => [flag.key, flag.value])),
    );
  });
});
