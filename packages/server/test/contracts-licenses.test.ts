import type { TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askFlag, auditOf, type Call, caller, startWithCatalog } from './contracts-support.js';

let server: TestServer;
let call: Call;

beforeAll(async () => {
  server = await startWithCatalog();
  call = caller(server);
  await call('PUT', '/customers/acme', {});
});
afterAll(async () => {
  await server.stop();
});

const license = (body: Record<string, unknown>) => call('POST', '/customers/acme/licenses', body);

describe('a license', () => {
  it('P-8: is to the latest offered version when none is named, starts now and is anchored there', async () => {
    const { status, body } = await license({ plan: 'pro', startsAt: '2027-01-31T09:00:00Z' });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      customer: 'acme',
      product: 'test',
      plan: 'pro',
      planVersion: 1,
      quantity: 1,
      kind: 'paid',
      status: 'active',
      startsAt: '2027-01-31T09:00:00.000Z',
      endsAt: null,
      // The product's zone, because neither license nor customer has one.
      anchor: '2027-01-31T10:00:00[Europe/Berlin]',
      addons: [],
      version: 1,
    });
    expect((await call('GET', `/customers/acme/licenses/${body.id}`)).body).toEqual(body);
    const own = await license({
      plan: 'pro',
      timeZone: 'America/New_York',
      startsAt: '2027-01-31T15:00:00Z',
    });
    expect(own.body.anchor).toBe('2027-01-31T10:00:00[America/New_York]');
    const sent = await license({ plan: 'pro', anchor: '2026-12-31T00:00:00[UTC]' });
    expect(sent.body.anchor).toBe('2026-12-31T00:00:00[UTC]');
    const entries = await auditOf(server, body.id);
    expect(entries).toMatchObject([{ action: 'license.create', after: { plan: 'pro', planVersion: 1 } }]);
  });

  it('P-2: is read from a billing key by the product’s pattern', async () => {
    const { body } = await license({ sku: 'us-pro-myproduct-01-v0' });
    expect(body).toMatchObject({ plan: 'pro', planVersion: 0, sku: 'us-pro-myproduct-01-v0' });
    const changed = await call(
      'PATCH',
      `/customers/acme/licenses/${body.id}`,
      { planVersion: 1 },
      { 'if-match': '"1"' },
    );
    // The billing key of another version says nothing true any more.
    expect(changed.body).toMatchObject({ planVersion: 1, sku: null });
  });

  it('keeps a version that is sold no more, and may be given one by name', async () => {
    const { body } = await license({ plan: 'pro', planVersion: 2 });
    const changed = await call(
      'PATCH',
      `/customers/acme/licenses/${body.id}`,
      { quantity: 5 },
      { 'if-match': '"1"' },
    );
    expect(changed.body).toMatchObject({ planVersion: 2, quantity: 5, version: 2 });
  });

  it('K-14: carries add-ons with quantities', async () => {
    const { body } = await license({ plan: 'pro', addons: [{ addon: 'pack', quantity: 2 }] });
    expect(body.addons).toEqual([{ addon: 'pack', version: 0, quantity: 2 }]);
    const downgrade = await call(
      'PATCH',
      `/customers/acme/licenses/${body.id}`,
      { plan: 'free' },
      { 'if-match': '"1"' },
    );
    expect([downgrade.status, downgrade.body.code]).toEqual([422, 'ADDON_NOT_FOR_PLAN']);
    const clean = await call(
      'PATCH',
      `/customers/acme/licenses/${body.id}`,
      { plan: 'free', addons: [] },
      { 'if-match': '"1"' },
    );
    expect(clean.body).toMatchObject({ plan: 'free', planVersion: 0, addons: [] });
  });

  it.each([
    [{ plan: 'proo' }, 'PLAN_UNKNOWN', '/plan', 'pro'],
    [{ plan: 'pro', planVersion: 9 }, 'PLAN_VERSION_UNKNOWN', '/planVersion', '2'],
    [{ plan: 'legacy' }, 'PLAN_NOT_OFFERED', '/planVersion', undefined],
    [{ sku: 'nonsense' }, 'SKU_NOT_OF_PATTERN', '/sku', undefined],
    [{ sku: 'us-pro-x-01-v1', plan: 'free' }, 'SKU_CONTRADICTS_PLAN', '/plan', undefined],
    [{ sku: 'us-pro-x-01-v1', planVersion: 0 }, 'SKU_CONTRADICTS_PLAN', '/planVersion', undefined],
    [{ plan: 'pro', kind: 'contract' }, 'CONTRACT_REFERENCE_MISSING', '/contractReference', undefined],
    [{ plan: 'pro', kind: 'trial' }, 'TRIAL_WITHOUT_END', '/endsAt', undefined],
    [{ plan: 'pro', status: 'canceled' }, 'CANCELED_WITHOUT_END', '/endsAt', undefined],
    [
      { plan: 'pro', startsAt: '2027-01-02T00:00:00Z', endsAt: '2027-01-02T00:00:00Z' },
      'SPAN_EMPTY',
      '/endsAt',
      undefined,
    ],
    [{ plan: 'pro', addons: [{ addon: 'pakc' }] }, 'ADDON_UNKNOWN', '/addons/0/addon', 'pack'],
    [
      { plan: 'pro', addons: [{ addon: 'pack', version: 3 }] },
      'ADDON_VERSION_UNKNOWN',
      '/addons/0/version',
      undefined,
    ],
    [
      { plan: 'pro', addons: [{ addon: 'pack', quantity: 4 }] },
      'ADDON_QUANTITY',
      '/addons/0/quantity',
      undefined,
    ],
    [
      { plan: 'pro', addons: [{ addon: 'pack' }, { addon: 'pack' }] },
      'ADDON_TWICE',
      '/addons/0/addon',
      undefined,
    ],
    [{ plan: 'free', addons: [{ addon: 'pack' }] }, 'ADDON_NOT_FOR_PLAN', '/addons/0/addon', undefined],
    [{ plan: 'pro', timeZone: 'Nowhere' }, 'TIME_ZONE_UNKNOWN', '/timeZone', undefined],
    [{ plan: 'pro', anchor: 'yesterday' }, 'ANCHOR_INVALID', '/anchor', undefined],
  ])('refuses %j', async (body, code, pointer, suggestion) => {
    const before = (await call('GET', '/customers/acme')).body.version;
    const answer = await license(body);
    expect([answer.status, answer.body.code]).toEqual([422, code]);
    expect(answer.body.errors[0].pointer).toBe(code === 'ADDON_TWICE' ? '/addons/1/addon' : pointer);
    expect(answer.body.errors[0].suggestion).toBe(suggestion);
    expect((await call('GET', '/customers/acme')).body.version).toBe(before);
  });

  it('refuses what the body cannot mean', async () => {
    expect((await license({})).body.code).toBe('PLAN_MISSING');
    expect((await license({ plan: 'pro', product: 'none' })).body.code).toBe('PRODUCT_NOT_FOUND');
    expect((await license({ plan: 'pro', startsAt: '2027-02-30T00:00:00Z' })).body.code).toBe('TIME_INVALID');
    expect((await license({ plan: 'pro', quantity: 0 })).status).toBe(400);
    expect((await license({ plan: 'pro', status: 'happy' })).status).toBe(400);
    expect((await call('POST', '/customers/nobody/licenses', { plan: 'pro' })).body.code).toBe(
      'CUSTOMER_NOT_FOUND',
    );
    expect((await call('GET', '/customers/acme/licenses/none')).body.code).toBe('LICENSE_NOT_FOUND');
  });

  it('law 11: is not there for another customer', async () => {
    await call('PUT', '/customers/stranger', {});
    const { body } = await license({ plan: 'pro' });
    expect((await call('GET', `/customers/stranger/licenses/${body.id}`)).status).toBe(404);
    const patched = await call(
      'PATCH',
      `/customers/stranger/licenses/${body.id}`,
      { quantity: 2 },
      { 'if-match': '*' },
    );
    expect(patched.status).toBe(404);
    const elsewhere = await server.request(
      'GET',
      `/api/v1/environments/development/customers/acme/licenses/${body.id}`,
    );
    expect(elsewhere.body.code).toBe('CUSTOMER_NOT_FOUND');
  });

  it('of many who change the same version at once, exactly one does', async () => {
    const { body } = await license({ plan: 'pro' });
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        call('PATCH', `/customers/acme/licenses/${body.id}`, { quantity: index + 2 }, { 'if-match': '"1"' }),
      ),
    );
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, ...Array(9).fill(412)]);
    const stale = answers.find((answer) => answer.status === 412);
    expect(stale?.body).toMatchObject({ current: { etag: '"2"', item: { version: 2 } } });
    expect((await call('PATCH', `/customers/acme/licenses/${body.id}`, { quantity: 1 })).status).toBe(428);
  });
});

