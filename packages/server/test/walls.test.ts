import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  buildWalls,
  type CredentialName,
  fingerprint,
  HOME,
  type Operation,
  operationsOf,
  type Walled,
} from './walls-support.js';

/** What a foreign admin key may expect of an operation. */
type Expectation =
  /** 404, byte for byte as if it did not exist. */
  | 'absent'
  /** 403: it changes more than the key is for. */
  | 'forbidden'
  /** It answers, and nothing of HOME's is in it. */
  | 'without ours'
  /** What it reads or changes is within the reach of that key. */
  | 'within reach';

interface Case {
  readonly body?: unknown;
  readonly query?: string;
  readonly otherEnvironment: Expectation;
  readonly otherProduct: Expectation;
  /** Without an `Idempotency-Key` the call is refused, whatever it names. */
  readonly keyed?: true;
  /** Values of path parameters that are not those of every operation. */
  readonly params?: Readonly<Record<string, string>>;
}

const reason = 'walls';
const ITEM = { otherProduct: 'absent' } as const;
const read: Case = { ...ITEM, otherEnvironment: 'within reach' };
const changed: Case = {
  ...ITEM,
  otherEnvironment: 'forbidden',
  query: `?reason=${reason}`,
  body: { key: 'new' },
};
/** Of an environment, for all products. */
const shared: Case = { otherEnvironment: 'absent', otherProduct: 'within reach' };
/** Of an environment and a product. */
const both: Case = { otherEnvironment: 'absent', otherProduct: 'absent' };
/** Of a customer, for server keys and customer tokens only. */
const PLAIN_QUERY = `?product_id=${HOME.product}&customer=acme`;
const SINCE = '?from=2026-11-01T00:00:00Z&window=month';
const withReason = { query: `?reason=${reason}` };

const itemCases = (name: string, list: string, key: string): Record<string, Case> => ({
  [`list${list}`]: read,
  [`create${name}`]: changed,
  [`read${name}`]: { ...read, params: { key } },
  [`put${name}`]: { ...changed, params: { key } },
  [`patch${name}`]: { ...changed, params: { key } },
  [`remove${name}`]: { ...changed, params: { key }, body: undefined },
});

const memberCases = (name: string, key: string): Record<string, Case> => ({
  [`list${name}Members`]: { ...both, params: { key } },
  [`change${name}Members`]: { ...both, params: { key }, body: { reason } },
  [`import${name}Members`]: { ...both, params: { key }, ...withReason },
  [`export${name}Members`]: { ...both, params: { key } },
  [`read${name}Member`]: { ...both, params: { key } },
  [`put${name}Member`]: { ...both, params: { key }, body: { reason } },
  [`remove${name}Member`]: { ...both, params: { key }, ...withReason },
});

/** A connection may hold what is bought of every product: a key of one product reaches none. */
const connected: Case = { otherEnvironment: 'absent', otherProduct: 'forbidden' };
const contractEvent = {
  connection: 'canary-home',
  subscription: 's',
  sequence: 1,
  customer: 'acme',
  status: 'active',
  items: [],
  startsAt: '2026-01-01T00:00:00Z',
  reason,
};
const billingCases: Record<string, Case> = {
  listBillingConnections: connected,
  listBillingProblems: connected,
  readBillingConnection: connected,
  createBillingConnection: { ...connected, body: { key: 'x', provider: 'api', mode: 'live', reason } },
  changeBillingConnection: { ...connected, body: { mapping: 'x', reason } },
  listBillingCustomers: connected,
  listBillingDeliveries: connected,
  readBillingDelivery: connected,
  replayBillingDeliveries: { ...connected, body: { reason } },
  listBillingDrift: connected,
  reconcileBilling: { ...connected, body: { reason } },
  removeBillingConnection: { ...connected, ...withReason },
  linkBillingCustomer: { ...connected, body: { customer: 'acme', reason } },
  tellBillingEvent: { ...connected, body: contractEvent },
  tellBillingEventTo: { ...connected, body: { environment: HOME.environment, ...contractEvent } },
  rotateBillingSecret: { ...connected, body: { secret: 'whsec_canary_home', overlapSeconds: 0, reason } },
};

