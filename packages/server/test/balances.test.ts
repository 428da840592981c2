import { randomUUID } from 'node:crypto';
import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caller } from './contracts-support.js';

const governed = 'category: limit, owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: calls, type: metered, reset: { every: month }, unit: { one: call, other: calls }, clientVisible: true, topUps: [{ key: calls-100, name: 100 calls, amount: 100, validDays: 30, price: { amount: 500, currency: EUR } }, { key: free-only, amount: 5, plans: [free], offered: false }], ${governed} }
  - { key: soft, type: metered, enforcement: soft, reset: { every: month }, ${governed} }
  - { key: rolls, type: metered, reset: { every: month }, rollover: { maximum: 40 }, ${governed} }
  - { key: seats, type: metered, reset: never, ${governed} }
  - { key: exports, type: metered, per: user, reset: { every: day }, ${governed} }
  - { key: lists, type: limit, ${governed} }
  - { key: leaving, type: metered, reset: { every: month }, ${governed} }
plans:
  - { key: free, version: 0, rank: 0, entitlements: [] }
  - { key: pro, version: 0, rank: 1, entitlements: [{ feature: calls, value: 100 }, { feature: soft, value: 10 }, { feature: rolls, value: 100 }, { feature: seats, value: 3 }, { feature: exports, value: 2 }] }
