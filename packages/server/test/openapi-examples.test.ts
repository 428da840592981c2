import { type OpenApiExample, readOpenApiExamples } from '@pennon/server/http/openapi-examples';
import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { signCustomerToken } from './customer-token-support.js';
import { type Described, describedOf, matchAnswer, Names, recordAnswer } from './openapi-examples-support.js';

/**
 * Makes the calls of the OpenAPI document (`packages/server/openapi-examples`) and holds their answers to the examples. With
 * `PENNON_RECORD_EXAMPLES=1` the answers of calls that have none yet are written into the files, with `all` those that are not as
 * they were, too.
 */
const { PENNON_RECORD_EXAMPLES: RECORD } = process.env;

/** Their answers are not JSON that could be shown. */
const WITHOUT_EXAMPLE: ReadonlySet<string> = new Set(['readOpenApi', 'readMetrics']);

/** Changes that no `If-Match` can guard, each with the reason. */
const UNGUARDED: Readonly<Record<string, string>> = {
  publishCatalog: 'A document carries its `base` revision and is merged item by item.',
  testWebhook: 'It changes nothing of the webhook.',
  replayWebhook: 'It puts deliveries by; the webhook stays as it is.',
  linkBillingCustomer: 'It says whose somebody is, and saying it again changes nothing.',
  replayBillingDeliveries: 'It puts deliveries by; the connection stays as it is.',
  reconcileBilling: 'It asks the provider sooner; the connection stays as it is.',
  applyBundle: 'It makes an application; the bundle stays as it is.',
};

let server: TestServer;
let operations: ReadonlyMap<string, Described>;
const names = new Names();
const scenario = readOpenApiExamples();

beforeAll(async () => {
  server = await startTestServer({
    product: 'sample',
    // Nobody is asked: a closed port.
    stripeServer: { host: '127.0.0.1', port: 9, protocol: 'http' },
  });
  await vi.waitUntil(
    async () => (await server.request('GET', '/readyz', { key: null })).body.problems.length === 0,
    { timeout: 10_000, interval: 20 },
  );
  operations = describedOf((await server.request('GET', '/openapi.json', { key: null })).body);
});
afterAll(() => server?.stop());

function operationOf(example: OpenApiExample): Described {
  const found = operations.get(example.operation);
  if (found === undefined) throw new Error(`There is no operation \`${example.operation}\`.`);
  return found;
}

async function call(
  example: OpenApiExample,
  headers: Readonly<Record<string, string>> = {},
): Promise<TestResponse> {
  const { method, path, access } = operationOf(example);
  const sent = names.resolve(example);
  const url = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(sent.path?.[name] ?? ''));
  const query = new URLSearchParams(
    Object.entries(sent.query ?? {}).map(([name, value]) => [name, String(value)]),
  );
  const keys = { admin: server.adminKey, server: server.serverKey, client: server.clientKey };
  const kind = sent.as ?? (['admin', 'server', 'client'] as const).find((one) => access.includes(one));
  const token = access.includes('customer-token') && kind === undefined ? await customerToken() : {};
  return server.request(method, `${url}${query.size === 0 ? '' : `?${query}`}`, {
    key: access === 'public' || kind === undefined ? null : keys[kind],
    headers: { ...token, ...sent.headers, ...headers },
    ...(sent.body === undefined ? {} : { body: sent.body }),
  });
}

let madeToken: Readonly<Record<string, string>> | undefined;

/** A browser of Ada's, for what takes nothing but a customer token. */
async function customerToken(): Promise<Readonly<Record<string, string>>> {
  if (madeToken === undefined) {
    const { body: key } = await server.request('POST', '/api/v1/token-keys', {
      body: { environment: 'production', name: 'web', reason: 'For the examples.' },
    });
    const claims = { kid: key.id, environment: 'production', customer: 'acme', user: 'ada' };
    const token = signCustomerToken(key.privatePem, claims);
    madeToken = { 'x-api-key': server.clientKey, 'pennon-customer-token': token };
  }
  return madeToken;
}

