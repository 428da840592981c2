import { openDatabase } from '@pennon/server/store/database';
import { type ServerProcess, startServerProcess } from '@pennon/testkit/server-process';
import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CATALOG = `
product: { key: test, name: Test }
features: [{ key: reports, type: boolean }]
flags: [{ key: menu, type: boolean }]
`;
const CUSTOMERS = '/api/v1/environments/production/customers';
const reason = 'A test.';

let first: TestServer;
let second: TestServer;
beforeAll(async () => {
  first = await startTestServer({ catalog: CATALOG });
  const { adminKey: admin, serverKey: server, clientKey: client } = first;
  second = await startTestServer({ databaseUrl: first.databaseUrl, keys: { admin, server, client } });
});
afterAll(async () => {
  await second?.stop();
  await first?.stop();
});

let keys = 0;
const newKey = (): string => `key-${++keys}`;

interface Call {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly on?: TestServer;
  readonly with?: string;
}

function ask(key: string, method: string, path: string, call: Call = {}): Promise<TestResponse> {
  const server = call.on ?? first;
  return server.request(method, path, {
    ...(call.body === undefined ? {} : { body: call.body }),
    ...(call.with === undefined ? {} : { key: call.with }),
    headers: { ...call.headers, 'idempotency-key': key },
  });
}

const REPEATED = ['etag', 'pennon-consistency', 'pennon-revision', 'location', 'content-type'] as const;

function expectReplay(replay: TestResponse, original: TestResponse): void {
  expect(replay.headers.get('idempotency-replayed')).toBe('true');
  expect({ status: replay.status, text: replay.text }).toEqual({
    status: original.status,
    text: original.text,
  });
  for (const name of REPEATED) expect(replay.headers.get(name), name).toBe(original.headers.get(name));
}

async function auditCount(objectKind: string, action: string): Promise<number> {
  const { count } = await first.parts.database.kysely
    .selectFrom('audit_entry')
    .select((expression) => expression.fn.countAll<number>().as('count'))
    .where('object_kind', '=', objectKind)
    .where('action', '=', action)
    .executeTakeFirstOrThrow();
  return count;
}