/** INVARIANT: every operation of the management API stands here; a new one fails the build until its walls are decided. */
const CASES: Readonly<Record<string, Case>> = {
  listProducts: { otherEnvironment: 'within reach', otherProduct: 'without ours' },
  createProduct: {
    otherEnvironment: 'forbidden',
    otherProduct: 'forbidden',
    body: { key: 'p', name: 'p', reason },
  },
  readProduct: read,
  changeProduct: { ...changed, body: { name: 'p', reason } },
  removeProduct: { ...changed, body: undefined },
  listEnvironments: { otherEnvironment: 'without ours', otherProduct: 'within reach' },
  createEnvironment: {
    otherEnvironment: 'forbidden',
    otherProduct: 'forbidden',
    body: { key: 'e', name: 'e', reason },
  },
  readEnvironment: { otherEnvironment: 'absent', otherProduct: 'within reach' },
  changeEnvironment: { otherEnvironment: 'absent', otherProduct: 'forbidden', body: { name: 'e', reason } },
  removeEnvironment: { otherEnvironment: 'absent', otherProduct: 'forbidden', ...withReason },
  listKeys: { otherEnvironment: 'without ours', otherProduct: 'without ours' },
  createKey: {
    otherEnvironment: 'absent',
    otherProduct: 'absent',
    body: { kind: 'server', ...HOME, name: 'k', reason },
  },
  readKey: { ...both, params: { id: 'key' } },
  revokeKey: { ...both, params: { id: 'key' }, ...withReason },
  listTokenKeys: { otherEnvironment: 'without ours', otherProduct: 'without ours' },
  createTokenKey: {
    otherEnvironment: 'absent',
    otherProduct: 'absent',
    body: { ...HOME, name: 'k', reason },
  },
  readTokenKey: { ...both, params: { id: 'tokenKey' } },
  revokeTokenKey: { ...both, params: { id: 'tokenKey' }, ...withReason },
  rotateTokenKey: { ...both, params: { id: 'tokenKey' }, body: { overlapSeconds: 1, reason } },
  readCatalog: read,
  publishCatalog: changed,
  validateCatalog: { ...read, body: {} },
  diffCatalog: { ...read, body: {} },
  listRevisions: read,
  readEnvironmentRevision: both,
  moveEnvironment: { ...both, body: { revision: 1, reason } },
  ...itemCases('Feature', 'Features', 'reports'),
  ...itemCases('Flag', 'Flags', 'menu'),
  ...itemCases('Plan', 'Plans', 'pro@1'),
  ...itemCases('Addon', 'Addons', 'pack@1'),
  ...itemCases('Group', 'Groups', 'partners'),
  ...itemCases('Segment', 'Segments', 'demoing'),
  listCustomers: shared,
  createCustomer: { ...shared, body: { key: 'new', reason } },
  readCustomer: shared,
  putCustomer: { ...shared, body: { reason } },
  changeCustomer: { ...shared, body: { reason } },
  archiveCustomer: { ...shared, body: { reason } },
  restoreCustomer: { ...shared, body: { reason } },
  eraseCustomer: { ...shared, body: { reason } },
  eraseUser: { ...shared, body: { reason } },
  listAudit: shared,
  listNotices: shared,
  listWebhooks: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  createWebhook: { ...both, body: { product: HOME.product, url: 'https://hooks.example.com/', reason } },
  readWebhook: both,
  changeWebhook: { ...both, body: { description: 'walls', reason } },
  removeWebhook: { ...both, ...withReason },
  rotateWebhook: { ...both, body: { reason } },
  testWebhook: { ...both, body: { reason } },
  listDeliveries: both,
  readDelivery: both,
  replayWebhook: { ...both, body: { from: '2026-11-01T00:00:00Z', reason } },
  exportCustomers: shared,
  importCustomers: { ...shared, ...withReason },
  listUsers: shared,
  readUser: shared,
  putUser: { ...shared, body: { reason } },
  removeUser: { ...shared, ...withReason },
  searchUsers: { ...shared, query: '?search=a' },
  searchInstances: { ...shared, query: '?search=a' },
  listHolders: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  listUsage: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  listUsageHistory: { otherEnvironment: 'absent', otherProduct: 'without ours', query: SINCE },
  listUsageRecords: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  listNear: both,
  exportUsage: { ...both, query: SINCE },
  listInstances: shared,
  readInstance: shared,
  putInstance: { ...shared, body: { reason } },
  removeInstance: { ...shared, ...withReason },
  listTopUps: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  createTopUp: { ...both, body: { product: HOME.product, feature: 'minutes', amount: 1, reason } },
  readTopUp: both,
  voidTopUp: { ...both, body: { reason } },
  listLicenses: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  createLicense: {
    ...both,
    body: { product: HOME.product, plan: 'pro', planVersion: 1, kind: 'paid', reason },
  },
  readLicense: both,
  changeLicense: { ...both, body: { quantity: 2, reason } },
  cancelLicense: { ...both, body: { at: 'now', reason } },
  restoreLicense: { ...both, body: { reason } },
  changeLicensePlan: { ...both, body: { plan: 'free', reason } },
  undoLicensePlanChange: { ...both, ...withReason },
  listPlanMoves: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  createPlanMove: {
    ...both,
    body: {
      product: HOME.product,
      from: { plan: 'free', version: 0 },
      to: { plan: 'pro', version: 1 },
      reason,
    },
  },
  readPlanMove: both,
  listPlanMoveCustomers: both,
  startPlanMove: { ...both, body: { reason } },
  retryPlanMove: { ...both, body: { reason } },
  undoPlanMove: { ...both, body: { reason } },
  ...memberCases('Group', 'partners'),
  ...memberCases('Segment', 'demoing'),
  listGrants: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  createGrant: {
    ...both,
    body: {
      product: HOME.product,
      target: { kind: 'customer', key: 'acme' },
      kind: 'support',
      effect: { type: 'set', feature: 'reports', value: true },
      reason,
    },
  },
  listCustomerGrants: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  readGrant: both,
  changeGrant: { ...both, body: { owner: 'walls', reason } },
  listBundles: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  readBundle: both,
  // A key of the other product makes one of its own there: bundles of two products may share a key.
  putBundle: {
    otherEnvironment: 'absent',
    otherProduct: 'within reach',
    body: { effects: [{ type: 'set', feature: 'reports', value: true }], reason },
  },
  removeBundle: { ...both, ...withReason },
  applyBundle: { ...both, body: { target: { kind: 'customer', key: 'acme' }, days: 7, reason } },
  listBundleApplications: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  readBundleApplication: both,
  extendBundleApplication: { ...both, body: { days: 7, reason } },
  revokeBundleApplication: { ...both, body: { reason } },
  listEnding: { otherEnvironment: 'absent', otherProduct: 'without ours', query: '?withinDays=90' },
  extendGrant: { ...both, body: { endsAt: null, reason } },
  revokeGrant: { ...both, body: { reason } },
  readFeatureFlags: { otherEnvironment: 'forbidden', otherProduct: 'forbidden', query: PLAIN_QUERY },
  readCapabilities: { otherEnvironment: 'forbidden', otherProduct: 'forbidden', query: PLAIN_QUERY },
  listVouchers: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  createVoucher: {
    ...both,
    body: {
      product: HOME.product,
      key: 'other',
      kind: 'ENTITLEMENT_BOOST',
      effects: [{ type: 'set', feature: 'reports', value: true }],
      lasts: { days: 1 },
      reason,
    },
  },
  readVoucher: both,
  ...billingCases,
  changeVoucher: { ...both, body: { name: 'v', reason } },
  activateVoucher: { ...both, body: { reason } },
  archiveVoucher: { ...both, body: { reason } },
  revokeVoucher: { ...both, body: { reason } },
  createVoucherCodes: { ...both, body: { count: 1, reason } },
  listVoucherCodes: both,
  readVoucherCode: both,
  withdrawVoucherCode: { ...both, body: { reason } },
  redeemVoucher: { ...both, keyed: true, body: { code: 'canary-home', customer: 'acme' } },
  checkVoucher: {
    otherEnvironment: 'absent',
    otherProduct: 'without ours',
    body: { code: 'canary-home', customer: 'acme' },
  },
  redeemOwnVoucher: {
    otherEnvironment: 'forbidden',
    otherProduct: 'forbidden',
    body: { code: 'canary-home' },
  },
  checkOwnVoucher: {
    otherEnvironment: 'forbidden',
    otherProduct: 'forbidden',
    body: { code: 'canary-home' },
  },
  listRedemptions: { otherEnvironment: 'absent', otherProduct: 'without ours' },
  readRedemption: both,
  revokeRedemption: { ...both, body: { reason } },
  readPublicCatalog: { otherEnvironment: 'without ours', otherProduct: 'without ours' },
  explain: { ...both, body: { context: { targetingKey: 'acme' }, flag: 'menu' } },
};

