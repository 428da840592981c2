import type { BillingItem, BillingSubscription } from '@pennon/engine/model/billing-subscription';
import type { BillingNews, BillingSource } from '@pennon/server/service/billing/billing-news';
import { takeInNews } from '@pennon/server/service/billing/take-in-news';
import { newId } from '@pennon/server/service/new-id';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditOf, type Call, caller } from './contracts-support.js';
import { entitlement } from './runtime-support.js';

const governed = 'owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free, pastDueGraceDays: 5 }
features:
  - { key: export, type: boolean, category: subscription, ${governed} }
  - { key: seats, type: limit, category: limit, ${governed} }
plans:
  - { key: free, rank: 0, entitlements: [{ feature: seats, value: 1 }] }
  - { key: pro, version: 0, rank: 1, entitlements: [{ feature: export, value: true }, { feature: seats, value: 5 }] }
  - { key: pro, version: 1, rank: 1, entitlements: [{ feature: export, value: true }, { feature: seats, value: 6 }] }
  - { key: team, rank: 2, entitlements: [{ feature: export, value: true }, { feature: seats, value: 50 }] }
addons:
  - { key: seat, entitlements: [{ feature: seats, add: 1 }] }
billing:
  - key: main
    items:
      - { price: price_pro, plan: pro, version: 0 }
      - { price: price_team, plan: team }
      - { price: price_seat, addons: [{ addon: seat }] }
