import { createHash } from 'node:crypto';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askFlag, CATALOG, type Call, caller, reason } from './contracts-support.js';
import { makeHook } from './webhooks-support.js';

let server: TestServer;
let other: TestServer;
let call: Call;

beforeAll(async () => {
  const perUser =
    '  - { key: exports, type: metered, per: user, dimensions: [who], category: limit, owner: a@example.com, purpose: Exports, removal: permanent, reset: { every: month } }\n';
  const catalog = CATALOG.replace('plans:\n', `${perUser}plans:\n`)
    .replaceAll(
      'entitlements: [{ feature: seats, value: 1 }]',
      'entitlements: [{ feature: seats, value: 1 }, { feature: minutes, value: 50 }, { feature: exports, value: 50 }]',
    )
    .replace(
      '{ feature: minutes, value: 200 }',
      '{ feature: minutes, value: 200 }, { feature: exports, value: 50 }',
    );
  server = await startTestServer({ catalog });
  call = caller(server);
  const { adminKey: admin, serverKey, clientKey: client, databaseUrl } = server;
  other = await startTestServer({ databaseUrl, keys: { admin, server: serverKey, client } });
  // Somebody listens, so that every change is told too; nobody answers there.
  await makeHook(server, 'http://127.0.0.1:9/');
});
afterAll(async () => {
  await other.stop();
  await server.stop();
});

/** Every table whole, as text; of audit entries the very bytes. */
async function everything(): Promise<string> {
  const { pool } = server.parts.database;
  const { rows: tables } = await pool.query<{ name: string }>(
    `select table_name as name from information_schema.tables
     where table_schema = 'public' and table_type = 'BASE TABLE' and table_name <> 'change'`,
  );
  const texts: string[] = [];
  for (const { name } of tables) {
    const { rows } = await pool.query<{ text: string }>(`select t::text as text from "${name}" t`);
    texts.push(...rows.map((row) => `${name} ${row.text}`));
  }
  const { rows } = await pool.query<{ bytes: Buffer }>('select bytes from audit_entry');
  return [...texts, ...rows.map((row) => row.bytes.toString('utf8'))].join('\n');
}

async function mentions(words: readonly string[]): Promise<string[]> {
  const lines = (await everything()).split('\n');
  return lines.filter((line) => words.some((word) => line.includes(word)));
}

async function consume(context: object, idempotencyKey: string) {
  const answer = await server.request('POST', '/oep/v1/consume', {
    key: server.serverKey,
    headers: { 'idempotency-key': idempotencyKey },
    body: {
      context,
      items: [
        { key: 'minutes', amount: 1 },
        { key: 'exports', amount: 1 },
      ],
    },
  });
  expect([answer.status, answer.body.allowed]).toEqual([200, true]);
}

/** Usage that already happened, named by the person everywhere where a sender can. */
async function record(customer: string, user: string) {
  const events = [{ key: 'exports', amount: 2, user, attributes: { who: user } }].map((data) => ({
    specversion: '1.0',
    id: `${user}/${customer}/1`,
    source: `/${customer}/laptop`,
    type: 'usage',
    subject: customer,
    data,
  }));
  const answer = await server.request('POST', '/oep/v1/usage', {
    key: server.serverKey,
    headers: { 'content-type': 'application/cloudevents-batch+json' },
    body: events,
  });
  expect([answer.status, answer.body.accepted], answer.text).toEqual([202, 1]);
}

const trail = async (objectKind: string, objectId: string) =>
  (await call('GET', `/audit?objectKind=${objectKind}&objectId=${objectId}`)).body.items;

