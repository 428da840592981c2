import { startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditOf, type Call, caller } from './contracts-support.js';
import { consume, entitlement } from './runtime-support.js';

const governed = 'category: limit, owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: rooms, type: metered, reset: never, ${governed} }
  - { key: minutes, type: metered, reset: { every: month }, ${governed} }
  - { key: seats, type: metered, per: user, reset: { every: month }, ${governed} }
  - { key: calls, type: metered, per: instance, reset: never, ${governed} }
  - { key: export, type: boolean, category: subscription, owner: a@example.com, purpose: Export, removal: permanent }
  - { key: help, type: boolean, category: subscription, owner: a@example.com, purpose: Help, removal: permanent }
plans:
  - { key: free, rank: 0, entitlements: [{ feature: rooms, value: 1 }] }
  - { key: pro, version: 0, rank: 1, price: { amount: 100, currency: EUR, every: month, source: list }, entitlements: [{ feature: rooms, value: 10 }, { feature: minutes, value: 100 }, { feature: seats, value: 9 }, { feature: calls, value: 9 }, { feature: export, value: true }] }
  - { key: pro, version: 1, rank: 1, price: { amount: 200, currency: EUR, every: month, source: list }, entitlements: [{ feature: rooms, value: 5 }, { feature: minutes, value: 200 }, { feature: seats, value: 4 }, { feature: calls, value: 20 }, { feature: help, value: true }] }
  - { key: team, version: 0, rank: 2, entitlements: [{ feature: rooms, value: 50 }] }
segments:
  - { key: staff, condition: 'user.email.endsWith("@acme.example")' }
addons:
  - { key: pack, plans: [pro], entitlements: [{ feature: minutes, add: 10 }] }
