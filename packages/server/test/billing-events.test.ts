import { linkAgain } from '@pennon/server/service/billing/decide-again';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditOf, type Call, caller } from './contracts-support.js';
import { entitlement } from './runtime-support.js';

const governed = 'owner: a@example.com, purpose: A test, removal: permanent';
const CATALOG = `
product: { key: test, name: Test, defaultPlan: free, pastDueGraceDays: 7 }
features:
  - { key: seats, type: limit, category: limit, ${governed} }
  - { key: export, type: boolean, category: subscription, ${governed} }
plans:
  - { key: free, rank: 0, entitlements: [{ feature: seats, value: 1 }] }
  - { key: pro, rank: 1, entitlements: [{ feature: seats, value: 5 }, { feature: export, value: true }] }
  - { key: enterprise, rank: 2, entitlements: [{ feature: seats, value: 100 }, { feature: export, value: true }] }
addons:
  - { key: seat, entitlements: [{ feature: seats, add: 1 }] }
billing:
  - { key: chargebee, items: [{ price: pro-monthly, plan: pro }], plans: [{ plan: pro, access: { past_due: none } }] }
`;
const STARTS = '2026-01-01T00:00:00.000Z';

let server: TestServer;
let other: TestServer;
let call: Call;
beforeAll(async () => {
  server = await startTestServer({ catalog: CATALOG });
  other = await startTestServer({ databaseUrl: server.databaseUrl });
  call = caller(server);
  for (const key of ['contracts', 'chargebee']) {
    const made = await call('POST', '/billing-connections', { key, provider: 'api', mode: 'live' });
    expect(made.status, made.text).toBe(201);
  }
});
afterAll(async () => {
  await other.stop();
  await server.stop();
});

let count = 0;
async function customer(): Promise<string> {
  count += 1;
  await call('PUT', `/customers/customer-${count}`, {});
  return `customer-${count}`;
}

const ENTERPRISE = { plan: 'enterprise', addons: [{ addon: 'seat', quantity: 20 }] };

function tell(body: Record<string, unknown>, from: Call = call) {
  return from('POST', '/billing/events', {
    connection: 'contracts',
    subscription: `contract of ${String(body.customer)}`,
    sequence: 1,
    status: 'active',
    startsAt: STARTS,
    items: [ENTERPRISE],
    ...body,
  });
}

const seats = async (key: string) => (await entitlement(server, 'seats', key)).body.limit.value;