describe('erasing a customer', () => {
  const words = ['mallory', 'Mallory', 'crm-mal', 'Zyxwv', 'mal-laptop', 'eve@', 'Eve Drop'];
  let id: string;
  let userId: string;
  let entriesBefore: { id: string; sha256: string }[];

  beforeAll(async () => {
    const path = '/customers/mallory@example.com';
    const created = await call('PUT', path, {
      name: 'Mallory Person',
      email: 'mallory@example.com',
      externalId: 'crm-mal',
      attributes: { street: 'Zyxwv Street' },
    });
    id = created.body.id;
    const user = await call('PUT', `${path}/users/eve@example.com`, {
      name: 'Eve Drop',
      attributes: { a: 'Zyxwv' },
    });
    userId = user.body.id;
    await call('PUT', `${path}/instances/mal-laptop`, {
      name: 'Mallory’s laptop',
      metadata: { at: 'Zyxwv' },
    });
    expect((await call('POST', `${path}/licenses`, { plan: 'pro' })).status).toBe(201);
    for (const target of [
      { kind: 'customer', key: 'mallory@example.com' },
      { kind: 'user', key: 'eve@example.com' },
      { kind: 'instance', key: 'mal-laptop' },
    ]) {
      await call('POST', '/grants', {
        target,
        kind: 'support',
        effect: { type: 'set', feature: 'seats', value: 7 },
      });
    }
    const members = '/products/test/segments/demoing/members';
    await call('PUT', `${members}/customer/mallory@example.com`, {});
    await call('PUT', `${members}/user/eve@example.com`, {});
    await consume({ customer: 'mallory@example.com', user: 'eve@example.com' }, 'first');
    await consume(
      { customer: 'mallory@example.com', instance: 'mal-laptop', user: 'eve@example.com' },
      'second',
    );
    await record('mallory@example.com', 'eve@example.com');
    entriesBefore = await trail('customer', id);
    expect(entriesBefore.length).toBeGreaterThan(0);
    expect((await mentions(words)).length).toBeGreaterThan(8);
  });

  it('needs a reason, and the right version where one is given', async () => {
    const path = `${'/customers/mallory@example.com'}/erase`;
    expect((await call('POST', path, { reason: '' })).status).toBe(400);
    expect((await call('POST', path, {}, { 'if-match': '"999"' })).status).toBe(412);
    expect((await call('POST', '/customers/nobody/erase', {})).body.code).toBe('CUSTOMER_NOT_FOUND');
  });

  it('leaves nothing that says who it was, in no table and in no byte of the trail', async () => {
    const warm = await askFlag(other, 'reports-ui', {
      customer: 'mallory@example.com',
      user: 'eve@example.com',
    });
    expect(warm.body.value).toBe(true);
    const erased = await call('POST', '/customers/mallory@example.com/erase', {});
    expect(erased.status).toBe(200);
    expect(erased.body).toEqual({
      objectKind: 'customer',
      objectId: id,
      key: `erased-${id}`,
      version: expect.any(Number),
      erasedAt: expect.stringMatching(/Z$/),
    });
    expect(await mentions(words)).toEqual([]);

    // Whoever asks with the token of the erasure is answered without what was known, by every process.
    const headers = { 'pennon-consistency': erased.headers.get('pennon-consistency') ?? '' };
    for (const process of [server, other]) {
      const asked = { customer: 'mallory@example.com', user: 'eve@example.com' };
      const answer = await askFlag(process, 'reports-ui', asked, headers);
      expect([answer.status, answer.body.value]).toEqual([200, false]);
    }
    expect((await call('GET', '/customers?search=mallory')).body.items).toEqual([]);
    expect((await call('GET', '/customers?search=mallory&archived=true')).body.items).toEqual([]);
    expect((await call('GET', '/users?search=eve')).body.items).toEqual([]);
    expect((await call('GET', '/instances?search=mal')).body.items).toEqual([]);
  });

  it('keeps what others need: the id, licenses, grants and usage as numbers', async () => {
    const left = await call('GET', `/customers/erased-${id}`);
    expect(left.body).toMatchObject({ id, name: null, email: null, externalId: null, attributes: {} });
    expect(left.body.erasedAt).not.toBeNull();
    const { pool } = server.parts.database;
    const { rows: usage } = await pool.query('select used from account where customer_id = $1', [id]);
    expect(usage.reduce((sum, row) => sum + row.used, 0)).toBe(6);
    const { rows: records } = await pool.query(
      'select allowed, requested, attributes, answer from consumption where customer_id = $1',
      [id],
    );
    expect(records).toHaveLength(4);
    expect(records[0]).toMatchObject({ allowed: true, requested: 1, attributes: null, answer: null });
    expect((await call('GET', `/customers/erased-${id}/licenses`)).body.items).toHaveLength(1);
  });

  it('C-7: the trail stays listed, its bytes unchanged, and says what was erased', async () => {
    const entries = await trail('customer', id);
    expect(entries[0]).toMatchObject({
      action: 'customer.erase',
      reason,
      actor: { kind: 'admin-key' },
      after: { id, key: `erased-${id}`, users: 1, instances: 1, grants: 3, memberships: 2 },
      erased: [],
    });
    const before = entries.slice(1);
    expect(before.map((entry: { sha256: string }) => entry.sha256)).toEqual(
      entriesBefore.map((entry) => entry.sha256),
    );
    expect(before.at(-1)).toMatchObject({
      action: 'customer.create',
      after: { id, version: 1, name: 'erased', email: 'erased', key: 'erased', attributes: 'erased' },
      erased: ['/attributes', '/email', '/externalId', '/key', '/name'],
    });
    const [users] = await trail('user', userId);
    expect(users.after).toMatchObject({
      key: 'erased',
      name: 'erased',
      customer: expect.stringMatching(/^subject:/),
    });
    expect(users.erased).toContain('/customer');
    const { rows } = await server.parts.database.pool.query('select id, bytes from audit_entry');
    const sums = new Map(rows.map((row) => [row.id, createHash('sha256').update(row.bytes).digest('hex')]));
    for (const entry of entries) expect(entry.sha256).toBe(sums.get(entry.id));
  });

  it('is for ever: what is left takes no change, and the key is free for somebody else', async () => {
    const path = `/customers/erased-${id}`;
    for (const [method, rest, body] of [
      ['PATCH', '', { name: 'Back' }],
      ['POST', '/restore', {}],
      ['POST', '/erase', {}],
      ['PUT', '/users/x', {}],
    ] as const) {
      const answer = await call(method, `${path}${rest}`, body, { 'if-match': '*' });
      expect([method, rest, answer.status]).toEqual([method, rest, 409]);
      expect(answer.body.code).toBe('CUSTOMER_ERASED');
    }
    const again = await call('PUT', '/customers/mallory@example.com', {});
    expect(again.status).toBe(201);
    expect(again.body.id).not.toBe(id);
    expect((await call('GET', '/customers/mallory@example.com/licenses')).body.items).toEqual([]);
  });
});