/** What goes on in the background comes to where its example stands. */
async function settled(
  example: OpenApiExample,
  headers: Readonly<Record<string, string>>,
): Promise<TestResponse> {
  const { until } = example;
  if (until === undefined) return call(example, headers);
  let answer: TestResponse | undefined;
  await vi.waitFor(
    async () => {
      answer = await call(example, headers);
      expect(answer.body).toMatchObject(until);
    },
    { timeout: 10_000, interval: 50 },
  );
  return answer ?? call(example, headers);
}

describe('the examples of the API', () => {
  for (const [file, examples] of scenario) {
    it(`${file}: every call is answered as its example says, once and for all`, async () => {
      const recorded: OpenApiExample[] = [];
      for (const [index, example] of examples.entries()) {
        const where = `${file} ${index} ${example.operation}`;
        const { isChange, guarded } = operationOf(example);
        if (guarded) await expectRefusedWhenStale(example, where);
        const key = { 'idempotency-key': where.replaceAll(' ', '-') };
        const answer = await settled(example, isChange ? key : {});
        const faults = matchAnswer(names, example, answer);
        if (faults.length > 0 && (RECORD === 'all' || (RECORD === '1' && example.answer === undefined))) {
          const { id: _, ...asked } = example;
          recorded.push({ ...asked, answer: recordAnswer(names, example, answer, where) });
        } else {
          recorded.push(example);
          expect(faults, where).toEqual([]);
        }
        if (isChange) await expectReplayed(answer, await call(example, key), where);
      }
      if (RECORD !== undefined) await write(file, recorded);
    });
  }

  it('stand at every operation: parameters, body and answer', () => {
    const lacking = [...operations.values()].flatMap(({ id, lacks }) =>
      WITHOUT_EXAMPLE.has(id) || lacks.length === 0
        ? []
        : [`${id} lacks an example of its ${lacks.join(', ')}`],
    );
    expect(lacking).toEqual([]);
  });

  it('every change of an item takes If-Match', () => {
    const changes = [...operations.values()].filter(
      ({ method, isChange, path }) => isChange && (method !== 'POST' || /\}\/[a-z-]+$/.test(path)),
    );
    const unguarded = changes.filter(({ id, guarded, isItem }) => isItem && !guarded && !(id in UNGUARDED));
    expect(changes.length).toBeGreaterThan(30);
    expect(unguarded.map(({ id }) => id)).toEqual([]);
  });
});

/** 412 with both sides, wherever the call says what it expects. */
async function expectRefusedWhenStale(example: OpenApiExample, where: string): Promise<void> {
  const stale = '"a-state-that-never-was"';
  const { headers = {} } = example;
  const { 'if-none-match': _, ...kept } = headers;
  const refused = await call({ ...example, headers: kept }, { 'if-match': stale });
  const told = `${where}: ${refused.text.slice(0, 300)}`;
  expect(refused.status, told).toBe(412);
  if (refused.body.code === 'CHANGED_MEANWHILE') {
    for (const side of ['mine', 'theirs']) expect(refused.body.conflicts[0], told).toHaveProperty(side);
  } else {
    expect(refused.body, told).toMatchObject({ code: 'PRECONDITION_FAILED', expected: [stale] });
    expect(refused.body, told).toHaveProperty('current');
  }
}

/** Whatever is answered is remembered as it was sent; only secrets are not. */
async function expectReplayed(answer: TestResponse, replay: TestResponse, where: string): Promise<void> {
  if (answer.status >= 300) return;
  expect([replay.status, replay.headers.get('idempotency-replayed')], where).toEqual([answer.status, 'true']);
  if (answer.headers.get('cache-control') !== 'no-store') expect(replay.text, where).toBe(answer.text);
}

async function write(file: string, examples: readonly OpenApiExample[]): Promise<void> {
  const { writeFile } = await import('node:fs/promises');
  const url = new URL(`../openapi-examples/${file}`, import.meta.url);
  await writeFile(url, `${JSON.stringify(examples, null, 2)}\n`);
}