describe('K-12 what is told over REST', () => {
  it('a contract that was signed by hand opens what it names before the call is answered', async () => {
    const key = await customer();
    const told = await tell({ customer: key, reason: 'Contract 2026-17 was signed.' });
    expect(told.status, told.text).toBe(200);
    expect(told.body).toMatchObject({
      outcome: 'applied',
      customer: key,
      problems: [],
      licenses: [{ plan: 'enterprise', status: 'active', addons: [{ addon: 'seat', quantity: 20 }] }],
    });
    expect(await seats(key)).toBe(120);
    const [entry] = await auditOf(server, told.body.licenses[0].id);
    expect(entry).toMatchObject({
      action: 'license.create',
      actor: { kind: 'billing', id: `api:contract of ${key}#1`, onBehalfOf: 'contracts' },
    });
    expect(entry?.reason).toMatch(/^Contract 2026-17 was signed\. \(told by admin-key/);
  });

  it('the greatest sequence counts, whatever the order; the same again changes nothing', async () => {
    const key = await customer();
    const plan = (sequence: number, name: string) =>
      tell({ customer: key, sequence, items: [{ plan: name }] });
    expect((await plan(7, 'pro')).body.outcome).toBe('applied');
    expect((await plan(3, 'enterprise')).body).toMatchObject({
      outcome: 'stale',
      licenses: [{ plan: 'pro' }],
    });
    expect((await plan(7, 'pro')).body).toMatchObject({ outcome: 'known', licenses: [{ version: 1 }] });
    const clash = await plan(7, 'enterprise');
    expect(clash).toMatchObject({ status: 409, body: { code: 'BILLING_SEQUENCE_USED' } });
    expect((await plan(9007199254740991, 'enterprise')).body).toMatchObject({
      outcome: 'applied',
      licenses: [{ plan: 'enterprise', version: 2 }],
    });
    expect((await call('GET', `/customers/${key}/licenses`)).body.items).toHaveLength(1);
  });

  it('what is canceled never comes back, whatever is told of it later', async () => {
    const key = await customer();
    await tell({ customer: key, sequence: 1 });
    const over = await tell({
      customer: key,
      sequence: 2,
      status: 'canceled',
      endedAt: '2026-06-01T00:00:00Z',
    });
    expect(over.body.licenses).toMatchObject([{ status: 'ended', endsAt: '2026-06-01T00:00:00.000Z' }]);
    expect((await tell({ customer: key, sequence: 3 })).body.outcome).toBe('stale');
    expect(await seats(key)).toBe(1);
  });

  it('names that the catalog maps, quantities, trials and planned changes', async () => {
    const key = await customer();
    const told = await tell({
      connection: 'chargebee',
      customer: key,
      status: 'trialing',
      trialEndsAt: '2100-01-01T00:00:00Z',
      items: [{ price: 'pro-monthly', quantity: 3 }],
      next: { at: '2100-03-01T00:00:00Z', items: [{ plan: 'enterprise', planVersion: 0 }] },
    });
    expect(told.body.licenses).toMatchObject([
      { plan: 'pro', kind: 'trial', status: 'trialing', quantity: 3, endsAt: '2100-01-01T01:00:00.000Z' },
    ]);
    const paid = await tell({
      connection: 'chargebee',
      customer: key,
      sequence: 2,
      items: [{ price: 'pro-monthly', quantity: 3 }],
      next: { at: '2100-03-01T00:00:00Z', items: [{ plan: 'enterprise', planVersion: 0 }] },
    });
    expect(paid.body.licenses).toMatchObject([
      {
        plan: 'pro',
        kind: 'paid',
        endsAt: null,
        nextPlan: { plan: 'enterprise', at: '2100-03-01T00:00:00.000Z', usage: 'carry' },
      },
    ]);
  });

  it('a payment that is late has the grace of its plan, counted from when it was said', async () => {
    const [byPlan, byDefault] = [await customer(), await customer()];
    const occurredAt = new Date(Date.now() - 3_600_000).toISOString();
    const late = { status: 'past_due', sequence: 5, occurredAt };
    const none = await tell({ ...late, customer: byPlan, items: [{ plan: 'pro' }], connection: 'chargebee' });
    expect(none.body.licenses).toMatchObject([{ status: 'paused' }]);
    expect(await seats(byPlan)).toBe(1);
    const grace = await tell({ ...late, customer: byDefault, items: [{ plan: 'pro' }] });
    const graceEndsAt = new Date(Date.parse(occurredAt) + 7 * 86_400_000).toISOString();
    expect(grace.body.licenses).toMatchObject([{ status: 'past_due', graceEndsAt }]);
    expect(await seats(byDefault)).toBe(5);
    const again = await tell({
      ...late,
      customer: byDefault,
      sequence: 6,
      occurredAt: new Date().toISOString(),
      items: [{ plan: 'pro' }],
    });
    expect(again.body.licenses).toMatchObject([{ graceEndsAt }]);
  });

  it('what means nothing is an item to resolve, and takes nothing away', async () => {
    const key = await customer();
    await tell({ customer: key, sequence: 1 });
    const told = await tell({ customer: key, sequence: 2, items: [{ price: 'nobody-knows' }] });
    expect(told.body).toMatchObject({
      outcome: 'applied',
      licenses: [{ plan: 'enterprise' }],
      problems: [{ code: 'NOT_MAPPED', isHeld: true, item: { price: 'nobody-knows' } }],
    });
    const unpublished = await tell({ customer: key, sequence: 3, items: [{ plan: 'platinum' }] });
    expect(unpublished.body.problems).toMatchObject([{ code: 'NOT_PUBLISHED', name: 'platinum@0' }]);
    expect(await seats(key)).toBe(120);
  });

  it.each([
    ['nobody', { customer: undefined }, 422, 'BILLING_CUSTOMER_MISSING'],
    ['a customer that is not there', { customer: 'nobody-here' }, 404, 'CUSTOMER_NOT_FOUND'],
    ['an item without a name', { items: [{ quantity: 2 }] }, 422, 'BILLING_ITEM_UNNAMED'],
    ['another product', { items: [{ product: 'nowhere', plan: 'pro' }] }, 404, 'PRODUCT_NOT_FOUND'],
    ['a day that does not exist', { startsAt: '2026-02-30T00:00:00Z' }, 400, 'TIME_INVALID'],
    ['a connection that is not there', { connection: 'nothing' }, 404, 'BILLING_CONNECTION_NOT_FOUND'],
    ['a sequence below nothing', { sequence: -1 }, 400, 'REQUEST_INVALID'],
    ['a member that nobody knows', { validFrom: STARTS }, 400, 'REQUEST_INVALID'],
  ])('refuses %s, and keeps nothing of it', async (_, wrong, status, code) => {
    const key = await customer();
    const told = await tell({ customer: key, subscription: `refused ${count}`, ...wrong });
    expect(told.status, told.text).toBe(status);
    if (code !== 'REQUEST_INVALID') expect(told.body.code).toBe(code);
    const kept = await server.parts.database.kysely
      .selectFrom('webhook_inbox')
      .select('id')
      .where('event_id', '=', `refused ${count}#1`)
      .execute();
    expect(kept).toEqual([]);
  });

  it('a connection of a provider that delivers by itself is not told here', async () => {
    await call('POST', '/billing-connections', {
      key: 'paddle',
      provider: 'paddle',
      mode: 'live',
      secret: 'pdl_secret',
    });
    const told = await tell({ customer: await customer(), connection: 'paddle' });
    expect(told).toMatchObject({ status: 422, body: { code: 'BILLING_PROVIDER' } });
  });

  it('erasing the customer leaves nothing of what was told', async () => {
    const key = await customer();
    await tell({ customer: key, subscription: 'to be erased', sequence: 1 });
    const { kysely } = server.parts.database;
    const kept = () =>
      kysely.selectFrom('webhook_inbox').select('body').where('event_id', '=', 'to be erased#1').execute();
    expect(await kept()).toHaveLength(1);
    const erased = await call('POST', `/customers/${key}/erase`, {}, { 'if-match': '*' });
    expect(erased.status, erased.text).toBe(200);
    expect(await kept()).toEqual([]);
    for (const table of ['billing_subscription', 'billing_customer'] as const) {
      expect(await kysely.selectFrom(table).select('customer').where('customer', '=', key).execute()).toEqual(
        [],
      );
    }
  });

  it('a contract that is told of as another customer’s is theirs, whatever the order, and nobody has it twice', async () => {
    const [first, second] = [await customer(), await customer()];
    const of = (key: string, sequence: number) =>
      tell({ customer: key, subscription: `moved ${first}`, sequence });
    await of(first, 1);
    expect([await seats(first), await seats(second)]).toEqual([120, 1]);
    expect((await of(second, 3)).body).toMatchObject({ outcome: 'applied', customer: second });
    expect([await seats(first), await seats(second)]).toEqual([1, 120]);
    expect((await of(first, 2)).body.outcome).toBe('stale');
    expect([await seats(first), await seats(second)]).toEqual([1, 120]);
    const [late, now] = [await customer(), await customer()];
    await tell({ customer: now, subscription: `late ${now}`, sequence: 2 });
    await tell({ customer: late, subscription: `late ${now}`, sequence: 1 });
    // The name of the one it was before is linked to nobody else.
    const own = await tell({ customer: late, subscription: `own ${late}` });
    expect(own.body).toMatchObject({ outcome: 'applied', customer: late });
  });

  it('one contract that is told of as two customers’ at once ends with the greatest sequence', async () => {
    const keys = [await customer(), await customer()];
    const calls = [call, caller(other)];
    const told = await Promise.all(
      Array.from({ length: 10 }, (_, index) => {
        const sequence = ((index * 7) % 10) + 1;
        const body = { customer: keys[sequence % 2], subscription: `torn ${keys[0]}`, sequence };
        return tell(body, calls[index % 2] ?? call);
      }),
    );
    expect(told.map(({ status }) => status)).toEqual(told.map(() => 200));
    expect(await Promise.all(keys.map((key) => seats(key)))).toEqual([120, 1]);
  });

  it('two processes that are told at once end in the greatest sequence', async () => {
    const key = await customer();
    const calls = [call, caller(other)];
    const told = await Promise.all(
      Array.from({ length: 12 }, (_, index) => {
        const sequence = ((index * 7) % 12) + 1;
        const from = calls[index % 2] ?? call;
        return tell({ customer: key, sequence, items: [{ plan: 'pro', quantity: sequence }] }, from);
      }),
    );
    expect(told.map(({ status }) => status)).toEqual(told.map(() => 200));
    expect((await call('GET', `/customers/${key}/licenses`)).body.items).toMatchObject([{ quantity: 12 }]);
  });
});

describe('K-12 whose a customer of the provider is', () => {
  const link = (theirs: string, key: string) =>
    call('PUT', `/billing-connections/contracts/customers/${encodeURIComponent(theirs)}`, { customer: key });

  it('is said over REST, before anything is told or after', async () => {
    const [early, late] = [await customer(), await customer()];
    expect(await link('crm-1', early)).toMatchObject({
      status: 201,
      body: { connection: 'contracts', billingCustomer: 'crm-1', customer: early },
    });
    const told = await tell({ billingCustomer: 'crm-1', subscription: 'early' });
    expect(told.body).toMatchObject({ outcome: 'applied', customer: early });
    const waiting = await tell({ billingCustomer: 'crm-2', subscription: 'late' });
    expect(waiting.body).toMatchObject({
      outcome: 'unlinked',
      customer: null,
      problems: [{ code: 'CUSTOMER_NOT_LINKED', name: 'crm-2' }],
    });
    await link('crm-2', late);
    expect(await seats(late)).toBe(120);
    const problems = (await call('GET', '/billing-problems')).body.items;
    expect(problems.filter(({ name }: { name: string }) => name === 'crm-2')).toEqual([]);
    const listed = (await call('GET', '/billing-connections/contracts/customers')).body.items;
    expect(listed).toEqual(expect.arrayContaining([expect.objectContaining({ billingCustomer: 'crm-2' })]));
  });

  it('another one takes over what it bought, and the one before loses it', async () => {
    const [before, after] = [await customer(), await customer()];
    await link('crm-3', before);
    await tell({ billingCustomer: 'crm-3', subscription: 'moving' });
    expect([await seats(before), await seats(after)]).toEqual([120, 1]);
    expect((await link('crm-3', after)).status).toBe(200);
    expect([await seats(before), await seats(after)]).toEqual([1, 120]);
    expect((await link('crm-3', after)).status).toBe(200);
    expect((await link('crm-3', 'nobody-here')).body.code).toBe('CUSTOMER_NOT_FOUND');
  });

  it('a customer that is made after a provider named it has what it bought', async () => {
    const { connectionId, environmentId } = await stripe();
    const now = new Date();
    const subscription = {
      id: 'sub_named',
      customer: 'cus_named',
      customerKey: 'comes-later',
      status: 'active',
      items: [
        {
          id: null,
          price: 'pro-monthly',
          lookupKey: null,
          product: null,
          quantity: 1,
          periodStart: null,
          periodEnd: null,
        },
      ],
      startedAt: 0,
      anchorAt: null,
      trialEndsAt: null,
      cancelAt: null,
      endedAt: null,
      collectionResumesAt: null,
      isLive: true,
    };
    const record = JSON.stringify({
      latest: { mark: { at: 1, rank: 1, id: 'e' }, subscription },
      schedule: null,
      sightings: [],
    });
    const { kysely } = server.parts.database;
    const common = { connection_id: connectionId, subscription: 'sub_named', environment_id: environmentId };
    await kysely
      .insertInto('billing_subscription')
      .values({ ...common, customer: 'cus_named', record, again_at: null, version: 1, updated_at: now })
      .execute();
    await kysely
      .insertInto('billing_problem')
      .values({
        ...common,
        number: 0,
        code: 'CUSTOMER_NOT_LINKED',
        product: null,
        name: 'cus_named',
        item: null,
        is_held: true,
        since: now,
      })
      .execute();
    const services = {
      ...server.parts.management,
      onProblem: (_: string, error: unknown) => {
        throw error;
      },
    };
    await linkAgain(services);
    await call('PUT', '/customers/comes-later', {});
    await linkAgain(services);
    expect(await seats('comes-later')).toBe(5);
  });

  async function stripe() {
    const { kysely } = server.parts.database;
    const { id, environment_id } = await kysely
      .selectFrom('billing_connection')
      .selectAll()
      .where('key', '=', 'chargebee')
      .executeTakeFirstOrThrow();
    return { connectionId: id, environmentId: environment_id };
  }
});