describe('erasing a user', () => {
  it('forgets the person at that customer; what other customers know of the same key stays', async () => {
    for (const customer of ['north', 'south']) {
      await call('PUT', `/customers/${customer}`, {});
      await call('PUT', `/customers/${customer}/users/trudy@example.com`, { name: `Trudy of ${customer}` });
    }
    await call('POST', '/grants', {
      target: { kind: 'user', key: 'trudy@example.com' },
      kind: 'support',
      effect: { type: 'set', feature: 'seats', value: 9 },
    });
    await consume({ customer: 'north', user: 'trudy@example.com' }, 'of-north');
    await record('north', 'trudy@example.com');
    const first = await call('POST', '/customers/north/users/trudy@example.com/erase', {});
    expect(first.status).toBe(200);
    expect(await mentions(['Trudy of north'])).toEqual([]);
    expect((await call('GET', '/customers/south/users/trudy@example.com')).body.name).toBe('Trudy of south');
    expect((await call('GET', '/customers/north/users/trudy@example.com')).body.code).toBe('USER_NOT_FOUND');
    expect((await mentions(['trudy'])).some((line) => line.startsWith('access_grant'))).toBe(true);

    const [entry] = await trail('user', first.body.objectId);
    expect(entry).toMatchObject({
      action: 'user.erase',
      after: { customer: 'north', grants: 0 },
      erased: [],
    });
    const last = await call(
      'POST',
      '/customers/south/users/trudy@example.com/erase',
      {},
      { 'if-match': '"1"' },
    );
    expect(last.status).toBe(200);
    expect(await mentions(['trudy', 'Trudy of'])).toEqual([]);
    expect((await trail('user', last.body.objectId))[0]).toMatchObject({ after: { grants: 1 } });
    // The same call again is still the same: nothing of the answer said who it was.
    await consume({ customer: 'north', user: 'trudy@example.com' }, 'of-north');
  });
});

describe('erasing who has many records', () => {
  /** More than two slices of records, made of one that is real. */
  const multiply = (customer: string, count: number) =>
    server.parts.database.pool.query(
      `do $$ declare names text; begin
         select string_agg(case column_name when 'id' then 'gen_random_uuid()' when 'idempotency_key'
           then 'gen_random_uuid()::text' else 'c.' || quote_ident(column_name) end, ', ' order by ordinal_position)
         into names from information_schema.columns where table_schema = 'public' and table_name = 'consumption';
         execute format('insert into consumption select %s from consumption c
           join customer on customer.id = c.customer_id and customer.key = %L, generate_series(1, %s)
           where c.scope <> %L', names, '${customer}', ${count}, '');
       end $$`,
    );
  const naming = async (word: string) => {
    const { rows } = await server.parts.database.pool.query<{ count: number }>(
      'select count(*)::int as count from consumption c where position($1 in c::text) > 0',
      [word],
    );
    return rows[0]?.count;
  };

  it.each(['user', 'customer'])(
    'scrubs every one of a %s, and the notices that name it',
    async (kind) => {
      const [customer, user] = [`many-${kind}@example.com`, `walter-${kind}@example.com`];
      await call('PUT', `/customers/${customer}`, {});
      await call('PUT', `/customers/${customer}/users/${user}`, {});
      await call('POST', `/customers/${customer}/licenses`, { plan: 'pro' });
      await consume({ customer, user }, `many-${kind}`);
      await multiply(customer, 11_000);
      expect(await naming(user)).toBeGreaterThan(11_000);
      const { pool } = server.parts.database;
      const notices = async (...keys: string[]) =>
        (await pool.query('select kind from change where subject_key = any($1)', [keys])).rows.length;
      expect(await notices(customer)).toBeGreaterThan(1);
      const path =
        kind === 'user' ? `/customers/${customer}/users/${user}/erase` : `/customers/${customer}/erase`;
      const erased = await call('POST', path, {});
      expect(erased.status, erased.text).toBe(200);
      expect(await naming(user)).toBe(0);
      // Its own notice is left, by which the others hear of it.
      expect(await notices(user)).toBe(1);
      if (kind === 'customer') expect(await notices(customer)).toBe(2);
    },
    120_000,
  );
});

