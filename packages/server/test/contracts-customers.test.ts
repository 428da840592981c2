import type { TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditOf, type Call, caller, reason, startWithCatalog } from './contracts-support.js';

let server: TestServer;
let call: Call;

beforeAll(async () => {
  server = await startWithCatalog();
  call = caller(server);
});
afterAll(async () => {
  await server.stop();
});

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7/;

describe('customers', () => {
  it('are created by PUT, read with their tag, and changed by who has read them', async () => {
    const created = await call('PUT', '/customers/acme', {
      externalId: 'crm-1',
      name: 'Acme Rockets GmbH',
      email: 'hello@acme.example',
      timeZone: 'Europe/Berlin',
      attributes: { industry: 'rockets', seats: 3 },
    });
    expect(created.status).toBe(201);
    expect(created.body).toEqual({
      id: expect.stringMatching(UUID),
      key: 'acme',
      externalId: 'crm-1',
      name: 'Acme Rockets GmbH',
      email: 'hello@acme.example',
      timeZone: 'Europe/Berlin',
      attributes: { industry: 'rockets', seats: 3 },
      version: 1,
      createdAt: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/),
      archivedAt: null,
      erasedAt: null,
    });
    expect(created.headers.get('etag')).toBe('"1"');
    expect(created.headers.get('pennon-consistency')).toMatch(/^p1\./);

    const read = await call('GET', '/customers/acme');
    expect(read.body).toEqual(created.body);
    expect((await call('GET', '/customers/acme', undefined, { 'if-none-match': '"1"' })).status).toBe(304);

    expect((await call('PUT', '/customers/acme', {})).status).toBe(428);
    expect((await call('PATCH', '/customers/acme', { name: 'Acme' })).status).toBe(428);
    const stale = await call('PATCH', '/customers/acme', { name: 'Acme' }, { 'if-match': '"7"' });
    expect(stale.status).toBe(412);
    expect(stale.body).toMatchObject({ code: 'PRECONDITION_FAILED' });
    const patched = await call('PATCH', '/customers/acme', { name: 'Acme' }, { 'if-match': '"1"' });
    expect(patched.body).toMatchObject({ name: 'Acme', email: 'hello@acme.example', version: 2 });
    const replaced = await call('PUT', '/customers/acme', { name: 'Only' }, { 'if-match': '"2"' });
    expect(replaced.body).toMatchObject({ name: 'Only', email: null, attributes: {}, version: 3 });
    expect((await call('PUT', '/customers/acme', {}, { 'if-none-match': '*' })).status).toBe(412);
  });

  it('C-7: every change has one audit entry with actor, reason and object, names and mails unreadable', async () => {
    const { body } = await call('PUT', '/customers/audited', {
      name: 'Ada Person',
      email: 'ada@person.example',
    });
    await call('PATCH', '/customers/audited', { name: 'Ada Other' }, { 'if-match': '*' });
    const entries = await auditOf(server, body.id);
    expect(entries.map((entry) => entry.action)).toEqual(['customer.create', 'customer.change']);
    expect(entries[0]).toMatchObject({
      actor: { kind: 'admin-key' },
      reason,
      object: { kind: 'customer', id: body.id, version: 1 },
      after: { version: 1 },
      personal: { subject: { kind: 'customer', id: body.id } },
    });
    expect(JSON.stringify(entries)).not.toMatch(/Ada|person\.example|audited/);
    // What is refused leaves nothing behind.
    await call('PATCH', '/customers/audited', { name: 'X' }, { 'if-match': '"99"' });
    expect(await auditOf(server, body.id)).toHaveLength(2);
  });

  it('are created by POST once', async () => {
    expect((await call('POST', '/customers', { key: 'posted' })).status).toBe(201);
    const again = await call('POST', '/customers', { key: 'posted' });
    expect(again.status).toBe(409);
    expect(again.body).toMatchObject({ code: 'CUSTOMER_EXISTS' });
    expect(again.body.detail).toContain('`posted`');
  });

  it('of 20 who create the same at once, exactly one does; of 20 who change the same version, exactly one does', async () => {
    const created = await Promise.all(
      Array.from({ length: 20 }, () => call('PUT', '/customers/raced', {}, { 'if-none-match': '*' })),
    );
    expect(created.map((answer) => answer.status).sort()).toEqual([201, ...Array(19).fill(412)]);
    const changed = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        call('PATCH', '/customers/raced', { name: `n${index}` }, { 'if-match': '"1"' }),
      ),
    );
    expect(changed.map((answer) => answer.status).sort()).toEqual([200, ...Array(19).fill(412)]);
    const winner = changed.find((answer) => answer.status === 200);
    expect((await call('GET', '/customers/raced')).body.name).toBe(winner?.body.name);
  });

  it.each([
    [{ timeZone: 'Mars/Olympus' }, 422, 'TIME_ZONE_UNKNOWN'],
    [{ attributes: { big: 'x'.repeat(20_000) } }, 422, 'ATTRIBUTES_TOO_LARGE'],
    [{ nmae: 'x' }, 400, 'VALIDATION_FAILED'],
    [{ email: 'no mail' }, 400, 'VALIDATION_FAILED'],
    [{ reason: '' }, 400, 'VALIDATION_FAILED'],
    [{ attributes: [] }, 400, 'VALIDATION_FAILED'],
  ])('are refused with what is wrong (%#)', async (body, status, code) => {
    const answer = await call('PUT', '/customers/refused', body);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect((await call('GET', '/customers/refused')).status).toBe(404);
  });

  it('take keys of other systems, and refuse those that nobody can read', async () => {
    for (const key of ['ada@example.com', 'auth0|123', 'a b', 'größe:1', 'x'.repeat(128)]) {
      const answer = await call('PUT', `/customers/${encodeURIComponent(key)}`, {});
      expect([key, answer.status, answer.body.key]).toEqual([key, 201, key]);
    }
    for (const key of ['x'.repeat(129), ' a', 'a\u0000b', 'a\nb', 'a/b', 'a;b', '%41', '..', '']) {
      expect([key, (await call('POST', '/customers', { key })).status]).toEqual([key, 400]);
    }
  });

  it('are archived and taken back, and nothing of them is lost', async () => {
    await call('PUT', '/customers/resting', {});
    await call('POST', '/customers/resting/licenses', { plan: 'pro' });
    const archived = await call('POST', '/customers/resting/archive', {});
    expect(archived.body.archivedAt).not.toBeNull();
    const { body: all } = await call('GET', '/customers?limit=500');
    expect(all.items.map((item: { key: string }) => item.key)).not.toContain('resting');
    const { body: resting } = await call('GET', '/customers?archived=true');
    expect(resting.items.map((item: { key: string }) => item.key)).toEqual(['resting']);
    const restored = await call(
      'POST',
      '/customers/resting/restore',
      {},
      { 'if-match': archived.headers.get('etag') ?? '' },
    );
    expect(restored.body.archivedAt).toBeNull();
    expect((await call('GET', '/customers/resting/licenses')).body.items).toHaveLength(1);
    expect((await call('POST', '/customers/nobody/archive', {})).body.code).toBe('CUSTOMER_NOT_FOUND');
  });

  it('are listed in pages without a gap or a repetition', async () => {
    for (let index = 0; index < 7; index += 1) await call('PUT', `/customers/page-${index}`, {});
    const keys: string[] = [];
    let cursor = '';
    do {
      const { body } = await call('GET', `/customers?limit=3${cursor}`);
      keys.push(...body.items.map((item: { key: string }) => item.key));
      cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`;
    } while (cursor !== '');
    expect(keys.filter((key) => key.startsWith('page-'))).toHaveLength(7);
    expect(keys).toEqual([...new Set(keys)]);
    expect((await call('GET', '/customers?cursor=nonsense')).body.code).toBe('CURSOR_INVALID');
  });

  it('P-4: are found by the beginning of key, external id, mail, name and each word of it', async () => {
    await call('PUT', '/customers/zeta-1', {
      externalId: 'SF-0042',
      name: 'Zeppelin Überflug AG',
      email: 'info@zeppelin.example',
    });
    await call('PUT', '/customers/zeta-2', { name: 'Zeppelin Werft' });
    const found = async (search: string, more = '') => {
      const { body } = await call('GET', `/customers?search=${encodeURIComponent(search)}${more}`);
      return body.items.map((item: { key: string }) => item.key);
    };
    expect(await found('zeta-')).toEqual(['zeta-1', 'zeta-2']);
    expect(await found('sf-00')).toEqual(['zeta-1']);
    expect(await found('ÜBER')).toEqual(['zeta-1']);
    expect(await found('zeppelin ü')).toEqual(['zeta-1']);
    expect(await found('info@zep')).toEqual(['zeta-1']);
    expect((await found('zep')).sort()).toEqual(['zeta-1', 'zeta-2']);
    expect(await found('werft')).toEqual(['zeta-2']);
    expect(await found('eppelin')).toEqual([]);
    expect(await found("%' or 1=1")).toEqual([]);
    const first = await call('GET', '/customers?search=zep&limit=1');
    const second = await call('GET', `/customers?search=zep&limit=1&cursor=${first.body.nextCursor}`);
    expect([...first.body.items, ...second.body.items].map((item) => item.key).sort()).toEqual([
      'zeta-1',
      'zeta-2',
    ]);
    expect(second.body.nextCursor).toBeNull();
    await call('PATCH', '/customers/zeta-2', { name: 'Renamed' }, { 'if-match': '*' });
    expect(await found('werft')).toEqual([]);
    expect(await found('renam')).toEqual(['zeta-2']);
  });
});

describe('search (P-4)', () => {
  const found = async (path: string) => {
    const { body } = await call('GET', path);
    return body.items.map((item: { key: string }) => item.key).sort();
  };

  it('finds who has a word for each beginning, in whatever order, across pages without a gap or a repetition', async () => {
    for (let index = 0; index < 12; index += 1) {
      const name = `Quasar ${index % 2 === 0 ? 'Nord' : 'Süd'} quasi ${index % 3 === 0 ? 'Werke' : 'Handel'}`;
      await call('PUT', `/customers/qu-${index}`, { name });
    }
    expect(await found('/customers?search=qua%20nor%20werk')).toEqual(['qu-0', 'qu-6']);
    expect(await found('/customers?search=werk%20sud%20quasa')).toEqual(['qu-3', 'qu-9']);
    const all: string[] = [];
    let cursor = '';
    do {
      const { body } = await call('GET', `/customers?search=QU%20qua&limit=5${cursor}`);
      all.push(...body.items.map((item: { key: string }) => item.key));
      cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`;
    } while (cursor !== '');
    expect(all).toHaveLength(12);
    expect(new Set(all).size).toBe(12);
  });

  it('refuses the cursor of another search, and more words than it looks for', async () => {
    const { body } = await call('GET', '/customers?search=qua&limit=1');
    const other = await call('GET', `/customers?search=wer&cursor=${body.nextCursor}`);
    expect([other.status, other.body.code]).toEqual([400, 'CURSOR_INVALID']);
    const long = await call('GET', '/customers?search=a+b+c+d+e+f+g+h+i');
    expect([long.status, long.body.code]).toEqual([400, 'SEARCH_TOO_LONG']);
    expect((await call('GET', '/customers?search=%20')).body).toEqual({ items: [], nextCursor: null });
  });

  it('finds archived customers on request only', async () => {
    await call('PUT', '/customers/vault-1', { name: 'Vault Ruhe' });
    await call('POST', '/customers/vault-1/archive', {});
    expect(await found('/customers?search=vault')).toEqual([]);
    expect(await found('/customers?search=ruhe&archived=true')).toEqual(['vault-1']);
    await call('POST', '/customers/vault-1/restore', {});
    expect(await found('/customers?search=ruhe')).toEqual(['vault-1']);
    expect(await found('/customers?search=ruhe&archived=true')).toEqual([]);
  });

  it('finds users and instances of all customers', async () => {
    await call('PUT', '/customers/home-1', {});
    await call('PUT', '/customers/home-2', {});
    for (const customer of ['home-1', 'home-2']) {
      await call('PUT', `/customers/${customer}/users/grace`, {
        name: 'Grace Hopper',
        email: 'grace@navy.example',
      });
    }
    await call('PUT', '/customers/home-1/instances/mark-1', { name: 'Harvard Rechner' });
    const { body: users } = await call('GET', '/users?search=hop');
    expect(users.items.map((user: { customer: string }) => user.customer).sort()).toEqual([
      'home-1',
      'home-2',
    ]);
    expect(users.items[0]).toMatchObject({ key: 'grace', email: 'grace@navy.example' });
    expect(await found('/users?search=grace@navy%20hop')).toEqual(['grace', 'grace']);
    expect(await found('/instances?search=rech')).toEqual(['mark-1']);
    expect(await found('/instances?search=MARK')).toEqual(['mark-1']);
    await call('PUT', '/customers/home-1/users/grace', { name: 'G' }, { 'if-match': '*' });
    await call('DELETE', '/customers/home-1/instances/mark-1?reason=off', undefined, { 'if-match': '*' });
    expect((await call('GET', '/users?search=hop')).body.items).toHaveLength(1);
    expect(await found('/instances?search=mark')).toEqual([]);
  });
});

