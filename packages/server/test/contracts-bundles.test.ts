import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askFlag, auditOf, type Call, caller, startWithCatalog } from './contracts-support.js';

let server: TestServer;
let call: Call;

beforeAll(async () => {
  server = await startWithCatalog();
  call = caller(server);
  await call('PUT', '/bundles/tour', { ...TOUR });
});
afterAll(async () => {
  await server.stop();
});

const DAY = 86_400_000;
const soon = (milliseconds: number) => new Date(Date.now() + milliseconds).toISOString();
const TOUR = {
  name: 'Sales tour',
  days: 14,
  owner: 'sales@example.com',
  effects: [
    { type: 'flag', flag: 'reports-ui', variant: true },
    { type: 'flag', flag: 'theme', variant: 'dark' },
    { type: 'add', feature: 'seats', amount: 5 },
  ],
};
const to = (key: string, kind = 'customer') => ({ target: { kind, key } });
const apply = (bundle: string, body: Record<string, unknown>) =>
  call('POST', `/bundles/${bundle}/apply`, body);
const seen = async (customer: string) => [
  (await askFlag(server, 'reports-ui', { customer })).body.value,
  (await askFlag(server, 'theme', { customer })).body.value,
  (await askFlag(server, 'seats', { customer })).body.value,
];
const countOf = async (table: 'access_grant' | 'bundle_application', key: string) => {
  const { rows } = await server.parts.database.pool.query<{ count: number }>(
    `select count(*) from ${table} where target_key = $1`,
    [key],
  );
  return Number(rows[0]?.count);
};

describe('bundles', () => {
  it('are made, read, replaced and removed, each under its tag', async () => {
    const made = await call('PUT', '/bundles/kit', { effects: [{ type: 'deny', feature: 'reports' }] });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      key: 'kit',
      product: 'test',
      name: 'kit',
      kind: 'demo',
      days: null,
      version: 1,
    });
    const read = await call('GET', '/bundles/kit');
    expect([read.body, read.headers.get('etag')]).toEqual([made.body, '"1"']);
    const blind = await call('PUT', '/bundles/kit', { effects: TOUR.effects });
    expect([blind.status, blind.body.code]).toEqual([428, 'PRECONDITION_REQUIRED']);
    const replaced = await call('PUT', '/bundles/kit', { ...TOUR, name: 'Kit' }, { 'if-match': '"1"' });
    expect([replaced.status, replaced.body.version]).toEqual([200, 2]);
    // A variant that is a boolean is stored by its name.
    expect(replaced.body.effects[0]).toEqual({ type: 'flag', flag: 'reports-ui', variant: 'on' });
    const stale = await call('PUT', '/bundles/kit', { ...TOUR }, { 'if-match': '"1"' });
    expect(stale.status).toBe(412);
    const keys = (await call('GET', '/bundles')).body.items.map((bundle: { key: string }) => bundle.key);
    expect(keys).toEqual(['kit', 'tour']);
    const first = await call('GET', '/bundles?limit=1');
    const second = await call('GET', `/bundles?limit=1&cursor=${first.body.nextCursor}`);
    expect([second.body.items[0].key, second.body.nextCursor]).toEqual(['tour', null]);
    expect((await call('DELETE', '/bundles/kit?reason=over')).status).toBe(428);
    const gone = await call('DELETE', '/bundles/kit?reason=over', undefined, { 'if-match': '"2"' });
    expect(gone.status).toBe(204);
    const missing = await call('GET', '/bundles/kit');
    expect([missing.status, missing.body.code]).toEqual([404, 'BUNDLE_NOT_FOUND']);
    const actions = (await auditOf(server, made.body.id)).map((entry) => entry.action);
    expect(actions).toEqual(['bundle.create', 'bundle.replace', 'bundle.remove']);
  });

  it.each([
    ['nothing in it', { effects: [] }, 400, 'VALIDATION_FAILED', 'effects'],
    [
      'a flag that is not there',
      { effects: [...TOUR.effects, { type: 'flag', flag: 'them', variant: 'dark' }] },
      422,
      'FLAG_UNKNOWN',
      '/effects/3/flag',
    ],
    [
      'a limit that was not said',
      { effects: [{ type: 'flag', flag: 'calls-ui', variant: true }] },
      422,
      'GRANT_LIMIT_MISSING',
      '/effects/0/limits/minutes',
    ],
    [
      'one thing said twice',
      {
        effects: [
          { type: 'deny', feature: 'seats' },
          { type: 'unlimited', feature: 'seats' },
        ],
      },
      422,
      'EFFECT_TWICE',
      '/effects/1',
    ],
    ['a demo of years', { effects: TOUR.effects, days: 400 }, 422, 'SPAN_TOO_LONG', '/days'],
    ['a key that is none', { effects: TOUR.effects, kind: 'voucher' }, 400, 'VALIDATION_FAILED', 'kind'],
  ])('are refused with %s', async (_name, body, status, code, pointer) => {
    const answer = await call('PUT', '/bundles/refused', body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.body.errors[0].pointer).toContain(pointer);
    expect((await call('GET', '/bundles/refused')).status).toBe(404);
  });
});