describe('Idempotency-Key on changes', () => {
  it('answers a repeat with the very answer of the first call, on any process, and does nothing again', async () => {
    const key = newKey();
    const body = { key: 'acme', name: 'Acme', reason };
    const original = await ask(key, 'POST', CUSTOMERS, { body });
    expect(original.status).toBe(201);
    expect(original.headers.get('idempotency-replayed')).toBeNull();
    const before = await auditCount('customer', 'customer.create');
    expectReplay(await ask(key, 'POST', CUSTOMERS, { body }), original);
    // The order of members and white space make no other request.
    const spaced = `{ "reason": "${reason}",\n "name": "Acme", "key": "acme" }`;
    const sent = { body: spaced, on: second, headers: { 'content-type': 'application/json' } };
    expectReplay(await ask(key, 'POST', CUSTOMERS, sent), original);
    expect(await auditCount('customer', 'customer.create')).toBe(before);
  });

  it('repeats what was removed since, what was published, and what was moved', async () => {
    const environment = { key: 'short', name: 'Short', reason };
    await ask(newKey(), 'POST', '/api/v1/environments', { body: environment });
    const gone = newKey();
    const remove = () =>
      ask(gone, 'DELETE', '/api/v1/environments/short?reason=over', { headers: { 'if-match': '*' } });
    const removed = await remove();
    expect(removed.status).toBe(204);
    expectReplay(await remove(), removed);
    expect((await ask(newKey(), 'DELETE', '/api/v1/environments/short?reason=over')).status).toBe(404);

    const flag = newKey();
    const create = (on: TestServer) =>
      ask(flag, 'POST', '/api/v1/products/test/flags?reason=new', {
        body: { key: 'banner', type: 'boolean' },
        on,
      });
    const created = await create(first);
    expect(created.status).toBe(201);
    expectReplay(await create(second), created);

    const yaml = CATALOG.replace('flags: [', 'flags: [{ key: extra, type: boolean }, ');
    const document = newKey();
    const publish = () =>
      ask(document, 'PUT', '/api/v1/products/test/catalog?reason=all', {
        body: yaml,
        headers: { 'content-type': 'application/yaml' },
      });
    const published = await publish();
    expect(published.body).toMatchObject({ dryRun: false });
    expectReplay(await publish(), published);
  });

  it('refuses the key with another request: another body, path, query or method', async () => {
    const key = newKey();
    await ask(key, 'POST', CUSTOMERS, { body: { key: 'other', reason } });
    const others = await Promise.all([
      ask(key, 'POST', CUSTOMERS, { body: { key: 'another', reason } }),
      ask(key, 'POST', '/api/v1/products', { body: { key: 'other', name: 'Other', reason } }),
      ask(key, 'PUT', `${CUSTOMERS}/other`, { body: { reason } }),
      ask(key, 'DELETE', '/api/v1/products/nowhere?reason=x'),
    ]);
    for (const { status, body } of others) {
      expect({ status, code: body.code }).toEqual({ status: 422, code: 'IDEMPOTENCY_MISMATCH' });
    }
  });

  it('keeps the keys of credentials with another reach apart', async () => {
    const bound = { kind: 'admin', environment: 'production', name: 'bound', reason };
    const { body } = await first.request('POST', '/api/v1/keys', { body: bound });
    const key = newKey();
    const one = await ask(key, 'POST', CUSTOMERS, { body: { key: 'mine', reason } });
    const two = await ask(key, 'POST', CUSTOMERS, { body: { key: 'yours', reason }, with: body.key });
    expect([one.status, two.status]).toEqual([201, 201]);
    expect(two.headers.get('idempotency-replayed')).toBeNull();
  });

  it('remembers no refusal: the same key may try again', async () => {
    const key = newKey();
    const put = () => ask(key, 'PUT', `${CUSTOMERS}/late/users/ada`, { body: { name: 'Ada', reason } });
    expect((await put()).status).toBe(404);
    await ask(newKey(), 'POST', CUSTOMERS, { body: { key: 'late', reason } });
    const done = await put();
    expect(done.status).toBe(201);
    expectReplay(await put(), done);
  });

  it('remembers what changed nothing, so that a late repeat does nothing either', async () => {
    const path = '/api/v1/products/test/flags/menu?reason=same';
    const now = (await first.request('GET', '/api/v1/products/test/flags/menu')).body;
    const key = newKey();
    const headers = { 'if-match': '*' };
    const same = await ask(key, 'PUT', path, { body: now, headers });
    expect(same.status).toBe(200);
    const changed = { ...now, purpose: 'changed since' };
    expect((await ask(newKey(), 'PUT', path, { body: changed, headers })).status).toBe(200);
    expectReplay(await ask(key, 'PUT', path, { body: now, headers }), same);
    expect((await first.request('GET', '/api/v1/products/test/flags/menu')).body.purpose).toBe(
      'changed since',
    );
  });

  it('shows secrets once: a repeat has null in their place, and the database has none of them', async () => {
    const calls = [
      ['/api/v1/keys', { kind: 'server', environment: 'production', name: 'k', reason }, ['key']],
      ['/api/v1/token-keys', { environment: 'production', name: 't', reason }, ['privateJwk', 'privatePem']],
    ] as const;
    for (const [path, body, secrets] of calls) {
      const key = newKey();
      const original = await ask(key, 'POST', path, { body });
      const replay = await ask(key, 'POST', path, { body });
      expect([original.status, replay.status]).toEqual([201, 201]);
      for (const name of secrets) {
        expect(original.body[name]).not.toBeNull();
        expect(replay.body[name]).toBeNull();
      }
      const hidden = Object.fromEntries(secrets.map((name) => [name, null]));
      expect(replay.body).toEqual({ ...original.body, ...hidden });
      expect(replay.headers.get('cache-control')).toBe('no-store');
    }
  });

  it('stores neither keys nor answers that could be read without them', async () => {
    const key = newKey();
    const email = 'ada.lovelace@example.org';
    await ask(key, 'PUT', `${CUSTOMERS}/acme/users/ada`, { body: { email, reason } });
    const { rows } = await sql<{ row: string }>`
      select encode(key_digest, 'escape') || encode(answer, 'escape') as row from idempotency`.execute(
      first.parts.database.kysely,
    );
    expect(rows.length).toBeGreaterThan(5);
    expect(rows.filter(({ row }) => row.includes('ada') || row.includes(key))).toEqual([]);
  });

  it('refuses a key that is not one', async () => {
    for (const key of ['with space', 'x'.repeat(256)]) {
      const { status, body } = await ask(key, 'POST', CUSTOMERS, { body: { key: 'n', reason } });
      expect({ status, code: body.code }).toEqual({ status: 400, code: 'IDEMPOTENCY_KEY_INVALID' });
    }
  });

  it('forgets after 35 days, a few hundred at a time; the key is free before it is forgotten', async () => {
    const database = first.parts.database.kysely;
    const key = newKey();
    const body = { key: 'aged', reason };
    await ask(key, 'POST', CUSTOMERS, { body });
    await sql`update idempotency set created_at = now() - interval '36 days'`.execute(database);
    const again = await ask(key, 'POST', CUSTOMERS, { body });
    expect(again.body.code).toBe('CUSTOMER_EXISTS');
    const renewed = await ask(key, 'POST', CUSTOMERS, { body: { key: 'young', reason } });
    expect(renewed.status).toBe(201);
    await sql`insert into idempotency select '00000000-0000-0000-0000-000000000000', int4send(n), '', '',
      now() - interval '36 days' from generate_series(1, 700) n`.execute(database);
    expect(await first.parts.answers.forgetOld()).toBe(500);
    while ((await second.parts.answers.forgetOld()) > 0);
    const { rows } = await sql<{ count: number }>`select count(*) as count from idempotency`.execute(
      database,
    );
    expect(rows[0]?.count).toBe(1);
    expectReplay(await ask(key, 'POST', CUSTOMERS, { body: { key: 'young', reason } }), renewed);
  });
});

