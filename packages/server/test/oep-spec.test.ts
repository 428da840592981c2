import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ACCESS_REASONS, DENIAL_REASONS } from '@pennon/engine/model/decision';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/* `docs/spec`: the protocol in words and as OpenAPI, both of what the server does now. */

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

interface Schema {
  readonly properties?: Readonly<Record<string, unknown>>;
}
interface Operation {
  readonly responses: Readonly<Record<string, unknown>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

let server: TestServer;
let spec: string;
let text: string;
let document: Document;
beforeAll(async () => {
  server = await startTestServer();
  spec = await readFile(join(ROOT, 'docs/spec/oep.md'), 'utf8');
  text = await readFile(join(ROOT, 'docs/spec/oep.openapi.json'), 'utf8');
  document = JSON.parse(text);
});
afterAll(() => server.stop());

function callsOf({ paths }: Pick<Document, 'paths'>): readonly string[] {
  return Object.entries(paths)
    .filter(([path]) => path.startsWith('/oep/'))
    .flatMap(([path, methods]) =>
      Object.keys(methods)
        .filter((method) => METHODS.includes(method))
        .map((method) => `${method.toUpperCase()} ${path}`),
    )
    .sort();
}

/** What stands in no code of the document. */
function missing(names: readonly string[]): readonly string[] {
  const codes = [...spec.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code ?? '');
  return names.filter((name) => !codes.some((code) => code === name || code.split(/[^\w-]+/).includes(name)));
}

describe('the protocol’s own document', () => {
  it('K-13 is what `npm run docs:oep` writes', async () => {
    const run = promisify(execFile)(process.execPath, [join(ROOT, 'tools/write-oep-openapi.mjs'), '--check']);
    await expect(run, 'write it anew: npm run docs:oep').resolves.toBeDefined();
  }, 60_000);

  it('describes the calls that the server has, all of them, and refers to nothing that is not there', async () => {
    const live = await server.request('GET', '/openapi.json', { key: null });
    expect(callsOf(document)).toEqual(callsOf(live.body));
    expect(callsOf(document).length).toBeGreaterThanOrEqual(9);
    const referred = [...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name ?? '');
    expect(referred.filter((name) => document.components.schemas[name] === undefined)).toEqual([]);
    expect(text).not.toMatch(/pennon/i);
  });

  it('is told in words: every call, status, member, reason, capability and limit', async () => {
    expect(missing(callsOf(document))).toEqual([]);
    const members = Object.values(document.components.schemas).flatMap((one) =>
      Object.keys(one.properties ?? {}),
    );
    expect(members.length).toBeGreaterThan(80);
    expect(missing([...new Set(members)])).toEqual([]);
    expect(missing([...ACCESS_REASONS, ...DENIAL_REASONS])).toEqual([]);
    const { body } = await server.request('GET', '/oep/v1/configuration');
    expect(missing([...Object.keys(body.capabilities), ...Object.keys(body.limits)])).toEqual([]);
    const statuses = Object.values(document.paths).flatMap((methods) =>
      Object.values(methods).flatMap((operation) => Object.keys(operation.responses)),
    );
    expect([...new Set(statuses)].filter((status) => !spec.includes(status))).toEqual([]);
  });
});