`;

let server: TestServer;
let call: ReturnType<typeof caller>;
let number = 0;

beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  call = caller(server);
}, 90_000);
afterAll(() => server.stop());

async function customer(plan: string | null = 'pro'): Promise<string> {
  number += 1;
  const key = `customer-${number}`;
  await ok(call('PUT', `/customers/${key}`, {}));
  if (plan !== null) await ok(call('POST', `/customers/${key}/licenses`, { plan }));
  return key;
}

async function ok(sent: Promise<TestResponse>): Promise<TestResponse> {
  const response = await sent;
  expect(response.status, response.text).toBeLessThan(300);
  return response;
}

async function topUp(who: string, amount: number, more: Record<string, unknown> = {}) {
  return (await ok(call('POST', `/customers/${who}/top-ups`, { feature: 'calls', amount, ...more }))).body;
}

async function lots(who: string, query = '') {
  const { body } = await ok(call('GET', `/customers/${who}/top-ups${query}`));
  return (body as { items: Record<string, unknown>[] }).items;
}

function oep(
  path: string,
  who: string,
  body: Record<string, unknown>,
  key: string = randomUUID(),
): Promise<TestResponse> {
  return server.request('POST', `/oep/v1/${path}`, {
    body: { context: { targetingKey: who }, ...body },
    key: server.serverKey,
    headers: { 'idempotency-key': key },
  });
}

async function consume(who: string, amount: number, more: Record<string, unknown> = {}) {
  return (await ok(oep('consume', who, { key: 'calls', amount, ...more }))).body;
}

async function evaluated(who: string, key = 'calls', more: Record<string, unknown> = {}) {
  return (await ok(oep(`evaluate/entitlements/${key}`, who, more))).body;
}

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString();

describe('K-5 top-ups', () => {
  it('add to the limit, are used after the allowance, and last over the period where they have no end', async () => {
    const who = await customer();
    const made = await topUp(who, 50, { source: 'order 7', reason: 'Bought' });
    expect(made).toMatchObject({
      kind: 'topup',
      priority: 50,
      amount: 50,
      remaining: 50,
      state: 'open',
      target: { kind: 'customer', key: who },
    });
    expect(await evaluated(who)).toMatchObject({ limit: { value: 150 }, balance: 150, usage: 0 });
    const first = await consume(who, 120);
    expect(first).toMatchObject({
      allowed: true,
      entitlement: { limit: { value: 150 }, usage: 120, balance: 30 },
    });
    expect(await evaluated(who)).toMatchObject({ limit: { value: 150 }, usage: 120, balance: 30 });
    expect(await evaluated(who, 'calls', { consistency: 'strong' })).toMatchObject({
      limit: { value: 150 },
      balance: 30,
    });
    expect(await lots(who)).toMatchObject([{ remaining: 30, state: 'open' }]);
    expect(await consume(who, 31)).toMatchObject({ allowed: false, reason: 'LIMIT_REACHED' });
    expect(await consume(who, 31, { mode: 'upTo' })).toMatchObject({ allowed: true, consumed: 30 });
    expect(await lots(who)).toMatchObject([{ remaining: 0, state: 'used-up' }]);
    const { rows } = await server.parts.database.pool.query(
      'select a.used, a.covered from account a join customer c on c.id = a.customer_id where c.key = $1',
      [who],
    );
    expect(rows).toEqual([{ used: 150, covered: 50 }]);
  });

  it('are used by priority, soonest to end first, promotional before paid, then oldest', async () => {
    const who = await customer(null);
    const made = [
      await topUp(who, 2, { endsAt: inDays(9) }),
      await topUp(who, 2, { endsAt: inDays(5) }),
      await topUp(who, 2, { priority: 0 }),
      await topUp(who, 2, { endsAt: inDays(5), kind: 'promotional' }),
    ].map(({ id }) => id);
    const order: unknown[] = [];
    for (let taken = 0; taken < 4; taken += 1) {
      expect(await consume(who, 2)).toMatchObject({ allowed: true });
      const used = (await lots(who)).filter(({ remaining }) => remaining === 0).map(({ id }) => id);
      order.push(...used.filter((id) => !order.includes(id)));
    }
    // One that ends soonest still ends after those with the same end that were given.
    expect(order[0]).toBe(made[2]);
    expect(order).toHaveLength(4);
    expect(await consume(who, 1)).toMatchObject({ allowed: false });
  });

  it('one that ends before the period is used before what the period allows', async () => {
    const who = await customer();
    await topUp(who, 10, { endsAt: inDays(1), kind: 'promotional' });
    await consume(who, 4);
    expect(await lots(who)).toMatchObject([{ remaining: 6 }]);
  });

  it('alone are a right too, for as long as something of them counts', async () => {
    const who = await customer(null);
    expect(await consume(who, 1)).toMatchObject({ allowed: false });
    await topUp(who, 5);
    expect(await consume(who, 5)).toMatchObject({ allowed: true });
    expect(await consume(who, 1)).toMatchObject({ allowed: false, reason: 'LIMIT_REACHED' });
  });

  it('are voided with a reason: what is left is gone, what was used stays, and again is the same answer', async () => {
    const who = await customer();
    const { id } = await topUp(who, 50);
    await consume(who, 130);
    const path = `/customers/${who}/top-ups/${id}`;
    const read = await ok(call('GET', path));
    const stale = await call('POST', `${path}/void`, {}, { 'if-match': '"1"' });
    expect(stale.status).toBe(412);
    const voided = await ok(
      call('POST', `${path}/void`, { reason: 'Refunded' }, { 'if-match': String(read.headers.get('etag')) }),
    );
    expect(voided.body).toMatchObject({ state: 'voided', remaining: 20, voidReason: 'Refunded' });
    expect((await ok(call('POST', `${path}/void`, {}))).body).toEqual(voided.body);
    expect(await evaluated(who)).toMatchObject({ limit: { value: 130 }, usage: 130, balance: 0, overage: 0 });
    expect(await consume(who, 1)).toMatchObject({ allowed: false });
    expect(await lots(who)).toEqual([]);
    expect(await lots(who, '?closed=true')).toMatchObject([{ state: 'voided' }]);
    const { rows } = await server.parts.database.pool.query(
      "select convert_from(bytes, 'UTF8') as text from audit_entry where object_kind = 'top-up' and object_id = $1 order by id",
      [id],
    );
    expect(rows.map(({ text }) => JSON.parse(text).action)).toEqual(['top-up.create', 'top-up.void']);
    expect(rows[1]?.text).toContain('Refunded');
    expect(rows[1]?.text).not.toContain(`"${who}"`);
  });

  it('never resets: releasing refills the balance that was used last', async () => {
    const who = await customer();
    await topUp(who, 2, { feature: 'seats' });
    expect(await consume(who, 5, { key: 'seats' })).toMatchObject({ allowed: true });
    expect(await lots(who)).toMatchObject([{ remaining: 0 }]);
    await ok(oep('release', who, { key: 'seats', amount: 3 }));
    expect(await lots(who)).toMatchObject([{ remaining: 2 }]);
    expect(await evaluated(who, 'seats')).toMatchObject({ limit: { value: 5 }, usage: 2, balance: 3 });
  });

  it('law 2: what came out of one that has ended is gone when it is given back, and the answer says so', async () => {
    const who = await customer();
    await topUp(who, 3, { feature: 'seats', endsAt: inDays(1) });
    expect(await consume(who, 6, { key: 'seats' })).toMatchObject({ allowed: true });
    await server.parts.database.pool.query(
      `update credit_lot l set starts_at = l.starts_at - interval '2 days', ends_at = l.ends_at - interval '2 days'
       from customer c where c.id = l.customer_id and c.key = $1`,
      [who],
    );
    const { body } = await ok(oep('release', who, { key: 'seats', amount: 6 }));
    expect(body).toMatchObject({
      released: 6,
      entitlement: { limit: { value: 3 }, usage: 0, balance: 3, sources: [{ type: 'plan' }] },
    });
    expect(await evaluated(who, 'seats', { consistency: 'strong' })).toMatchObject({
      limit: { value: 3 },
      balance: 3,
    });
    expect(await consume(who, 4, { key: 'seats' })).toMatchObject({ allowed: false });
  });

  it('a soft limit: balances are used before anything is over', async () => {
    const who = await customer();
    await topUp(who, 5, { feature: 'soft' });
    expect(await consume(who, 15, { key: 'soft' })).toMatchObject({ allowed: true, reason: 'GRANT' });
    expect(await consume(who, 4, { key: 'soft' })).toMatchObject({
      allowed: true,
      reason: 'SOFT_LIMIT_EXCEEDED',
      entitlement: { overage: 4 },
    });
    await topUp(who, 3, { feature: 'soft' });
    await consume(who, 1, { key: 'soft' });
    expect((await lots(who)).map(({ remaining }) => remaining)).toEqual([0, 0]);
    expect(await evaluated(who, 'soft')).toMatchObject({ overage: 2, usage: 20 });
  });

  it('of a feature that counts per user are one user’s', async () => {
    const who = await customer();
    await ok(call('PUT', `/customers/${who}/users/${who}-ada`, {}));
    const target = { kind: 'user', key: `${who}-ada` };
    await topUp(who, 7, { feature: 'exports', target });
    const ask = async (user: string) =>
      (
        await ok(
          oep('consume', who, {
            key: 'exports',
            amount: 9,
            context: { targetingKey: who, user: { key: user } },
          }),
        )
      ).body;
    expect(await ask(`${who}-ada`)).toMatchObject({ allowed: true });
    expect(await ask(`${who}-bob`)).toMatchObject({ allowed: false });
    expect(await lots(who)).toMatchObject([{ target, remaining: 0 }]);
  });

  it('are refused where they would mean nothing', async () => {
    const who = await customer();
    const code = async (body: Record<string, unknown>, path = `/customers/${who}/top-ups`) => {
      const { status, body: problem } = await call('POST', path, { feature: 'calls', amount: 1, ...body });
      return [status, (problem as { code?: string }).code];
    };
    expect(await code({ feature: 'lists' })).toEqual([422, 'TOP_UP_NOT_METERED']);
    expect(await code({ feature: 'cals' })).toEqual([422, 'FEATURE_UNKNOWN']);
    expect(await code({ feature: 'exports' })).toEqual([422, 'TOP_UP_NOT_OF_ACCOUNT']);
    expect(await code({ target: { kind: 'user', key: 'ada' } })).toEqual([422, 'TOP_UP_NOT_OF_ACCOUNT']);
    expect(await code({ endsAt: '2020-01-01T00:00:00Z', startsAt: '2019-01-01T00:00:00Z' })).toEqual([
      422,
      'END_PASSED',
    ]);
    expect(await code({ startsAt: inDays(2), endsAt: inDays(1) })).toEqual([422, 'SPAN_EMPTY']);
    expect(await code({ amount: 0 })).toEqual([400, expect.any(String)]);
    expect(await code({ priority: 101 })).toEqual([400, expect.any(String)]);
    expect(await code({}, '/customers/nobody-here/top-ups')).toEqual([404, 'CUSTOMER_NOT_FOUND']);
    const gone = await call('GET', `/customers/${who}/top-ups/${randomUUID()}`);
    expect([gone.status, gone.body.code]).toEqual([404, 'TOP_UP_NOT_FOUND']);
  });

  it('the same Idempotency-Key makes one, and a list is read in pages', async () => {
    const who = await customer();
    const key = randomUUID();
    const sent = () =>
      call('POST', `/customers/${who}/top-ups`, { feature: 'calls', amount: 3 }, { 'idempotency-key': key });
    const [first, again] = [await ok(sent()), await ok(sent())];
    expect(again.body).toEqual(first.body);
    for (let index = 0; index < 3; index += 1) await topUp(who, 1);
    const page = await ok(call('GET', `/customers/${who}/top-ups?limit=3`));
    expect(page.body.items).toHaveLength(3);
    expect(await lots(who, `?limit=3&cursor=${page.body.nextCursor}`)).toHaveLength(1);
    expect(await lots(who, '?feature=seats')).toEqual([]);
  });
});

describe('a feature that leaves the catalog', () => {
  const remove = () =>
    server.request('DELETE', '/api/v1/products/test/features/leaving?reason=smaller', {
      headers: { 'if-match': '*' },
    });

  it('K-5 is held while somebody has a top-up of it, by name, and not by one that is over', async () => {
    const who = await customer();
    const { id } = await topUp(who, 3, { feature: 'leaving' });
    const ended = await topUp(await customer(), 2, { feature: 'leaving' });
    await ok(call('POST', `/customers/${ended.customer}/top-ups/${ended.id}/void`, {}));
    const used = await topUp(await customer(), 2, { feature: 'leaving' });
    await consume(used.customer, 2, { key: 'leaving' });
    const refused = await remove();
    expect([refused.status, refused.body.code]).toEqual([409, 'STILL_IN_USE']);
    expect(refused.text).toContain(`the top-up \`${id}\` of the customer \`${who}\` in \`production\``);
    expect(refused.text).not.toContain(ended.id);
    expect(refused.text).not.toContain(used.id);
    await ok(call('POST', `/customers/${who}/top-ups/${id}/void`, {}));
    expect((await remove()).status).toBeLessThan(300);
  });
});

