import { randomUUID } from 'node:crypto';
import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';
import { caller, ENVIRONMENT } from './contracts-support.js';
import { signCustomerToken } from './customer-token-support.js';

/** Everything that a voucher can lift: a switch, a number, quotas of each kind of account, a config, gated flags. */
export const VOUCHER_CATALOG = `
product: { key: test, name: Test, sku: '{country}-{tier}-{product}-{payment:int}-v{version:int}', defaultPlan: free, timeZone: UTC }
features:
  - { key: reports, type: boolean, category: subscription, owner: a@example.com, purpose: Reports, removal: permanent }
  - { key: minutes, type: metered, category: limit, owner: a@example.com, purpose: Minutes, removal: permanent, reset: { every: month } }
  - { key: storage, type: metered, category: limit, owner: a@example.com, purpose: Storage, removal: permanent, reset: never }
  - { key: exports, type: metered, category: limit, owner: a@example.com, purpose: Exports, removal: permanent, reset: { every: month }, per: user }
  - { key: seats, type: limit, category: limit, owner: a@example.com, purpose: Seats, removal: permanent }
  - { key: branding, type: config, category: subscription, owner: a@example.com, purpose: Logo, removal: permanent, schema: { type: object, properties: { logo: { type: string } }, additionalProperties: false } }
plans:
  - { key: free, version: 0, rank: 0, entitlements: [{ feature: seats, value: 1 }, { feature: minutes, value: 50 }, { feature: storage, value: 10 }, { feature: exports, value: 2 }] }
  - { key: pro, version: 1, rank: 1, entitlements: [{ feature: reports, value: true }, { feature: minutes, value: 200 }] }
segments:
  - { key: demoing, entitlements: [{ feature: reports, value: true }] }
  - { key: staff, condition: 'user.email.endsWith("@acme.example")' }
flags:
  - { key: reports-ui, type: boolean, category: release, owner: a@example.com, purpose: Screen, removal: Later, expires: '2030-01-01', requires: [reports] }
  - { key: calls-ui, type: boolean, category: release, owner: a@example.com, purpose: Screen, removal: Later, expires: '2030-01-01', requires: [minutes] }
  - { key: theme, type: string, category: release, owner: a@example.com, purpose: Colour, removal: Later, expires: '2030-01-01', variants: { dark: dark, light: light }, off: light, default: light }
`;

export const startVoucherServer = (
  options: Parameters<typeof startTestServer>[0] = {},
): Promise<TestServer> => startTestServer({ catalog: VOUCHER_CATALOG, ...options });

export const soon = (milliseconds: number): string => new Date(Date.now() + milliseconds).toISOString();

export const ADD = (amount: number, feature = 'minutes') => ({ type: 'add', feature, amount });
const BOOST = { kind: 'ENTITLEMENT_BOOST', effects: [ADD(100)], lasts: { days: 30 }, state: 'active' };

let made = 0;

/** The calls of these tests, with what they leave out filled in. */
export function voucherCalls(server: TestServer) {
  const call = caller(server);
  const create = (body: Record<string, unknown> = {}) => {
    made += 1;
    return call('POST', '/vouchers', { key: `voucher-${made}`, ...BOOST, ...body });
  };
  const codesOf = async (key: string, body: Record<string, unknown> = {}): Promise<string[]> => {
    const answer = await call('POST', `/vouchers/${key}/codes`, { count: 1, ...body });
    if (answer.status !== 201) throw new Error(`${answer.status}: ${answer.text}`);
    return answer.body.codes;
  };
  return {
    call,
    create,
    codesOf,
    /** A voucher and one code of it, shared unless said otherwise. */
    async withCode(body: Record<string, unknown> = {}, codes: Record<string, unknown> = {}) {
      const voucher = await create(body);
      if (voucher.status !== 201) throw new Error(`${voucher.status}: ${voucher.text}`);
      const [code = ''] = await codesOf(voucher.body.key, { redemptionsPerCode: null, ...codes });
      return { key: voucher.body.key as string, voucher: voucher.body, code };
    },
    redeem(
      code: string,
      customer: string,
      body: Record<string, unknown> = {},
      key: string | null = randomUUID(),
      at: TestServer = server,
    ): Promise<TestResponse> {
      return at.request('POST', `${ENVIRONMENT}/vouchers/redeem`, {
        key: server.serverKey,
        body: { code, customer, ...body },
        headers: key === null ? {} : { 'idempotency-key': key },
      });
    },
    check(code: string, customer: string, body: Record<string, unknown> = {}): Promise<TestResponse> {
      return server.request('POST', `${ENVIRONMENT}/vouchers/check`, {
        key: server.serverKey,
        body: { code, customer, ...body },
      });
    },
    /** What OEP answers of one feature. */
    async entitlement(
      feature: string,
      context: Record<string, unknown>,
      headers: Record<string, string> = {},
    ) {
      const answer = await server.request('POST', `/oep/v1/evaluate/entitlements/${feature}`, {
        key: server.serverKey,
        body: { context },
        headers,
      });
      return answer.body;
    },
    async consume(feature: string, context: Record<string, unknown>, amount: number) {
      const answer = await server.request('POST', '/oep/v1/consume', {
        key: server.serverKey,
        body: { context, key: feature, amount },
        headers: { 'idempotency-key': randomUUID() },
      });
      return answer.body;
    },
  };
}
export type VoucherCalls = ReturnType<typeof voucherCalls>;

/** A browser with a customer token. */
export async function browserOf(
  server: TestServer,
  claims: { customer: string; user?: string; instance?: string },
) {
  const { body: key } = await server.request('POST', '/api/v1/token-keys', {
    body: { environment: 'production', name: 'web', reason: 'a test' },
  });
  const token = signCustomerToken(key.privatePem, { kid: key.id, environment: 'production', ...claims });
  return (
    path: string,
    body: unknown,
    idempotencyKey: string | null = randomUUID(),
    headers: Record<string, string> = {},
  ): Promise<TestResponse> =>
    server.request('POST', `/api/v1/customer/vouchers/${path}`, {
      key: null,
      body,
      headers: {
        ...headers,
        'x-api-key': server.clientKey,
        'pennon-customer-token': token,
        ...(idempotencyKey === null ? {} : { 'idempotency-key': idempotencyKey }),
      },
    });
}
