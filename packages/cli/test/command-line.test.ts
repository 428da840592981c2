import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../src/exit-codes.js';
import { main } from '../src/main.js';

const CATALOG = `product: { key: shop, name: Shop, defaultPlan: free }
features:
  - { key: has_export, type: boolean, category: subscription, owner: a@example.com, purpose: Export, removal: permanent }
  - { key: seats, type: metered, reset: never, category: limit, owner: a@example.com, purpose: Seats, removal: permanent }
plans:
  - { key: free, version: 0, rank: 0, entitlements: [{ feature: seats, value: 1 }] }
  - { key: pro, version: 0, rank: 1, entitlements: [{ feature: seats, value: 5 }, { feature: has_export, value: true }] }
flags:
  - { key: export-screen, type: boolean, category: release, owner: a@example.com, purpose: Export, removal: Later, expires: '2099-01-01', requires: [has_export], default: true }
tests:
  - { name: free has no export, given: { plan: free }, expect: { has_export: false, export-screen: false, seats: 1 } }
`;

let server: TestServer;
let folder: string;

beforeAll(async () => {
  server = await startTestServer({ product: 'other' });
  folder = await mkdtemp(join(tmpdir(), 'pennon-cli-'));
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

/** Runs one command line in this process; everything it says is caught. */
async function pennon(...words: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await main(['node', 'pennon', ...words], {
    print: (line) => out.push(line),
    note: (line) => err.push(line),
    colours: false,
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

const connection = (): string[] => ['--url', server.url, '--key', server.adminKey];

describe('without a server', () => {
  it('validate says that a good file is good', async () => {
    const result = await pennon('validate', await file('good.yaml', CATALOG));
    expect(result).toMatchObject({ code: EXIT_CODES.success });
    expect(result.err).toContain('valid: 0 errors');
  });

  it.each([
    ['deep.json', '{"a":'.repeat(100_000)],
    ['deep-flow.yaml', '['.repeat(100_000)],
    ['deep-block.yaml', `${'- '.repeat(100_000)}a\n`],
  ])('validate refuses %s, nested 100,000 levels deep, with the place', async (name, text) => {
    const path = await file(name, text);
    const result = await pennon('validate', path);
    expect(result.code).toBe(EXIT_CODES.invalid);
    expect(`${result.out}${result.err}`).toContain('DOCUMENT_TOO_DEEP');
    expect(`${result.out}${result.err}`).toContain(`${path}:1:`);
  });

  it('validate names every fault with file, line and column, and ends with 3', async () => {
    const path = await file(
      'bad.yaml',
      CATALOG.replace('value: 5', 'value: many').replace('requires: [has_export]', 'requires: [has_exprot]'),
    );
    const result = await pennon('validate', path);
    expect(result.code).toBe(EXIT_CODES.invalid);
    expect(result.err).toMatch(/bad\.yaml:7:\d+ error/);
    expect(result.err).toMatch(/bad\.yaml:9:\d+ error UNKNOWN_REFERENCE .*has_export/);
    const asJson = JSON.parse((await pennon('validate', '--json', path)).out);
    expect(asJson.valid).toBe(false);
    expect(asJson.issues.length).toBeGreaterThanOrEqual(2);
  });

  it('X-7 test runs the assertions: held is 0, broken is 3 with what was expected', async () => {
    expect(await pennon('test', await file('good.yaml', CATALOG))).toMatchObject({
      code: 0,
      out: '✓ free has no export',
    });
    const broken = await pennon(
      'test',
      await file('broken.yaml', CATALOG.replace('seats: 1 }', 'seats: 2 }')),
    );
    expect(broken.code).toBe(EXIT_CODES.invalid);
    expect(broken.out).toContain('`seats` is 1, expected 2');
  });

  it('says its version and its words', async () => {
    expect(await pennon('--version')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+\.\d+\.\d+/),
    });
    expect((await pennon('--help')).out).toContain('explain');
  });

  it('refuses words it does not know, files that are not there, and text that is not UTF-8', async () => {
    expect((await pennon('validte')).code).toBe(EXIT_CODES.usage);
    expect((await pennon('validate', join(folder, 'absent.yaml'))).code).toBe(EXIT_CODES.usage);
    await writeFile(join(folder, 'latin.yaml'), Buffer.from([0x6b, 0xff, 0xfe]));
    expect((await pennon('validate', join(folder, 'latin.yaml'))).code).toBe(EXIT_CODES.invalid);
  });

  it('says what to do without a key, and without a server', async () => {
    const path = await file('good.yaml', CATALOG);
    const noKey = await pennon('diff', '--url', server.url, '--key', '', path);
    expect(noKey.code).toBe(EXIT_CODES.unauthorised);
    expect(noKey.err).toContain('PENNON_ADMIN_KEY');
    const noServer = await pennon('diff', '--url', 'http://127.0.0.1:9', '--key', 'x'.repeat(40), path);
    expect(noServer.code).toBe(EXIT_CODES.unavailable);
    expect(noServer.err).toContain('npm start');
    const wrongKey = await pennon('diff', '--url', server.url, '--key', 'x'.repeat(40), path);
    expect(wrongKey.code).toBe(EXIT_CODES.unauthorised);
  });
});

describe('with a server', () => {
  it('apply publishes what diff showed, export gives it back, and a second apply changes nothing', async () => {
    const path = await file('shop.yaml', CATALOG);
    const before = await pennon('diff', '--exit-code', ...connection(), path);
    expect(before.code).toBe(EXIT_CODES.different);
    expect(before.out).toContain('export-screen');

    const unasked = await pennon('apply', ...connection(), path);
    expect(unasked.code).toBe(EXIT_CODES.usage);
    expect(unasked.err).toContain('--yes');

    const applied = await pennon('apply', '--yes', '--reason', 'first', ...connection(), path);
    expect(applied, applied.err).toMatchObject({ code: 0 });
    expect(applied.err).toMatch(/published as revision \d+/);

    const exported = await pennon('export', '--product', 'shop', ...connection());
    expect(exported.code).toBe(0);
    const again = await pennon(
      'apply',
      '--yes',
      '--json',
      ...connection(),
      await file('exported.yaml', exported.out),
    );
    expect(again, again.err).toMatchObject({ code: 0 });
    expect(JSON.parse(again.out).changes).toEqual([]);
  });

  it('brings an environment that was left out to what the files say, though nothing else changes', async () => {
    const body = { key: 'guarded', name: 'Guarded', protected: true, reason: 'a test' };
    expect((await server.request('POST', '/api/v1/environments', { body })).status).toBe(201);
    const path = await file('shop.yaml', CATALOG);
    const words = ['apply', '--yes', path, ...connection()];
    expect((await pennon(...words)).err).toContain('nothing to change');

    const standing = '/api/v1/products/shop/environments/guarded';
    expect((await server.request('GET', standing)).status).toBe(404);
    const applied = await pennon(...words, '--environment', 'guarded');
    expect(applied, applied.err).toMatchObject({ code: 0 });
    expect(applied.out).toContain('environment `guarded` moves to revision');
    const { body: head } = await server.request('GET', '/api/v1/products/shop');
    expect((await server.request('GET', standing)).body.revision).toBe(head.headRevision);

    const again = await pennon(...words, '--environment', 'guarded');
    expect(again.err).toContain('nothing to change');
  });

  it('keeps what the files lack and lists it; --prune removes it', async () => {
    await pennon('apply', '--yes', ...connection(), await file('shop.yaml', CATALOG));
    const lacking = CATALOG.replace(/flags:\n.*\n/, '').replace(', export-screen: false', '');
    const path = await file('lacking.yaml', lacking);
    const kept = await pennon('diff', ...connection(), path);
    expect(kept.err).toContain('flag export-screen');
    expect(kept.out).not.toContain('- flag');
    const pruned = await pennon('apply', '--yes', '--prune', ...connection(), path);
    expect(pruned, pruned.err).toMatchObject({ code: 0 });
    expect((await pennon('export', '--product', 'shop', ...connection())).out).not.toContain('export-screen');
  });

  it('refuses a change of a published plan version with the next version proposed, and publishes nothing', async () => {
    await pennon('apply', '--yes', ...connection(), await file('shop.yaml', CATALOG));
    const changed = await file('frozen.yaml', CATALOG.replace('value: 5', 'value: 4'));
    const result = await pennon('apply', '--yes', ...connection(), changed);
    expect(result.code).toBe(EXIT_CODES.invalid);
    expect(result.err).toMatch(/version.*1/);
    expect((await pennon('export', '--product', 'shop', ...connection())).out).toContain('value: 5');
  });

  it('X-2 explain prints the ordered steps, eval the value, and an unknown key ends with 7', async () => {
    await pennon('apply', '--yes', ...connection(), await file('shop.yaml', CATALOG));
    const why = await pennon(
      'explain',
      'export-screen',
      '--product',
      'shop',
      '--customer',
      'acme',
      ...connection(),
    );
    expect(why, why.err).toMatchObject({ code: 0 });
    expect(why.out).toContain('NOT_ENTITLED');
    const value = await pennon('eval', 'seats', '--product', 'shop', '--customer', 'acme', ...connection());
    expect(value).toMatchObject({ code: 0, out: '1' });
    expect((await pennon('eval', 'seets', '--product', 'shop', ...connection())).code).toBe(
      EXIT_CODES.notFound,
    );
  });

  it('customers go out as lines and come in as lines; a bad one is named, and ends it with 3', async () => {
    const lines = ['{"key":"cli-a","name":"A","users":[{"key":"u"}]}', '{"key":"cli-b"}', '{"kee":1}'];
    const path = await file('customers.ndjson', `${lines.join('\n')}\n`);
    const dry = await pennon('customers', 'import', path, '--dry-run', ...connection());
    expect(dry.out).toContain('3 lines: 2 created');
    const taken = await pennon('customers', 'import', path, '--reason', 'moved', ...connection());
    expect(taken).toMatchObject({
      code: EXIT_CODES.invalid,
      out: '3 lines: 2 created, 0 updated, 0 unchanged, 1 refused',
    });
    expect(taken.err).toContain('line 3: VALIDATION_FAILED');
    const out = join(folder, 'out.ndjson');
    expect((await pennon('customers', 'export', '--output', out, ...connection())).code).toBe(0);
    expect((await pennon('customers', 'export', ...connection())).out).toBe(
      (await readFile(out, 'utf8')).trimEnd(),
    );
    const back = await pennon('customers', 'import', out, '--environment', 'development', ...connection());
    expect(back).toMatchObject({ code: 0 });
    const away = await pennon('customers', 'export', '--environment', 'nowhere', ...connection());
    expect(away.code).toBe(EXIT_CODES.notFound);
  });

  it('usage shows how a customer stands, who is near a limit, and writes what was used', async () => {
    const { parts } = server;
    const given = async (path: string, body: object) => {
      const answer = await server.request('POST', path, {
        body,
        key: server.serverKey,
        headers: { 'idempotency-key': path + JSON.stringify(body), 'pennon-product': 'shop' },
      });
      expect(answer.body).toMatchObject({ allowed: true });
    };
    expect(parts.directory.product('shop')).not.toBeNull();
    await given('/oep/v1/consume', { context: { targetingKey: 'cli-used' }, key: 'seats', amount: 1 });
    const shop = ['--product', 'shop', ...connection()];
    expect(await pennon('usage', 'show', 'cli-used', ...shop)).toMatchObject({
      code: 0,
      out: 'seats  1 of 1 (100 %)',
    });
    expect((await pennon('usage', 'near', '--percent', '90', ...shop)).out).toContain(
      'cli-used seats  1 of 1 (100 %)',
    );
    const listed = JSON.parse((await pennon('usage', 'near', '--json', ...shop)).out);
    expect(listed).toContainEqual(expect.objectContaining({ customer: 'cli-used', percent: 100 }));
    const from = new Date(Date.now() - 3_600_000).toISOString();
    const out = join(folder, 'usage.csv');
    expect((await pennon('usage', 'export', '--from', from, '--output', out, ...shop)).code).toBe(0);
    expect(await readFile(out, 'utf8')).toMatch(/^customer,feature,[\s\S]*\r\ncli-used,seats,/);
    expect((await pennon('usage', 'export', '--from', 'yesterday', ...shop)).code).toBe(EXIT_CODES.invalid);
    expect((await pennon('usage', 'show', 'nobody-at-all', ...shop)).code).toBe(EXIT_CODES.notFound);
  });

  it('every code that the documentation lists is the code that the command uses', async () => {
    const text = await readFile(new URL('../../../docs/reference/command-line.md', import.meta.url), 'utf8');
    const documented = [...text.matchAll(/^\| (\d) \|/gm)].map((match) => Number(match[1]));
    expect(documented).toEqual(Object.values(EXIT_CODES));
  });
});