describe('X-2 C-4 top-ups that the catalog sells', () => {
  it('a denial names them, the named one is made by its key, and the same call is then allowed', async () => {
    const who = await customer();
    await consume(who, 100);
    const denied = await consume(who, 150);
    const { remedy } = (
      denied as { entitlement: { remedy: { kind: string; options: Record<string, unknown>[] } } }
    ).entitlement;
    expect(remedy).toMatchObject({
      kind: 'topup',
      options: [
        {
          ...{ topUp: 'calls-100', feature: 'calls', quantity: 2, units: 200, limit: 300, unlimited: false },
          price: { amount: 1000, currency: 'EUR', every: 'once' },
        },
      ],
    });
    const [{ topUp: pack, feature, quantity } = {}] = remedy.options;
    const body = { feature, pack, quantity };
    const made = (await ok(call('POST', `/customers/${who}/top-ups`, body))).body;
    expect(made).toMatchObject({ amount: 200, remaining: 200, kind: 'topup', source: 'pack calls-100' });
    const days = (Date.parse(made.endsAt) - Date.parse(made.startsAt)) / 86_400_000;
    expect(days).toBe(30);
    expect(await consume(who, 150)).toMatchObject({ allowed: true });
  });

  it('C-4 a denial counts what balances gave already, and names as much as evaluate does', async () => {
    const who = await customer();
    await topUp(who, 150);
    await consume(who, 250);
    const { remedy } = (await consume(who, 1)).entitlement;
    expect(remedy).toMatchObject({ options: [{ topUp: 'calls-100', quantity: 1, limit: 350 }] });
    expect((await evaluated(who)).remedy).toEqual(remedy);
  });

  it('what the call says beside the key goes before what the catalog says', async () => {
    const who = await customer();
    const more = { pack: 'calls-100', endsAt: null, priority: 3, source: 'order 9', kind: 'promotional' };
    const made = (await ok(call('POST', `/customers/${who}/top-ups`, { feature: 'calls', ...more }))).body;
    expect(made).toMatchObject({
      amount: 100,
      endsAt: null,
      priority: 3,
      source: 'order 9',
      kind: 'promotional',
    });
  });

  it('is refused without a typed amount, with both, and by a key that the feature does not have', async () => {
    const who = await customer();
    const code = async (body: Record<string, unknown>) => {
      const { status, body: problem } = await call('POST', `/customers/${who}/top-ups`, {
        feature: 'calls',
        ...body,
      });
      return [status, (problem as { code?: string }).code];
    };
    expect(await code({})).toEqual([400, 'AMOUNT_OR_PACK']);
    expect(await code({ amount: 1, pack: 'calls-100' })).toEqual([400, 'AMOUNT_OR_PACK']);
    expect(await code({ amount: 1, quantity: 2 })).toEqual([400, 'AMOUNT_OR_PACK']);
    expect(await code({ pack: 'calls-10' })).toEqual([422, 'TOP_UP_PACK_UNKNOWN']);
    expect(await code({ feature: 'soft', pack: 'calls-100' })).toEqual([422, 'TOP_UP_PACK_UNKNOWN']);
  });

  it('stand in the plan catalog for pages, the offered ones', async () => {
    const page = await server.request('GET', '/api/v1/public/catalog', { key: server.serverKey });
    expect(page.status, page.text).toBe(200);
    const feature = page.body.features.find((one: { key: string }) => one.key === 'calls');
    expect(feature.topUps).toEqual([
      {
        ...{ key: 'calls-100', name: '100 calls', description: null, amount: 100, validDays: 30 },
        price: { amount: 500, currency: 'EUR', every: 'once', source: null, text: '€5' },
        plans: ['free', 'pro'],
        text: '100 calls',
      },
    ]);
  });
});

