import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import {
  CloudEventSchema,
  HOOK_EVENT_TYPES,
  HOOK_EVENTS,
  type HookEventType,
} from '@pennon/protocol/webhooks/events';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { Webhook } from 'standardwebhooks';
import { Compile } from 'typebox/compile';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { goBack, told } from './notices-support.js';
import { consume, warm } from './runtime-support.js';
import {
  type HookListener,
  hooksPath,
  isSignedWith,
  listenForHooks,
  makeHook,
  type Received,
} from './webhooks-support.js';

/*
 * One event of every type, made over HTTP as a user makes it, verified as a listener does with the published library, and held against the
 * page that shows them. `PENNON_RECORD_EXAMPLES=1` writes that page.
 */

const PAGE = fileURLToPath(new URL('../../../docs/reference/webhook-events.md', import.meta.url));
const governed = 'category: limit, owner: team@example.com, purpose: An example, removal: permanent';
const CATALOG = `
product: { key: saleshub, name: SalesHub, defaultPlan: free }
features:
  - { key: api-calls, type: metered, reset: { every: hour, anchor: calendar }, warnAt: [80], ${governed} }
  - { key: exports, type: metered, reset: { every: month }, enforcement: soft, overage: { amount: 5 }, ${governed} }
  - { key: reports, type: boolean, ${governed} }
plans:
  - key: free
    entitlements: [{ feature: api-calls, value: 10 }, { feature: exports, value: 1 }]
  - key: pro
    entitlements: [{ feature: api-calls, value: 1000 }, { feature: exports, value: 50 }, { feature: reports, value: true }]
groups:
  - { key: beta, mode: overlay, entitlements: [{ feature: reports, value: true }] }
`;

let server: TestServer;
let listener: HookListener;
let hook: { readonly id: string; readonly secret: string };

beforeAll(async () => {
  listener = await listenForHooks();
  server = await startTestServer({ product: 'saleshub', catalog: CATALOG });
  await warm(server, 'anybody');
  hook = await makeHook(server, listener.url);
  await vi.waitFor(
    async () => {
      const { rows } = await server.parts.database.pool.query(
        `select (select count(*) from state_walk where not is_walking)::int as walked, (select count(*) from clock_told)::int as told`,
      );
      expect(rows).toEqual([{ walked: 1, told: 17 }]);
    },
    { timeout: 15_000, interval: 50 },
  );
}, 60_000);
afterAll(async () => {
  await server?.stop();
  await listener?.stop();
});

async function post(path: string, body: Readonly<Record<string, unknown>>) {
  const answer = await server.request('POST', `/api/v1/environments/${server.environment}/${path}`, {
    headers: { 'if-match': '*' },
    body: { reason: 'An example.', ...body },
  });
  expect(answer.status, answer.text).toBeLessThan(300);
  return answer.body;
}

async function arrived(type: HookEventType, is: (data: Received['event']['data']) => boolean = () => true) {
  return vi.waitFor(
    () => {
      const found = listener.of(type).find(({ event }) => event.data.customer !== 'other' && is(event.data));
      if (found === undefined) throw new Error(`No \`${type}\` has arrived.`);
      return found;
    },
    { timeout: 12_000, interval: 30 },
  );
}

async function grant(more: Readonly<Record<string, unknown>>) {
  return post('grants', {
    target: { kind: 'customer', key: 'acme' },
    kind: 'support',
    effect: { type: 'add', feature: 'api-calls', amount: 5 },
    ...more,
  });
}

let license: { readonly id: string };