describe('Idempotency-Key at the same time', () => {
  it('50 calls with one key on two processes have one effect and one answer', async () => {
    const calls: readonly (readonly [string, string, unknown, Readonly<Record<string, string>>])[] = [
      ['POST', CUSTOMERS, { key: 'crowd', reason }, {}],
      ['PATCH', `${CUSTOMERS}/crowd`, { name: 'Crowd', reason }, { 'if-match': '"1"' }],
      ['POST', '/api/v1/keys', { kind: 'client', environment: 'production', name: 'c', reason }, {}],
      ['POST', '/api/v1/products', { key: 'crowded', name: 'Crowded', reason }, {}],
      ['POST', '/api/v1/products/test/flags?reason=x', { key: 'crowd', type: 'boolean' }, {}],
    ];
    for (const [method, path, body, headers] of calls) {
      const before = await auditTotal();
      const key = newKey();
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, index) =>
          ask(key, method, path, { body, headers, on: index % 2 === 0 ? first : second }),
        ),
      );
      const originals = answers.filter((one) => one.headers.get('idempotency-replayed') === null);
      expect(originals.map(({ status, text }) => [status < 300, status < 300 ? '' : text])).toEqual([
        [true, ''],
      ]);
      const [original] = originals;
      for (const answer of answers) {
        expect([answer.status, answer.headers.get('etag')]).toEqual([
          original?.status,
          original?.headers.get('etag'),
        ]);
      }
      expect(await auditTotal(), path).toBe(before + 1);
    }
  });

  async function auditTotal(): Promise<number> {
    const { rows } = await sql<{ count: number }>`select count(*) as count from audit_entry`.execute(
      first.parts.database.kysely,
    );
    return rows[0]?.count ?? 0;
  }

  it('one key with two requests at once: one is done, the others are refused', async () => {
    const key = newKey();
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        ask(key, 'POST', CUSTOMERS, {
          body: { key: `rival-${index % 4}`, reason },
          on: index % 2 === 0 ? first : second,
        }),
      ),
    );
    const done = answers.filter(({ status }) => status === 201);
    expect(new Set(done.map(({ body }) => body.key)).size).toBe(1);
    expect(done.filter((one) => one.headers.get('idempotency-replayed') === null)).toHaveLength(1);
    for (const { status, body } of answers) {
      if (status !== 201) expect([status, body.code]).toEqual([422, 'IDEMPOTENCY_MISMATCH']);
    }
  });
});

describe('Idempotency-Key and kill -9', { timeout: 60_000 }, () => {
  it('the change and the memory of its answer are there, or neither is', async () => {
    const process: ServerProcess = await startServerProcess(first);
    const acknowledged = new Map<number, string>();
    const send = async (url: string, index: number) => {
      const response = await fetch(`${url}${CUSTOMERS}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${first.adminKey}`,
          'content-type': 'application/json',
          'idempotency-key': `killed-${index}`,
        },
        body: JSON.stringify({ key: `killed-${index}`, reason }),
      });
      return { status: response.status, text: await response.text(), headers: response.headers };
    };
    let next = 0;
    const flood = Promise.all(
      Array.from({ length: 8 }, async () => {
        for (;;) {
          const index = next++;
          const answer = await send(process.url, index).catch(() => null);
          if (answer === null) return;
          acknowledged.set(index, answer.text);
        }
      }),
    );
    while (acknowledged.size < 60) await new Promise((resolve) => setTimeout(resolve, 5));
    await process.kill();
    await flood;

    const { kysely, close } = openDatabase({ connectionString: first.databaseUrl });
    const there = await kysely
      .selectFrom('customer')
      .select('key')
      .where('key', 'like', 'killed-%')
      .execute();
    await close();
    const effects = new Set(there.map(({ key }) => key));
    for (let index = 0; index < next; index += 1) {
      const { status, text, headers } = await send(first.url, index);
      expect(status).toBe(201);
      expect(headers.get('idempotency-replayed'), `killed-${index}`).toBe(
        effects.has(`killed-${index}`) ? 'true' : null,
      );
      if (acknowledged.has(index)) expect(text).toBe(acknowledged.get(index));
    }
  });
});
