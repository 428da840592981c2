import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  consume,
  customer,
  entitlement,
  idempotencyKey,
  license,
  RUNTIME_CATALOG,
  warm,
} from './runtime-support.js';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
});
afterAll(() => server.stop());

let count = 0;
async function fresh(plan?: string): Promise<string> {
  count += 1;
  const key = `oep-${count}`;
  await customer(server, key, plan);
  await warm(server, key);
  return key;
}

function entitlements(key: string, headers: Readonly<Record<string, string>> = {}) {
  return ask(server, '/oep/v1/evaluate/entitlements', { context: { targetingKey: key } }, { headers });
}

describe('OEP evaluate', () => {
  it('K-5 C-2 answers each type with value, limit, period and sources', async () => {
    const key = await fresh('pro');
    const minutes = await entitlement(server, 'calling-minutes', key);
    expect(minutes.status).toBe(200);
    expect(minutes.body).toMatchObject({
      key: 'calling-minutes',
      type: 'metered',
      hasAccess: true,
      reason: 'PLAN',
      value: null,
      limit: { kind: 'finite', value: 100, enforcement: 'hard' },
      usage: 0,
      balance: 100,
      overage: 0,
      sources: [{ type: 'plan', key: 'pro@0', effect: 'set', value: 100, until: null }],
      isFallback: false,
    });
    expect(minutes.body.period.interval).toBe('P1M');
    expect(Date.parse(minutes.body.asOf)).toBeGreaterThan(0);
    expect((await entitlement(server, 'advanced-analytics', key)).body).toMatchObject({
      type: 'boolean',
      value: true,
    });
    expect((await entitlement(server, 'branding', key)).body).toMatchObject({ value: { logo: 'custom' } });
    expect((await entitlement(server, 'max_lists', key)).body).toMatchObject({
      type: 'limit',
      hasAccess: true,
    });
    const many = await entitlement(server, 'max_lists', key, { amount: 26 });
    expect(many.body).toMatchObject({ hasAccess: false, reason: 'LIMIT_REACHED' });
  });

  it('says unlimited as a kind, without a number', async () => {
    const key = await fresh('enterprise');
    const lists = await entitlement(server, 'max_lists', key);
    expect(lists.body.limit).toEqual({ kind: 'unlimited', enforcement: 'hard' });
    expect(lists.body.reason).toBe('UNLIMITED');
  });

  it('answers denials with 200, and faults with codes', async () => {
    const key = await fresh();
    const denied = await entitlement(server, 'advanced-analytics', key);
    expect(denied.status).toBe(200);
    expect(denied.body.hasAccess).toBe(false);
    const missing = await entitlement(server, 'nothing', key);
    expect(missing.status).toBe(404);
    expect(missing.body).toMatchObject({ key: 'nothing', errorCode: 'ENTITLEMENT_NOT_FOUND', metadata: {} });
    const aFlag = await entitlement(server, 'plain-on', key);
    expect([aFlag.status, aFlag.body.errorCode]).toEqual([400, 'TYPE_MISMATCH']);
    const wrong = await entitlement(server, 'calling-minutes', key, { amount: -1 });
    expect([wrong.status, wrong.body.errorCode]).toEqual([400, 'TYPE_MISMATCH']);
    const unproven = await ask(
      server,
      '/oep/v1/evaluate/entitlements/advanced-analytics',
      { context: { targetingKey: key } },
      { key: server.clientKey },
    );
    expect(unproven.status).toBe(403);
    expect(unproven.body).toMatchObject({ errorCode: 'GENERAL', metadata: { cause: 'CUSTOMER_NOT_PROVEN' } });
  });

  it('keeps the ETag while a meter moves, and changes it when access does (OEP rule 1)', async () => {
    const key = await fresh('pro');
    const first = await entitlements(key);
    const etag = first.headers.get('etag') ?? '';
    expect(first.body.entitlements.map((one: { key: string }) => one.key)).toContain('calling-minutes');
    expect((await entitlements(key, { 'if-none-match': etag })).status).toBe(304);
    expect((await consume(server, key, { key: 'calling-minutes', amount: 40 })).body.allowed).toBe(true);
    expect((await entitlements(key, { 'if-none-match': etag })).status).toBe(304);
    expect((await consume(server, key, { key: 'calling-minutes', amount: 60 })).body.allowed).toBe(true);
    const full = await entitlements(key, { 'if-none-match': etag });
    expect(full.status).toBe(200);
    const minutes = full.body.entitlements.find((one: { key: string }) => one.key === 'calling-minutes');
    expect(minutes).toMatchObject({ hasAccess: false, usage: 100, balance: 0, reason: 'LIMIT_REACHED' });
  });

  it('reads the store itself when the answer must be strong', async () => {
    const key = await fresh('pro');
    await consume(server, key, { key: 'calling-minutes', amount: 7 });
    const strong = await entitlement(server, 'calling-minutes', key, { consistency: 'strong' });
    expect(strong.body).toMatchObject({ usage: 7, balance: 93 });
  });
});

