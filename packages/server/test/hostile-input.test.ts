import { connect } from 'node:net';
import { callHttp } from '@pennon/testkit/http-call';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signCustomerToken } from './customer-token-support.js';
import { HOME, type Operation, operationsOf, WALLED_CATALOG } from './walls-support.js';

let server: TestServer;
let operations: readonly Operation[];
const logged: string[] = [];
let customerToken: string;

beforeAll(async () => {
  server = await startTestServer({
    product: HOME.product,
    catalog: WALLED_CATALOG(HOME.product, 'a purpose'),
    onLogLine: (line) => logged.push(line),
    logLevel: 'debug',
  });
  operations = operationsOf((await server.request('GET', '/openapi.json')).body);
  const { body } = await server.request('POST', '/api/v1/token-keys', {
    body: { environment: HOME.environment, name: 'hostile', reason: 'a test' },
  });
  const claims = { kid: body.id, customer: 'acme', environment: HOME.environment, product: HOME.product };
  customerToken = signCustomerToken(body.privatePem, claims);
});
afterAll(() => server?.stop());

const taking = (...methods: string[]) => operations.filter(({ method }) => methods.includes(method));
/** Files are taken line by line; what they refuse stands further down. */
const isFile = ({ path }: Operation) => /\/import(\/|$)/.test(path);
const withBodies = () => taking('POST', 'PUT', 'PATCH').filter((one) => !isFile(one));

/** Paths to names that nothing has: what is hostile must be refused before anybody looks for them. */
function pathOf(operation: Operation): string {
  const values: Record<string, string> = { ...HOME, kind: 'customer', key: 'nothing' };
  return operation.path.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? 'nobody');
}

function keyFor(operation: Operation): string | null {
  if (operation.access === 'public') return null;
  if (operation.access.includes('admin')) return server.adminKey;
  return operation.access.includes('server') ? server.serverKey : customerToken;
}

async function send(operation: Operation, body: string | Uint8Array, headers: Record<string, string> = {}) {
  const key = keyFor(operation);
  const answer = await callHttp(
    operation.method,
    `${server.url}${pathOf(operation)}?reason=hostile`,
    {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      'content-type': 'application/json',
      'idempotency-key': 'hostile',
      'if-match': '*',
      ...headers,
    },
    body,
  );
  return { status: answer.status, type: answer.headers.get('content-type') ?? '', text: answer.text };
}

const isDocument = ({ path }: Operation) =>
  /\/catalog|\/(features|flags|plans|addons|groups|segments)(\/\{key\})?$/.test(path) &&
  path.includes('/products/{product}/') &&
  !path.includes('environments');

const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;

