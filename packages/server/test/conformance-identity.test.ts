import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ENVIRONMENT, reason } from './contracts-support.js';
import { signCustomerToken, type TokenClaims } from './customer-token-support.js';

const ROOT = new URL('../../../conformance/', import.meta.url);
const PRODUCT = 'identity';

function read<Document>(name: string): Document {
  return JSON.parse(readFileSync(new URL(name, ROOT), 'utf8')) as Document;
}

interface SubjectCase {
  readonly name: string;
  readonly credential?:
    | 'client'
    | { readonly token: { readonly customer: string; readonly user: string | null } };
  readonly context: unknown;
  readonly expect: {
    readonly errorCode?: string;
    readonly names?: readonly string[];
    readonly [member: string]: unknown;
  };
}

interface SubjectFile {
  readonly exists: {
    readonly customers: readonly string[];
    readonly instances: readonly { readonly id: string; readonly key: string; readonly customer: string }[];
    readonly users: Readonly<Record<string, readonly string[]>>;
  };
  readonly cases: readonly SubjectCase[];
}

interface CredentialCase {
  readonly name: string;
  readonly present: readonly string[];
  readonly expect: {
    readonly status: number;
    readonly customer?: string | null;
    readonly instance?: string | null;
  };
}

const subjects = read<SubjectFile>('subject.json');
const credentials = read<{ readonly cases: readonly CredentialCase[] }>('credentials.json');

/** Whom grants are made for: everybody that a case may name, registered or not. */
const GRANTED = {
  customer: ['acme', 'beta', 'red', 'new', 'blue'],
  user: ['ada', 'bob', 'cy', 'zoe'],
  instance: ['acme-eu', 'beta-eu', 'mystery'],
} as const;
const TEAMS = ['acme', 'beta', 'blue', 'red', 't'];

let server: TestServer;
/** The ids that the server gave, by the ids that the cases say. */
const ids = new Map<string, string>();
let signing: { readonly id: string; readonly privatePem: string };

beforeAll(async () => {
  const catalog = readFileSync(new URL('catalogs/identity.yaml', ROOT), 'utf8');
  server = await startTestServer({ catalog, product: PRODUCT });
  await made('POST', `/api/v1/products`, { key: 'other', name: 'Other' });
  for (const key of subjects.exists.customers) await made('POST', `${ENVIRONMENT}/customers`, { key });
  for (const { id, key, customer } of subjects.exists.instances) {
    const instance = await made('PUT', `${ENVIRONMENT}/customers/${customer}/instances/${key}`, {});
    ids.set(id, instance.id);
  }
  for (const [key, customers] of Object.entries(subjects.exists.users)) {
    for (const customer of customers)
      await made('PUT', `${ENVIRONMENT}/customers/${customer}/users/${key}`, {});
  }
  for (const [kind, keys] of Object.entries(GRANTED)) {
    for (const key of keys) await made('POST', `${ENVIRONMENT}/grants`, grantOf(kind, key));
  }
  for (const team of TEAMS) {
    const members = `${ENVIRONMENT}/products/${PRODUCT}/segments/team-${team}/members`;
    await made('PUT', `${members}/team/${team}`, {});
  }
  signing = await newTokenKey();
});
afterAll(() => server.stop());

function grantOf(kind: string, key: string): Record<string, unknown> {
  const effect = { type: 'flag', flag: `who-${kind}`, variant: key };
  return { target: { kind, key }, kind: 'support', effect, endsAt: '2100-01-01T00:00:00Z' };
}

// biome-ignore lint/suspicious/noExplicitAny: answers of several shapes are looked into.
async function made(method: string, path: string, body: Record<string, unknown>): Promise<any> {
  const answer = await server.request(method, path, { body: { reason, ...body } });
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  return answer.body;
}

async function newTokenKey(): Promise<{ readonly id: string; readonly privatePem: string }> {
  return made('POST', '/api/v1/token-keys', { environment: 'production', name: 'identity' });
}

function token(claims: Partial<TokenClaims> = {}): string {
  const { id, privatePem } = signing;
  return signCustomerToken(privatePem, { kid: id, customer: 'beta', environment: 'production', ...claims });
}

async function ask(context: unknown, headers: Record<string, string>): Promise<TestResponse> {
  return server.request('POST', '/ofrep/v1/evaluate/flags', { key: null, headers, body: { context } });
}

/** Who was found, in the words of the cases. */
function whoAnswers(answer: TestResponse): Record<string, unknown> {
  const values = new Map<string, string>();
  let notProven = false;
  for (const flag of answer.body.flags) {
    values.set(flag.key, flag.value);
    notProven ||= flag.metadata?.warning === 'CUSTOMER_NOT_PROVEN';
  }
  const found = (key: string): string | null => {
    const value = values.get(key);
    return value === undefined || value === 'nobody' || value === 'none' ? null : value;
  };
  return {
    proven: !notProven,
    customer: found('who-customer'),
    instance: found('who-instance'),
    user: found('who-user'),
    team: found('who-team'),
    sku: found('which-sku'),
  };
}

function headersOf(credential: SubjectCase['credential']): Record<string, string> {
  if (credential === undefined) return { authorization: `Bearer ${server.serverKey}` };
  const client = { 'x-api-key': server.clientKey };
  if (credential === 'client') return client;
  const { customer, user } = credential.token;
  const signed = token({ customer, ...(user === null ? {} : { user }) });
  return { ...client, 'pennon-customer-token': signed };
}

