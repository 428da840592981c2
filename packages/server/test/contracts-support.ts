import { startTestServer, type TestResponse, type TestServer } from '@pennon/testkit/test-server';

/** A pricing page, small enough to read beside the tests that use it. */
export const CATALOG = `
product: { key: test, name: Test, sku: '{country}-{tier}-{product}-{payment:int}-v{version:int}', defaultPlan: free, timeZone: Europe/Berlin }
features:
  - { key: reports, type: boolean, category: subscription, owner: a@example.com, purpose: Reports, removal: permanent }
  - { key: minutes, type: metered, category: limit, owner: a@example.com, purpose: Minutes, removal: permanent, reset: { every: month } }
  - { key: seats, type: limit, category: limit, owner: a@example.com, purpose: Seats, removal: permanent }
  - { key: branding, type: config, category: subscription, owner: a@example.com, purpose: Logo, removal: permanent, schema: { type: object, properties: { logo: { type: string } }, additionalProperties: false } }
plans:
  - { key: free, version: 0, rank: 0, entitlements: [{ feature: seats, value: 1 }] }
  - { key: pro, version: 0, rank: 1, offered: false, entitlements: [{ feature: reports, value: true }, { feature: minutes, value: 100 }] }
  - { key: pro, version: 1, rank: 1, entitlements: [{ feature: reports, value: true }, { feature: minutes, value: 200 }] }
  - { key: pro, version: 2, rank: 1, offered: false, entitlements: [{ feature: reports, value: true }, { feature: minutes, value: 300 }] }
  - { key: legacy, version: 0, rank: 1, offered: false, entitlements: [] }
addons:
  - { key: pack, plans: [pro], maxQuantity: 3, entitlements: [{ feature: minutes, add: 10 }] }
groups:
  - { key: beta, mode: overlay, entitlements: [{ feature: reports, value: true }] }
segments:
  - { key: demoing, entitlements: [{ feature: reports, value: true }] }
  - { key: staff, condition: 'user.email.endsWith("@acme.example")' }
flags:
  - { key: reports-ui, type: boolean, category: release, owner: a@example.com, purpose: Screen, removal: Later, expires: '2030-01-01', requires: [reports], rules: [{ serve: true }] }
  - { key: calls-ui, type: boolean, category: release, owner: a@example.com, purpose: Screen, removal: Later, expires: '2030-01-01', requires: [reports, minutes] }
  - { key: logo-ui, type: boolean, category: release, owner: a@example.com, purpose: Screen, removal: Later, expires: '2030-01-01', requires: [branding] }
  - { key: theme, type: string, category: release, owner: a@example.com, purpose: Colour, removal: Later, expires: '2030-01-01', variants: { dark: dark, light: light }, off: light, default: light }
`;

export const ENVIRONMENT = '/api/v1/environments/production';
export const reason = 'a test';

export function startWithCatalog(
  databaseUrl?: string,
  keys?: NonNullable<Parameters<typeof startTestServer>[0]>['keys'],
) {
  return startTestServer({
    catalog: CATALOG,
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    ...(keys === undefined ? {} : { keys }),
  });
}

/** Calls below the environment, with the body's `reason` filled in. */
export function caller(server: TestServer) {
  return (
    method: string,
    path: string,
    body?: Record<string, unknown>,
    headers: Record<string, string> = {},
  ): Promise<TestResponse> =>
    server.request(method, `${ENVIRONMENT}${path}`, {
      ...(body === undefined ? {} : { body: { reason, ...body } }),
      headers,
    });
}
export type Call = ReturnType<typeof caller>;

/** What a flag answers over OFREP. */
export async function askFlag(
  server: TestServer,
  key: string,
  context: Record<string, unknown>,
  headers: Record<string, string> = {},
): Promise<TestResponse> {
  return server.request('POST', `/ofrep/v1/evaluate/flags/${key}`, {
    key: server.serverKey,
    body: { context },
    headers,
  });
}

/** The bytes of every audit entry that names the object, in order. */
export async function auditOf(server: TestServer, objectId: string): Promise<Record<string, unknown>[]> {
  const { rows } = await server.parts.database.pool.query<{ bytes: Buffer }>(
    'select bytes from audit_entry where object_id = $1 order by id',
    [objectId],
  );
  return rows.map((row) => JSON.parse(row.bytes.toString('utf8')) as Record<string, unknown>);
}