/** Bodies that no operation may accept. */
const REFUSED: Readonly<Record<string, string | Uint8Array<ArrayBuffer>>> = {
  'not JSON': '{"context": ',
  'a lone word': 'undefined',
  'single quotes': "{'a': 1}",
  'a comment': '{"a": 1} // b',
  'a trailing comma': '{"context": {},}',
  NaN: '{"amount": NaN}',
  'an overflowing number': '{"context": {"a": 1e400}}',
  'leading zeros': '{"amount": 007}',
  'invalid UTF-8': Uint8Array.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
  'overlong UTF-8': Uint8Array.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]),
  'UTF-16': new Uint8Array(Buffer.from('{"a":1}', 'utf16le')),
  'deep objects': deep(2000),
  'deep arrays': `{"context":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
  'just too deep': deep(40),
  'unclosed depth': '['.repeat(30_000),
  __proto__: '{"__proto__": {"polluted": true}, "context": {}}',
  '__proto__ deeper': '{"context": {"user": {"__proto__": {"polluted": true}}}}',
  '__proto__ escaped': '{"context": {"\\u005f_proto__": {"polluted": true}}}',
  constructor: '{"context": {"constructor": {"prototype": {"polluted": true}}}}',
  prototype: '{"context": {"prototype": {"polluted": true}}}',
  'NUL in a text': '{"context": {"targetingKey": "a\\u0000b"}}',
  'NUL itself': '{"context": {"targetingKey": "a\u0000b"}}',
  'a lone surrogate': '{"context": {"targetingKey": "\\ud800"}}',
  'a control character': '{"context": {"targetingKey": "a\u0001b"}}',
  'many members': `{"context": {${Array.from({ length: 1500 }, (_, index) => `"k${index}":1`).join(',')}}}`,
  'a bare number': '1',
  'a bare text': '"context"',
  'a bare null': 'null',
  'an array': '[]',
};

/** To a catalog these say nothing, or name an attribute of a context; they are data there and stay it. */
const INERT_DOCUMENTS: ReadonlySet<string> = new Set(['constructor', 'prototype', 'a bare null']);

describe('hostile bodies (S-4, S-18, S-19): a typed refusal, never a 5xx', () => {
  it.each(Object.keys(REFUSED))(
    '%s',
    async (name) => {
      const wrong: string[] = [];
      for (const operation of withBodies()) {
        const { status, type, text } = await send(operation, REFUSED[name] ?? '');
        // A catalog document is data: the parser of catalogs refuses it, as 400 or 422, or names nothing that exists.
        const expected = isDocument(operation) ? [400, 404, 412, 413, 422] : [400, 413];
        // `null` and `[]` are contexts that some clients send where they have none.
        const lenient =
          /^a bare null|^an array/.test(name) && !operation.path.startsWith('/api') ? [200, 404] : [];
        // The end of a reservation knows no context: what stands there is ignored, and the reservation looked for.
        const ignored =
          name === 'many members' && /\{id\}\/(settle|release)$/.test(operation.path) ? [404] : [];
        const allowed =
          isDocument(operation) &&
          (/catalog\/(validate|diff)/.test(operation.path) || INERT_DOCUMENTS.has(name))
            ? [...expected, 200]
            : expected;
        if (![...allowed, ...lenient, ...ignored].includes(status))
          wrong.push(`${operation.id}: ${status} ${text.slice(0, 200)}`);
        if (status >= 400 && !/json/.test(type)) wrong.push(`${operation.id}: answers ${type}`);
      }
      expect(wrong).toEqual([]);
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    },
    60_000,
  );

  it.each(Object.keys(REFUSED))('%s, as a file', async (name) => {
    const files = taking('POST').filter(isFile);
    expect(files.length).toBeGreaterThanOrEqual(3);
    for (const operation of files) {
      const mediaType = operation.path.includes('members') ? 'text/csv' : 'application/x-ndjson';
      const response = await fetch(`${server.url}${pathOf(operation)}?reason=hostile`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.adminKey}`, 'content-type': mediaType },
        body: REFUSED[name] ?? '',
      });
      const text = await response.text();
      // Refused as a whole, or line by line: nothing of it makes anything.
      expect([200, 400, 404, 422], `${operation.id}: ${text}`).toContain(response.status);
      expect(text).not.toMatch(/"(?:created|updated)":[1-9]/);
    }
  });

  it('duplicate members are refused wherever something is changed or consumed', async () => {
    const wrong: string[] = [];
    const asked = withBodies().filter(({ path }) => path.startsWith('/api/') || /consume|release/.test(path));
    for (const operation of asked.filter((one) => !isDocument(one))) {
      const { status, text } = await send(
        operation,
        '{"reason":"a","reason":"b","key":"minutes","key":"minutes","context":{}}',
      );
      if (status !== 400 || !/twice|BODY_MEMBER_DUPLICATE/.test(text))
        wrong.push(`${operation.id}: ${status} ${text}`);
    }
    expect(wrong).toEqual([]);
  });

  it('unknown members are refused in management with a suggestion, and ignored by the protocols', async () => {
    const body = { kind: 'server', enviroment: 'production', name: 'k', reason: 'r' };
    const management = await server.request('POST', '/api/v1/keys', { body });
    expect(management).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
    expect(management.body.errors).toContainEqual(
      expect.objectContaining({ code: 'MEMBER_UNKNOWN', pointer: '/enviroment', suggestion: 'environment' }),
    );
    const flags = await server.request('POST', '/ofrep/v1/evaluate/flags/menu', {
      key: server.serverKey,
      body: { context: { targetingKey: 'a' }, unknown: 1 },
    });
    expect(flags.status).toBe(200);
  });

  it('a body that is too large is refused by what its header says, before it is read', async () => {
    const { status, text } = await send(
      { id: '', method: 'POST', path: '/ofrep/v1/evaluate/flags', access: ['server'] },
      JSON.stringify({ context: { a: 'x'.repeat(70_000) } }),
    );
    expect([status, JSON.parse(text).metadata.cause]).toEqual([413, 'BODY_TOO_LARGE']);
    // Law 12: how much it may be.
    expect(JSON.parse(text).errorDetails).toContain('65536 bytes');
  });

  it('nothing is coerced', async () => {
    const answer = await server.request('POST', '/api/v1/environments', {
      body: { key: 'e', name: 'e', protected: 'true', reason: 1 },
    });
    expect(answer.status).toBe(400);
    expect(answer.body.errors.map((fault: { pointer: string }) => fault.pointer).sort()).toEqual([
      '/protected',
      '/reason',
    ]);
  });
});