`;

let server: TestServer;
let call: Call;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  call = caller(server);
});
afterAll(() => server.stop());

const any = { 'if-match': '*' };
const FROM = { plan: 'pro', version: 0 };
const TO = { plan: 'pro', version: 1 };

async function customer(
  key: string,
  license: Record<string, unknown> = {},
  more: Record<string, unknown> = {},
) {
  await call('PUT', `/customers/${key}`, more);
  const made = await call('POST', `/customers/${key}/licenses`, { plan: 'pro', planVersion: 0, ...license });
  expect(made.status, made.text).toBe(201);
  return `/customers/${key}/licenses/${made.body.id}`;
}

async function until(move: string, ...statuses: readonly string[]) {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const { body } = await call('GET', `/plan-moves/${move}`);
    if (statuses.includes(body.status)) return body;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`The move never was ${statuses.join(' or ')}.`);
}

async function draft(body: Record<string, unknown>) {
  const made = await call('POST', '/plan-moves', { from: FROM, to: TO, ...body });
  expect(made.status, made.text).toBe(201);
  return until(made.body.id, 'draft');
}

async function run(body: Record<string, unknown>) {
  const { id } = await draft(body);
  expect((await call('POST', `/plan-moves/${id}/start`, {}, any)).status).toBe(200);
  return until(id, 'finished');
}

const verb = (id: string, name: string) => call('POST', `/plan-moves/${id}/${name}`, {}, any);
const items = async (id: string, query = '') =>
  (await call('GET', `/plan-moves/${id}/customers${query}`)).body.items;
const plansOf = async (path: string) => (await call('GET', path)).body;

describe('P-8: a plan move', () => {
  it('that cannot go on does not keep those behind it from going on', async () => {
    const stuck = await draft({ customers: ['nobody'] });
    const { pool } = server.parts.database;
    await pool.query(`update plan_move set selector = '((', status = 'previewing' where id = $1`, [stuck.id]);
    for (let turn = 0; turn < 3; turn += 1) await draft({ customers: ['nobody'] });
    for (;;) {
      const { rows } = await pool.query('select fault from plan_move where id = $1', [stuck.id]);
      if (rows[0].fault !== null) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await draft({ customers: ['nobody'] });
    expect((await verb(stuck.id, 'undo')).status).toBe(200);
  });

  it('as a draft tells who gains, who loses and who would be over, and changes nothing', async () => {
    const keys = ['dry-1', 'dry-2', 'dry-3'];
    const paths = [];
    for (const key of keys) paths.push(await customer(key));
    await consume(server, 'dry-2', { key: 'rooms', amount: 8 });
    const move = await draft({ customers: keys });
    expect(move).toMatchObject({
      status: 'draft',
      preview: { examined: 3, gaining: 3, losing: 3, over: 1 },
      progress: { selected: 3, applied: 0 },
    });
    const over = await items(move.id, '?effect=over');
    expect(over).toMatchObject([
      {
        customer: 'dry-2',
        state: 'selected',
        gains: [
          { feature: 'minutes', before: 100, after: 200 },
          { feature: 'calls', before: 9, after: 20 },
          { feature: 'help', before: null, after: true },
        ],
        loses: [
          { feature: 'rooms', before: 10, after: 5 },
          { feature: 'seats', before: 9, after: 4 },
          { feature: 'export', before: true, after: null },
        ],
        over: [{ feature: 'rooms', per: 'customer', accounts: 1, usage: 8, limit: 5, over: 3 }],
      },
    ]);
    const first = (await call('GET', `/plan-moves/${move.id}/customers?limit=2`)).body;
    expect(first.items).toHaveLength(2);
    const rest = (await call('GET', `/plan-moves/${move.id}/customers?limit=2&cursor=${first.nextCursor}`))
      .body;
    expect([...first.items, ...rest.items].map((one: { customer: string }) => one.customer).sort()).toEqual(
      keys,
    );
    for (const path of paths) expect(await plansOf(path)).toMatchObject({ planVersion: 0, version: 1 });
    expect((await verb(move.id, 'undo')).body.status).toBe('discarded');
    expect((await verb(move.id, 'start')).body.code).toBe('PLAN_MOVE_STARTED');
  });

  it('counts who would be over per user and per instance, each with what it was given of its own', async () => {
    const path = await customer('scoped');
    const taken = (body: Record<string, unknown>) => consume(server, 'scoped', body);
    for (const [user, amount] of Object.entries({ 'u-1': 5, 'u-2': 7, 'u-3': 7, 'u-4': 4 })) {
      await call('PUT', `/customers/scoped/users/${user}`, {});
      expect(
        (await taken({ key: 'seats', amount, context: { targetingKey: 'scoped', user } })).body.allowed,
      ).toBe(true);
    }
    // Of its own it has what the plan would take.
    await call('POST', '/grants', {
      target: { kind: 'user', key: 'u-3' },
      kind: 'support',
      effect: { type: 'add', feature: 'seats', amount: 3 },
    });
    await call('PUT', '/customers/scoped/instances/i-1', {});
    await taken({ key: 'calls', amount: 9, context: { targetingKey: 'scoped', instance: 'i-1' } });
    const narrow = await draft({ customers: ['scoped'] });
    expect(narrow.preview).toMatchObject({ over: 1 });
    expect((await items(narrow.id))[0].over).toEqual([
      { feature: 'seats', per: 'user', accounts: 2, usage: 7, limit: 4, over: 3 },
    ]);
    await call('PATCH', path, { planVersion: 1 }, any);
    const back = await draft({ from: TO, to: FROM, customers: ['scoped'] });
    // From 20 to 9, and 9 are in use.
    expect((await items(back.id))[0]).toMatchObject({ over: [], loses: expect.anything() });
    const away = await draft({ from: TO, to: { plan: 'team', version: 0 }, customers: ['scoped'] });
    expect((await items(away.id))[0].over).toEqual([
      { feature: 'calls', per: 'instance', accounts: 1, usage: 9, limit: 0, over: 9 },
      { feature: 'seats', per: 'user', accounts: 4, usage: 7, limit: 0, over: 7 },
    ]);
  });

  it('has the tag of what a person changes: progress raises none, and a read tells progress all the same', async () => {
    for (const key of ['tag-1', 'tag-2']) await customer(key);
    const { id } = await draft({ customers: ['tag-1', 'tag-2'] });
    const read = () => call('GET', `/plan-moves/${id}`);
    const drafted = await read();
    expect(drafted.headers.get('etag')).toBe('"2"');
    const early = await call('POST', `/plan-moves/${id}/start`, {}, { 'if-match': '"1"' });
    expect([early.status, early.body.code]).toEqual([412, 'PRECONDITION_FAILED']);
    const started = await call('POST', `/plan-moves/${id}/start`, {}, { 'if-match': '"2"' });
    await until(id, 'finished');
    const finished = await call('GET', `/plan-moves/${id}`, undefined, { 'if-none-match': '"3"' });
    expect([finished.status, finished.headers.get('etag')]).toEqual([200, '"3"']);
    expect(finished.body).toMatchObject({ version: 3, progress: { applied: 2 } });
    // What was read when it started is still what is changed.
    const tag = started.headers.get('etag');
    expect((await call('POST', `/plan-moves/${id}/undo`, {}, { 'if-match': `${tag}` })).status).toBe(200);
  });

  it('selects by what the server knows of a customer', async () => {
    await customer('de-1', {}, { attributes: { country: 'DE' } });
    await customer('at-1', {}, { attributes: { country: 'AT' } });
    await customer('none-1');
    const customers = ['de-1', 'at-1', 'none-1'];
    const move = await draft({ customers, selector: 'customer.country == "DE" && plan.version == 0' });
    expect(move.preview.examined).toBe(3);
    expect((await items(move.id)).map((one: { customer: string }) => one.customer)).toEqual(['de-1']);
  });

  it('at once moves everyone, with an audit entry for each, and grandfathers who is not selected', async () => {
    const moved = await customer('now-1');
    const kept = await customer('now-2');
    const move = await run({ customers: ['now-1'] });
    expect(move).toMatchObject({
      progress: { selected: 1, applied: 1, failed: 0, skipped: 0 },
      finishedAt: expect.any(String),
    });
    const license = await plansOf(moved);
    expect(license).toMatchObject({ planVersion: 1, earlierPlans: [{ plan: 'pro', planVersion: 0 }] });
    expect(await plansOf(kept)).toMatchObject({ planVersion: 0, version: 1 });
    expect((await entitlement(server, 'help', 'now-1')).body.hasAccess).toBe(true);
    const entries = await auditOf(server, license.id);
    expect(entries.map((entry) => entry.action)).toEqual(['license.create', 'license.move-plan']);
    expect(entries[1]).toMatchObject({ reason: 'a test', actor: { kind: 'admin-key' } });
    expect((await auditOf(server, move.id)).map((entry) => entry.action)).toEqual([
      'plan-move.create',
      'plan-move.start',
    ]);
    expect((await verb(move.id, 'start')).body.code).toBe('PLAN_MOVE_STARTED');
    expect((await verb(move.id, 'retry')).body.code).toBe('NOTHING_FAILED');
  });

  it('with usage reset begins the quota again; carried, it goes on', async () => {
    for (const usage of ['carry', 'reset']) {
      await customer(usage, { startsAt: new Date(Date.now() - 40 * 86_400_000).toISOString() });
      await consume(server, usage, { key: 'minutes', amount: 60 });
      await run({ customers: [usage], usage });
      const after = (await entitlement(server, 'minutes', usage)).body;
      expect(after).toMatchObject({ limit: { value: 200 }, usage: usage === 'carry' ? 60 : 0 });
    }
  });

  it('X-12: at an instant takes effect by the clock, with no process that does it then; undone before, never', async () => {
    const [due, undone] = [await customer('at-due'), await customer('at-undone')];
    const at = new Date(Date.now() + 4000).toISOString();
    const [first, second] = [
      await run({ customers: ['at-due'], at }),
      await run({ customers: ['at-undone'], at }),
    ];
    expect(await plansOf(due)).toMatchObject({
      planVersion: 0,
      nextPlan: { planVersion: 1, at, move: first.id },
    });
    expect((await items(first.id))[0]).toMatchObject({ state: 'applied', dueAt: at });
    expect((await verb(second.id, 'undo')).body.status).toBe('undoing');
    expect(await until(second.id, 'undone')).toMatchObject({ progress: { applied: 0, undone: 1 } });
    expect(await plansOf(undone)).toMatchObject({ planVersion: 0, nextPlan: null });
    await new Promise((resolve) => setTimeout(resolve, Date.parse(at) - Date.now() + 50));
    expect((await entitlement(server, 'help', 'at-due')).body.hasAccess).toBe(true);
    expect((await entitlement(server, 'help', 'at-undone')).body.hasAccess).toBe(false);
    expect(await plansOf(due)).toMatchObject({ planVersion: 1, nextPlan: null });
    // What is due is not taken back.
    await verb(first.id, 'undo');
    expect(await until(first.id, 'undone')).toMatchObject({ progress: { applied: 1, undone: 0 } });
    expect(await plansOf(due)).toMatchObject({ planVersion: 1 });
  });

  it('at the end of each license’s own period', async () => {
    const early = await customer('p-1', { startsAt: new Date(Date.now() - 10 * 86_400_000).toISOString() });
    const late = await customer('p-2', { startsAt: new Date(Date.now() - 20 * 86_400_000).toISOString() });
    await run({ customers: ['p-1', 'p-2'], at: 'period-end' });
    const [one, two] = [await plansOf(early), await plansOf(late)];
    const days = (Date.parse(one.nextPlan.at) - Date.parse(two.nextPlan.at)) / 86_400_000;
    expect(Math.round(days)).toBeGreaterThanOrEqual(9);
    expect(Math.round(days)).toBeLessThanOrEqual(11);
  });

  it('skips what changed meanwhile, fails what does not fit with its reason, and tries that again', async () => {
    const changed = await customer('r-1');
    const pending = await customer('r-2');
    const extra = await customer('r-3', { addons: [{ addon: 'pack' }] });
    const ended = await customer('r-4');
    const move = await draft({
      to: { plan: 'team', version: 0 },
      customers: ['r-1', 'r-2', 'r-3', 'r-4'],
      at: 'period-end',
    });
    await call('PATCH', changed, { plan: 'free' }, any);
    await call('POST', `${pending}/plan-change`, { plan: 'free', at: 'period-end' }, any);
    await call('POST', `${ended}/cancel`, { at: 'now' }, any);
    await verb(move.id, 'start');
    expect(await until(move.id, 'finished')).toMatchObject({
      progress: { selected: 4, applied: 0, failed: 1, skipped: 3 },
    });
    const states = Object.fromEntries(
      (await items(move.id)).map((one: { customer: string; state: string; code: string }) => [
        one.customer,
        `${one.state} ${one.code}`,
      ]),
    );
    expect(states).toEqual({
      'r-1': 'skipped PLAN_CHANGED_MEANWHILE',
      'r-2': 'skipped PLAN_CHANGE_PENDING',
      'r-3': 'failed ADDON_NOT_FOR_PLAN',
      'r-4': 'skipped LICENSE_ENDED',
    });
    await call('PATCH', extra, { addons: [] }, any);
    expect((await verb(move.id, 'retry')).body).toMatchObject({ status: 'running', progress: { failed: 0 } });
    expect(await until(move.id, 'finished')).toMatchObject({
      progress: { applied: 1, failed: 0, skipped: 3 },
    });
    expect(await plansOf(extra)).toMatchObject({ plan: 'pro', nextPlan: { plan: 'team' } });
  });

  it.each([
    [{ to: FROM }, 422, 'PLAN_UNCHANGED'],
    [{ to: { plan: 'prp', version: 1 } }, 422, 'PLAN_UNKNOWN'],
    [{ to: { plan: 'pro', version: 7 } }, 422, 'PLAN_VERSION_UNKNOWN'],
    [{ at: '2020-01-01T00:00:00Z' }, 422, 'AT_NOT_AHEAD'],
    [{ selector: 'user.email == "a"' }, 422, 'SELECTOR_INVALID'],
    [{ selector: 'usage("rooms") > 3' }, 422, 'SELECTOR_INVALID'],
    [{ selector: 'customer.country ==' }, 422, 'SELECTOR_INVALID'],
    [{ selector: 'flag("x")' }, 422, 'SELECTOR_INVALID'],
    [{ selector: 'instance.key == "a"' }, 422, 'SELECTOR_INVALID'],
    [{ selector: 'plan.versoin == 1' }, 422, 'SELECTOR_INVALID'],
    [{ selector: 'segment("staff")' }, 422, 'SELECTOR_INVALID'],
    [{ product: 'none' }, 404, 'PRODUCT_NOT_FOUND'],
    [{ at: 'sometime' }, 400, 'VALIDATION_FAILED'],
  ])('refuses %j', async (body, status, code) => {
    const answer = await call('POST', '/plan-moves', { from: FROM, to: TO, ...body });
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });

  it('law 11, and what is not there', async () => {
    const { id } = await draft({ customers: ['nobody'] });
    const elsewhere = await server.request('GET', `/api/v1/environments/development/plan-moves/${id}`);
    expect(elsewhere.body.code).toBe('PLAN_MOVE_NOT_FOUND');
    expect((await call('POST', `/plan-moves/${id}/start`, {})).status).toBe(428);
    expect((await call('GET', '/plan-moves/none')).body.code).toBe('PLAN_MOVE_NOT_FOUND');
  });

  it('survives kill -9: another process goes on, and no license is moved twice', async () => {
    const count = 1000;
    await server.parts.database.pool.query(
      `with made as (
         insert into customer (id, environment_id, key, attributes, version, created_at)
         select gen_random_uuid(), e.id, 'bulk-' || n, '{}', 1, now() from environment e, generate_series(1, $1) n
         where e.key = 'production' returning id, environment_id)
       insert into license (customer_id, id, environment_id, product_id, plan_key, plan_version, quantity, kind, status,
         starts_at, anchor, addons, version, created_at)
       select made.id, gen_random_uuid(), made.environment_id, p.id, 'team', 0, 1, 'paid', 'active', now() - interval '1 day',
         '2026-01-01T00:00:00[UTC]', '[]', 1, now() from made, product p where p.key = 'test'`,
      [count],
    );
    const { id } = await draft({ from: { plan: 'team', version: 0 }, to: { plan: 'pro', version: 1 } });
    const other = await startServerProcess(server);
    // Everything that works on moves in this process stops, so that the other one does.
    await server.parts.planMoves.stop();
    await verb(id, 'start');
    let applied = 0;
    for (let attempt = 0; applied === 0 && attempt < 2000; attempt += 1) {
      applied = (await call('GET', `/plan-moves/${id}`)).body.progress.applied;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await other.kill();
    expect(applied).toBeGreaterThan(0);
    expect(applied).toBeLessThan(count);
    const again = await startServerProcess(server);
    try {
      const done = await until(id, 'finished');
      expect(done.progress).toEqual({ selected: count, applied: count, failed: 0, skipped: 0, undone: 0 });
      const { rows } = await server.parts.database.pool.query(
        `select count(*)::int as licenses, sum((l.version = 2 and l.plan_key = 'pro' and l.plan_version = 1
            and jsonb_array_length(l.earlier_plans) = 1)::int)::int as moved,
          (select count(*)::int from audit_entry a where a.action = 'license.move-plan'
            and a.object_id in (select license_id::text from plan_move_item where move_id = $1)) as entries
         from license l join plan_move_item i on i.license_id = l.id where i.move_id = $1`,
        [id],
      );
      expect(rows).toEqual([{ licenses: count, moved: count, entries: count }]);
    } finally {
      await again.kill();
    }
  }, 120_000);
});
