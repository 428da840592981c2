import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type KeysFileOptions, loadOrCreateKeys } from './keys-file.js';
import { Secret } from './service/secret.js';

let dataDirectory = '';
let lines: string[] = [];
beforeEach(() => {
  dataDirectory = join(mkdtempSync(join(tmpdir(), 'pennon-keys-')), 'data');
  lines = [];
});
afterEach(() => rmSync(join(dataDirectory, '..'), { recursive: true, force: true }));

const none = { admin: null, server: null, client: null };
const load = (fixed: KeysFileOptions['fixed'] = none) =>
  loadOrCreateKeys({ dataDirectory, fixed, log: (line) => lines.push(line) });
const path = () => join(dataDirectory, 'keys.json');
const stored = () => JSON.parse(readFileSync(path(), 'utf8')) as Record<string, string>;
const put = async (text: string, mode = 0o600) => {
  await load();
  writeFileSync(path(), text);
  chmodSync(path(), mode);
};

describe('loadOrCreateKeys', () => {
  it('makes three keys of 256 bits, once, in a file for its owner only', async () => {
    const first = await load();
    expect(first.generated).toEqual(['admin', 'server', 'client']);
    expect(first.path).toBe(path());
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    for (const kind of ['admin', 'server', 'client'] as const) {
      expect(stored()[kind]).toMatch(new RegExp(`^pennon_${kind}_[A-Za-z0-9_-]{43}$`));
      expect(first.keys[kind].reveal()).toBe(stored()[kind]);
    }
    const second = await load();
    expect(second.generated).toEqual([]);
    expect(second.keys.admin.reveal()).toBe(first.keys.admin.reveal());
    expect(readdirSync(dataDirectory)).toEqual(['keys.json']);
    expect(lines).toEqual([]);
  });

  it('takes keys of the settings, and never writes them', async () => {
    const fixed = new Secret('a'.repeat(32));
    const { keys, generated } = await load({ ...none, server: fixed });
    expect(generated).toEqual(['admin', 'client']);
    expect(keys.server).toBe(fixed);
    expect(Object.keys(stored())).toEqual(['admin', 'client']);
    const later = await load();
    expect(later.generated).toEqual(['server']);
    expect(later.keys.admin.reveal()).toBe(keys.admin.reveal());
    expect(Object.keys(stored())).toEqual(['admin', 'client', 'server']);
  });

  it('touches no disk when all keys are given', async () => {
    const fixed = new Secret('a'.repeat(32));
    await load({ admin: fixed, server: fixed, client: fixed });
    expect(existsSync(dataDirectory)).toBe(false);
  });

  it('lets a fixed key win over a stored one, which stays for later', async () => {
    const before = (await load()).keys.admin.reveal();
    const fixed = new Secret('b'.repeat(32));
    expect((await load({ ...none, admin: fixed })).keys.admin).toBe(fixed);
    expect((await load()).keys.admin.reveal()).toBe(before);
  });

  it('gives the same keys to all that start at once', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => load()));
    expect(new Set(all.map(({ keys }) => keys.admin.reveal())).size).toBe(1);
    expect(all.filter(({ generated }) => generated.length > 0)).toHaveLength(1);
    expect(readdirSync(dataDirectory)).toEqual(['keys.json']);
  });

  it('closes a file that others may read, and says so without a key', async () => {
    await load();
    chmodSync(path(), 0o644);
    const { keys } = await load();
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(lines.join('\n')).toMatch(/was 0644; it is 0600 now/);
    expect(lines.join('\n')).not.toContain(keys.admin.reveal());
  });

  it.each([
    ['', 'is not JSON'],
    ['{"admin": "pennon_admin_secretsecretsecretsecretsecret', 'is not JSON'],
    ['[]', 'is not a JSON object'],
    ['null', 'is not a JSON object'],
    ['{"admin": "short"}', 'holds a `admin` key'],
    ['{"admin": 5}', 'holds a `admin` key'],
    ['{"root": "x"}', '`root`'],
    ['{"__proto__": "x"}', '`__proto__`'],
  ])('refuses %s and leaves it as it is', async (text, what) => {
    await put(text);
    const error = await load().catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'DAMAGED', message: expect.stringContaining(what) });
    expect(String(error)).not.toContain('secretsecret');
    expect(readFileSync(path(), 'utf8')).toBe(text);
  });

  it('says what to do when there is no place for the file', async () => {
    writeFileSync(dataDirectory, 'a file where the folder should be');
    await expect(load()).rejects.toMatchObject({
      code: 'NOT_ACCESSIBLE',
      message: expect.stringContaining('`PENNON_DATA_DIR`'),
    });
  });
});