describe('a bundle that is applied', () => {
  it('gives everything in one call, ends it by the clock, and is taken back in one call', async () => {
    expect(await seen('whole')).toEqual([false, 'light', 1]);
    const { status, body, headers } = await apply('tour', { ...to('whole'), days: 3 });
    expect([status, headers.get('etag')]).toEqual([201, '"1"']);
    expect(await seen('whole')).toEqual([true, 'dark', 6]);
    expect(await seen('another')).toEqual([false, 'light', 1]);
    expect(body).toMatchObject({
      bundle: 'tour',
      bundleVersion: 1,
      kind: 'demo',
      owner: 'sales@example.com',
      source: 'bundle:tour',
      revokedAt: null,
      version: 1,
    });
    expect(Date.parse(body.endsAt) - Date.parse(body.startsAt)).toBe(3 * DAY);
    expect(body.grants.map((grant: { effect: { type: string } }) => grant.effect.type)).toEqual([
      'flag',
      'flag',
      'add',
    ]);
    const grants = (await call('GET', `/grants?application=${body.id}`)).body.items;
    expect(grants.map((grant: { id: string }) => grant.id)).toEqual(
      body.grants.map((grant: { id: string }) => grant.id),
    );
    for (const grant of grants) {
      expect(grant).toMatchObject({ application: body.id, endsAt: body.endsAt, kind: 'demo' });
      expect(await auditOf(server, grant.id)).toMatchObject([{ action: 'grant.create' }]);
    }
    expect((await call('GET', `/bundle-applications/${body.id}`)).body).toEqual(body);

    const back = await call('POST', `/bundle-applications/${body.id}/revoke`, { reason: 'bought it' });
    expect(back.body).toMatchObject({ revokeReason: 'bought it', version: 2 });
    expect(back.body.grants.every((grant: { revokedAt: string }) => grant.revokedAt !== null)).toBe(true);
    expect(await seen('whole')).toEqual([false, 'light', 1]);
    const again = await call('POST', `/bundle-applications/${body.id}/revoke`, {});
    expect([again.status, again.body]).toEqual([200, back.body]);
    const late = await call('POST', `/bundle-applications/${body.id}/extend`, { days: 1 });
    expect([late.status, late.body.code]).toEqual([409, 'APPLICATION_REVOKED']);
    const entries = await auditOf(server, body.id);
    // Entries name customers by an id that can be forgotten, and everything else as it is.
    const { target: _applied, ...applied } = body;
    const { target: _revoked, ...revoked } = back.body;
    expect(entries).toMatchObject([
      { action: 'bundle.apply', after: applied },
      { action: 'bundle.revoke', reason: 'bought it', after: revoked },
    ]);
  });

  it.each([
    ['user', 'uma', { customer: 'c', user: 'uma' }],
    ['instance', 'i-eu', { instance: 'i-eu' }],
    ['group', 'beta', { customer: 'in-beta' }],
    ['segment', 'demoing', { customer: 'in-demoing' }],
  ])('reaches a %s too', async (kind, key, context) => {
    await call('PUT', '/products/test/groups/beta/members/customer/in-beta', {});
    await call('PUT', '/products/test/segments/demoing/members/customer/in-demoing', {});
    const theme = async () => (await askFlag(server, 'theme', context)).body.value;
    expect(await theme()).toBe('light');
    const { status, body } = await apply('tour', to(key, kind));
    expect(status).toBe(201);
    expect(Date.parse(body.endsAt) - Date.parse(body.startsAt)).toBe(14 * DAY);
    expect(await theme()).toBe('dark');
    await call('POST', `/bundle-applications/${body.id}/revoke`, {});
    expect(await theme()).toBe('light');
  });

  it('is extended as a whole, and later ends where it was put', async () => {
    const { body } = await apply('tour', to('longer'));
    const own = body.grants[2].id;
    await call('POST', `/grants/${own}/revoke`, { reason: 'not that one' });
    const longer = await call('POST', `/bundle-applications/${body.id}/extend`, { days: 7 });
    expect(longer.status).toBe(200);
    expect(Date.parse(longer.body.endsAt) - Date.parse(body.endsAt)).toBe(7 * DAY);
    const [first, , third] = longer.body.grants;
    expect([first.endsAt, first.revokedAt]).toEqual([longer.body.endsAt, null]);
    expect([third.endsAt, third.revokedAt === null]).toEqual([body.endsAt, false]);
    expect(await seen('longer')).toEqual([true, 'dark', 1]);
    for (const [sent, code] of [
      [{ days: 400 }, 'SPAN_TOO_LONG'],
      [{ endsAt: soon(-DAY) }, 'SPAN_EMPTY'],
      [{ endsAt: new Date(Date.parse(body.startsAt) + 1).toISOString() }, 'END_PASSED'],
      [{ endsAt: null }, 'END_MISSING'],
      [{ days: 1, endsAt: soon(DAY) }, 'END_TWICE'],
      [{}, 'END_MISSING'],
    ] as const) {
      const answer = await call('POST', `/bundle-applications/${body.id}/extend`, sent);
      expect([sent, answer.body.code]).toEqual([sent, code]);
    }
    const stale = await call(
      'POST',
      `/bundle-applications/${body.id}/extend`,
      { days: 1 },
      { 'if-match': '"1"' },
    );
    expect(stale.status).toBe(412);
    const short = await call('POST', `/bundle-applications/${body.id}/extend`, { endsAt: soon(500) });
    expect(short.status).toBe(200);
    expect(await seen('longer')).toEqual([true, 'dark', 1]);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(await seen('longer')).toEqual([false, 'light', 1]);
  });

  it('twice is refused, naming the running one, unless that is meant', async () => {
    const first = await apply('tour', to('twice'));
    const second = await apply('tour', to('twice'));
    expect([second.status, second.body.code, second.body.application]).toEqual([
      409,
      'BUNDLE_APPLIED',
      first.body.id,
    ]);
    expect(second.body.detail).toContain(first.body.id);
    const meant = await apply('tour', { ...to('twice'), again: true });
    expect(meant.status).toBe(201);
    expect(await seen('twice')).toEqual([true, 'dark', 11]);
    for (const one of [first, meant]) await call('POST', `/bundle-applications/${one.body.id}/revoke`, {});
    expect((await apply('tour', to('twice'))).status).toBe(201);
  });

  it('by twenty at once on two processes is applied once', async () => {
    const other = await startTestServer({
      databaseUrl: server.databaseUrl,
      keys: { admin: server.adminKey, server: server.serverKey, client: server.clientKey },
    });
    try {
      const beside = caller(other);
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          (index % 2 === 0 ? call : beside)('POST', '/bundles/tour/apply', to('raced')),
        ),
      );
      expect(answers.map((answer) => answer.status).sort()).toEqual([201, ...Array(19).fill(409)]);
      expect(await countOf('access_grant', 'raced')).toBe(3);
      expect(await countOf('bundle_application', 'raced')).toBe(1);
    } finally {
      await other.stop();
    }
  });

  it('under an `Idempotency-Key` answers a repeated call with the first answer', async () => {
    const again = { 'idempotency-key': 'tour-for-once' };
    const first = await call('POST', '/bundles/tour/apply', to('once'), again);
    const second = await call('POST', '/bundles/tour/apply', to('once'), again);
    expect([first.status, second.status, second.body]).toEqual([201, 201, first.body]);
    expect(await countOf('bundle_application', 'once')).toBe(1);
    const revoke = (key: string) =>
      call('POST', `/bundle-applications/${first.body.id}/revoke`, {}, { 'idempotency-key': key });
    expect((await revoke('back')).body).toEqual((await revoke('back')).body);
  });

  it('is all or nothing', async () => {
    const metered = { effects: [...TOUR.effects, { type: 'add', feature: 'minutes', amount: 5 }], days: 2 };
    await call('PUT', '/bundles/metered', metered);
    const refused = await apply('metered', to('nobody', 'user'));
    expect([refused.status, refused.body.code]).toEqual([422, 'BUNDLE_EFFECT_REFUSED']);
    expect(refused.body.errors[0]).toMatchObject({ code: 'GRANT_BELOW_ACCOUNT', pointer: '/target/kind' });
    expect(refused.body.detail).toContain('effect 3');
    expect(await countOf('access_grant', 'nobody')).toBe(0);
    expect(await countOf('bundle_application', 'nobody')).toBe(0);
  });

  it.each([
    ['no end of a demo', 'endless', to('x'), 422, 'END_MISSING', '/endsAt'],
    ['a demo of years', 'endless', { ...to('x'), days: 400 }, 422, 'SPAN_TOO_LONG', '/days'],
    ['two ends', 'endless', { ...to('x'), days: 1, endsAt: soon(DAY) }, 400, 'END_TWICE', '/days'],
    ['no contract', 'contracted', to('x'), 422, 'CONTRACT_REFERENCE_MISSING', '/contractReference'],
    [
      'a group that is not there',
      'endless',
      { ...to('x', 'group'), days: 1 },
      422,
      'GROUP_UNKNOWN',
      '/target/key',
    ],
    [
      'a segment that anybody can claim',
      'endless',
      { ...to('staff', 'segment'), days: 1 },
      422,
      'SEGMENT_FORGEABLE',
      '/target/key',
    ],
  ])('is refused with %s', async (_name, bundle, body, status, code, pointer) => {
    const effects = TOUR.effects;
    await call('PUT', '/bundles/endless', { effects });
    await call('PUT', '/bundles/contracted', { effects, kind: 'contract' });
    const answer = await apply(bundle, body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.body.errors[0].pointer).toBe(pointer);
  });

  it('rests on a contract where its kind says so, without an end', async () => {
    await call('PUT', '/bundles/contracted', { effects: TOUR.effects, kind: 'contract' });
    const { body } = await apply('contracted', { ...to('signed'), contractReference: 'C-7' });
    expect(body).toMatchObject({ kind: 'contract', contractReference: 'C-7', endsAt: null });
    const endless = await call('POST', `/bundle-applications/${body.id}/extend`, { days: 5 });
    expect([endless.status, endless.body.code]).toEqual([422, 'NO_END']);
    const listed = await call('GET', '/grants?contractReference=C-7');
    expect(listed.body.items).toHaveLength(3);
  });

  it('keeps what it gave when the bundle changes or goes, and holds what it names in the catalog', async () => {
    await call('PUT', '/bundles/moving', { ...TOUR });
    const { body } = await apply('moving', to('kept'));
    const effects = [{ type: 'add', feature: 'seats', amount: 1 }];
    await call('PUT', '/bundles/moving', { effects, days: 1 }, { 'if-match': '*' });
    expect(await seen('kept')).toEqual([true, 'dark', 6]);
    expect((await apply('moving', { ...to('kept-2') })).body).toMatchObject({ bundleVersion: 2 });
    expect(await seen('kept-2')).toEqual([false, 'light', 2]);
    await call('DELETE', '/bundles/moving?reason=over', undefined, { 'if-match': '*' });
    expect(await seen('kept')).toEqual([true, 'dark', 6]);
    expect((await call('POST', `/bundle-applications/${body.id}/revoke`, {})).status).toBe(200);
    expect(await seen('kept')).toEqual([false, 'light', 1]);
    expect((await apply('moving', to('kept'))).body.code).toBe('BUNDLE_NOT_FOUND');

    await call('PUT', '/bundles/holding', {
      effects: [{ type: 'flag', flag: 'logo-ui', variant: true, requires: 'respect' }],
    });
    const refused = await server.request('DELETE', '/api/v1/products/test/flags/logo-ui?reason=smaller', {
      headers: { 'if-match': '*' },
    });
    expect([refused.status, refused.body.code]).toEqual([409, 'STILL_IN_USE']);
    expect(refused.text).toContain('the bundle `holding` in `production`');
  });

  it('a variant that a grant in force or a bundle gives stays in its flag, until they are over', async () => {
    const path = '/api/v1/products/test/flags/theme';
    const { body: theme } = await server.request('GET', path);
    const { dark: _dark, ...variants } = theme.variants;
    const without = async () =>
      server.request('PUT', `${path}?reason=smaller`, {
        body: { ...theme, variants },
        headers: { 'if-match': '*' },
      });
    const grant = await call('POST', '/grants', {
      ...to('dressed'),
      kind: 'support',
      effect: { type: 'flag', flag: 'theme', variant: 'dark', requires: 'respect' },
    });
    expect(grant.status, grant.text).toBe(201);
    const refused = await without();
    expect([refused.status, refused.body.code]).toEqual([409, 'STILL_IN_USE']);
    expect(refused.body.detail).toMatch(
      /would lose `dark`, which is given by the grant `.+` of the customer/,
    );
  });

  it('X-12: is listed by its end, what is over only when asked for', async () => {
    const ids: string[] = [];
    for (const days of [9, 3, 6]) {
      ids.push((await apply('tour', { ...to('listed'), days, again: true })).body.id);
    }
    const [nine, three, six] = ids;
    await call('POST', `/bundle-applications/${six}/revoke`, {});
    const list = async (query: string) =>
      (await call('GET', `/bundle-applications?targetKind=customer&targetKey=listed${query}`)).body;
    const idsOf = (page: { items: { id: string }[] }) => page.items.map((item) => item.id);
    expect(idsOf(await list(''))).toEqual([three, nine]);
    expect(idsOf(await list('&revoked=true'))).toEqual([three, six, nine]);
    expect(idsOf(await list('&bundle=kit'))).toEqual([]);
    const page = await list('&limit=1');
    expect(page.items[0].grants).toHaveLength(3);
    expect(idsOf(await list(`&limit=1&cursor=${page.nextCursor}`))).toEqual([nine]);
    expect((await call('GET', '/bundle-applications?targetKind=user')).status).toBe(400);
    expect((await call('GET', '/bundle-applications/none')).body.code).toBe('APPLICATION_NOT_FOUND');
  });
});
