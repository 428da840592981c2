import { createHash } from 'node:crypto';
import { newId } from '@pennon/server/service/new-id';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { vi } from 'vitest';
import { signCustomerToken } from './customer-token-support.js';

/** One operation of the OpenAPI document. */
export interface Operation {
  readonly id: string;
  readonly method: string;
  /** With `{…}` for parameters. */
  readonly path: string;
  readonly access: 'public' | readonly string[];
}

export function operationsOf(document: {
  readonly paths: Record<string, Record<string, unknown>>;
}): readonly Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      const described = operation as {
        readonly operationId?: string;
        readonly 'x-pennon-access'?: Operation['access'];
      };
      if (described.operationId === undefined || described['x-pennon-access'] === undefined) {
        throw new Error(`${method} ${path} has no operationId or no declared access.`);
      }
      return {
        id: described.operationId,
        method: method.toUpperCase(),
        path,
        access: described['x-pennon-access'],
      };
    }),
  );
}

export const WALLED_CATALOG = (product: string, canary: string) => `
product: { key: ${product}, name: ${product}, defaultPlan: free }
features:
  - { key: reports, type: boolean, category: subscription, owner: a@example.com, purpose: ${canary}, removal: permanent }
  - { key: minutes, type: metered, reset: { every: month }, category: limit, owner: a@example.com, purpose: Minutes, removal: permanent }
plans:
  - { key: free, version: 0, rank: 0, entitlements: [{ feature: minutes, value: 5 }] }
  - { key: pro, version: 1, rank: 1, entitlements: [{ feature: reports, value: true }] }
addons:
  - { key: pack, version: 1, plans: [pro], entitlements: [{ feature: minutes, add: 10 }] }
groups:
  - { key: partners, name: Partners, mode: overlay, entitlements: [{ feature: reports, value: true }] }
segments:
  - { key: demoing, name: Demoing, entitlements: [{ feature: reports, value: true }] }
flags:
  - { key: menu, type: boolean, category: release, owner: w@example.com, purpose: Menu, removal: Soon, default: true }
`;

export const HOME = { product: 'home', environment: 'production' } as const;
export const AWAY = { product: 'away', environment: 'development' } as const;

export interface Walled {
  readonly server: TestServer;
  /** Existing objects of HOME, by name of the path parameter, for the operation. */
  readonly ids: {
    readonly license: string;
    readonly topUp: string;
    readonly move: string;
    readonly grant: string;
    readonly webhook: string;
    readonly event: string;
    readonly application: string;
    readonly redemption: string;
    readonly code: string;
    readonly delivery: string;
    readonly key: string;
    readonly tokenKey: string;
  };
  readonly credentials: Readonly<Record<CredentialName, Readonly<Record<string, string>>>>;
}

export type CredentialName =
  | 'none'
  | 'garbage'
  | 'revoked'
  | 'expired'
  | 'two keys'
  | 'broken token'
  | 'retired token'
  | 'server'
  | 'client'
  | 'customer-token'
  | 'admin of the other environment'
  | 'admin of the other product'
  | 'server of the other environment'
  | 'server of the other product'
  | 'client of the other environment'
  | 'client of the other product';

