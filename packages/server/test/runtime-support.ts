import { randomUUID } from 'node:crypto';
import type { TestResponse, TestServer } from '@pennon/testkit/test-server';
import { importJWK, SignJWT } from 'jose';

/* The catalog that the tests of OFREP and OEP share, and short ways to ask. */

const governed = 'owner: team@example.com, purpose: A test, removal: permanent';
const flagged = "owner: team@example.com, purpose: A test, removal: After the test, expires: '2099-01-01'";

export const RUNTIME_CATALOG = `
product: { key: test, name: Test, defaultPlan: free }
features:
  - { key: advanced-analytics, type: boolean, category: subscription, clientVisible: true, ${governed} }
  - { key: secret-feature, type: boolean, category: subscription, ${governed} }
  - { key: calling-minutes, type: metered, category: limit, reset: { every: month, anchor: license }, clientVisible: true, ${governed} }
  - { key: hourly-calls, type: metered, category: limit, reset: { every: hour, anchor: calendar }, ${governed} }
  - { key: soft-calls, type: metered, category: limit, enforcement: soft, overage: { amount: 2 }, reset: { every: month, anchor: license }, ${governed} }
  - { key: observed-calls, type: metered, category: limit, enforcement: observe, reset: { every: month, anchor: license }, ${governed} }
  - { key: ai-tokens, type: metered, category: limit, reset: { every: month, anchor: license }, measure: 'tokens_in + tokens_out', ${governed} }
  - { key: max_professionals, type: metered, reset: never, category: limit, ${governed} }
  - { key: max_lists, type: limit, category: limit, ${governed} }
  - { key: branding, type: config, category: subscription, ${governed} }
  - { key: per-user-exports, type: metered, per: user, reset: { every: day, anchor: calendar }, category: limit, ${governed} }
plans:
  - key: free
    entitlements:
      - { feature: max_professionals, value: 1 }
      - { feature: hourly-calls, value: 3 }
      - { feature: per-user-exports, value: 2 }
  - key: pro
    rank: 1
    entitlements:
      - { feature: advanced-analytics, value: true }
      - { feature: secret-feature, value: true }
      - { feature: calling-minutes, value: 100 }
      - { feature: soft-calls, value: 3 }
      - { feature: observed-calls, value: 1 }
      - { feature: ai-tokens, value: 1000 }
      - { feature: max_professionals, value: 3 }
      - { feature: max_lists, value: 25 }
      - { feature: branding, value: { logo: custom } }
      - { feature: per-user-exports, value: 2 }
  - key: enterprise
    rank: 2
    entitlements:
      - { feature: advanced-analytics, value: true }
      - { feature: calling-minutes, value: 12000 }
      - { feature: max_lists, value: unlimited }
      - { feature: max_professionals, value: unlimited }
flags:
  - { key: plain-on, type: boolean, category: release, clientVisible: true, default: true, ${flagged} }
  - { key: hidden-on, type: boolean, category: release, default: true, ${flagged} }
  - key: greeting
    type: string
    category: release
    clientVisible: true
    ${flagged.replaceAll(', ', '\n    ')}
    variants: { formal: Good day, casual: Hi }
    'off': casual
    default: casual
    rules:
      - { if: 'user.country == "CH"', serve: formal }
  - { key: page-size, type: integer, category: release, clientVisible: true, variants: { small: 10, large: 50 }, 'off': small, default: large, ${flagged} }
  - { key: ratio, type: float, category: release, clientVisible: true, variants: { whole: 1, half: 0.5 }, 'off': half, default: whole, ${flagged} }
  - { key: theme, type: object, category: release, clientVisible: true, variants: { dark: { background: black, sizes: [1, 2] } , light: { background: white } }, 'off': light, default: dark, ${flagged} }
  - { key: killed, type: boolean, category: kill-switch, clientVisible: true, default: true, environments: { production: { enabled: false } }, ${flagged} }
  - { key: coded, type: string, category: release, clientVisible: true, variants: { a: A }, 'off': code-default, default: a, environments: { production: { enabled: false } }, ${flagged} }
  - { key: analytics-ui, type: boolean, category: release, clientVisible: true, requires: [advanced-analytics], default: true, ${flagged} }
  - key: ai-assistant-enabled
    type: boolean
    category: release
    clientVisible: true
    ${flagged.replaceAll(', ', '\n    ')}
    default: false
    rules:
      - rollout: { percentage: 10 }
`;