/** What a user does, and what it is told. In the order of the page. */
const STORIES: Readonly<Record<HookEventType, () => Promise<Received>>> = {
  'license.changed': async () => {
    await post('customers', { key: 'acme' });
    license = await post('customers/acme/licenses', { plan: 'free', kind: 'paid' });
    return arrived('license.changed');
  },
  'plan.changed': async () => {
    await post(`customers/acme/licenses/${license.id}/plan-change`, { plan: 'pro' });
    return arrived('plan.changed');
  },
  'grant.changed': async () => {
    await grant({ endsAt: '2090-01-01T00:00:00Z' });
    return arrived('grant.changed');
  },
  'membership.changed': async () => {
    await post('products/saleshub/groups/beta/members', { put: [{ kind: 'customer', key: 'acme' }] });
    return arrived('membership.changed');
  },
  'voucher.changed': async () => {
    await post('vouchers', {
      product: 'saleshub',
      key: 'spring',
      kind: 'ENTITLEMENT_BOOST',
      effects: [{ type: 'add', feature: 'api-calls', amount: 100 }],
      lasts: { days: 30 },
      endsAt: '2090-01-01T00:00:00Z',
      maxRedemptions: 100,
      code: 'SPRING26',
    });
    await post('vouchers/spring/activate', {});
    const redeemed = await server.request(
      'POST',
      `/api/v1/environments/${server.environment}/vouchers/redeem`,
      {
        key: server.serverKey,
        headers: { 'idempotency-key': 'spring-acme' },
        body: { code: 'spring26', customer: 'acme', product: 'saleshub' },
      },
    );
    expect(redeemed.status, redeemed.text).toBe(201);
    return arrived('voucher.changed');
  },
  'top-up.changed': async () => {
    await post('customers/acme/top-ups', { feature: 'api-calls', amount: 50 });
    return arrived('top-up.changed');
  },
  'entitlement.changed': () =>
    arrived('entitlement.changed', ({ feature, before }) => feature === 'reports' && before !== null),
  'customer.state_changed': () =>
    arrived('customer.state_changed', ({ groups, grants }) => groups.length === 1 && grants.length > 0),
  'limit.warned': async () => {
    await post('customers', { key: 'small' });
    await consume(server, 'small', { key: 'api-calls', amount: 8 });
    return arrived('limit.warned');
  },
  'limit.reached': async () => {
    await consume(server, 'small', { key: 'api-calls', amount: 2 });
    return arrived('limit.reached');
  },
  'limit.exceeded': async () => {
    await consume(server, 'small', { key: 'exports', amount: 3 });
    return arrived('limit.exceeded');
  },
  'limit.reset': async () => {
    expect(await told(server, 'small', 'api-calls')).toHaveLength(2);
    await goBack(server, 'small', 'api-calls', '1 hour');
    return arrived('limit.reset');
  },
  'ends.soon': async () => {
    await grant({ endsAt: new Date(Date.now() + 86_401_500).toISOString() });
    return arrived('ends.soon');
  },
  'catalog.published': async () => {
    await server.publish(CATALOG.replace('name: SalesHub', 'name: SalesHub 2'));
    return arrived('catalog.published');
  },
};

/** As in the other examples: one instant, and ids that say that they are examples. */
function asExample(event: unknown): unknown {
  const ids = new Map<string, string>();
  const id = (text: string) => {
    const known = ids.get(text) ?? `0199f0d4-5a00-7c11-8f00-${String(ids.size + 1).padStart(12, '0')}`;
    ids.set(text, known);
    return known;
  };
  return JSON.parse(
    JSON.stringify(event)
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, id)
      .replace(/20[1-3]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?/g, (_, fraction) =>
        fraction === undefined ? '2026-03-01T12:00:00' : '2026-03-01T12:00:00.000',
      ),
  );
}