describe('topUp as an effect', () => {
  it('a grant makes a balance that begins, ends and is revoked with it', async () => {
    const who = await customer();
    const effect = { type: 'topUp', feature: 'calls', amount: 30 };
    const grant = await ok(
      call('POST', '/grants', {
        target: { kind: 'customer', key: who },
        kind: 'support',
        effect,
        endsAt: inDays(3),
      }),
    );
    expect(grant.body).toMatchObject({ effect });
    expect(await lots(who)).toMatchObject([
      { grant: grant.body.id, kind: 'topup', endsAt: grant.body.endsAt },
    ]);
    await ok(call('POST', `/grants/${grant.body.id}/extend`, { endsAt: inDays(9) }, { 'if-match': '*' }));
    const [extended] = await lots(who);
    expect(Date.parse(String(extended?.['endsAt']))).toBeGreaterThan(Date.now() + 8 * 86_400_000);
    // It ends before the period does, so that it is used first.
    await consume(who, 10);
    await ok(call('POST', `/grants/${grant.body.id}/revoke`, {}, { 'if-match': '*' }));
    expect(await lots(who, '?closed=true')).toMatchObject([{ state: 'voided', remaining: 20 }]);
    expect(await evaluated(who)).toMatchObject({ limit: { value: 110 }, usage: 10, balance: 100 });
  });

  it('is refused for whom no account counts', async () => {
    const effect = { type: 'topUp', feature: 'calls', amount: 30 };
    const code = async (target: Record<string, unknown>, more = {}) =>
      (await call('POST', '/grants', { target, kind: 'support', effect: { ...effect, ...more } })).body.code;
    expect(await code({ kind: 'customer', key: 'never-seen' })).toBe('TOP_UP_TARGET_UNKNOWN');
    expect(await code({ kind: 'customer', key: 'never-seen' }, { feature: 'lists' })).toBe(
      'TOP_UP_NOT_METERED',
    );
    expect(await code({ kind: 'user', key: 'ada' })).toBe('GRANT_BELOW_ACCOUNT');
    expect(await code({ kind: 'user', key: 'nobody' }, { feature: 'exports' })).toBe('TOP_UP_TARGET_UNKNOWN');
  });

  it('a voucher gives a promotional one; revoking the redemption takes back what is left of it', async () => {
    const who = await customer();
    await ok(
      call('POST', '/vouchers', {
        key: 'credits',
        name: 'Credits',
        kind: 'ENTITLEMENT_BOOST',
        effects: [{ type: 'topUp', feature: 'calls', amount: 25 }],
        lasts: { days: 40 },
        endsAt: inDays(20),
        maxRedemptions: 5,
        state: 'active',
        code: 'CREDITS-25',
      }),
    );
    const redeemed = await ok(
      call(
        'POST',
        '/vouchers/redeem',
        { code: 'CREDITS-25', customer: who },
        { 'idempotency-key': randomUUID() },
      ),
    );
    expect(await lots(who)).toMatchObject([{ kind: 'promotional', amount: 25 }]);
    await consume(who, 110);
    const id = redeemed.body.redemption?.id ?? redeemed.body.id;
    await ok(call('POST', `/redemptions/${id}/revoke`, {}, { 'if-match': '*' }));
    expect(await evaluated(who)).toMatchObject({ limit: { value: 110 }, usage: 110, balance: 0 });
  });

  it('a bundle may carry one', async () => {
    const who = await customer();
    await ok(
      call('PUT', '/bundles/starter-kit', {
        name: 'Kit',
        effects: [{ type: 'topUp', feature: 'calls', amount: 9 }],
      }),
    );
    await ok(call('POST', '/bundles/starter-kit/apply', { target: { kind: 'customer', key: who }, days: 3 }));
    expect(await evaluated(who)).toMatchObject({ limit: { value: 109 } });
  });
});

