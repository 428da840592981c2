import type { TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditOf, CATALOG, type Call, caller, startWithCatalog } from './contracts-support.js';

let server: TestServer;
let call: Call;

beforeAll(async () => {
  server = await startWithCatalog();
  call = caller(server);
  await server.publish(
    CATALOG.replace('segments:\n', `segments:\n  - { key: large, condition: 'customer.size > 100' }\n`),
  );
});
afterAll(async () => {
  await server.stop();
});

const DAY = 86_400_000;
const soon = (days: number) => new Date(Date.now() + days * DAY).toISOString();
const effect = { type: 'add', feature: 'seats', amount: 1 };
const made = async (kind: string, key: string, more: Record<string, unknown> = {}): Promise<string> => {
  const { status, body } = await call('POST', '/grants', {
    target: { kind, key },
    kind: 'support',
    effect,
    ...more,
  });
  expect(status).toBe(201);
  return body.id;
};
const idsOf = (page: { body: { items: { id: string }[] } }) => page.body.items.map((item) => item.id);
const ids = async (path: string) => idsOf(await call('GET', path));

describe('what is said about a grant', () => {
  it('can be put right under its tag; whom it is for, what it does and since when cannot', async () => {
    const id = await made('customer', 'corrected', { kind: 'demo', endsAt: soon(10) });
    const path = `/grants/${id}`;
    const change = (body: Record<string, unknown>, tag = '"1"') =>
      call('PATCH', path, body, { 'if-match': tag });
    expect((await call('PATCH', path, { owner: 'x' })).status).toBe(428);
    expect((await change({ effect })).status).toBe(400);
    expect((await change({ kind: 'contract' })).body.code).toBe('CONTRACT_REFERENCE_MISSING');
    const signed = await change({
      kind: 'contract',
      contractReference: 'C-9',
      owner: 'kim@example.com',
      reason: 'signed',
    });
    expect(signed.body).toMatchObject({
      kind: 'contract',
      contractReference: 'C-9',
      owner: 'kim@example.com',
      reason: 'a test',
      effect,
      version: 2,
    });
    expect((await change({ owner: null })).status).toBe(412);
    const unowned = await change({ owner: null, source: 'crm:77' }, '"2"');
    expect(unowned.body).toMatchObject({ owner: null, source: 'crm:77', contractReference: 'C-9' });
    const never = await call('POST', `${path}/extend`, { endsAt: null });
    expect(never.body.endsAt).toBe(null);
    const back = await change({ kind: 'beta' }, '*');
    expect([back.status, back.body.code]).toEqual([422, 'END_MISSING']);
    await call('POST', `${path}/revoke`, {});
    expect((await change({ owner: 'x' }, '*')).body.code).toBe('GRANT_REVOKED');
    const entries = await auditOf(server, id);
    expect(entries.map((entry) => entry.action)).toEqual([
      'grant.create',
      'grant.change',
      'grant.change',
      'grant.extend',
      'grant.revoke',
    ]);
    expect(entries[1]).toMatchObject({ reason: 'signed', after: { contractReference: 'C-9' } });
  });
});

describe('lists of grants', () => {
  it('C-6: hold everything that rests on contracts in one place', async () => {
    const first = await made('customer', 'one', {
      kind: 'contract',
      contractReference: 'C-1',
      endsAt: soon(30),
    });
    const second = await made('customer', 'two', { kind: 'contract', contractReference: 'C-2' });
    const third = await made('user', 'una', { kind: 'contract', contractReference: 'C-1', endsAt: soon(5) });
    await made('customer', 'one');
    expect(await ids('/grants?kind=contract')).toEqual([third, first, second]);
    expect(await ids('/grants?contractReference=C-1')).toEqual([third, first]);
    expect(await ids('/grants?kind=contract&endsWithinDays=7')).toEqual([third]);
    const page = await call('GET', '/grants?kind=contract&limit=2');
    expect(await ids(`/grants?kind=contract&limit=2&cursor=${page.body.nextCursor}`)).toEqual([second]);
  });

  it('C-6: hold everything that reaches one customer, and say through whom', async () => {
    await call('PUT', '/customers/reached', { attributes: { size: 500 } });
    await call('PUT', '/customers/reached/users/ron', {});
    await call('PUT', '/customers/reached/instances/r-eu', {});
    await call('PUT', '/customers/small', { attributes: { size: 5 } });
    await call('PUT', '/products/test/groups/beta/members/customer/reached', {});
    await call('PUT', '/products/test/segments/demoing/members/user/ron', { endsAt: soon(3) });
    await call('PUT', '/products/test/segments/demoing/members/instance/r-eu', {});
    const expected = {
      [await made('customer', 'reached', { endsAt: soon(1) })]: [
        { kind: 'customer', key: 'reached', endsAt: null },
      ],
      [await made('user', 'ron', { endsAt: soon(2) })]: [{ kind: 'user', key: 'ron', endsAt: null }],
      [await made('instance', 'r-eu', { endsAt: soon(3) })]: [
        { kind: 'instance', key: 'r-eu', endsAt: null },
      ],
      [await made('group', 'beta', { endsAt: soon(4) })]: [
        { kind: 'customer', key: 'reached', endsAt: null },
      ],
      [await made('segment', 'demoing', { endsAt: soon(5) })]: [
        { kind: 'instance', key: 'r-eu', endsAt: null },
        { kind: 'user', key: 'ron', endsAt: expect.stringMatching(/Z$/) },
      ],
      [await made('segment', 'large', { endsAt: soon(6) })]: [
        { kind: 'condition', key: 'large', endsAt: null },
      ],
    };
    await made('customer', 'small');
    await made('user', 'nobody');
    const { body } = await call('GET', '/customers/reached/grants');
    expect(body.items.map((item: { id: string }) => item.id)).toEqual(Object.keys(expected));
    for (const item of body.items) expect([item.id, item.through]).toEqual([item.id, expected[item.id]]);

    const [own, ofUser, , , , met] = Object.keys(expected);
    expect(await ids('/customers/reached/grants?endsWithinDays=2')).toEqual([own, ofUser]);
    const page = await call('GET', '/customers/reached/grants?limit=5');
    expect(await ids(`/customers/reached/grants?limit=5&cursor=${page.body.nextCursor}`)).toEqual([met]);
    expect(await ids('/customers/small/grants')).toHaveLength(1);
    expect(await ids('/customers/reached/grants?kind=contract')).toEqual([]);
    await call('POST', `/grants/${own}/revoke`, {});
    expect(await ids('/customers/reached/grants')).not.toContain(own);
    expect(await ids('/customers/reached/grants?revoked=true')).toContain(own);
  });

  it('of a customer that nobody registered hold what was granted to its key; a misspelt one is 404', async () => {
    const id = await made('customer', 'ghost');
    expect(await ids('/customers/ghost/grants')).toEqual([id]);
    const missing = await call('GET', '/customers/gost/grants');
    expect([missing.status, missing.body.code]).toEqual([404, 'CUSTOMER_NOT_FOUND']);
  });
});