/** Names of members, and what kind of thing each is; of a list its first. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shapeOf(member)]));
}

const seen: { readonly type: string; readonly event: unknown }[] = [];

describe('every event', () => {
  it.each(HOOK_EVENT_TYPES)(
    '%s arrives, signed, as its schema and the reference say',
    async (type) => {
      const { headers, text, event } = await STORIES[type]();
      expect(new Webhook(hook.secret).verify(text, headers as Record<string, string>)).toEqual(event);
      expect(Compile(CloudEventSchema).Errors(event)).toEqual([]);
      expect(Compile(HOOK_EVENTS[type]).Errors(event.data)).toEqual([]);
      const example = asExample(event);
      seen.push({ type, event: example });
      if (process.env.PENNON_RECORD_EXAMPLES === '1') return;
      const shown = new Map(
        [...(await readFile(PAGE, 'utf8')).matchAll(/```json\n([\s\S]*?)\n```/g)]
          .map(([, json]) => JSON.parse(json ?? ''))
          .map((one) => [one.type, one]),
      );
      expect(shapeOf(example)).toEqual(shapeOf(shown.get(type)));
    },
    30_000,
  );

  it.runIf(process.env.PENNON_RECORD_EXAMPLES === '1')('is written down', async () => {
    const blocks = seen.map(
      ({ type, event }) => `## ${type}\n\n\`\`\`json\n${JSON.stringify(event, null, 2)}\n\`\`\`\n`,
    );
    await writeFile(
      PAGE,
      `# Events of webhooks\n\nOne example of each, as a listener gets it. What is told when, and what holds: [webhooks](webhooks.md). This page is written by a test.\n\n${blocks.join('\n')}`,
    );
  });

  it('is numbered without a gap for each customer, and for the environment', async () => {
    await vi.waitFor(async () => {
      const { rows } = await server.parts.database.pool.query(
        `select count(*)::int as n from webhook_delivery where state <> 'delivered'`,
      );
      expect(rows).toEqual([{ n: 0 }]);
    });
    for (const customer of ['acme', 'small', null]) {
      const numbers = listener.received
        .filter(({ event }) => event.data.customer === customer)
        .map(({ event }) => Number(event.sequence))
        .sort((left, right) => left - right);
      expect(numbers.length).toBeGreaterThan(0);
      expect(numbers).toEqual(numbers.map((_, index) => index + (numbers[0] ?? 1)));
    }
  });

  it('is signed with both secrets while they overlap, as the library reads it', async () => {
    const rotated = await server.request('POST', hooksPath(server, `/${hook.id}/rotate`), {
      headers: { 'if-match': '*' },
      body: { overlapSeconds: 3600, reason: 'It is time.' },
    });
    const { secret } = rotated.body;
    listener.received.splice(0);
    await grant({ endsAt: '2090-01-01T00:00:00Z' });
    const { headers, text, event } = await arrived('grant.changed');
    for (const one of [hook.secret, secret]) {
      expect(new Webhook(one).verify(text, headers as Record<string, string>)).toEqual(event);
    }
    const forged = text.replace('acme', 'evil');
    expect(() => new Webhook(secret).verify(forged, headers as Record<string, string>)).toThrow();
    const now = await server.request('POST', hooksPath(server, `/${hook.id}/rotate`), {
      headers: { 'if-match': '*' },
      body: { overlapSeconds: 0, reason: 'The old one leaked.' },
    });
    listener.received.splice(0);
    await grant({ endsAt: '2091-01-01T00:00:00Z' });
    const after = await arrived('grant.changed');
    expect([hook.secret, secret, now.body.secret].map((one) => isSignedWith(one, after))).toEqual([
      false,
      false,
      true,
    ]);
  }, 20_000);

  it('has a lag that metrics tell', async () => {
    listener.answer(500);
    await grant({ endsAt: '2092-01-01T00:00:00Z' });
    const read = async (name: string) => {
      const { text } = await server.request('GET', '/metrics');
      return Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1]);
    };
    await vi.waitFor(
      async () => {
        await server.parts.database.pool.query(
          `update webhook_delivery set next_attempt_at = now() - interval '1 minute' where state = 'waiting'`,
        );
        expect(await read('pennon_webhooks_failing')).toBe(1);
        expect(await read('pennon_webhook_delivery_lag_seconds')).toBeGreaterThan(30);
      },
      { timeout: 15_000, interval: 100 },
    );
    expect(await read('pennon_webhook_numbering_lag_seconds')).toBeLessThan(5);
    const failing = async () =>
      (await server.request('GET', hooksPath(server, `/${hook.id}`))).body.failingSince;
    expect(await failing()).toEqual(expect.any(String));
    listener.answer(204);
    await vi.waitFor(
      async () => {
        expect(await failing()).toBeNull();
        expect(await read('pennon_webhooks_failing')).toBe(0);
        expect(await read('pennon_webhook_delivery_lag_seconds')).toBe(0);
      },
      { timeout: 15_000, interval: 100 },
    );
  }, 40_000);
});
