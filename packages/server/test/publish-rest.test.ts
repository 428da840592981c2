import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CATALOG = `
product: { key: test, name: Test }
features:
  - { key: analytics, type: boolean, category: subscription, owner: a@example.com, purpose: Reports, removal: permanent }
plans:
  - { key: pro, version: 0, rank: 1, entitlements: [{ feature: analytics, value: true }] }
groups:
  - { key: beta, entitlements: [{ feature: analytics, value: true }] }
segments:
  - { key: staff, condition: 'user.email.endsWith("@test.example")' }
flags:
  - { key: menu, type: boolean, category: release, owner: w@example.com, purpose: Menu, removal: Soon, default: true }
`;
const ROOT = '/api/v1/products/test';
const FLAG = {
  key: 'banner',
  type: 'boolean',
  category: 'release',
  owner: 'w@example.com',
  purpose: 'A banner',
  removal: 'Soon',
  default: false,
};

describe('catalogs over REST', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ product: 'test', catalog: CATALOG });
  });
  afterAll(() => server.stop());

  it('gives the catalog as YAML and as JSON; applying it again changes nothing', async () => {
    const yaml = await server.request('GET', `${ROOT}/catalog?format=yaml`);
    expect(yaml.headers.get('content-type')).toContain('application/yaml');
    const before = yaml.headers.get('pennon-revision');
    const again = await server.request('PUT', `${ROOT}/catalog?reason=again&prune=true`, {
      body: yaml.text,
      headers: { 'content-type': 'application/yaml' },
    });
    expect(again).toMatchObject({ status: 200, body: { changed: [], lacking: [] } });
    expect(again.headers.get('pennon-revision')).toBe(before);

    const json = await server.request('GET', `${ROOT}/catalog`, { headers: { accept: 'application/json' } });
    expect(json.body.flags[0].key).toBe('menu');
    const third = await server.request('PUT', `${ROOT}/catalog?reason=again`, { body: json.body });
    expect(third.body.changed).toEqual([]);
    const known = json.headers.get('etag') ?? '';
    const unchanged = await server.request('GET', `${ROOT}/catalog`, { headers: { 'if-none-match': known } });
    expect(unchanged.status).toBe(304);
  });

  it.each([
    ['application/json', 'null'],
    ['application/json', '[]'],
    ['application/json', '"text"'],
    ['application/yaml', '~'],
    ['application/yaml', 'null # nothing'],
  ])('refuses what is no document: %s `%s`', async (type, body) => {
    const answer = await server.request('PUT', `${ROOT}/catalog?reason=x`, {
      body,
      headers: { 'content-type': type },
    });
    expect(answer).toMatchObject({ status: 422, body: { code: 'INVALID_CATALOG' } });
    expect(answer.body.errors).toMatchObject([{ code: 'WRONG_TYPE' }]);
  });

  it('renames the product where products are listed, as its document does', async () => {
    const nameAndVersion = async () => {
      const { body } = await server.request('GET', '/api/v1/products');
      const { name, version } = body.items.find((one: { key: string }) => one.key === 'test');
      return { name, version };
    };
    const publish = (product: object) =>
      server.request('PUT', `${ROOT}/catalog?reason=x`, { body: { product } });
    const before = await nameAndVersion();
    expect(before.name).toBe('Test');
    expect((await publish({ key: 'test', name: 'Better Test' })).status).toBe(200);
    const after = { name: 'Better Test', version: before.version + 1 };
    expect(await nameAndVersion()).toEqual(after);
    await publish({ key: 'test', name: 'Better Test', timeZone: 'UTC' });
    expect(await nameAndVersion()).toEqual(after);
    await publish({ key: 'test', name: 'Test' });
    expect((await nameAndVersion()).name).toBe('Test');
  });

  it('F-5 creates, reads, replaces, patches and deletes a flag, with If-Match', async () => {
    const created = await server.request('POST', `${ROOT}/flags?reason=new`, { body: FLAG });
    expect(created).toMatchObject({ status: 201, body: FLAG });
    expect(created.headers.get('pennon-consistency')).toMatch(/^p1\./);
    expect(created.headers.get('location')).toBe(`${ROOT}/flags/banner`);
    const twice = await server.request('POST', `${ROOT}/flags?reason=new`, { body: FLAG });
    expect(twice).toMatchObject({ status: 409, body: { code: 'ALREADY_EXISTS' } });

    const etag = created.headers.get('etag') ?? '';
    const read = await server.request('GET', `${ROOT}/flags/banner`);
    expect(read.headers.get('etag')).toBe(etag);
    const url = `${ROOT}/flags/banner?reason=why`;
    const blind = await server.request('PUT', url, { body: { ...FLAG, default: true } });
    expect(blind).toMatchObject({ status: 428, body: { code: 'PRECONDITION_REQUIRED' } });
    const put = await server.request('PUT', url, {
      body: { ...FLAG, default: true },
      headers: { 'if-match': etag },
    });
    expect(put).toMatchObject({ status: 200, body: { default: true } });
    const late = await server.request('PUT', url, { body: FLAG, headers: { 'if-match': etag } });
    expect(late).toMatchObject({
      status: 412,
      body: {
        conflicts: [{ kind: 'flag', key: 'banner', mine: { default: false }, theirs: { default: true } }],
      },
    });
    const patched = await server.request('PATCH', url, {
      body: { name: 'Banner', purpose: null },
      headers: { 'if-match': put.headers.get('etag') ?? '' },
    });
    expect(patched.body.name).toBe('Banner');
    expect(patched.body).not.toHaveProperty('purpose');
    const gone = await server.request('DELETE', url, { headers: { 'if-match': '*' } });
    expect(gone.status).toBe(204);
    expect((await server.request('GET', `${ROOT}/flags/banner`)).status).toBe(404);
  });

  it('F-5 does the same for features, plans, groups and segments', async () => {
    const feature = {
      ...FLAG,
      key: 'exports',
      category: 'subscription',
      removal: 'permanent',
      default: undefined,
    };
    const made = [
      ['features', 'exports', feature],
      [
        'plans',
        'pro@1',
        { key: 'pro', version: 1, rank: 1, entitlements: [{ feature: 'exports', value: true }] },
      ],
      [
        'addons',
        'more@0',
        { key: 'more', version: 0, entitlements: [{ feature: 'exports', override: true }] },
      ],
      ['groups', 'gamma', { key: 'gamma', entitlements: [] }],
      ['segments', 'press', { key: 'press' }],
    ] as const;
    for (const [collection, key, body] of made) {
      const created = await server.request('PUT', `${ROOT}/${collection}/${key}?reason=x`, { body });
      expect(created, collection).toMatchObject({ status: 201 });
      const list = await server.request('GET', `${ROOT}/${collection}?limit=1`);
      expect(list.body.items).toHaveLength(1);
    }
    const used = await server.request('DELETE', `${ROOT}/features/exports?reason=x`, {
      headers: { 'if-match': '*' },
    });
    expect(used).toMatchObject({ status: 409, body: { code: 'STILL_IN_USE' } });
    expect(JSON.stringify(used.body.errors)).toContain('`pro@1`');
    for (const [collection, key] of [...made].reverse()) {
      const gone = await server.request('DELETE', `${ROOT}/${collection}/${key}?reason=x`, {
        headers: { 'if-match': '*' },
      });
      expect(gone, key).toMatchObject({ status: 204 });
    }
  });

  it('refuses a bad item with line and column, and a key that is not the one of the path', async () => {
    const bad = await server.request('POST', `${ROOT}/flags?reason=x`, {
      body: '{\n  "key": "x",\n  "type": "boolaen"\n}',
    });
    expect(bad).toMatchObject({ status: 422, body: { code: 'INVALID_CATALOG' } });
    expect(bad.body.errors[0]).toMatchObject({ line: 3 });
    const other = await server.request('PUT', `${ROOT}/flags/y?reason=x`, { body: FLAG });
    expect(other).toMatchObject({ status: 422, body: { code: 'INVALID_CATALOG' } });
    expect(other.body.errors[0].code).toBe('OTHER_KEY');
    const twice = await server.request('PATCH', `${ROOT}/flags/menu?reason=x`, {
      body: '{"name":"a","name":"b"}',
      headers: { 'if-match': '*' },
    });
    expect(twice.body.errors[0].code).toBe('DUPLICATE_MEMBER');
  });

  it('refuses a change without a reason, unknown query members and a body of another type', async () => {
    expect((await server.request('POST', `${ROOT}/flags`, { body: FLAG })).status).toBe(400);
    expect((await server.request('PUT', `${ROOT}/catalog?reason=x&purne=true`, { body: {} })).status).toBe(
      400,
    );
    const xml = await server.request('PUT', `${ROOT}/catalog?reason=x`, {
      body: '<a/>',
      headers: { 'content-type': 'application/xml' },
    });
    expect(xml.status).toBe(415);
    const empty = await server.request('PUT', `${ROOT}/catalog?reason=x`);
    expect(empty.status).toBe(400);
  });

  it('validates, diffs and rehearses without changing anything', async () => {
    const faulty =
      'flags:\n  - { key: a, type: boolean, requires: [nothing] }\n  - { key: b, tpye: boolean }\n';
    const headers = { 'content-type': 'application/yaml' };
    const verdict = await server.request('POST', `${ROOT}/catalog/validate`, { body: faulty, headers });
    expect(verdict).toMatchObject({ status: 200, body: { valid: false } });
    const lines = verdict.body.errors.map((fault: { line: number }) => fault.line);
    expect(lines).toEqual(expect.arrayContaining([2, 3]));

    const changed = CATALOG.replace('default: true }', 'default: false }');
    const diff = await server.request('POST', `${ROOT}/catalog/diff`, { body: changed, headers });
    expect(diff.body).toMatchObject({
      dryRun: true,
      changed: [{ kind: 'flag', key: 'menu', change: 'changed' }],
    });
    expect(diff.body.diff[0]).toContain('`menu`');
    const rehearsal = await server.request('DELETE', `${ROOT}/flags/menu?reason=x&dryRun=true`, {
      headers: { 'if-match': '*' },
    });
    expect(rehearsal).toMatchObject({
      status: 200,
      body: { dryRun: true, changed: [{ change: 'removed' }] },
    });
    expect((await server.request('GET', `${ROOT}/flags/menu`)).body.default).toBe(true);
  });

  it('lists revisions with who and why, and moves an environment forward only', async () => {
    const list = await server.request('GET', `${ROOT}/revisions?limit=2`);
    expect(list.body.items[0].number).toBeGreaterThan(list.body.items[1].number);
    expect(list.body.items[0]).toMatchObject({ actor: { kind: 'admin-key' } });
    expect(list.body.nextCursor).toEqual(expect.any(String));
    const next = await server.request('GET', `${ROOT}/revisions?limit=2&cursor=${list.body.nextCursor}`);
    expect(next.body.items[0].number).toBeLessThan(list.body.items[1].number);

    const url = `${ROOT}/environments/production`;
    const standing = await server.request('GET', url);
    const head = list.body.items[0].number as number;
    const body = { revision: 1, reason: 'back' };
    expect((await server.request('PUT', url, { body })).status).toBe(428);
    const back = await server.request('PUT', url, { body, headers: { 'if-match': '*' } });
    expect(back).toMatchObject({ status: 409, body: { code: 'OLDER_REVISION' } });
    const missing = await server.request('PUT', url, {
      body: { revision: head + 50, reason: 'x' },
      headers: { 'if-match': '*' },
    });
    expect(missing).toMatchObject({ status: 404, body: { code: 'REVISION_NOT_FOUND' } });
    expect(standing.body.revision).toBeLessThanOrEqual(head);
  });
});