describe('X-12: one list of what ends soon', () => {
  it('holds grants, applications, licenses and memberships by their end, in pages, with where each is changed', async () => {
    await call('PUT', '/customers/ending', {});
    const license = async (kind: string, endsAt: string, more: object = {}) =>
      (
        await call('POST', '/customers/ending/licenses', {
          plan: 'pro',
          planVersion: 1,
          kind,
          endsAt,
          ...more,
        })
      ).body.id;
    const same = soon(42);
    await call('PUT', '/bundles/tour', { effects: [effect, { type: 'deny', feature: 'reports' }] });
    const application = (
      await call('POST', '/bundles/tour/apply', { target: { kind: 'customer', key: 'ending' }, endsAt: same })
    ).body;
    const due = await license('paid', soon(90));
    await call(
      'PATCH',
      `/customers/ending/licenses/${due}`,
      { status: 'past_due', graceEndsAt: soon(40.5) },
      { 'if-match': '*' },
    );
    const voucher = await call('POST', '/vouchers', {
      key: 'spring',
      kind: 'ENTITLEMENT_BOOST',
      effects: [{ type: 'add', feature: 'seats', amount: 1 }],
      lasts: { days: 10 },
      endsAt: soon(43.5),
    });
    expect(voucher.status, voucher.text).toBe(201);
    const expected = [
      ['grace', 'paid', 'pro@1', due],
      ['license', 'trial', 'pro@1', await license('trial', soon(41))],
      ['application', 'demo', 'tour', application.id],
      ['grant', 'support', 'seats', await made('user', 'end/user'.replace('/', '-'), { endsAt: same })],
      ['license', 'contract', 'pro@1', await license('contract', same, { contractReference: 'C-5' })],
      ['membership', 'segment', 'demoing', null],
      ['voucher', 'ENTITLEMENT_BOOST', 'spring', voucher.body.id],
      ['grant', 'demo', 'reports', application.grants[1].id],
    ];
    await call('PUT', '/products/test/segments/demoing/members/team/end%20team', { endsAt: soon(43) });
    // One grant of the application goes on by itself, so that it is listed by itself.
    await call('POST', `/grants/${application.grants[1].id}/extend`, { endsAt: soon(44) });
    // What does not end, ended, was revoked, or ends later is not there.
    await made('customer', 'ending');
    const revoked = await made('customer', 'ending', { endsAt: soon(42) });
    await call('POST', `/grants/${revoked}/revoke`, {});
    await made('customer', 'ending', { endsAt: soon(60) });
    await made('customer', 'ending', { startsAt: soon(-9), endsAt: soon(-1) });

    interface Item {
      type: string;
      kind: string;
      what: string;
      id: string;
      path: string;
      endsAt: string;
    }
    const all: Item[] = [];
    let cursor = '';
    do {
      const { status, body } = await call('GET', `/ending?withinDays=50&limit=2${cursor}`);
      expect(status).toBe(200);
      all.push(...body.items);
      cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`;
    } while (cursor !== '');
    const late = all.filter((item) => Date.parse(item.endsAt) > Date.now() + 40 * DAY);
    expect(
      late.map(({ type, kind, what, id }) => [type, kind, what, type === 'membership' ? null : id]),
    ).toEqual(expected);
    for (const { path } of late) {
      expect([path, (await server.request('GET', path)).status]).toEqual([path, 200]);
    }
    const kinds = async (query: string) =>
      (await call('GET', `/ending?withinDays=50&${query}`)).body.items.map((item: Item) => item.what);
    expect(await kinds('kind=trial')).toEqual(['pro@1']);
    expect(await kinds('type=membership&kind=segment')).toContain('demoing');
    expect(await kinds('type=application')).toEqual(['tour']);
    expect(await kinds('type=grace')).toEqual(['pro@1']);
    expect(await kinds('type=voucher')).toEqual(['spring']);
    expect((await call('GET', '/ending?withinDays=0')).status).toBe(400);
    expect((await call('GET', '/ending?cursor=x')).body.code).toBe('CURSOR_INVALID');
    expect((await call('GET', '/ending?product=none')).body.code).toBe('PRODUCT_NOT_FOUND');
  });
});