/** With the ids that the server gave, there and back. */
function translated(text: string, from: 'case' | 'server'): string {
  let result = text;
  for (const [one, other] of ids) {
    result = from === 'case' ? result.replaceAll(`"${one}"`, `"${other}"`) : result.replaceAll(other, one);
  }
  return result;
}

describe('conformance over HTTP: subject', () => {
  it.each(subjects.cases.map((one) => [one.name, one] as const))('%s', async (_name, one) => {
    const context =
      one.context === null ? undefined : JSON.parse(translated(JSON.stringify(one.context), 'case'));
    const answer = await ask(context, headersOf(one.credential));
    if (one.expect.errorCode !== undefined) {
      expect(answer.status).toBe(400);
      expect(answer.body.errorCode).toBe(one.expect.errorCode);
      for (const name of one.expect.names ?? []) {
        expect(translated(answer.body.errorDetails, 'server')).toContain(name);
      }
      return;
    }
    expect(answer.status).toBe(200);
    const { teamClaimed, ...expected } = one.expect;
    expect(whoAnswers(answer)).toEqual(expected);
  });
});

type Presented = Record<string, string>;

/** What a caller of the cases presents; each makes what it needs. */
const PRESENT: Readonly<Record<string, () => Presented | Promise<Presented>>> = {
  'unknown-key': () => ({ authorization: `Bearer ${'x'.repeat(48)}` }),
  'revoked-key': async () => ({ authorization: `Bearer ${await revokedServerKey()}` }),
  'server-key': () => ({ authorization: `Bearer ${server.serverKey}` }),
  'server-key-as-api-key': () => ({ 'x-api-key': server.serverKey }),
  'admin-key': () => ({
    authorization: `Bearer ${server.adminKey}`,
    'pennon-environment': 'production',
    'pennon-product': PRODUCT,
  }),
  'client-key-of-product': async () => ({ authorization: `Bearer ${await clientKeyOfProduct()}` }),
  'client-key': () => ({ authorization: `Bearer ${server.clientKey}` }),
  token: () => alone(token({ product: PRODUCT })),
  'token-beside': () => beside(token()),
  'expired-token': () => alone(token({ product: PRODUCT, expiresInSeconds: -120 })),
  'expired-token-beside': () => beside(token({ expiresInSeconds: -120 })),
  'forged-token': () => alone(forgedToken()),
  'unsigned-token': () =>
    alone(
      `${token({ header: { alg: 'none' } })
        .split('.')
        .slice(0, 2)
        .join('.')}.`,
    ),
  'token-elsewhere': () => alone(token({ environment: 'development', product: PRODUCT })),
  'token-of-other-product-beside': () => beside(token({ product: 'other' })),
  'token-for-others': () => alone(token({ claims: { aud: 'somebody-else' } })),
  'token-of-revoked-key': async () => alone(await tokenOfRevokedKey()),
  'token-with-instance': () => alone(token({ product: PRODUCT, instance: 'beta-eu' })),
  'token-with-foreign-instance': () => alone(token({ product: PRODUCT, instance: 'acme-eu' })),
};

function alone(signed: string): Presented {
  return { authorization: `Bearer ${signed}` };
}

function beside(signed: string): Presented {
  return { 'pennon-customer-token': signed };
}

function forgedToken(): string {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return signCustomerToken(pem, { kid: signing.id, customer: 'beta', environment: 'production' });
}

async function clientKeyOfProduct(): Promise<string> {
  const key = await made('POST', '/api/v1/keys', {
    kind: 'client',
    environment: 'production',
    product: PRODUCT,
    name: 'of one product',
  });
  return key.secret;
}

async function revokedServerKey(): Promise<string> {
  const key = await server.request('POST', '/api/v1/keys', {
    body: { kind: 'server', environment: 'production', product: PRODUCT, name: 'gone', reason },
  });
  await revoke('/api/v1/keys', key);
  return key.body.secret;
}

async function tokenOfRevokedKey(): Promise<string> {
  const key = await server.request('POST', '/api/v1/token-keys', {
    body: { environment: 'production', name: 'gone', reason },
  });
  const { id, privatePem } = key.body;
  const signed = signCustomerToken(privatePem, { kid: id, customer: 'beta', environment: 'production' });
  expect((await ask({}, alone(signed))).status).toBe(200);
  await revoke('/api/v1/token-keys', key);
  return signed;
}

async function revoke(path: string, made: TestResponse): Promise<void> {
  const answer = await server.request('DELETE', `${path}/${made.body.id}?reason=${reason}`, {
    headers: { 'if-match': made.headers.get('etag') ?? '' },
  });
  expect(answer.status).toBeLessThan(300);
}

describe('conformance over HTTP: credentials', () => {
  it.each(credentials.cases.map((one) => [one.name, one] as const))('%s', async (_name, one) => {
    const headers: Presented = {};
    for (const name of one.present) Object.assign(headers, await presented(name));
    const answer = await ask({ customer: 'acme' }, headers);
    expect(answer.status).toBe(one.expect.status);
    if (answer.status !== 200) return;
    const who = whoAnswers(answer);
    expect(who.customer).toBe(one.expect.customer);
    if (one.expect.instance !== undefined) expect(who.instance).toBe(one.expect.instance);
  });
});

async function presented(name: string): Promise<Presented> {
  const make = PRESENT[name];
  if (make === undefined) throw new Error(`Nobody can present \`${name}\`.`);
  return make();
}