describe('erasing whoever redeemed a voucher and was named by a plan move', () => {
  it('leaves neither the customer nor the user in redemptions, what was kept, moves or the trail', async () => {
    const [customer, user] = ['oscar@example.com', 'olive@example.com'];
    await call('PUT', `/customers/${customer}`, {});
    await call('PUT', `/customers/${customer}/users/${user}`, {});
    const license = await call('POST', `/customers/${customer}/licenses`, { plan: 'pro' });
    expect(license.status, license.text).toBe(201);
    const plan = { plan: license.body.plan, version: license.body.planVersion };
    const move = await call('POST', '/plan-moves', {
      from: plan,
      to: { plan: 'free', version: 0 },
      customers: [customer],
    });
    expect(move.status, move.text).toBe(201);
    for (const kind of ['customer', 'user']) {
      const voucher = await call('POST', '/vouchers', {
        key: `of-a-${kind}`,
        kind: 'ENTITLEMENT_BOOST',
        target: kind,
        effects: [{ type: 'add', feature: 'exports', amount: 9 }],
        lasts: { days: 9 },
        state: 'active',
      });
      expect(voucher.status, voucher.text).toBe(201);
      const { body } = await call('POST', `/vouchers/of-a-${kind}/codes`, { count: 1 });
      const redeemed = await server.request('POST', '/api/v1/environments/production/vouchers/redeem', {
        key: server.serverKey,
        body: { code: body.codes[0], customer, user },
        headers: { 'idempotency-key': `redeem-${kind}` },
      });
      expect(redeemed.status, redeemed.text).toBe(201);
      if (kind === 'customer') continue;
      for (let n = 0; n < 55; n += 1) await consume({ customer, user }, `o-${n}`);
      const revoked = await call('POST', `/redemptions/${redeemed.body.id}/revoke`, {});
      expect(revoked.status, revoked.text).toBe(200);
    }
    expect((await mentions(['olive'])).some((line) => line.startsWith('voucher_redemption'))).toBe(true);

    expect((await call('POST', `/customers/${customer}/users/${user}/erase`, {})).status).toBe(200);
    expect(await mentions(['olive'])).toEqual([]);
    expect((await call('POST', `/customers/${customer}/erase`, {})).status).toBe(200);
    expect(await mentions(['oscar'])).toEqual([]);
  });
});

describe('the audit trail of an object', () => {
  it('is listed the latest first, in pages, personal members in their places', async () => {
    const { body } = await call('PUT', '/customers/traced', { name: 'One' });
    for (const name of ['Two', 'Three'])
      await call('PATCH', '/customers/traced', { name }, { 'if-match': '*' });
    const first = await call('GET', `/audit?objectKind=customer&objectId=${body.id}&limit=2`);
    expect(first.body.items.map((item: { after: { name: string } }) => item.after.name)).toEqual([
      'Three',
      'Two',
    ]);
    const second = await call(
      'GET',
      `/audit?objectKind=customer&objectId=${body.id}&limit=2&cursor=${first.body.nextCursor}`,
    );
    expect(second.body).toMatchObject({
      items: [{ action: 'customer.create', reason, after: { key: 'traced', name: 'One' }, erased: [] }],
      nextCursor: null,
    });
    const { body: whole } = await call('GET', '/audit?limit=1');
    expect(whole.items[0].id).toBe(first.body.items[0].id);
    expect((await call('GET', '/audit?objectKind=customer')).body.code).toBe('OBJECT_HALF_NAMED');
  });
});