const UNAUTHENTICATED: readonly CredentialName[] = [
  'none',
  'garbage',
  'revoked',
  'expired',
  'two keys',
  'broken token',
  'retired token',
];

let walled: Walled;
let operations: readonly Operation[];
beforeAll(async () => {
  walled = await buildWalls();
  operations = operationsOf((await walled.server.request('GET', '/openapi.json')).body);
});
afterAll(() => walled?.server.stop());

const protectedOperations = () => operations.filter(({ access }) => access !== 'public');
const management = () => protectedOperations().filter(({ path }) => path.startsWith('/api/'));
const protocols = () => protectedOperations().filter(({ path }) => !path.startsWith('/api/'));

/** Which names of HOME are used, and which are replaced by ones that nothing has: all, or all but the environment and what is shared in it. */
type Names = 'ours' | 'nothing of the environment' | 'nothing of the product';

function paramsOf(operation: Operation, use: Names): Readonly<Record<string, string>> {
  const { params } = CASES[operation.id] ?? {};
  const absent = '0190a000-0000-7000-8000-00000000dead';
  const { ids } = walled;
  const ours = {
    ...HOME,
    customer: 'acme',
    user: 'ada',
    instance: 'acme-eu',
    license: ids.license,
    topUp: ids.topUp,
    move: ids.move,
    grant: ids.grant,
    webhook: ids.webhook,
    event: ids.event,
    bundle: 'demo-kit',
    application: ids.application,
    connection: 'canary-home',
    billingCustomer: 'cus_canary',
    delivery: ids.delivery,
    voucher: 'welcome',
    redemption: ids.redemption,
    code: ids.code,
    kind: 'customer',
    member: 'acme',
    key: params?.key ?? 'menu',
    id: params?.id === 'tokenKey' ? ids.tokenKey : ids.key,
  };
  if (use === 'ours') return ours;
  const nothing = {
    license: absent,
    topUp: absent,
    move: absent,
    grant: absent,
    webhook: absent,
    event: absent,
    application: absent,
    connection: 'nothing',
    delivery: absent,
    voucher: 'nothing',
    redemption: absent,
    code: absent,
    id: absent,
  };
  const without = { ...ours, product: 'nowhere', ...nothing };
  return use === 'nothing of the product'
    ? without
    : { ...without, environment: 'nowhere', customer: 'nobody', user: 'nobody', instance: 'nothing' };
}