describe('users and instances', () => {
  beforeAll(async () => {
    await call('PUT', '/customers/owner', {});
    await call('PUT', '/customers/other', {});
  });

  it('a user may belong to several customers; the trail never shows the person', async () => {
    const created = await call('PUT', '/customers/owner/users/ada', {
      name: 'Ada L',
      email: 'ada@l.example',
    });
    expect(created.status).toBe(201);
    expect(created.body).toMatchObject({ key: 'ada', customer: 'owner', name: 'Ada L', version: 1 });
    expect((await call('PUT', '/customers/other/users/ada', {})).status).toBe(201);
    expect((await call('PUT', '/customers/owner/users/ada', {})).status).toBe(428);
    const changed = await call('PUT', '/customers/owner/users/ada', { name: 'Ada' }, { 'if-match': '"1"' });
    expect(changed.body).toMatchObject({ name: 'Ada', email: null, version: 2 });
    expect((await call('GET', '/customers/owner/users')).body.items).toEqual([changed.body]);

    expect((await call('DELETE', '/customers/owner/users/ada?reason=left')).status).toBe(428);
    const removed = await call('DELETE', '/customers/owner/users/ada?reason=left', undefined, {
      'if-match': '"2"',
    });
    expect(removed.status).toBe(204);
    expect((await call('GET', '/customers/owner/users/ada')).body.code).toBe('USER_NOT_FOUND');
    const entries = await auditOf(server, created.body.id);
    expect(entries.map((entry) => entry.action)).toEqual(['user.create', 'user.replace', 'user.remove']);
    // Keys are mail addresses often enough, so that they stand there as ids.
    expect(JSON.stringify(entries)).not.toMatch(/Ada|"ada"|"owner"/);
    expect((await call('PUT', '/customers/nobody/users/ada', {})).body.code).toBe('CUSTOMER_NOT_FOUND');
  });

  it('an instance has a key of its own in the environment, and an id', async () => {
    const created = await call('PUT', '/customers/owner/instances/eu-1', { metadata: { region: 'eu' } });
    expect(created.status).toBe(201);
    const byId = await call('GET', `/customers/owner/instances/${created.body.id}`);
    expect(byId.body).toEqual(created.body);
    const taken = await call('PUT', '/customers/other/instances/eu-1', {});
    expect([taken.status, taken.body.code]).toEqual([409, 'INSTANCE_KEY_TAKEN']);
    expect((await call('GET', '/customers/other/instances/eu-1')).status).toBe(404);
    expect((await call('GET', '/customers/owner/instances')).body.items).toEqual([created.body]);
    const removed = await call('DELETE', '/customers/owner/instances/eu-1?reason=off', undefined, {
      'if-match': '*',
    });
    expect(removed.status).toBe(204);
    expect((await call('PUT', '/customers/other/instances/eu-1', {})).status).toBe(201);
  });
});
