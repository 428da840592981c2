import { LIMITS } from '@pennon/engine/model/limits';
import type { TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askFlag, auditOf, type Call, caller, reason, startWithCatalog } from './contracts-support.js';

let server: TestServer;
let call: Call;

beforeAll(async () => {
  server = await startWithCatalog();
  call = caller(server);
  await call('PUT', '/customers/acme', {});
  await call('PUT', '/customers/acme/users/ada', {});
  await call('PUT', '/customers/acme/instances/acme-eu', {});
});
afterAll(async () => {
  await server.stop();
});

const soon = (milliseconds: number) => new Date(Date.now() + milliseconds).toISOString();
const DAY = 86_400_000;
const grant = (body: Record<string, unknown>) =>
  call('POST', '/grants', { target: { kind: 'customer', key: 'acme' }, kind: 'support', ...body });
const flagOf = async (key: string, context: Record<string, unknown>) =>
  (await askFlag(server, key, context)).body.value;
const member = (kind: 'groups' | 'segments', key: string, who: string) =>
  `/products/test/${kind}/${key}/members/${who}`;

describe('grants', () => {
  it.each([
    [
      'flag with its gate',
      { type: 'flag', flag: 'reports-ui', variant: true },
      { type: 'flag', flag: 'reports-ui', variant: 'on' },
      ['reports'],
    ],
    [
      'flag, gate standing',
      { type: 'flag', flag: 'reports-ui', variant: 'on', requires: 'respect' },
      undefined,
      [],
    ],
    [
      'flag with a limit',
      { type: 'flag', flag: 'calls-ui', variant: 'on', limits: { minutes: 50 } },
      undefined,
      ['reports', 'minutes'],
    ],
    ['text flag', { type: 'flag', flag: 'theme', variant: 'dark' }, undefined, []],
    ['set a boolean', { type: 'set', feature: 'reports', value: false }, undefined, []],
    ['set a limit', { type: 'set', feature: 'seats', value: 'unlimited' }, undefined, []],
    ['set a config', { type: 'set', feature: 'branding', value: { logo: 'own' } }, undefined, []],
    ['add', { type: 'add', feature: 'minutes', amount: 10 }, undefined, []],
    ['multiply', { type: 'multiply', feature: 'minutes', factor: '1.5' }, undefined, []],
    ['unlimited', { type: 'unlimited', feature: 'minutes' }, undefined, []],
    ['deny', { type: 'deny', feature: 'branding' }, undefined, []],
  ])('take the effect %s', async (_name, effect, stored, alsoGrants) => {
    const target = { kind: 'customer', key: 'effects' };
    const { status, body } = await grant({ effect, target, endsAt: soon(DAY) });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      product: 'test',
      effect: stored ?? effect,
      alsoGrants,
      revokedAt: null,
      version: 1,
    });
    expect((await call('GET', `/grants/${body.id}`)).body).toEqual(body);
    const entries = await auditOf(server, body.id);
    expect(entries).toMatchObject([{ action: 'grant.create', reason, after: { id: body.id } }]);
  });

  it.each([
    [
      { effect: { type: 'flag', flag: 'report-ui', variant: true } },
      'FLAG_UNKNOWN',
      '/effect/flag',
      'reports-ui',
    ],
    [
      { effect: { type: 'flag', flag: 'theme', variant: 'drak' } },
      'VARIANT_UNKNOWN',
      '/effect/variant',
      'dark',
    ],
    [
      { effect: { type: 'flag', flag: 'calls-ui', variant: true } },
      'GRANT_LIMIT_MISSING',
      '/effect/limits/minutes',
      undefined,
    ],
    [
      { effect: { type: 'flag', flag: 'calls-ui', variant: true, limits: { minutes: 0 } } },
      'GRANT_LIMIT_MISSING',
      '/effect/limits/minutes',
      undefined,
    ],
    [
      { effect: { type: 'flag', flag: 'reports-ui', variant: true, limits: { seats: 3 } } },
      'LIMIT_NOT_REQUIRED',
      '/effect/limits/seats',
      undefined,
    ],
    [
      { effect: { type: 'flag', flag: 'logo-ui', variant: true } },
      'GRANT_CONFIG_REQUIRED',
      '/effect/requires',
      'respect',
    ],
    [
      { effect: { type: 'set', feature: 'report', value: true } },
      'FEATURE_UNKNOWN',
      '/effect/feature',
      'reports',
    ],
    [
      { effect: { type: 'set', feature: 'reports', value: 1 } },
      'VALUE_NOT_OF_TYPE',
      '/effect/value',
      undefined,
    ],
    [
      { effect: { type: 'set', feature: 'minutes', value: -1 } },
      'VALUE_NOT_OF_TYPE',
      '/effect/value',
      'unlimited',
    ],
    [
      { effect: { type: 'set', feature: 'minutes', value: 1.5 } },
      'VALUE_NOT_OF_TYPE',
      '/effect/value',
      undefined,
    ],
    [
      { effect: { type: 'set', feature: 'branding', value: { logo: 3 } } },
      'VALUE_NOT_OF_SCHEMA',
      '/effect/value/logo',
      undefined,
    ],
    [{ effect: { type: 'add', feature: 'reports', amount: 1 } }, 'EFFECT_NOT_OF_TYPE', '/effect/type', 'set'],
    [
      { effect: { type: 'add', feature: 'minutes', amount: 1 }, target: { kind: 'user', key: 'ada' } },
      'GRANT_BELOW_ACCOUNT',
      '/target/kind',
      'customer',
    ],
    [
      { effect: { type: 'deny', feature: 'reports' }, kind: 'contract' },
      'CONTRACT_REFERENCE_MISSING',
      '/contractReference',
      undefined,
    ],
    [{ effect: { type: 'deny', feature: 'reports' }, kind: 'demo' }, 'END_MISSING', '/endsAt', undefined],
    [
      { effect: { type: 'deny', feature: 'reports' }, kind: 'demo', endsAt: soon(400 * DAY) },
      'SPAN_TOO_LONG',
      '/endsAt',
      undefined,
    ],
    [{ effect: { type: 'deny', feature: 'reports' }, kind: 'beta' }, 'END_MISSING', '/endsAt', undefined],
    [
      {
        effect: { type: 'deny', feature: 'reports' },
        startsAt: '2027-01-02T00:00:00Z',
        endsAt: '2027-01-01T00:00:00Z',
      },
      'SPAN_EMPTY',
      '/endsAt',
      undefined,
    ],
    [
      { effect: { type: 'deny', feature: 'reports' }, target: { kind: 'group', key: 'betta' } },
      'GROUP_UNKNOWN',
      '/target/key',
      'beta',
    ],
    [
      { effect: { type: 'deny', feature: 'reports' }, target: { kind: 'segment', key: 'x' } },
      'SEGMENT_UNKNOWN',
      '/target/key',
      undefined,
    ],
    [
      { effect: { type: 'set', feature: 'reports', value: true }, target: { kind: 'segment', key: 'staff' } },
      'SEGMENT_FORGEABLE',
      '/target/key',
      undefined,
    ],
  ])('C-6: are refused with the member named (%#)', async (body, code, pointer, suggestion) => {
    const answer = await grant(body);
    expect([answer.status, answer.body.code]).toEqual([422, code]);
    expect(answer.body.errors[0].pointer).toBe(pointer);
    expect(answer.body.errors[0].suggestion).toBe(suggestion);
  });

  it('are refused where the body cannot mean anything', async () => {
    const effect = { type: 'deny', feature: 'reports' };
    expect((await grant({ effect, kind: 'voucher' })).status).toBe(400);
    expect(
      (await grant({ effect: { type: 'multiply', feature: 'minutes', factor: '1.23456' } })).status,
    ).toBe(400);
    expect((await grant({ effect: { type: 'topUp', feature: 'minutes' } })).status).toBe(400);
    expect((await grant({ effect, product: 'none' })).body.code).toBe('PRODUCT_NOT_FOUND');
    expect((await call('GET', '/grants/none')).body.code).toBe('GRANT_NOT_FOUND');
    const nothing = await server.request('POST', '/api/v1/environments/nowhere/grants', { body: {} });
    expect(nothing.body.code).toBe('ENVIRONMENT_NOT_FOUND');
  });

  it('P-4: open a gated flag at once for exactly their target, end by the clock, and end when revoked', async () => {
    const context = { customer: 'shown' };
    expect(await flagOf('reports-ui', context)).toBe(false);
    const effect = { type: 'flag', flag: 'reports-ui', variant: true };
    const target = { kind: 'customer', key: 'shown' };
    const { body } = await grant({ effect, target, kind: 'demo', endsAt: soon(DAY) });
    expect(await flagOf('reports-ui', context)).toBe(true);
    expect(await flagOf('reports-ui', { customer: 'not-shown' })).toBe(false);

    const revoked = await call(
      'POST',
      `/grants/${body.id}/revoke`,
      { reason: 'bought it' },
      { 'if-match': '"1"' },
    );
    expect(revoked.body).toMatchObject({ revokeReason: 'bought it', version: 2 });
    expect(await flagOf('reports-ui', context)).toBe(false);
    const again = await call('POST', `/grants/${body.id}/revoke`, {});
    expect([again.status, again.body]).toEqual([200, revoked.body]);
    const late = await call('POST', `/grants/${body.id}/extend`, { endsAt: soon(DAY) });
    expect([late.status, late.body.code]).toEqual([409, 'GRANT_REVOKED']);
    expect((await auditOf(server, body.id)).map((entry) => entry.action)).toEqual([
      'grant.create',
      'grant.revoke',
    ]);

    const short = await grant({ effect, target, kind: 'demo', endsAt: soon(700) });
    expect(await flagOf('reports-ui', context)).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(await flagOf('reports-ui', context)).toBe(false);
    const extended = await call('POST', `/grants/${short.body.id}/extend`, { endsAt: soon(DAY) });
    expect(extended.status).toBe(200);
    expect(await flagOf('reports-ui', context)).toBe(true);
    expect((await call('POST', `/grants/${short.body.id}/extend`, { endsAt: null })).body.code).toBe(
      'END_MISSING',
    );
    const passed = await call('POST', `/grants/${short.body.id}/extend`, { endsAt: soon(-1) });
    expect([passed.status, passed.body.code]).toEqual([422, 'END_PASSED']);
    const stale = await call(
      'POST',
      `/grants/${short.body.id}/extend`,
      { endsAt: soon(DAY) },
      { 'if-match': '"1"' },
    );
    expect(stale.status).toBe(412);
  });

  it.each([
    ['user', 'ada', { customer: 'acme', user: 'ada' }, { customer: 'acme' }],
    ['user', 'ada', { user: { key: 'ada' } }, { customer: 'acme', user: 'eve' }],
    ['instance', 'acme-eu', { instance: 'acme-eu' }, { customer: 'acme' }],
    ['customer', 'acme', { team: { key: 'acme' } }, { customer: 'other' }],
  ])('reach a %s and nobody else', async (kind, key, context, others) => {
    expect(await flagOf('theme', context)).toBe('light');
    const { body } = await grant({
      effect: { type: 'flag', flag: 'theme', variant: 'dark' },
      target: { kind, key },
    });
    expect(await flagOf('theme', context)).toBe('dark');
    expect(await flagOf('theme', others)).toBe('light');
    await call('POST', `/grants/${body.id}/revoke`, {});
    expect(await flagOf('theme', context)).toBe('light');
  });

  it('reach an instance that is named by its id', async () => {
    const { body: instance } = await call('GET', '/customers/acme/instances/acme-eu');
    const target = { kind: 'instance', key: instance.id };
    const { body } = await grant({ effect: { type: 'flag', flag: 'theme', variant: 'dark' }, target });
    expect(body.target).toEqual({ kind: 'instance', key: 'acme-eu' });
    expect(await flagOf('theme', { instanceId: instance.id })).toBe('dark');
    await call('POST', `/grants/${body.id}/revoke`, {});
    expect(await flagOf('theme', { instanceId: instance.id })).toBe('light');
  });

  it('X-12, C-6: are listed by the end, and all of one customer in one place', async () => {
    const effect = { type: 'add', feature: 'seats', amount: 1 };
    await call('PUT', '/customers/listed', {});
    await call('PUT', '/customers/listed/users/lea', {});
    const ends = [30, 10, 20].map((days) => soon(days * DAY));
    const ids: string[] = [];
    for (const endsAt of ends) {
      const { body } = await grant({ effect, endsAt, target: { kind: 'customer', key: 'listed' } });
      ids.push(body.id);
    }
    const ofUser = await grant({ effect, target: { kind: 'user', key: 'lea' } });
    const revoked = await grant({ effect, target: { kind: 'customer', key: 'listed' } });
    await call('POST', `/grants/${revoked.body.id}/revoke`, {});
    const keys = async (query: string) =>
      (await call('GET', `/grants?${query}`)).body.items.map((item: { id: string }) => item.id);
    const [thirty, ten, twenty] = ids;
    expect(await keys('customer=listed')).toEqual([ten, twenty, thirty, ofUser.body.id]);
    expect(await keys('targetKind=customer&targetKey=listed')).toEqual([ten, twenty, thirty]);
    expect(await keys(`customer=listed&endsBefore=${soon(15 * DAY)}`)).toEqual([ten]);
    expect(await keys('customer=listed&revoked=true')).toContain(revoked.body.id);
    const first = await call('GET', '/grants?customer=listed&limit=2');
    expect(await keys(`customer=listed&limit=2&cursor=${first.body.nextCursor}`)).toEqual([
      thirty,
      ofUser.body.id,
    ]);
    expect((await call('GET', '/grants?targetKind=user')).status).toBe(400);
  });
});