describe('media types and encodings (S-9, S-20)', () => {
  const MEDIA_TYPES = [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json; charset=utf-16',
    'application/json; charset=latin1',
    'application/json; charset=utf-8; charset=utf-7',
    'application/json, text/plain',
    'application/json;application/yaml',
    'application/json\ttext',
    'application/jsonx',
    'application/ld+json',
    'application/json/',
    'application//json',
    '/json',
    'json',
    '*/*',
    'application/*',
    '"application/json"',
    'application/yaml',
    'application/xml',
    'text/json',
    'a'.repeat(500),
  ];

  it('takes one media type and nothing that looks like it: 415', async () => {
    const wrong: string[] = [];
    for (const operation of withBodies()) {
      for (const mediaType of MEDIA_TYPES) {
        if (isDocument(operation) && mediaType === 'application/yaml') continue;
        const { status } = await send(operation, '{}', { 'content-type': mediaType });
        if (status !== 415) wrong.push(`${operation.id} ${mediaType}: ${status}`);
      }
    }
    expect(wrong).toEqual([]);
  }, 120_000);

  it('takes application/json however it is written', async () => {
    const operation = { id: '', method: 'POST', path: '/ofrep/v1/evaluate/flags', access: ['server'] };
    for (const mediaType of [
      'application/json',
      'application/json; charset=utf-8',
      'Application/JSON;charset=UTF-8',
      'application/json;charset="utf-8"',
    ]) {
      expect([
        mediaType,
        (await send(operation, '{"context":{"targetingKey":"a"}}', { 'content-type': mediaType })).status,
      ]).toEqual([mediaType, 200]);
    }
  });

  it('refuses every Content-Encoding before the body is read', async () => {
    const wrong: string[] = [];
    for (const operation of withBodies()) {
      for (const encoding of ['br', 'gzip', 'GZIP', 'deflate', 'zstd', 'identity', 'identity, br', 'x']) {
        const { status } = await send(operation, '{}', { 'content-encoding': encoding });
        if (status !== 415) wrong.push(`${operation.id} ${encoding}: ${status}`);
      }
    }
    expect(wrong).toEqual([]);
  }, 60_000);
});