async function ask(
  operation: Operation,
  credential: CredentialName,
  use: Names = 'ours',
  extra: Readonly<Record<string, string>> = {},
) {
  const params = paramsOf(operation, use);
  const { body, query = '', keyed } = CASES[operation.id] ?? {};
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => params[name] ?? `missing-${name}`);
  const response = await walled.server.request(operation.method, `${path}${query}`, {
    key: null,
    headers: {
      'if-match': '*',
      ...(keyed === true ? { 'idempotency-key': randomUUID() } : {}),
      ...extra,
      ...walled.credentials[credential],
    },
    ...(body === undefined || operation.method === 'GET' ? {} : { body: withNames(body, use) }),
  });
  return { response, names: Object.values(params) };
}

/** A body names products and environments too. */
function withNames(body: unknown, use: Names): unknown {
  if (use === 'ours') return body;
  const text = JSON.stringify(body).replaceAll(`"${HOME.product}"`, '"nowhere"');
  return JSON.parse(
    use === 'nothing of the product' ? text : text.replaceAll(`"${HOME.environment}"`, '"nowhere"'),
  );
}

describe('tenant walls (law 11, S-7, S-24), from the OpenAPI document', () => {
  it('has a decision for every operation, and for nothing that is not one', () => {
    const known = management().map(({ id }) => id);
    expect(known.length).toBeGreaterThan(60);
    const undecided = known.filter((id) => CASES[id] === undefined);
    expect(undecided).toEqual([]);
    const stale = Object.keys(CASES).filter((id) => !known.includes(id));
    expect(stale).toEqual([]);
  });

  it('refuses every operation without a valid credential: 401, and says no more', async () => {
    const wrong: string[] = [];
    for (const operation of protectedOperations()) {
      for (const credential of UNAUTHENTICATED) {
        const { response } = await ask(operation, credential);
        if (response.status !== 401 || response.text.includes('canary')) {
          wrong.push(`${operation.id} by ${credential}: ${response.status}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('refuses every kind of credential that the operation does not take: 403', async () => {
    const wrong: string[] = [];
    for (const operation of protectedOperations()) {
      for (const kind of ['server', 'client', 'customer-token'] as const) {
        if (operation.access.includes(kind)) continue;
        const { response } = await ask(operation, kind);
        if (response.status !== 403 || response.text.includes('canary')) {
          wrong.push(`${operation.id} by ${kind}: ${response.status}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it.each([
    ['admin of the other environment', 'otherEnvironment', ''],
    ['admin of the other product', 'otherProduct', ''],
    // Whether a call repeats one that was answered is looked up before what it names is refused.
    ['admin of the other environment', 'otherEnvironment', ' with an Idempotency-Key'],
    ['admin of the other product', 'otherProduct', ' with an Idempotency-Key'],
  ] as const)('keeps the %s out of every operation (%s%s)', async (credential, side, keyed) => {
    const extra = (): Readonly<Record<string, string>> =>
      keyed === '' ? {} : { 'idempotency-key': randomUUID() };
    const wrong: string[] = [];
    for (const operation of management()) {
      const expectation = CASES[operation.id]?.[side];
      if (expectation === undefined || expectation === 'within reach') continue;
      const { response, names } = await ask(operation, credential, 'ours', extra());
      const told = response.text.includes('canary-home');
      const fault = `${operation.id}: ${response.status} ${response.text.slice(0, 300)}`;
      if (told) wrong.push(`${fault} tells of ours`);
      if (expectation === 'forbidden' && response.status !== 403) wrong.push(fault);
      if (expectation === 'without ours' && response.status !== 200) wrong.push(fault);
      if (expectation === 'absent') {
        const absent = await ask(
          operation,
          credential,
          side === 'otherProduct' ? 'nothing of the product' : 'nothing of the environment',
          extra(),
        );
        const mine = fingerprint(response, [...names, HOME.product, HOME.environment]);
        const nobodys = fingerprint(absent.response, [...absent.names, 'nowhere']);
        if (response.status !== 404 || mine !== nobodys) wrong.push(`${fault}\n    unlike ${nobodys}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('never lets a key of elsewhere evaluate or consume here', async () => {
    const wrong: string[] = [];
    const named = [
      ['server of the other environment', { 'pennon-environment': HOME.environment }],
      ['server of the other product', { 'pennon-product': HOME.product }],
      ['client of the other environment', { 'pennon-environment': HOME.environment }],
      ['client of the other product', { 'pennon-product': HOME.product }],
    ] as const;
    const consumed = { context: { targetingKey: 'acme' }, key: 'minutes', amount: 1 };
    const data = { key: 'minutes', amount: 1 };
    const recorded = {
      specversion: '1.0',
      id: 'walls',
      source: '/walls',
      type: 'usage',
      subject: 'acme',
      data,
    };
    for (const operation of protocols()) {
      if (operation.method !== 'POST') continue;
      for (const [credential, headers] of named) {
        const path = operation.path.replace('{key}', 'menu');
        const response = await walled.server.request('POST', path, {
          key: null,
          headers: { 'idempotency-key': 'walls', ...walled.credentials[credential], ...headers },
          body: operation.id === 'recordUsage' ? recorded : consumed,
        });
        if (![401, 403, 404].includes(response.status))
          wrong.push(`${operation.id} by ${credential}: ${response.status} ${response.text}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('F-2 C-2 never tells a server key of elsewhere of a customer here, nor a customer token of another', async () => {
    const wrong: string[] = [];
    const plain = management().filter(({ access, method }) => !access.includes('admin') && method === 'GET');
    expect(plain.length).toBeGreaterThanOrEqual(2);
    for (const { id, path } of plain) {
      for (const side of ['environment', 'product'] as const) {
        for (const named of [{}, { [`pennon-${side}`]: HOME[side] }]) {
          const response = await walled.server.request('GET', `${path}${PLAIN_QUERY}`, {
            key: null,
            headers: { ...walled.credentials[`server of the other ${side}`], ...named },
          });
          const told = response.text.includes('canary-home') || response.text.includes('"reports":true');
          if (told || ![200, 400, 404].includes(response.status))
            wrong.push(`${id} by the other ${side}: ${response.status} ${response.text}`);
        }
      }
      const others = await walled.server.request(
        'GET',
        `${path}?product_id=${HOME.product}&customer=umbrella`,
        {
          key: null,
          headers: walled.credentials['customer-token'],
        },
      );
      if (others.status !== 400) wrong.push(`${id}: ${others.status} ${others.text}`);
    }
    expect(wrong).toEqual([]);
  });

  it('a client key never consumes, and without a token never learns of a customer', async () => {
    const body = { context: { targetingKey: 'acme' }, key: 'minutes', amount: 1 };
    const consume = await walled.server.request('POST', '/oep/v1/consume', {
      key: walled.server.clientKey,
      body,
    });
    expect(consume.status).toBe(403);
    const evaluate = await walled.server.request('POST', '/oep/v1/evaluate/entitlements/minutes', {
      key: walled.server.clientKey,
      body,
    });
    expect(evaluate.status).toBe(403);
    expect(evaluate.body).toMatchObject({ metadata: expect.anything() });
  });

  it('lets the admin key of everything through every one of those walls', async () => {
    const wrong: string[] = [];
    const reads = management().filter(({ method, access }) => method === 'GET' && access.includes('admin'));
    for (const operation of reads) {
      const params = paramsOf(operation, 'ours');
      const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) => params[name] ?? '');
      const response = await walled.server.request('GET', `${path}${CASES[operation.id]?.query ?? ''}`);
      if (response.status !== 200) wrong.push(`${operation.id}: ${response.status} ${response.text}`);
    }
    expect(wrong).toEqual([]);
    expect(reads.length).toBeGreaterThan(20);
  });
});