describe('memberships', () => {
  it('P-5: whoever is put into a segment sees gated flags, until taken out or until the end passes', async () => {
    for (const [who, context] of [
      ['customer/starter', { customer: 'starter' }],
      ['team/blue', { team: { key: 'blue' } }],
      ['user/ada', { customer: 'acme', user: 'ada' }],
      ['instance/acme-eu', { instance: 'acme-eu' }],
    ] as const) {
      const path = member('segments', 'demoing', who);
      expect([who, await flagOf('reports-ui', context)]).toEqual([who, false]);
      const created = await call('PUT', path, { endsAt: soon(DAY) });
      expect(created.status).toBe(201);
      expect([who, await flagOf('reports-ui', context)]).toEqual([who, true]);
      expect((await call('GET', path)).body).toEqual(created.body);
      const removed = await call('DELETE', `${path}?reason=over`);
      expect(removed.status).toBe(204);
      expect(await flagOf('reports-ui', context)).toBe(false);
      const ending = await call('PUT', path, { endsAt: soon(600) });
      expect(ending.status).toBe(201);
      await new Promise((resolve) => setTimeout(resolve, 700));
      expect(await flagOf('reports-ui', context)).toBe(false);
    }
  });

  it('of a group are customers only', async () => {
    const path = member('groups', 'beta', 'customer/acme');
    const created = await call('PUT', path, {});
    expect(created.body).toMatchObject({
      container: { kind: 'group', key: 'beta' },
      member: { kind: 'customer', key: 'acme' },
      reason,
      endsAt: null,
    });
    expect(await flagOf('reports-ui', { customer: 'acme' })).toBe(true);
    // The same sentence again is no conflict; a stale one is.
    expect((await call('PUT', path, {})).status).toBe(200);
    expect((await call('PUT', path, {}, { 'if-match': '"1"' })).status).toBe(412);
    expect((await call('PUT', member('groups', 'beta', 'user/ada'), {})).status).toBe(400);
    await call('DELETE', `${path}?reason=over`);
    expect((await call('DELETE', `${path}?reason=over`)).body.code).toBe('MEMBER_NOT_FOUND');
    const { rows } = await server.parts.database.pool.query<{ action: string }>(
      `select action from audit_entry where object_kind = 'membership' and object_id in
        (select object_id from audit_entry where convert_from(bytes, 'UTF8') like '%"key":"beta"%') order by id`,
    );
    const actions = rows.map((row) => row.action);
    expect(actions).toEqual(['membership.create', 'membership.replace', 'membership.remove']);
  });

  it('refuse groups and segments that are not there, and spans that hold never', async () => {
    const unknown = await call('PUT', member('segments', 'demoign', 'user/ada'), {});
    expect([unknown.status, unknown.body.code]).toEqual([422, 'SEGMENT_UNKNOWN']);
    expect(unknown.body.errors[0].suggestion).toBe('demoing');
    const past = await call('PUT', member('segments', 'demoing', 'user/ada'), {
      endsAt: '2020-01-01T00:00:00Z',
    });
    expect(past.body.code).toBe('SPAN_EMPTY');
    const product = await call('PUT', '/products/none/segments/demoing/members/user/ada', {});
    expect(product.body.code).toBe('PRODUCT_NOT_FOUND');
  });

  it('are listed in pages, by kind', async () => {
    for (let index = 0; index < 5; index += 1) {
      await call('PUT', member('segments', 'demoing', `user/page-${index}`), {});
    }
    await call('PUT', member('segments', 'demoing', 'customer/page'), {});
    const all: { member: { kind: string; key: string } }[] = [];
    let cursor = '';
    do {
      const { body } = await call('GET', `/products/test/segments/demoing/members?limit=3${cursor}`);
      all.push(...body.items);
      cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`;
    } while (cursor !== '');
    const members = all.map((item) => `${item.member.kind}/${item.member.key}`);
    expect(members).toEqual([...new Set(members)].sort());
    expect(members).toContain('user/page-4');
    const customers = await call('GET', '/products/test/segments/demoing/members?kind=customer');
    expect(
      customers.body.items.every((item: { member: { kind: string } }) => item.member.kind === 'customer'),
    ).toBe(true);
  });
});

describe('grants and memberships of keys in common', () => {
  it('of groups and segments reach their members at once, without forgetting anybody', async () => {
    await call('PUT', member('groups', 'beta', 'customer/grouped'), {});
    expect(await flagOf('theme', { customer: 'grouped' })).toBe('light');
    const effect = { type: 'flag', flag: 'theme', variant: 'dark' };
    const { body } = await grant({ effect, target: { kind: 'group', key: 'beta' } });
    const loads = server.parts.customers.statistics().loads;
    expect(await flagOf('theme', { customer: 'grouped' })).toBe('dark');
    expect(await flagOf('theme', { customer: 'grouped' })).toBe('dark');
    expect(server.parts.customers.statistics().loads - loads).toBeLessThanOrEqual(2);
    await call('POST', `/grants/${body.id}/revoke`, {});
    expect(await flagOf('theme', { customer: 'grouped' })).toBe('light');
  });

  it('change the tag of the customers that they concern', async () => {
    const version = async () => (await call('GET', '/customers/acme')).body.version;
    const before = await version();
    await grant({ effect: { type: 'deny', feature: 'branding' }, target: { kind: 'user', key: 'ada' } });
    expect(await version()).toBe(before + 1);
    await call('PUT', member('segments', 'demoing', 'instance/acme-eu'), {});
    expect(await version()).toBe(before + 2);
  });
});

describe('the limit of grants per target', () => {
  it.each([
    ['customer', 'crowded'],
    ['customer', 'crowded-and-unknown'],
    ['user', 'crowded-user'],
  ])(
    'is exact where many make grants of one %s (%s) at once, on two processes',
    async (kind, key) => {
      const { adminKey: admin, serverKey, clientKey: client, databaseUrl } = server;
      const other = await startWithCatalog(databaseUrl, { admin, server: serverKey, client });
      try {
        if (key === 'crowded') await call('PUT', '/customers/crowded', {});
        await server.parts.database.pool.query(
          `insert into access_grant (id, environment_id, product_id, target_kind, target_key, kind, effect, starts_at, reason,
           version, created_at)
         select gen_random_uuid(), e.id, p.id, $1, $2, 'support', '{"type":"add","feature":"seats","amount":1}', now(), 'x', 1, now()
         from environment e, product p, generate_series(1, $3) where e.key = 'production' and p.key = 'test'`,
          [kind, key, LIMITS.grantsPerTarget.value - 5],
        );
        const body = {
          target: { kind, key },
          kind: 'support',
          effect: { type: 'add', feature: 'seats', amount: 1 },
        };
        const calls = [call, caller(other)];
        const made = await Promise.all(
          Array.from({ length: 20 }, async (_, index) => {
            const headers = { 'idempotency-key': `crowd-${key}-${index}` };
            for (let tries = 0; ; tries += 1) {
              const answer = await calls[(index + tries) % 2]?.('POST', '/grants', body, headers);
              const passing = answer?.status === 503 || answer?.body.code === 'CHANGED_AT_THE_SAME_TIME';
              if (!passing || tries > 50) return answer?.status === 201 ? 'made' : answer?.body.code;
            }
          }),
        );
        expect(made.filter((one) => one === 'made')).toHaveLength(5);
        expect(made.filter((one) => one === 'TOO_MANY_GRANTS')).toHaveLength(15);
      } finally {
        await other.stop();
      }
    },
    60_000,
  );
});