/** Everything that exists in HOME, and every credential that must not get at it. */
export async function buildWalls(): Promise<Walled> {
  const server = await startTestServer({
    product: HOME.product,
    catalog: WALLED_CATALOG(HOME.product, 'canary-home'),
  });
  const make = async (path: string, body: unknown, method = 'POST') => {
    const answer = await server.request(method, path, { body });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  };
  const reason = 'walls';
  await make('/api/v1/products', { key: AWAY.product, name: 'Away', reason });
  const environment = `/api/v1/environments/${HOME.environment}`;
  const customer = `${environment}/customers/acme`;
  await make(customer, { name: 'canary-home', reason }, 'PUT');
  await make(`${customer}/users/ada`, { reason }, 'PUT');
  await make(`${customer}/instances/acme-eu`, { reason }, 'PUT');
  const product = HOME.product;
  const license = await make(`${customer}/licenses`, {
    product,
    plan: 'pro',
    planVersion: 1,
    kind: 'paid',
    contractReference: 'canary-home',
    reason,
  });
  const topUp = await make(`${customer}/top-ups`, {
    product,
    feature: 'minutes',
    amount: 5,
    source: 'canary-home',
    reason,
  });
  const members = `${environment}/products/${product}`;
  await make(`${members}/groups/partners/members/customer/acme`, { reason: 'canary-home' }, 'PUT');
  await make(`${members}/segments/demoing/members/customer/acme`, { reason: 'canary-home' }, 'PUT');
  const effect = { type: 'set', feature: 'reports', value: true };
  const target = { kind: 'customer', key: 'acme' };
  const grant = await make(`${environment}/grants`, {
    product,
    target,
    kind: 'support',
    effect,
    reason: 'canary-home',
  });

  const webhook = await make(`${environment}/webhooks`, {
    product,
    url: 'http://127.0.0.1:9/canary-home',
    description: 'canary-home',
    reason,
  });

  await make(`${environment}/bundles/demo-kit`, { name: 'canary-home', effects: [effect], reason }, 'PUT');
  const application = await make(`${environment}/bundles/demo-kit/apply`, {
    target: { kind: 'customer', key: 'shown' },
    days: 30,
    reason: 'canary-home',
  });
  const deliveries = `${environment}/webhooks/${webhook.id}/deliveries`;
  const delivered = await vi.waitUntil(async () => (await server.request('GET', deliveries)).body.items[0], {
    timeout: 10_000,
    interval: 50,
  });
  await make(`${environment}/vouchers`, {
    product,
    key: 'welcome',
    name: 'canary-home',
    kind: 'ENTITLEMENT_BOOST',
    effects: [effect],
    lasts: { days: 1 },
    endsAt: new Date(Date.now() + 86_400_000).toISOString(),
    maxRedemptions: 2,
    state: 'active',
    code: 'CANARY-HOME',
    reason,
  });
  const redeeming = { code: 'canary-home', customer: 'acme', reason };
  const redeemed = await server.request('POST', `${environment}/vouchers/redeem`, {
    body: redeeming,
    headers: { 'idempotency-key': 'walls-support' },
  });

  const codes = await server.request('GET', `${environment}/vouchers/welcome/codes`);

  const move = await make(`${environment}/plan-moves`, {
    product,
    from: { plan: 'pro', version: 1 },
    to: { plan: 'free', version: 0 },
    reason: 'canary-home',
  });

  const connection = await make(`${environment}/billing-connections`, {
    key: 'canary-home',
    provider: 'stripe',
    mode: 'live',
    secret: 'whsec_canary_home',
    reason,
  });

  const delivery = newId();
  await server.parts.database.kysely
    .insertInto('webhook_inbox')
    .values({
      connection_id: connection.id,
      account: '',
      event_id: 'evt_canary',
      id: delivery,
      environment_id: server.parts.directory.environment(HOME.environment)?.id ?? '',
      type: 'canary-home',
      subject: null,
      occurred_at: new Date(),
      received_at: new Date(),
      body: 'canary-home',
      state: 'dead',
      due_at: new Date(),
      problem: null,
    })
    .execute();

  const key = (kind: string, scope: object, more: object = {}) =>
    make('/api/v1/keys', { kind, name: 'canary-home', reason, ...scope, ...more });
  const ownKey = await key('server', HOME);
  const revoked = await key('admin', HOME);
  await server.request('DELETE', `/api/v1/keys/${revoked.id}?reason=walls`, { headers: { 'if-match': '*' } });
  const expired = await key('admin', HOME, { expiresAt: new Date(Date.now() + 300).toISOString() });
  const tokenKey = await make('/api/v1/token-keys', { ...HOME, name: 'canary-home', reason });
  const retired = await make('/api/v1/token-keys', { ...HOME, name: 'x', reason });
  const token = (pem: string, kid: string) =>
    signCustomerToken(pem, { kid, customer: 'acme', environment: HOME.environment, product });
  await server.request('POST', `/api/v1/token-keys/${retired.id}/rotate`, {
    headers: { 'if-match': '*' },
    body: { overlapSeconds: 0, reason },
  });
  const otherEnvironment = { product: HOME.product, environment: AWAY.environment };
  const otherProduct = { product: AWAY.product, environment: HOME.environment };
  const bearer = (text: string) => ({ authorization: `Bearer ${text}` });
  const made = async (kind: string, scope: object) =>
    bearer((await key(kind, scope, { name: 'canary-away' })).key);
  await new Promise((resolve) => setTimeout(resolve, 350));
  return {
    server,
    ids: {
      license: license.id,
      topUp: topUp.id,
      move: move.id,
      grant: grant.id,
      webhook: webhook.id,
      event: delivered.event,
      application: application.id,
      redemption: redeemed.body.id,
      code: codes.body.items[0].id,
      delivery,
      key: ownKey.id,
      tokenKey: tokenKey.id,
    },
    credentials: {
      none: {},
      garbage: bearer('x'.repeat(43)),
      revoked: bearer(revoked.key),
      expired: bearer(expired.key),
      'two keys': { ...bearer(server.adminKey), 'x-api-key': server.serverKey },
      'broken token': {
        'x-api-key': server.clientKey,
        'pennon-customer-token': `${token(tokenKey.privatePem, tokenKey.id).slice(0, -6)}AAAAAA`,
      },
      'retired token': {
        'x-api-key': server.clientKey,
        'pennon-customer-token': token(retired.privatePem, retired.id),
      },
      server: bearer(server.serverKey),
      client: bearer(server.clientKey),
      'customer-token': {
        'x-api-key': server.clientKey,
        'pennon-customer-token': token(tokenKey.privatePem, tokenKey.id),
      },
      'admin of the other environment': await made('admin', otherEnvironment),
      'admin of the other product': await made('admin', otherProduct),
      'server of the other environment': await made('server', otherEnvironment),
      'server of the other product': await made('server', otherProduct),
      'client of the other environment': await made('client', otherEnvironment),
      'client of the other product': await made('client', otherProduct),
    },
  };
}

/** What of an answer may not tell a foreign object from one that does not exist: everything but the names asked with and the request id. */
export function fingerprint(
  response: { readonly status: number; readonly headers: Headers; readonly text: string },
  names: readonly string[],
): string {
  let text = response.text.replace(/"requestId":"[^"]*"/, '"requestId":"…"');
  for (const name of [...names].sort((left, right) => right.length - left.length))
    text = text.replaceAll(name, '…');
  const headers = [...response.headers]
    .filter(
      ([name]) => !['date', 'x-request-id', 'content-length', 'connection', 'keep-alive'].includes(name),
    )
    .sort()
    .map((pair) => pair.join(': '));
  const digest = createHash('sha256')
    .update(JSON.stringify([response.status, headers, text]))
    .digest('hex');
  return `${digest} ${response.status} ${text}`;
}