/** Bytes as they are, over a socket: what `fetch` would never send. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.setEncoding('latin1');
    socket.on('data', (part) => {
      answer += part;
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
    socket.setTimeout(3000, () => socket.destroy());
    socket.end(text, 'latin1');
  });
}

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);

describe('paths, queries and headers (S-8, S-21)', () => {
  const MUTATIONS: readonly ((path: string) => string)[] = [
    (path) => `/healthz/..${path}`,
    (path) => `/healthz/%2e%2e${path}`,
    (path) => `/.${path}`,
    (path) => `/%2e${path}`,
    (path) => `/${path}`,
    (path) => path.replace(/\/([^/]*)$/, '//$1'),
    (path) => path.replace(/\/([^/]*)$/, '%2f$1'),
    (path) => path.replace(/\/([^/]*)$/, '\\$1'),
    (path) => path.replace(/\/([^/]*)$/, '%5c$1'),
    (path) => `${path};/healthz`,
    (path) => `${path}%3b`,
    (path) => `${path}%00`,
    (path) => `${path}%0d%0aX: y`.replaceAll(' ', '%20'),
    (path) => `${path}/..`,
    (path) => `${path}/.`,
    (path) => `${path}%`,
    (path) => `${path}%zz`,
    (path) => `${path}%c0%af`,
    (path) => `${path}/`,
    (path) => path.toUpperCase(),
    (path) => `http://elsewhere${path}`,
    (path) => `${path}#x`,
    (path) => `${path}?key=x%00`,
    (path) => `${path}/${'a'.repeat(600)}`,
  ];

  it('no spelling of a path gets past the credential', async () => {
    const wrong: string[] = [];
    for (const operation of operations.filter(({ access }) => access !== 'public')) {
      const answers = await Promise.all(
        MUTATIONS.map(async (mutate) => {
          const path = mutate(pathOf(operation));
          const answer = await raw(
            `${operation.method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
          );
          return { path, status: statusOf(answer) };
        }),
      );
      for (const { path, status } of answers) {
        if (status < 400 || status >= 500) wrong.push(`${operation.id} ${path}: ${status}`);
      }
    }
    expect(wrong).toEqual([]);
  }, 120_000);

  it('refuses headers that two programs would read differently, and requests that are none', async () => {
    const wrong: string[] = [];
    const line = 'POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nHost: a\r\nConnection: close\r\n';
    const key = `Authorization: Bearer ${server.serverKey}\r\n`;
    const cases: Record<string, string> = {
      'two hosts': `${line}Host: b\r\n${key}\r\n`,
      'two authorizations': `${line}${key}${key}\r\n`,
      'two idempotency keys': `${line}${key}Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n`,
      'two api keys': `${line}X-API-Key: ${server.serverKey}\r\nX-API-Key: ${server.clientKey}\r\n\r\n`,
      'two content types': `${line}${key}Content-Type: application/json\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`,
      'two lengths': `${line}${key}Content-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
      'length and chunks': `${line}${key}Content-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'a header too large': `${line}${key}X-Big: ${'a'.repeat(20_000)}\r\n\r\n`,
      'space before a colon': `${line}${key}X-A : b\r\n\r\n`,
      'a folded header': `${line}${key}X-A: b\r\n c\r\n\r\n`,
      'NUL in a header': `${line}${key}X-A: b\u0000c\r\n\r\n`,
      'no HTTP': 'hello\r\n\r\n',
      'HTTP/2 without being asked': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'a shorter body': `${line}${key}Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{}`,
      'chunks that are none': `${line}${key}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    };
    for (const [name, text] of Object.entries(cases)) {
      const answer = await raw(text);
      const status = statusOf(answer);
      // A connection that is closed without an answer is a refusal too: the body never came.
      if (!(status === 0 && name === 'a shorter body') && (status < 400 || status >= 500))
        wrong.push(`${name}: ${answer.slice(0, 200)}`);
    }
    expect(wrong).toEqual([]);
  }, 60_000);

  it('refuses hostile parameters without asking the database what it makes of them', async () => {
    const wrong: string[] = [];
    const values = [
      '%00',
      'a%00b',
      '%F0%9F%92%A9',
      "'%20or%201=1--",
      '-1',
      '9'.repeat(40),
      '__proto__',
      'constructor',
      '%25',
      'null',
      '1e9',
    ];
    for (const operation of taking('GET')) {
      const key = keyFor(operation);
      // A path without a place for a value is the same path for all of them.
      const paths = new Set(values.map((value) => operation.path.replace(/\{\w+\}/g, value)));
      for (const path of paths) {
        const plain = await server.request('GET', path, { key });
        if (plain.status >= 500) wrong.push(`${path}: ${plain.status} ${plain.text}`);
      }
      for (const value of values) {
        const query = await server.request('GET', `${pathOf(operation)}?limit=${value}&cursor=${value}`, {
          key,
        });
        if (query.status >= 500) wrong.push(`${operation.id} ${value}: ${query.status} ${query.text}`);
      }
    }
    expect(wrong).toEqual([]);
  }, 120_000);

  it('answers 405 and Allow for a method that a path does not know', async () => {
    const response = await server.request('GET', '/ofrep/v1/evaluate/flags', { key: server.serverKey });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
    expect(response.body).toMatchObject({ errorCode: 'GENERAL', metadata: { cause: 'METHOD_NOT_ALLOWED' } });
  });
});

describe('after all of that', () => {
  it('the process lives, nothing was unforeseen, and no secret is in the log or the metrics (S-22)', async () => {
    expect((await server.request('GET', '/readyz')).body).toMatchObject({
      ready: true,
      databaseReachable: true,
    });
    const metrics = (await server.request('GET', '/metrics')).text;
    const text = logged.join('');
    expect(logged.filter((line) => line.includes('nobody foresaw'))).toEqual([]);
    expect(metrics).not.toMatch(/status="5\d\d"/);
    for (const secret of [
      server.adminKey,
      server.serverKey,
      server.clientKey,
      new URL(server.databaseUrl).password || 'no password',
    ]) {
      expect(text).not.toContain(secret);
      expect(metrics).not.toContain(secret);
    }
  });
});