export function idempotencyKey(): string {
  return randomUUID();
}

/** POST with the server key unless told otherwise. */
export function ask(
  server: TestServer,
  path: string,
  body: unknown,
  options: { readonly key?: string | null; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<TestResponse> {
  return server.request('POST', path, {
    body,
    key: options.key === undefined ? server.serverKey : options.key,
    ...(options.headers === undefined ? {} : { headers: options.headers }),
  });
}

export function flag(
  server: TestServer,
  key: string,
  context: unknown,
  options: Parameters<typeof ask>[3] = {},
) {
  return ask(server, `/ofrep/v1/evaluate/flags/${key}`, { context }, options);
}

export function flags(server: TestServer, context: unknown, options: Parameters<typeof ask>[3] = {}) {
  return ask(server, '/ofrep/v1/evaluate/flags', { context }, options);
}

export function entitlement(
  server: TestServer,
  key: string,
  customer: string,
  body: Readonly<Record<string, unknown>> = {},
) {
  return ask(server, `/oep/v1/evaluate/entitlements/${key}`, {
    context: { targetingKey: customer },
    ...body,
  });
}

export function consume(
  server: TestServer,
  customer: string,
  body: Readonly<Record<string, unknown>>,
  key: string = idempotencyKey(),
) {
  return ask(
    server,
    '/oep/v1/consume',
    { context: { targetingKey: customer }, ...body },
    { headers: { 'idempotency-key': key } },
  );
}

/** Reads the customer into the memory of that process: on a loaded machine a cold read may miss its 50 ms. */
export async function warm(server: TestServer, key: string): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const answer = await ask(server, '/oep/v1/evaluate/entitlements', { context: { targetingKey: key } });
    if (answer.status !== 503) {
      return;
    }
  }
  throw new Error(`The customer ${key} could not be read.`);
}

/** A customer, and a license to that plan where one is named. */
export async function customer(server: TestServer, key: string, plan?: string): Promise<void> {
  const path = `/api/v1/environments/${server.environment}/customers`;
  await expectStatus(server.request('POST', path, { body: { key, reason: 'A test.' } }), 201);
  if (plan !== undefined) {
    await license(server, key, plan);
  }
}

export async function license(server: TestServer, key: string, plan: string): Promise<void> {
  const path = `/api/v1/environments/${server.environment}/customers/${key}/licenses`;
  const body = { product: server.product, plan, planVersion: 0, reason: 'A test.' };
  await expectStatus(server.request('POST', path, { body }), 201);
}

/** As a customer's backend does it: a key pair made by the server, and a token signed with it. */
export async function customerToken(server: TestServer, who: string, user?: string): Promise<string> {
  const body = { environment: server.environment, product: server.product, name: 'test', reason: 'A test.' };
  const made = await expectStatus(server.request('POST', '/api/v1/token-keys', { body }), 201);
  const { privateJwk } = made.body;
  return new SignJWT({
    env: server.environment,
    product: server.product,
    ...(user === undefined ? {} : { user }),
  })
    .setProtectedHeader({ alg: 'EdDSA', kid: privateJwk.kid })
    .setSubject(who)
    .setAudience('pennon')
    .setIssuedAt()
    .setExpirationTime('10m')
    .sign(await importJWK(privateJwk, 'EdDSA'));
}

export async function expectStatus(answer: Promise<TestResponse>, status: number): Promise<TestResponse> {
  const response = await answer;
  if (response.status !== status) {
    throw new Error(`Expected ${status}, got ${response.status}: ${response.text.slice(0, 2000)}`);
  }
  return response;
}