describe('periods that close', () => {
  const rewind = async (who: string, feature: string) => {
    // As if the account had last been used in the period before.
    await server.parts.database.pool.query(
      `update account a set period_start = period_start - interval '1 month', period_end = period_start
       from customer c where c.id = a.customer_id and c.key = $1 and a.feature = $2`,
      [who, feature],
    );
  };

  it('a rollover is read by evaluate and written by the first consume, once', async () => {
    const who = await customer(null);
    const startsAt = new Date(Date.now() - 40 * 86_400_000).toISOString();
    await ok(call('POST', `/customers/${who}/licenses`, { plan: 'pro', startsAt }));
    // Nothing was ever used, and the customer is new: its periods before it was there leave nothing.
    expect(await evaluated(who, 'rolls')).toMatchObject({ limit: { value: 100 } });
    await consume(who, 70, { key: 'rolls' });
    await rewind(who, 'rolls');
    expect(await evaluated(who, 'rolls', { consistency: 'strong' })).toMatchObject({
      limit: { value: 130 },
      usage: 0,
    });
    expect(await lots(who)).toEqual([]);
    expect(await consume(who, 130, { key: 'rolls' })).toMatchObject({ allowed: true });
    expect(await lots(who)).toMatchObject([{ kind: 'rollover', amount: 30, remaining: 0 }]);
    expect(await consume(who, 1, { key: 'rolls' })).toMatchObject({ allowed: false });
    const { rows } = await server.parts.database.pool.query(
      'select p.used, p.covered from account_period p join customer c on c.id = p.customer_id where c.key = $1',
      [who],
    );
    expect(rows).toEqual([{ used: 70, covered: 0 }]);
  });

  it('what is covered counts in its period only, and a lot that is used up is read no more', async () => {
    const who = await customer();
    await topUp(who, 20);
    await consume(who, 120);
    await rewind(who, 'calls');
    expect(await evaluated(who, 'calls', { consistency: 'strong' })).toMatchObject({
      limit: { value: 100 },
      usage: 0,
    });
    expect(await consume(who, 101)).toMatchObject({ allowed: false });
    expect(await consume(who, 100)).toMatchObject({ allowed: true });
    const { rows } = await server.parts.database.pool.query(
      `select a.covered, a.has_lots, l.closed_at is not null as closed from account a
       join customer c on c.id = a.customer_id join credit_lot l on l.customer_id = c.id where c.key = $1`,
      [who],
    );
    expect(rows).toEqual([{ covered: 0, has_lots: false, closed: true }]);
  });

  it('an anchor that a provider moves ends the period at that instant', async () => {
    const who = await customer(null);
    const startsAt = new Date(Date.now() - 3 * 86_400_000).toISOString();
    const license = (await ok(call('POST', `/customers/${who}/licenses`, { plan: 'pro', startsAt }))).body;
    await consume(who, 100);
    const anchor = `${new Date(Date.now() - 86_400_000).toISOString().slice(0, 19)}[UTC]`;
    const moved = (
      await ok(call('PATCH', `/customers/${who}/licenses/${license.id}`, { anchor }, { 'if-match': '*' }))
    ).body;
    expect(moved).toMatchObject({ anchor, anchorSince: expect.any(String) });
    const after = await consume(who, 1);
    expect(after).toMatchObject({ allowed: true, entitlement: { usage: 1 } });
    expect((after as { entitlement: { period: unknown } }).entitlement.period).toMatchObject({
      start: moved.anchorSince,
    });
    const { rows } = await server.parts.database.pool.query(
      'select p.used, p.period_end from account_period p join customer c on c.id = p.customer_id where c.key = $1',
      [who],
    );
    expect(rows).toEqual([{ used: 100, period_end: new Date(moved.anchorSince) }]);
    // The same anchor again moves nothing.
    const again = await ok(
      call('PATCH', `/customers/${who}/licenses/${license.id}`, { anchor }, { 'if-match': '*' }),
    );
    expect(again.body.anchorSince).toBe(moved.anchorSince);
    // Nor do other words for it.
    const wall = anchor.slice(0, 19);
    for (const text of [`${wall}Z`, `${wall}+00:00[UTC]`, `${wall}.000[UTC]`, `${wall}[utc]`]) {
      const said = await ok(
        call('PATCH', `/customers/${who}/licenses/${license.id}`, { anchor: text }, { 'if-match': '*' }),
      );
      expect(said.body).toMatchObject({ anchor, anchorSince: moved.anchorSince });
    }
    expect(await consume(who, 1)).toMatchObject({ entitlement: { usage: 2 } });
  });
});

