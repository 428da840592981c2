import type { TestServer } from '@pennon/testkit/test-server';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { askFlag, type Call, caller, startWithCatalog } from './contracts-support.js';
import { flags } from './runtime-support.js';

/* What a grant does to answers: every target with every effect over both protocols, and to the millisecond when it ends. */

let server: TestServer;
let call: Call;

beforeAll(async () => {
  server = await startWithCatalog();
  call = caller(server);
  await call('PUT', '/customers/acme', {});
  await call('PUT', '/customers/acme/users/ada', {});
  await call('PUT', '/customers/acme/instances/acme-eu', {});
  await call('PUT', '/products/test/groups/beta/members/customer/acme', {});
  await call('PUT', '/products/test/segments/demoing/members/customer/acme', {});
});
afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(async () => {
  await server.stop();
});

const DAY = 86_400_000;
const ACME = { customer: 'acme', user: 'ada', instance: 'acme-eu' };

async function entitlement(key: string, context: object) {
  const { status, body } = await server.request('POST', `/oep/v1/evaluate/entitlements/${key}`, {
    key: server.serverKey,
    body: { context },
  });
  expect(status).toBe(200);
  return body;
}

/** A flag over OFREP; a feature over OFREP and over OEP, where both must say the same. */
async function answer(key: string, context: object = ACME): Promise<unknown> {
  const { status, body: asFlag } = await askFlag(server, key, { ...context });
  expect([key, status, asFlag]).toMatchObject([key, 200, {}]);
  if (key === 'theme') return asFlag.value;
  const { hasAccess, limit, value } = await entitlement(key, context);
  const direct =
    limit === null || limit === undefined ? value : limit.kind === 'unlimited' ? 'unlimited' : limit.value;
  const overOfrep = asFlag.metadata.unlimited === true ? 'unlimited' : asFlag.value;
  expect([key, overOfrep]).toEqual([key, direct ?? asFlag.value]);
  expect([key, hasAccess]).toEqual([key, direct !== null && direct !== 0 && direct !== false]);
  return direct;
}

/** What whoever is nobody's target has. */
const UNTOUCHED: Readonly<Record<string, unknown>> = {
  theme: 'light',
  seats: 1,
  reports: false,
  branding: null,
  minutes: 0,
};

const TARGETS = [
  ['customer', 'acme'],
  ['user', 'ada'],
  ['instance', 'acme-eu'],
  ['group', 'beta'],
  ['segment', 'demoing'],
] as const;

describe.each(TARGETS)('P-4 C-6 K-8: a grant to a %s', (kind, key) => {
  const isPersonal = kind === 'user' || kind === 'instance';
  it.each([
    ['theme', { type: 'flag', flag: 'theme', variant: 'dark' }, 'dark'],
    ['seats', { type: 'set', feature: 'seats', value: 7 }, 7],
    ['seats', { type: 'set', feature: 'seats', value: 'unlimited' }, 'unlimited'],
    ['seats', { type: 'add', feature: 'seats', amount: 2 }, 3],
    ['seats', { type: 'multiply', feature: 'seats', factor: '2.5' }, 2],
    ['seats', { type: 'unlimited', feature: 'seats' }, 'unlimited'],
    ['seats', { type: 'deny', feature: 'seats' }, 0],
    ['reports', { type: 'set', feature: 'reports', value: false }, false],
    ['reports', { type: 'deny', feature: 'reports' }, false],
    ['branding', { type: 'set', feature: 'branding', value: { logo: 'own' } }, { logo: 'own' }],
    ['minutes', { type: 'set', feature: 'minutes', value: 30 }, 30],
    ['minutes', { type: 'add', feature: 'minutes', amount: 30 }, 30],
  ])('that says of `%s` %j', async (subject, effect, expected) => {
    const before = await answer(subject);
    const made = await call('POST', '/grants', { target: { kind, key }, kind: 'support', effect });
    if (subject === 'minutes' && isPersonal) {
      expect([made.status, made.body.code]).toEqual([422, 'GRANT_BELOW_ACCOUNT']);
      return;
    }
    expect(made.status).toBe(201);
    expect(await answer(subject)).toEqual(expected);
    expect(await answer(subject, { customer: 'other', user: 'eve' })).toEqual(UNTOUCHED[subject]);
    await call('POST', `/grants/${made.body.id}/revoke`, {});
    expect(await answer(subject)).toEqual(before);
  });
});

describe('X-12: a grant ends by the clock', () => {
  it('at its instant, on a warm process, without reading anything, in every answer and tag', async () => {
    const { clock, customers } = server.parts;
    const startsAt = Math.floor(clock.now()) + 1000;
    const endsAt = startsAt + DAY;
    const at = (instant: number) => vi.spyOn(clock, 'now').mockReturnValue(instant);
    const context = { customer: 'clocked' };
    await call('PUT', '/customers/clocked', {});
    const target = { kind: 'customer', key: 'clocked' };
    const span = { startsAt: new Date(startsAt).toISOString(), endsAt: new Date(endsAt).toISOString() };
    const effects = [
      { type: 'flag', flag: 'reports-ui', variant: true },
      { type: 'add', feature: 'seats', amount: 4 },
    ];
    for (const effect of effects) await call('POST', '/grants', { target, kind: 'demo', effect, ...span });
    // The process hears of its own changes once more by its poll, and reads once more after the last of them.
    let loads: number;
    do {
      loads = customers.statistics().loads;
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await askFlag(server, 'theme', context);
    } while (customers.statistics().loads !== loads);
    const seen = async () => {
      const bulk = await flags(server, context);
      const seats = await entitlement('seats', context);
      return {
        screen: (await askFlag(server, 'reports-ui', context)).body.metadata.cause,
        reports: (await entitlement('reports', context)).hasAccess,
        seats: seats.limit.value,
        validUntil: seats.validUntil === null ? null : Date.parse(seats.validUntil),
        etag: bulk.headers.get('etag') ?? '',
      };
    };
    const isUnchanged = async (etag: string) =>
      (await flags(server, context, { headers: { 'if-none-match': etag } })).status;

    at(startsAt - 1);
    const before = await seen();
    expect(before).toMatchObject({ screen: 'NOT_ENTITLED', reports: false, seats: 1, validUntil: startsAt });
    at(startsAt);
    const first = await seen();
    expect(first).toMatchObject({ screen: 'GRANT', reports: true, seats: 5, validUntil: endsAt });
    expect(first.etag).not.toBe(before.etag);
    expect(await isUnchanged(before.etag)).toBe(200);
    at(endsAt - 1);
    expect(await seen()).toEqual(first);
    expect(await isUnchanged(first.etag)).toBe(304);
    at(endsAt);
    const after = await seen();
    expect(after).toMatchObject({ screen: 'NOT_ENTITLED', reports: false, seats: 1, validUntil: null });
    expect(await isUnchanged(first.etag)).toBe(200);
    expect((await entitlement('reports', context)).reason).toBe('EXPIRED');
    expect(customers.statistics().loads).toBe(loads);
  });

  it('a revoked one is gone at once, and is not told as one that ended', async () => {
    const context = { customer: 'revoked' };
    const effect = { type: 'set', feature: 'reports', value: true };
    const target = { kind: 'customer', key: 'revoked' };
    const { body } = await call('POST', '/grants', { target, kind: 'support', effect });
    expect(await entitlement('reports', context)).toMatchObject({ hasAccess: true, reason: 'GRANT' });
    await call('POST', `/grants/${body.id}/revoke`, {});
    expect(await entitlement('reports', context)).toMatchObject({ hasAccess: false, reason: 'REVOKED' });
  });
});