describe('OEP consume', () => {
  it('X-5 takes until the limit, and denies with 200', async () => {
    const key = await fresh('pro');
    const first = await consume(server, key, { key: 'calling-minutes', amount: 99 });
    expect(first.status).toBe(200);
    expect(first.body).toMatchObject({ allowed: true, consumed: 99, reason: 'PLAN' });
    expect(first.body.entitlement).toMatchObject({ usage: 99, balance: 1, hasAccess: true });
    const second = await consume(server, key, { key: 'calling-minutes', amount: 2 });
    expect(second.body).toMatchObject({ allowed: false, consumed: 0, reason: 'LIMIT_REACHED' });
    expect(second.body.entitlement).toMatchObject({ usage: 99, balance: 1 });
    const some = await consume(server, key, { key: 'calling-minutes', amount: 5, mode: 'upTo' });
    expect(some.body).toMatchObject({ allowed: true, consumed: 1 });
    expect(some.body.entitlement).toMatchObject({ hasAccess: false, remedy: { kind: 'wait' } });
  });

  it('replays the same key and body, equal but for asOf, and refuses another body', async () => {
    const key = await fresh('pro');
    const token = idempotencyKey();
    const first = await consume(server, key, { key: 'calling-minutes', amount: 3 }, token);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    await consume(server, key, { key: 'calling-minutes', amount: 4 });
    const again = await consume(server, key, { amount: 3, key: 'calling-minutes' }, token);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(again.body).toEqual(first.body);
    const other = await consume(server, key, { key: 'calling-minutes', amount: 4 }, token);
    expect([other.status, other.body.errorCode]).toEqual([422, 'IDEMPOTENCY_MISMATCH']);
    const elsewhere = await consume(server, key, { key: 'ai-tokens', amount: 3 }, token);
    expect(elsewhere.status).toBe(422);
    expect((await entitlement(server, 'calling-minutes', key)).body.usage).toBe(7);
  });

  it('stores denials too, and replays them though there is room by then', async () => {
    const key = await fresh('pro');
    const token = idempotencyKey();
    const denied = await consume(server, key, { key: 'max_professionals', amount: 4 }, token);
    expect(denied.body.allowed).toBe(false);
    const again = await consume(server, key, { key: 'max_professionals', amount: 4 }, token);
    expect(again.body).toEqual(denied.body);
    const without = idempotencyKey();
    const refused = await consume(server, await fresh(), { key: 'calling-minutes', amount: 1 }, without);
    expect(refused.body).toMatchObject({ allowed: false, reason: 'NOT_ENTITLED' });
  });

  it('takes all items or none', async () => {
    const key = await fresh('pro');
    const both = [
      { key: 'calling-minutes', amount: 10 },
      { key: 'ai-tokens', amount: 1001 },
    ];
    const denied = await consume(server, key, { items: both });
    expect(denied.body.allowed).toBe(false);
    expect(
      denied.body.items.map((item: { allowed: boolean; consumed: number }) => [item.allowed, item.consumed]),
    ).toEqual([
      [false, 0],
      [false, 0],
    ]);
    const taken = await consume(server, key, { items: [both[0], { key: 'ai-tokens', amount: 1000 }] });
    expect(taken.body.allowed).toBe(true);
    expect(taken.body.items[1].entitlement).toMatchObject({ usage: 1000, balance: 0 });
    expect((await entitlement(server, 'calling-minutes', key)).body.usage).toBe(10);
  });

  it('K-9 computes the amount by the feature’s measure, and refuses attributes that do not fit it', async () => {
    const key = await fresh('pro');
    const measured = await consume(server, key, {
      key: 'ai-tokens',
      attributes: { model: 'large', tokens_in: 120, tokens_out: 45 },
    });
    expect(measured.body).toMatchObject({ allowed: true, consumed: 165 });
    const missing = await consume(server, key, { key: 'ai-tokens', attributes: { tokens_in: 1 } });
    expect([missing.status, missing.body.errorCode]).toEqual([400, 'TYPE_MISMATCH']);
    const one = await consume(server, key, { key: 'calling-minutes' });
    expect(one.body.consumed).toBe(1);
  });

  it('lets soft limits go beyond, and observed ones always', async () => {
    const key = await fresh('pro');
    expect((await consume(server, key, { key: 'soft-calls', amount: 5 })).body).toMatchObject({
      allowed: true,
      reason: 'SOFT_LIMIT_EXCEEDED',
    });
    expect((await consume(server, key, { key: 'soft-calls', amount: 1 })).body.allowed).toBe(false);
    expect((await consume(server, key, { key: 'observed-calls', amount: 50 })).body).toMatchObject({
      allowed: true,
      reason: 'OBSERVE_ONLY',
    });
  });

  it('C-3 refuses the fourth thing, and takes it again after a release', async () => {
    const key = await fresh('pro');
    const take = () => consume(server, key, { key: 'max_professionals', amount: 1 });
    for (let made = 0; made < 3; made += 1) {
      expect((await take()).body.allowed).toBe(true);
    }
    expect((await take()).body).toMatchObject({ allowed: false, reason: 'LIMIT_REACHED' });
    const token = idempotencyKey();
    const release = (headers: Record<string, string>, more: object = {}) =>
      ask(
        server,
        '/oep/v1/release',
        { context: { targetingKey: key }, key: 'max_professionals', amount: 1, ...more },
        { headers },
      );
    const released = await release({ 'idempotency-key': token });
    expect(released.status).toBe(200);
    expect(released.body).toMatchObject({ released: 1, entitlement: { usage: 2 } });
    const replayed = await release({ 'idempotency-key': token });
    expect(replayed.body).toEqual(released.body);
    expect((await take()).body.allowed).toBe(true);
    expect(
      (await release({ 'idempotency-key': idempotencyKey() }, { key: 'calling-minutes' })).body.errorCode,
    ).toBe('TYPE_MISMATCH');
    expect((await release({ 'idempotency-key': idempotencyKey() }, { holder: '' })).body.errorCode).toBe(
      'PARSE_ERROR',
    );
  });

  it('C-3 C-4 a denial names what would lift it, in evaluate, bulk and consume, and a replay names the same', async () => {
    const key = await fresh('pro');
    await consume(server, key, { key: 'max_professionals', amount: 3 });
    const remedy = {
      kind: 'upgrade',
      at: null,
      options: [
        {
          plan: 'enterprise',
          version: 0,
          name: null,
          limit: 9007199254740991,
          unlimited: true,
          price: null,
        },
      ],
    };
    const token = idempotencyKey();
    const refused = await consume(server, key, { key: 'max_professionals' }, token);
    expect(refused.body).toMatchObject({ allowed: false, entitlement: { hasAccess: false, remedy } });
    expect((await entitlement(server, 'max_professionals', key)).body.remedy).toEqual(remedy);
    const bulk = await ask(server, '/oep/v1/evaluate/entitlements', { context: { targetingKey: key } });
    const listed = bulk.body.entitlements.find((one: { key: string }) => one.key === 'max_professionals');
    expect(listed.remedy).toEqual(remedy);
    await license(server, key, 'enterprise');
    expect((await entitlement(server, 'max_professionals', key)).body.remedy).toBeNull();
    const replayed = await consume(server, key, { key: 'max_professionals' }, token);
    expect(replayed.body.entitlement.remedy).toEqual(remedy);
    // Room for one, not for two: what is named is for the amount that was refused.
    const other = await fresh('free');
    const twice = { items: [{ key: 'max_professionals' }, { key: 'max_professionals' }] };
    const both = await consume(server, other, twice);
    expect(both.body.items[1]).toMatchObject({ allowed: false, reason: 'LIMIT_REACHED' });
    expect(both.body.items[1].entitlement.remedy.options[0]).toMatchObject({ plan: 'pro', limit: 3 });
  });

  it('counts per user where the feature says so, and asks for the user', async () => {
    const key = await fresh('pro');
    const take = (user: string) =>
      consume(server, key, { context: { customer: key, user }, key: 'per-user-exports', amount: 2 });
    expect((await take('ada')).body.allowed).toBe(true);
    expect((await take('ada')).body.allowed).toBe(false);
    expect((await take('bob')).body.allowed).toBe(true);
    const nobody = await consume(server, key, { key: 'per-user-exports' });
    expect([nobody.status, nobody.body.errorCode]).toEqual([400, 'TARGETING_KEY_MISSING']);
  });

  it('registers an unknown customer where there is a default plan', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => consume(server, 'brand-new', { key: 'hourly-calls', amount: 1 })),
    );
    expect(answers.map((answer) => answer.status)).toEqual(Array(8).fill(200));
    expect(answers.filter((answer) => answer.body.allowed)).toHaveLength(3);
    const rows = await server.parts.database.pool.query(`select 1 from customer where key = 'brand-new'`);
    expect(rows.rowCount).toBe(1);
  });

  it('closes a period that has ended into history, and starts again from nothing', async () => {
    const key = await fresh('pro');
    await consume(server, key, { key: 'calling-minutes', amount: 100 });
    expect((await consume(server, key, { key: 'calling-minutes', amount: 1 })).body.allowed).toBe(false);
    const { pool } = server.parts.database;
    await pool.query(
      `update account set period_start = period_start - interval '40 days', period_end = period_end - interval '40 days'
       where feature = 'calling-minutes' and customer_id = (select id from customer where key = $1)`,
      [key],
    );
    const next = await consume(server, key, { key: 'calling-minutes', amount: 30 });
    expect(next.body).toMatchObject({ allowed: true, entitlement: { usage: 30, balance: 70 } });
    const history = await pool.query(
      'select used, period_start < period_end as whole from account_period where customer_id = (select id from customer where key = $1)',
      [key],
    );
    expect(history.rows.map(({ used, whole }) => [Number(used), whole])).toEqual([[100, true]]);
  });

  it('K-6 decides by a license that this process has not heard of yet, because the store has', async () => {
    const key = await fresh();
    const take = () => consume(server, key, { key: 'max_professionals', amount: 1 });
    expect((await take()).body.allowed).toBe(true);
    expect((await take()).body.allowed).toBe(false);
    const { pool } = server.parts.database;
    const { rows } = await pool.query('select id, environment_id from customer where key = $1', [key]);
    await pool.query(
      `insert into license (customer_id, id, environment_id, product_id, plan_key, plan_version, quantity, kind, status, starts_at,
         anchor, addons, version, created_at)
       values ($1, gen_random_uuid(), $2, $3, 'pro', 0, 1, 'paid', 'active', now() - interval '1 day',
         '2026-01-31T00:00:00[UTC]', '[]', 1, now())`,
      [rows[0].id, rows[0].environment_id, server.parts.directory.product(server.product)?.id],
    );
    await pool.query('update customer set version = version + 1 where id = $1', [rows[0].id]);
    expect((await take()).body).toMatchObject({
      allowed: true,
      entitlement: { usage: 2, limit: { value: 3 } },
    });
  });

  it('makes partitions ahead, and drops those that are over', async () => {
    const { pool } = server.parts.database;
    const names = async () => {
      const found = await pool.query(
        `select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'consumption'::regclass`,
      );
      return found.rows.map(({ relname }) => relname as string);
    };
    const now = server.parts.clock.now();
    await expect
      .poll(names, { timeout: 5000 })
      .toContain(`consumption_${new Date(now).toISOString().slice(0, 7).replace('-', '_')}`);
    const later = await server.parts.partitions.maintain(now + 200 * 86_400_000);
    expect(later.made.length).toBeGreaterThan(0);
    expect(later.dropped).toEqual([]);
    const muchLater = await server.parts.partitions.maintain(now + 440 * 86_400_000);
    expect(muchLater.dropped.length).toBeGreaterThan(0);
    await server.parts.partitions.maintain(now);
    expect((await names()).length).toBeGreaterThan(3);
  });

  it('refuses what makes no sense', async () => {
    const key = await fresh('pro');
    const cases: readonly [Record<string, unknown>, number, string][] = [
      [{ key: 'max_lists', amount: 1 }, 400, 'TYPE_MISMATCH'],
      [{ key: 'plain-on' }, 400, 'TYPE_MISMATCH'],
      [{ key: 'nothing' }, 404, 'ENTITLEMENT_NOT_FOUND'],
      [{ key: 'calling-minutes', amount: -1 }, 400, 'TYPE_MISMATCH'],
      [{ key: 'calling-minutes', amount: 1.5 }, 400, 'TYPE_MISMATCH'],
      [{ key: 'calling-minutes', amount: '1' }, 400, 'TYPE_MISMATCH'],
      [{ amount: 1 }, 400, 'PARSE_ERROR'],
      [{ items: [] }, 400, 'PARSE_ERROR'],
      [{ key: 'calling-minutes', items: [{ key: 'calling-minutes' }] }, 400, 'PARSE_ERROR'],
      [{ key: 'calling-minutes', mode: 'some' }, 400, 'PARSE_ERROR'],
      [{ key: 'calling-minutes', holder: 'x' }, 400, 'TYPE_MISMATCH'],
      [{ key: 'calling-minutes', context: {} }, 400, 'TARGETING_KEY_MISSING'],
      [{ key: 'calling-minutes', context: 'acme' }, 400, 'INVALID_CONTEXT'],
    ];
    for (const [body, status, errorCode] of cases) {
      const answer = await consume(server, key, body);
      expect([JSON.stringify(body), answer.status, answer.body.errorCode]).toEqual([
        JSON.stringify(body),
        status,
        errorCode,
      ]);
    }
    const noKey = await ask(server, '/oep/v1/consume', {
      context: { targetingKey: key },
      key: 'calling-minutes',
    });
    expect([noKey.status, noKey.body.metadata.cause]).toEqual([400, 'IDEMPOTENCY_KEY_REQUIRED']);
    const client = await ask(
      server,
      '/oep/v1/consume',
      { context: { targetingKey: key }, key: 'calling-minutes' },
      { key: server.clientKey, headers: { 'idempotency-key': idempotencyKey() } },
    );
    expect(client.status).toBe(403);
  });

  it('says what it can do', async () => {
    const answer = await server.request('GET', '/oep/v1/configuration', { key: server.serverKey });
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.body).toMatchObject({
      protocol: 'oep/0.1',
      capabilities: { consume: true, reservations: true, holders: true },
    });
  });
});