`;

const DAY = 86_400_000;
const START = Date.UTC(2026, 0, 1);

let server: TestServer;
let other: TestServer;
let call: Call;
let source: BillingSource;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  other = await startTestServer({ databaseUrl: server.databaseUrl });
  call = caller(server);
  source = await connect('main', true);
});
afterAll(async () => {
  await other.stop();
  await server.stop();
});

async function connect(key: string, isLive: boolean): Promise<BillingSource> {
  const { kysely } = server.parts.database;
  const environment = server.parts.directory.environment('production');
  if (environment === null) throw new Error('There is no environment.');
  const id = newId();
  const row = { id, key, provider: 'stripe', is_live: isLive } as const;
  await kysely
    .insertInto('billing_connection')
    .values({
      ...row,
      environment_id: environment.id,
      mapping: 'main',
      secrets: '[]',
      version: 1,
      created_at: new Date(),
    })
    .execute();
  const connection = { id, key, provider: 'stripe', environmentId: environment.id, isLive };
  return { connection, event: { id: 'evt_1', type: 'customer.subscription.updated' } };
}

function item(price: string, quantity = 1): BillingItem {
  const none = { lookupKey: null, product: null, periodStart: null, periodEnd: null };
  return { id: `si_${price}`, price, quantity, ...none };
}

type Said = Partial<Omit<BillingSubscription, 'items'>> & { readonly items?: readonly BillingItem[] };

let count = 0;
/** The events of one subscription of one customer, each at its instant. */
async function subscriber(named?: string | null) {
  count += 1;
  const customer = named === undefined ? `customer-${count}` : named;
  const id = `sub_${count}`;
  if (customer !== null) await call('PUT', `/customers/${customer}`, {});
  const said = (at: number, more: Said = {}, rank = 1): BillingNews => ({
    kind: 'subscription',
    mark: { at, rank, id: `evt_${id}_${at}_${rank}` },
    subscription: {
      id,
      customer: `cus_${id}`,
      customerKey: customer,
      status: 'active',
      items: [item('price_pro')],
      startedAt: START,
      anchorAt: null,
      trialEndsAt: null,
      cancelAt: null,
      endedAt: null,
      collectionResumesAt: null,
      isLive: true,
      ...more,
    },
  });
  const licenses = async () => (await call('GET', `/customers/${customer}/licenses`)).body.items;
  return { id, customer: customer ?? '', said, licenses };
}

function tell(news: BillingNews, from: TestServer = server, over: BillingSource = source) {
  const id = news.kind === 'link' ? `evt_${news.customer}` : news.mark.id;
  return takeInNews(from.parts.management, { ...over, event: { ...over.event, id } }, news);
}

const problems = (subscription: string) =>
  server.parts.database.kysely
    .selectFrom('billing_problem')
    .select(['code', 'name', 'item', 'since'])
    .where('subscription', '=', subscription)
    .execute();

describe('K-12 what billing tells changes what a customer may do', () => {
  it('a subscription makes a license, and the next answer knows it', async () => {
    const one = await subscriber();
    expect((await entitlement(server, 'export', one.customer)).body.hasAccess).toBe(false);
    expect(await tell(one.said(START, { items: [item('price_pro', 2), item('price_seat', 3)] }))).toBe(
      'applied',
    );
    expect(await one.licenses()).toMatchObject([
      {
        plan: 'pro',
        planVersion: 0,
        quantity: 2,
        kind: 'paid',
        status: 'active',
        endsAt: null,
        addons: [{ addon: 'seat', quantity: 3 }],
      },
    ]);
    expect((await entitlement(server, 'export', one.customer)).body.hasAccess).toBe(true);
  });

  it('the audit names the provider, the event and the connection', async () => {
    const one = await subscriber();
    await tell(one.said(START));
    const [license] = await one.licenses();
    const [entry] = await auditOf(server, license.id);
    expect(entry).toMatchObject({
      action: 'license.create',
      actor: { kind: 'billing', id: `stripe:evt_${one.id}_${START}_1`, onBehalfOf: 'main' },
    });
    expect(entry?.reason).toMatch(/customer\.subscription\.updated.*`main`/);
  });

  it('told again, it writes nothing: no version, no audit entry', async () => {
    const one = await subscriber();
    await tell(one.said(START));
    const before = await one.licenses();
    for (let again = 0; again < 3; again += 1) await tell(one.said(START));
    expect(await one.licenses()).toEqual(before);
    expect(await auditOf(server, before[0].id)).toHaveLength(1);
  });

  it('a change of plan is a change of the license, which remembers the plan before', async () => {
    const one = await subscriber();
    await tell(one.said(START));
    await tell(one.said(START + DAY, { items: [item('price_team')] }));
    const [license, ...more] = await one.licenses();
    expect(more).toEqual([]);
    expect(license).toMatchObject({
      plan: 'team',
      version: 2,
      earlierPlans: [{ plan: 'pro', planVersion: 0 }],
    });
  });

  it('past due keeps its rights for the grace, canceled ends, and nothing comes back after', async () => {
    const now = Date.now();
    const one = await subscriber();
    await tell(one.said(now - 2 * DAY, { status: 'past_due' }));
    expect(await one.licenses()).toMatchObject([
      { status: 'past_due', graceEndsAt: new Date(now + 3 * DAY).toISOString() },
    ]);
    expect((await entitlement(server, 'export', one.customer)).body.hasAccess).toBe(true);
    await tell(one.said(now - DAY, { status: 'canceled', endedAt: now - DAY }, 3));
    expect(await one.licenses()).toMatchObject([
      { status: 'ended', endsAt: new Date(now - DAY).toISOString() },
    ]);
    expect((await entitlement(server, 'export', one.customer)).body.hasAccess).toBe(false);
    await tell(one.said(now, { status: 'active' }));
    expect(await one.licenses()).toMatchObject([{ status: 'ended' }]);
  });

  it('a schedule is told as the next plan, and leaves when it is released', async () => {
    const one = await subscriber();
    const at = Date.now() + 10 * DAY;
    const plan = (
      mark: number,
      phases: readonly { startsAt: number; items: BillingItem[] }[],
    ): BillingNews => ({
      kind: 'schedule',
      mark: { at: mark, rank: 1, id: `evt_s${mark}` },
      customer: `cus_${one.id}`,
      subscription: one.id,
      phases,
    });
    // The schedule may come first.
    await tell(plan(START, [{ startsAt: at, items: [item('price_team')] }]));
    await tell(one.said(START));
    expect(await one.licenses()).toMatchObject([
      { plan: 'pro', nextPlan: { plan: 'team', at: new Date(at).toISOString(), usage: 'carry' } },
    ]);
    await tell(plan(START + DAY, []));
    expect(await one.licenses()).toMatchObject([{ plan: 'pro', nextPlan: null }]);
  });

  it('an item that is not mapped is listed, once, and the license stays', async () => {
    const one = await subscriber();
    await tell(one.said(START));
    await tell(one.said(START + DAY, { items: [item('price_new')] }));
    expect(await one.licenses()).toMatchObject([{ plan: 'pro', status: 'active' }]);
    const [problem, ...more] = await problems(one.id);
    expect(more).toEqual([]);
    expect(problem).toMatchObject({ code: 'NOT_MAPPED' });
    expect(JSON.parse(problem?.item ?? '')).toMatchObject({ price: 'price_new' });
    await tell(one.said(START + 2 * DAY, { items: [item('price_new')], cancelAt: Date.now() + DAY }));
    expect((await problems(one.id)).map(({ since }) => since)).toEqual([problem?.since]);
    await tell(one.said(START + 3 * DAY, { items: [item('price_team')] }));
    expect(await problems(one.id)).toEqual([]);
    expect(await one.licenses()).toMatchObject([{ plan: 'team', status: 'active', endsAt: null }]);
  });

  it('whose customer is not known waits and is listed, and goes through once it is linked', async () => {
    const one = await subscriber(null);
    expect(await tell(one.said(START))).toBe('unlinked');
    expect(await problems(one.id)).toMatchObject([{ code: 'CUSTOMER_NOT_LINKED', name: `cus_${one.id}` }]);
    await call('PUT', '/customers/late', {});
    const link = { kind: 'link', customer: `cus_${one.id}`, customerKey: 'late' } as const;
    expect(await tell(link)).toBe('applied');
    expect((await call('GET', '/customers/late/licenses')).body.items).toMatchObject([{ plan: 'pro' }]);
    expect(await problems(one.id)).toEqual([]);
    // The first link stands.
    await call('PUT', '/customers/thief', {});
    await tell({ ...link, customerKey: 'thief' });
    expect((await call('GET', '/customers/thief/licenses')).body.items).toEqual([]);
  });

  it('test mode never reaches what is live', async () => {
    const one = await subscriber();
    await expect(tell(one.said(START, { isLive: false }))).rejects.toMatchObject({ code: 'BILLING_MODE' });
    expect(await one.licenses()).toEqual([]);
    const test = await connect('test-mode', false);
    await expect(tell(one.said(START), server, test)).rejects.toMatchObject({ code: 'BILLING_MODE' });
  });

  it('what people changed stays until billing says something else of the same thing', async () => {
    const one = await subscriber();
    await tell(one.said(START));
    const [license] = await one.licenses();
    const path = `/customers/${one.customer}/licenses/${license.id}`;
    const moved = await call(
      'PATCH',
      path,
      { planVersion: 1, addons: [{ addon: 'seat' }] },
      { 'if-match': '*' },
    );
    expect(moved.status, moved.text).toBe(200);
    await tell(one.said(START + DAY, { items: [item('price_pro', 4)] }));
    expect(await one.licenses()).toMatchObject([
      { planVersion: 1, quantity: 4, addons: [{ addon: 'seat' }] },
    ]);
    await tell(one.said(START + 2 * DAY, { items: [item('price_team', 4)] }));
    expect(await one.licenses()).toMatchObject([{ plan: 'team', addons: [{ addon: 'seat' }] }]);
  });

  it('add-ons of one subscription stack on the license of another, until it ends', async () => {
    const one = await subscriber();
    await tell(one.said(START));
    const two = await subscriber(one.customer);
    await tell(two.said(START, { items: [item('price_seat', 2)] }));
    expect(await one.licenses()).toMatchObject([{ plan: 'pro', addons: [{ addon: 'seat', quantity: 2 }] }]);
    await tell(two.said(START + DAY, { status: 'canceled', items: [item('price_seat', 2)] }, 3));
    expect(await one.licenses()).toMatchObject([{ plan: 'pro', addons: [] }]);
  });
});

describe('K-12 order, duplicates and two processes', () => {
  const STATUSES = ['trialing', 'active', 'past_due', 'unpaid', 'paused', 'incomplete'] as const;
  const step = fc.record({
    status: fc.constantFrom(...STATUSES),
    prices: fc.subarray(['price_pro', 'price_team', 'price_seat', 'price_new'], { minLength: 1 }),
    quantity: fc.integer({ min: 1, max: 3 }),
  });
  const history = fc.record({
    steps: fc.array(step, { minLength: 2, maxLength: 6 }),
    ends: fc.boolean(),
    order: fc.infiniteStream(fc.nat(1_000_000)),
  });

  it('40 histories end as the last that was told says, delivered shuffled and twice to two processes at once', async () => {
    await fc.assert(
      fc.asyncProperty(history, async ({ steps, ends, order }) => {
        const one = await subscriber();
        const events = steps.map(({ status, prices, quantity }, index) =>
          one.said(START + index * DAY, {
            status,
            items: prices.map((price) => item(price, quantity)),
            trialEndsAt: status === 'trialing' ? START + 900 * DAY : null,
          }),
        );
        const last = START + steps.length * DAY;
        if (ends) events.push(one.said(last, { status: 'canceled', endedAt: last }, 3));
        const keys = [...order.take(events.length * 2)];
        const deliveries = [...events, ...events]
          .map((news, index) => ({ news, key: keys[index] ?? 0 }))
          .sort((left, right) => left.key - right.key);
        await Promise.all(deliveries.map(({ news, key }) => tell(news, key % 2 === 0 ? server : other)));
        // The same, told once to somebody else and in order after the same beginning: the newest alone decides.
        const found = await one.licenses();
        const live = found.filter(({ status }: { status: string }) => status !== 'ended');
        const final = steps.at(-1);
        const plans = final?.prices.filter((price) => price === 'price_pro' || price === 'price_team') ?? [];
        if (ends) expect(live).toEqual([]);
        else if (!final?.prices.includes('price_new') && final?.status !== 'incomplete') {
          expect(live.map(({ plan }: { plan: string }) => `price_${plan}`).sort()).toEqual([...plans].sort());
          for (const { quantity } of live) expect(quantity).toBe(final?.quantity);
        }
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});

describe('K-12 erasing a customer', () => {
  it('leaves nothing of what a provider told of it', async () => {
    const one = await subscriber();
    await tell(one.said(START, { items: [item('price_pro'), item('price_new')] }));
    const erased = await call('POST', `/customers/${one.customer}/erase`, {}, { 'if-match': '*' });
    expect(erased.status, erased.text).toBe(200);
    const { kysely } = server.parts.database;
    for (const table of ['billing_subscription', 'billing_problem', 'billing_license'] as const) {
      const rows = await kysely.selectFrom(table).selectAll().where('subscription', '=', one.id).execute();
      expect(rows, table).toEqual([]);
    }
    // Told again, it is nobody's.
    expect(await tell(one.said(START + DAY))).toBe('unlinked');
  });
});