describe('F-4: an upgrade and a downgrade', () => {
  it('answer at once in the process that wrote, within a second in another, at once there with the token', async () => {
    const keys = { admin: server.adminKey, server: server.serverKey, client: server.clientKey };
    const other = await startWithCatalog(server.databaseUrl, keys);
    try {
      await call('PUT', '/customers/climber', {});
      const { body } = await call('POST', '/customers/climber/licenses', { plan: 'free' });
      const context = { customer: 'climber' };
      const value = async (where: TestServer, headers: Record<string, string> = {}) =>
        (await askFlag(where, 'reports-ui', context, headers)).body.value;
      expect(await value(server)).toBe(false);
      expect(await value(other)).toBe(false);

      const path = `/customers/climber/licenses/${body.id}`;
      for (let round = 0; round < 3; round += 1) {
        const up = await call('PATCH', path, { plan: 'pro' }, { 'if-match': '*' });
        expect(await value(server)).toBe(true);
        const token = up.headers.get('pennon-consistency') ?? '';
        expect(await value(other, { 'pennon-consistency': token })).toBe(true);
        await call('PATCH', path, { plan: 'free' }, { 'if-match': '*' });
        expect(await value(server)).toBe(false);
        const wroteAt = performance.now();
        while ((await value(other)) !== false) {
          expect(performance.now() - wroteAt).toBeLessThan(1500);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    } finally {
      await other.stop();
    }
  });
});
