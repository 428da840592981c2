import { connect } from 'node:net';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { customer, flags, RUNTIME_CATALOG } from './runtime-support.js';

/* The plain evaluation is answered before the framework. Here every request goes both ways, and the answers are compared. */
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  await customer(server, 'acme', 'pro');
});
afterAll(() => server.stop());

const SINGLE = '/ofrep/v1/evaluate/flags/';
const BULK = '/ofrep/v1/evaluate/flags';
/** Nothing of an evaluation reads it, and the short way leaves whatever carries it to the framework. */
const LONG_WAY = 'If-Match: "x"';

interface Sent {
  readonly path: string;
  readonly body: string;
  readonly headers?: readonly string[];
  readonly method?: string;
}

/** The answer byte for byte, but for what differs from one moment to the next. */
function exchange(sent: Sent, more: readonly string[], pieces = 1): Promise<string> {
  const { port, hostname } = new URL(server.url);
  const hasLength = sent.headers?.some((header) => /^(content-length|transfer-encoding):/i.test(header));
  const bytes = Buffer.from(sent.body);
  const head = [
    `${sent.method ?? 'POST'} ${sent.path} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    'Connection: close',
    ...(sent.headers ?? DEFAULT),
    ...(hasLength === true ? [] : [`Content-Length: ${bytes.length}`]),
    ...more,
  ].join('\r\n');
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('close', () => resolve(masked(Buffer.concat(chunks).toString('utf8'))));
    const step = Math.max(1, Math.ceil(bytes.length / pieces));
    socket.write(`${head}\r\n\r\n`);
    let at = 0;
    const send = (): void => {
      if (at >= bytes.length) return;
      socket.write(bytes.subarray(at, at + step));
      at += step;
      if (pieces > 1) setTimeout(send, 5);
      else send();
    };
    send();
  });
}

function masked(text: string): string {
  return text
    .replace(/^Date: .*$/m, 'Date: -')
    .replace(/^pennon-as-of: .*$/m, 'pennon-as-of: -')
    .replace(/^x-request-id: [0-9a-f]{12}-[0-9a-z]+$/m, 'x-request-id: -')
    .replace(/"requestId":"[0-9a-f]{12}-[0-9a-z]+"/, '');
}

const AS_JSON = 'Content-Type: application/json';
let DEFAULT: readonly string[] = [];
const bearer = (key: string): string => `Authorization: Bearer ${key}`;

const acme = { targetingKey: 'acme' };
const CONTEXTS: readonly unknown[] = [
  {},
  { context: {} },
  { context: null },
  { context: acme },
  { context: { targetingKey: 'nobody' } },
  { context: { ...acme, user: { key: 'u', country: 'CH' } } },
  { context: { targetingKey: 'ümläut 日本 🎉', user: 'x' } },
  { context: { customer: 'acme', team: 'other' } },
  { context: { ...acme, customer: 'beta' } },
  { context: { user: 5 } },
  { context: [] },
  { context: 'text' },
  [],
  null,
  'text',
  { context: { ...acme, user: { key: 'u', name: 'a "quoted" \\ text' } } },
];
const RAW: readonly string[] = [
  '',
  '{',
  '{"context":{"__proto__":{"a":1}}}',
  '{"context":{"a":1e999}}',
  '{"context":{"a":"\\u0000"}}',
  `{"context":${'['.repeat(50)}${']'.repeat(50)}}`,
  `{"context":{"a":"${'x'.repeat(70_000)}"}}`,
  `{"context":{"a":"${'y'.repeat(40_000)}"}}`,
  '\uFEFF{"context":{}}',
  '{"context":{},"context":{"targetingKey":"acme"}}',
];
const KEYS: readonly string[] = [
  'plain-on',
  'hidden-on',
  'greeting',
  'ratio',
  'theme',
  'killed',
  'coded',
  'analytics-ui',
  'ai-assistant-enabled',
  'max_lists',
  'branding',
  'no-such-flag',
  'a..b',
  '..',
  '.x',
  'x.',
  'a%20b',
  'a%2fb',
  'a;b',
  'constructor',
  '__proto__',
  'k'.repeat(128),
  'k'.repeat(600),
  'plain-on/',
  'plain-on?x=1',
];

describe('the short way of an evaluation answers like the framework', () => {
  async function same(sent: Sent, pieces = 1): Promise<string> {
    const long = await exchange(sent, [LONG_WAY], pieces);
    const short = await exchange(sent, [], pieces);
    expect(short).toBe(long);
    return short;
  }

  beforeAll(() => {
    DEFAULT = [AS_JSON, bearer(server.serverKey)];
  });

  it('goes the short way where a request is plain, and the other way with the header that this test adds', async () => {
    const authenticate = vi.spyOn(server.parts.authenticator, 'authenticate');
    const plain = { path: `${SINGLE}plain-on`, body: JSON.stringify({ context: acme }) };
    await exchange(plain, [LONG_WAY]);
    expect(authenticate.mock.lastCall?.[0]).toHaveProperty('host');
    // What is read of the customer behind the answers may make a request wait for the store, which is not this way's business.
    for (const path of [plain.path, BULK]) {
      await vi.waitFor(
        async () => {
          await exchange({ ...plain, path }, []);
          expect(authenticate.mock.lastCall?.[0]).not.toHaveProperty('host');
        },
        { timeout: 10_000, interval: 50 },
      );
    }
    authenticate.mockRestore();
  });

  it('K-1 for every context and every malformed body, single and bulk', async () => {
    for (const body of [...CONTEXTS.map((context) => JSON.stringify(context)), ...RAW]) {
      await same({ path: `${SINGLE}greeting`, body });
      await same({ path: `${SINGLE}ai-assistant-enabled`, body });
      await same({ path: BULK, body });
      await same({ path: BULK, body });
    }
  });

  it('K-2 for every kind of flag and every spelling of a path', async () => {
    for (const key of KEYS) {
      await same({ path: `${SINGLE}${key}`, body: JSON.stringify({ context: acme }) });
    }
    for (const path of [`${BULK}?`, `${BULK}?flagConfigEtag=x`, `${BULK}x`, `${BULK}/`, `/${BULK}`]) {
      await same({ path, body: '{}' });
    }
    for (const method of ['GET', 'PUT', 'OPTIONS', 'HEAD', 'DELETE']) {
      await same({ path: BULK, body: '', method });
    }
  });

  it('for every header that means something', async () => {
    const key = bearer(server.serverKey);
    const sets: readonly (readonly string[])[] = [
      [AS_JSON],
      [AS_JSON, bearer('wrong')],
      [AS_JSON, bearer(server.adminKey)],
      [AS_JSON, bearer(server.clientKey)],
      [AS_JSON, `X-API-Key: ${server.serverKey}`],
      [AS_JSON, key, `X-API-Key: ${server.serverKey}`],
      [AS_JSON, key, `X-API-Key: ${server.clientKey}`],
      [AS_JSON, key, key],
      [AS_JSON, key, 'Pennon-Customer-Token: a.b.c'],
      [AS_JSON, key, 'Pennon-Product: test'],
      [AS_JSON, key, 'Pennon-Product: other'],
      [AS_JSON, key, 'Pennon-Product: test', 'Pennon-Product: test'],
      [AS_JSON, key, 'Pennon-Environment: staging'],
      [AS_JSON, key, 'Pennon-Environment: production'],
      [AS_JSON, key, 'Pennon-Consistency: nonsense'],
      [AS_JSON, key, 'X-Request-ID: mine-1'],
      [AS_JSON, key, 'X-Request-ID: not a word'],
      [AS_JSON, key, 'traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
      [AS_JSON, key, 'traceparent: nonsense'],
      [AS_JSON, key, 'Origin: https://example.com'],
      [AS_JSON, key, 'origin: https://example.com', 'X-Request-Id: a', 'X-Request-Id: b'],
      [AS_JSON, key, 'Content-Encoding: gzip'],
      [AS_JSON, key, 'Content-Length: 2', 'X-Other: 1'],
      [`${AS_JSON}; charset=utf-8`, key],
      [`${AS_JSON};charset="utf-8"`, key],
      [`${AS_JSON}; charset=latin1`, key],
      ['Content-Type: text/plain', key],
      ['CONTENT-TYPE: APPLICATION/JSON', key.toLowerCase().slice(0, 14) + key.slice(14)],
      [key],
      [AS_JSON, key, 'If-None-Match: *'],
      [AS_JSON, key, 'If-None-Match: "1.2.3"'],
      [AS_JSON, key, 'Accept: text/html', 'User-Agent: x', 'Cookie: a=b'],
    ];
    for (const headers of sets) {
      for (const path of [`${SINGLE}plain-on`, BULK]) {
        await same({ path, body: '{}', headers });
      }
    }
  });

  it('for a body that comes in pieces, or in chunks', async () => {
    const body = JSON.stringify({ context: { ...acme, user: { key: 'u', note: 'é'.repeat(300) } } });
    for (const path of [`${SINGLE}greeting`, BULK]) {
      await same({ path, body }, 7);
      await same({ path, body: body.slice(0, -1) }, 3);
      await same({ path, body: '2\r\n{}\r\n0\r\n\r\n', headers: [...DEFAULT, 'Transfer-Encoding: chunked'] });
    }
  });

  it('K-3 answers 304 to the tag of the same body, remembered or not, and again after a change', async () => {
    const first = await flags(server, acme);
    const tag = first.headers.get('etag') ?? '';
    const asked = {
      path: BULK,
      body: JSON.stringify({ context: acme }),
      headers: [...DEFAULT, `If-None-Match: ${tag}`],
    };
    expect(await same(asked)).toMatch(/^HTTP\/1.1 304 /);
    await customer(server, 'new-one', 'enterprise');
    const other = { ...asked, body: JSON.stringify({ context: { targetingKey: 'new-one' } }) };
    expect(await same(other)).toMatch(/^HTTP\/1.1 200 /);
  });

  it('remembers an answer for one credential, one context and one state only', async () => {
    const all = await flags(server, acme);
    const visible = await flags(server, acme, { key: server.clientKey });
    expect(visible.text).not.toBe(all.text);
    expect((await flags(server, acme)).text).toBe(all.text);
    expect((await flags(server, { targetingKey: 'nobody' })).text).not.toBe(all.text);
    const before = (await flags(server, { targetingKey: 'late' })).text;
    await flags(server, { targetingKey: 'late' });
    await customer(server, 'late', 'pro');
    expect((await flags(server, { targetingKey: 'late' })).text).not.toBe(before);
  });

  it('answers several requests of one connection in their order', async () => {
    const { port, hostname } = new URL(server.url);
    const one = (key: string, last: boolean): string =>
      `POST ${SINGLE}${key} HTTP/1.1\r\nHost: x\r\n${DEFAULT.join('\r\n')}\r\nContent-Length: 2\r\n${last ? 'Connection: close\r\n' : ''}\r\n{}`;
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), hostname);
      let read = '';
      socket.on('data', (chunk) => {
        read += chunk.toString('utf8');
      });
      socket.on('error', reject);
      socket.on('close', () => resolve(read));
      socket.write(one('plain-on', false) + one('ratio', false) + one('theme', false) + one('killed', true));
    });
    const keys = [...text.matchAll(/\{"key":"([^"]+)"/g)].map((match) => match[1]);
    expect(keys).toEqual(['plain-on', 'ratio', 'theme', 'killed']);
  });
});