describe('on two processes', () => {
  let processes: ServerProcess[] = [];
  beforeAll(async () => {
    processes = [await startServerProcess(server), await startServerProcess(server)];
  }, 90_000);
  afterAll(async () => {
    await Promise.all(processes.map((one) => one.kill()));
  });

  it('law 2: 200 parallel callers take exactly what allowance and lots have, and every replay is equal', async () => {
    const who = await customer();
    await topUp(who, 30, { endsAt: inDays(1) });
    await topUp(who, 25);
    await topUp(who, 7, { kind: 'promotional' });
    const send = async (key: string, at: number): Promise<{ allowed: boolean; consumed: number }> => {
      for (let attempt = 0; attempt < 100; attempt += 1) {
        const url = processes[(at + attempt) % 2]?.url ?? '';
        const response = await fetch(`${url}/oep/v1/consume`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${server.serverKey}`,
            'content-type': 'application/json',
            'idempotency-key': key,
          },
          body: JSON.stringify({ context: { targetingKey: who }, key: 'calls', amount: 1 }),
        }).catch(() => null);
        if (response?.status === 200) {
          const { asOf: _, ...body } = (await response.json()) as {
            asOf?: string;
            allowed: boolean;
            consumed: number;
          };
          return body;
        }
      }
      throw new Error('No answer after 100 tries.');
    };
    const keys = Array.from({ length: 200 }, () => randomUUID());
    const answers = await Promise.all(keys.map((key, index) => send(key, index)));
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(162);
    expect((await lots(who)).map(({ remaining }) => remaining)).toEqual([0, 0, 0]);
    const again = await Promise.all(keys.slice(0, 40).map((key, index) => send(key, index + 1)));
    expect(withoutTimes(again)).toEqual(withoutTimes(answers.slice(0, 40)));
    const { rows } = await server.parts.database.pool.query(
      `select a.used, a.covered, (select max(x.used_after) from consumption x where x.customer_id = a.customer_id) as most
       from account a join customer c on c.id = a.customer_id where c.key = $1`,
      [who],
    );
    expect(rows).toEqual([{ used: 162, covered: 62, most: 162 }]);
  });
});

function withoutTimes(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (name, member: unknown) => (name === 'asOf' ? undefined : member)));
}
