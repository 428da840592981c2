import { randomUUID } from 'node:crypto';
import { LIMITS } from '@pennon/engine/model/limits';
import { type CustomerStatesOptions, createCustomerStates } from '@pennon/server/service/customer-states';
import type { ChangeNotice, CustomerLookup, CustomerLookupResult } from '@pennon/server/service/ports';
import { ServiceError } from '@pennon/server/service/service-error';
import { createCustomerFactsStore } from '@pennon/server/store/customer-facts';
import { type Database, openDatabase } from '@pennon/server/store/database';
import { migrate } from '@pennon/server/store/migrate';
import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

let testDatabase: TestDatabase;
let database: Database;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  await migrate(testDatabase.url);
  database = openDatabase({ connectionString: testDatabase.url });
});

afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

/** An environment and a product of its own for every test. */
async function world(options: Partial<CustomerStatesOptions> = {}) {
  const environmentId = randomUUID();
  const productId = randomUUID();
  const now = new Date();
  const suffix = environmentId.slice(0, 8);
  await database.kysely
    .insertInto('environment')
    .values({
      id: environmentId,
      key: `e-${suffix}`,
      name: 'E',
      protected: false,
      version: 1,
      created_at: now,
    })
    .execute();
  await database.kysely
    .insertInto('product')
    .values({ id: productId, key: `p-${suffix}`, name: 'P', head_revision: 0, version: 1, created_at: now })
    .execute();
  const statements: string[] = [];
  let delayMilliseconds = 0;
  let broken = false;
  const pool = {
    query: async (config: { name: string; text: string }) => {
      statements.push(config.name);
      if (broken) throw new Error('Connection terminated unexpectedly');
      const result = await database.pool.query(config);
      if (delayMilliseconds > 0) await new Promise((resolve) => setTimeout(resolve, delayMilliseconds));
      return result;
    },
  };
  const listeners: ((notice: ChangeNotice) => void | Promise<void>)[] = [];
  const resets: (() => void | Promise<void>)[] = [];
  let time = 0;
  const states = createCustomerStates({
    store: createCustomerFactsStore(pool as never),
    changes: {
      subscribe: (listener) => void listeners.push(listener),
      subscribeToReset: (listener) => void resets.push(listener),
    },
    deadlineMilliseconds: 5000,
    monotonic: () => performance.now() + time,
    ...options,
  });
  return {
    environmentId,
    productId,
    productKey: `p-${suffix}`,
    states,
    statements,
    delay: (milliseconds: number) => {
      delayMilliseconds = milliseconds;
    },
    breakDatabase: (value: boolean) => {
      broken = value;
    },
    pass: (milliseconds: number) => {
      time += milliseconds;
    },
    announce: async (notice: ChangeNotice) => {
      for (const listener of listeners) await listener(notice);
    },
    reset: async () => {
      for (const listener of resets) await listener();
    },
    ask: (named: Partial<CustomerLookup>) =>
      states.lookup({
        environmentId,
        productId,
        customerKeys: [],
        instanceRef: null,
        userKeys: [],
        teamKey: null,
        ...named,
      }),
  };
}
type World = Awaited<ReturnType<typeof world>>;

async function addCustomer(at: World, key: string, version = 1): Promise<string> {
  const id = randomUUID();
  await database.kysely
    .insertInto('customer')
    .values({
      id,
      environment_id: at.environmentId,
      key,
      external_id: null,
      name: null,
      email: null,
      time_zone: 'Europe/Berlin',
      attributes: JSON.stringify({ industry: 'ships' }),
      version,
      created_at: new Date('2027-01-01T00:00:00.123Z'),
      archived_at: null,
    })
    .execute();
  return id;
}

async function addLicense(at: World, customerId: string, plan: string, endsAt: Date | null = null) {
  await database.kysely
    .insertInto('license')
    .values({
      customer_id: customerId,
      id: randomUUID(),
      environment_id: at.environmentId,
      product_id: at.productId,
      plan_key: plan,
      plan_version: 0,
      quantity: 1,
      kind: 'paid',
      status: 'active',
      starts_at: new Date('2025-01-01T00:00:00Z'),
      ends_at: endsAt,
      grace_ends_at: null,
      anchor: '2025-01-01T00:00:00[UTC]',
      time_zone: null,
      sku: null,
      contract_reference: null,
      addons: JSON.stringify([{ addon: 'minutes-pack', version: 0, quantity: 2 }]),
      version: 1,
      created_at: new Date(),
    })
    .execute();
}

async function addGrant(
  at: World,
  kind: 'user' | 'instance' | 'customer' | 'group' | 'segment',
  key: string,
) {
  const id = randomUUID();
  await database.kysely
    .insertInto('access_grant')
    .values({
      id,
      environment_id: at.environmentId,
      product_id: at.productId,
      target_kind: kind,
      target_key: key,
      kind: 'demo',
      effect: JSON.stringify({ type: 'set', feature: 'advanced-analytics', value: true }),
      starts_at: new Date('2026-01-01T00:00:00Z'),
      ends_at: null,
      reason: 'a demo',
      owner: null,
      contract_reference: null,
      source: null,
      revoked_at: null,
      revoke_reason: null,
      version: 1,
      created_at: new Date(),
    })
    .execute();
  return id;
}

async function addMember(
  at: World,
  kind: 'customer' | 'team' | 'user' | 'instance',
  key: string,
  container: 'group' | 'segment',
  containerKey: string,
) {
  await database.kysely
    .insertInto('membership')
    .values({
      environment_id: at.environmentId,
      member_kind: kind,
      member_key: key,
      product_id: at.productId,
      container_kind: container,
      container_key: containerKey,
      id: randomUUID(),
      starts_at: new Date('2026-01-01T00:00:00Z'),
      ends_at: null,
      reason: 'demo',
      version: 1,
      created_at: new Date(),
    })
    .execute();
}

async function addUser(at: World, customerId: string, key: string) {
  await database.kysely
    .insertInto('customer_user')
    .values({
      id: randomUUID(),
      customer_id: customerId,
      key,
      environment_id: at.environmentId,
      name: null,
      email: null,
      attributes: '{}',
      version: 1,
      created_at: new Date(),
    })
    .execute();
}

async function addInstance(at: World, customerId: string, key: string) {
  const id = randomUUID();
  await database.kysely
    .insertInto('instance')
    .values({
      customer_id: customerId,
      id,
      environment_id: at.environmentId,
      key,
      name: null,
      metadata: JSON.stringify({ region: 'eu' }),
      version: 1,
      created_at: new Date(),
    })
    .execute();
  return id;
}

async function setBalance(at: World, customerId: string, scope: string, used: number) {
  await database.pool.query(
    `insert into account (customer_id, product_id, feature, scope, environment_id, period_start, period_end, used, reserved, updated_at)
     values ($1, $2, 'calling-minutes', $3, $4, '2027-01-01T00:00:00Z', '2027-02-01T00:00:00Z', $5, 0, now())
     on conflict (customer_id, product_id, scope, feature) do update set used = excluded.used`,
    [customerId, at.productId, scope, at.environmentId, used],
  );
}

function now(result: CustomerLookupResult | Promise<CustomerLookupResult>): CustomerLookupResult {
  if (result instanceof Promise) throw new Error('The look-up went to the store.');
  return result;
}

function isCold(result: CustomerLookupResult | Promise<CustomerLookupResult>): boolean {
  if (result instanceof Promise) void result.catch(() => undefined);
  return result instanceof Promise;
}

async function untilTrue(check: () => boolean): Promise<void> {
  for (let waited = 0; waited < 3000; waited += 10) {
    if (check()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('It did not become true.');
}

describe('a cold look-up', () => {
  it('reads everything that an evaluation needs with exactly one statement, and the next costs none', async () => {
    const at = await world();
    const acme = await addCustomer(at, 'acme', 7);
    await addLicense(at, acme, 'pro');
    const instanceId = await addInstance(at, acme, 'acme-eu');
    await addUser(at, acme, 'ada');
    await addMember(at, 'customer', 'acme', 'group', 'beta');
    await addMember(at, 'customer', 'acme', 'segment', 'currently-demoing');
    await addMember(at, 'user', 'ada', 'segment', 'staff');
    await addMember(at, 'team', 'sales', 'segment', 'currently-demoing');
    await addMember(at, 'instance', 'acme-eu', 'segment', 'eu');
    const grants = [
      await addGrant(at, 'customer', 'acme'),
      await addGrant(at, 'user', 'ada'),
      await addGrant(at, 'instance', 'acme-eu'),
      await addGrant(at, 'group', 'beta'),
      await addGrant(at, 'segment', 'currently-demoing'),
    ];
    await addGrant(at, 'customer', 'somebody-else');
    await setBalance(at, acme, '', 12);
    await setBalance(at, acme, 'ada', 3);
    await setBalance(at, acme, 'acme-eu', 4);
    await setBalance(at, acme, 'someone', 5);

    const ask = () =>
      at.ask({
        customerKeys: ['sales', 'ada'],
        instanceRef: instanceId,
        userKeys: ['ada'],
        teamKey: 'sales',
      });
    const cold = ask();
    expect(cold).toBeInstanceOf(Promise);
    const result = await cold;
    expect(at.statements).toEqual(['customer-facts']);

    expect(result.instance).toEqual({
      id: instanceId,
      key: 'acme-eu',
      customerKey: 'acme',
      metadata: { region: 'eu' },
    });
    expect([...result.customersOfUsers]).toEqual([['ada', ['acme']]]);
    expect([...result.customers.keys()]).toEqual(['acme']);
    const state = result.stateOf('acme');
    expect(state).toMatchObject({
      id: acme,
      key: 'acme',
      version: 7,
      createdAt: Date.parse('2027-01-01T00:00:00.123Z'),
      timeZone: 'Europe/Berlin',
      attributes: { industry: 'ships' },
      groups: [{ group: 'beta', startsAt: Date.parse('2026-01-01T00:00:00Z'), endsAt: null }],
    });
    expect(state.licenses).toEqual([
      expect.objectContaining({
        product: at.productKey,
        plan: 'pro',
        planVersion: 0,
        addons: [{ addon: 'minutes-pack', version: 0, quantity: 2 }],
        startsAt: Date.parse('2025-01-01T00:00:00Z'),
        endsAt: null,
      }),
    ]);
    expect(state.memberships.map((one) => `${one.member.kind} ${one.segment}`).sort()).toEqual([
      'customer currently-demoing',
      'instance eu',
      'team currently-demoing',
      'user staff',
    ]);
    expect(state.grants.map((grant) => grant.id).sort()).toEqual([...grants].sort());
    expect(state.accounts.map((account) => [account.scope, account.used])).toEqual([
      ['', 12],
      ['ada', 3],
      ['acme-eu', 4],
    ]);

    expect(now(ask()).stateOf('acme')).toBe(state);
    expect(now(at.ask({ instanceRef: 'acme-eu' })).stateOf('acme').id).toBe(acme);
    expect(at.statements).toHaveLength(1);
    at.states.stop();
  });

  it('keeps the state of a customer that nobody registered, with what names it all the same', async () => {
    const at = await world();
    await addGrant(at, 'customer', 'ghost');
    await addMember(at, 'customer', 'ghost', 'group', 'beta');
    const result = await at.ask({ customerKeys: ['ghost'] });
    expect(result.customers.size).toBe(0);
    expect(result.stateOf('ghost')).toMatchObject({ id: null, version: 0, createdAt: null, licenses: [] });
    expect(result.stateOf('ghost').grants).toHaveLength(1);
    expect(result.stateOf('ghost').groups).toHaveLength(1);
    expect(now(at.ask({ customerKeys: ['ghost'] })).customers.size).toBe(0);
  });

  it('is one statement for many who ask for the same at once', async () => {
    const at = await world();
    await addCustomer(at, 'acme');
    at.delay(20);
    const results = await Promise.all(
      Array.from({ length: 200 }, () =>
        at.ask({ customerKeys: ['acme'], userKeys: ['ada'], teamKey: 'acme' }),
      ),
    );
    expect(new Set(results.map((result) => result.stateOf('acme'))).size).toBe(1);
    expect(at.statements).toHaveLength(1);
  });

  it('is few statements for many users of one customer, balances of each included', async () => {
    const at = await world();
    const acme = await addCustomer(at, 'acme');
    for (let index = 0; index < 20; index += 1) await setBalance(at, acme, `user-${index}`, index + 1);
    at.delay(20);
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        at.ask({ customerKeys: ['acme'], userKeys: [`user-${index}`] }),
      ),
    );
    expect(at.statements).toHaveLength(LIMITS.coldStatements.value + 1);
    expect(results.map((result) => result.stateOf('acme').accounts.map((account) => account.used))).toEqual(
      Array.from({ length: 20 }, (_, index) => [index + 1]),
    );
    await at.ask({ customerKeys: ['acme'], userKeys: ['late'] });
    expect(at.statements).toHaveLength(LIMITS.coldStatements.value + 2);
  });

  it('answers what a user belongs to, and does not read every customer of one who belongs to many', async () => {
    const at = await world();
    for (const key of ['a', 'b']) await addUser(at, await addCustomer(at, key), 'ada');
    const result = await at.ask({ userKeys: ['ada'] });
    expect(result.customersOfUsers.get('ada')).toEqual(['a', 'b']);
    expect(result.customers.size).toBe(0);
    const named = await at.ask({ userKeys: ['ada'], customerKeys: ['b'] });
    expect([...named.customers.keys()]).toEqual(['b']);
  });

  it('gives an instance by its key before one by its id', async () => {
    const at = await world();
    const acme = await addCustomer(at, 'acme');
    const other = await addCustomer(at, 'other');
    const id = await addInstance(at, acme, 'one');
    await addInstance(at, other, id);
    expect((await at.ask({ instanceRef: id })).instance?.customerKey).toBe('other');
    expect(now(at.ask({ instanceRef: id })).instance?.customerKey).toBe('other');
  });

  it('never asks for a key that could not be stored, and never remembers it', async () => {
    const at = await world();
    await at.ask({});
    const before = at.states.statistics();
    for (const key of ['', 'x'.repeat(129), 'a\u0000b', '\ud800']) {
      const result = now(at.ask({ customerKeys: [key], userKeys: [key], teamKey: key, instanceRef: key }));
      expect(result.customers.size).toBe(0);
      expect(result.stateOf(key).id).toBeNull();
    }
    expect(at.states.statistics()).toEqual(before);
  });

  it('leaves what ended long ago in the store, but the last ended licenses', async () => {
    const at = await world();
    const acme = await addCustomer(at, 'acme');
    for (let year = 2010; year < 2026; year += 1) {
      await addLicense(at, acme, 'pro', new Date(Date.UTC(Math.max(year, 2025), 3, year - 2009)));
    }
    const { licenses } = (await at.ask({ customerKeys: ['acme'] })).stateOf('acme');
    expect(licenses).toHaveLength(5);
  });

  it('gives an archived customer nothing that it had', async () => {
    const at = await world();
    const acme = await addCustomer(at, 'acme');
    await addLicense(at, acme, 'pro');
    await addGrant(at, 'customer', 'acme');
    await database.kysely
      .updateTable('customer')
      .set({ archived_at: new Date() })
      .where('id', '=', acme)
      .execute();
    const state = (await at.ask({ customerKeys: ['acme'] })).stateOf('acme');
    expect(state).toMatchObject({ id: acme, licenses: [], grants: [], groups: [], memberships: [] });
  });

  it('law 11: reads nothing of another environment or product', async () => {
    const [here, there] = [await world(), await world()];
    const acme = await addCustomer(there, 'acme');
    await addLicense(there, acme, 'pro');
    await addGrant(there, 'customer', 'acme');
    const instanceId = await addInstance(there, acme, 'one');
    const result = await here.ask({ customerKeys: ['acme'], instanceRef: instanceId });
    expect(result.customers.size).toBe(0);
    expect(result.instance).toBeNull();
    expect(result.stateOf('acme')).toMatchObject({ id: null, grants: [] });
    const otherProduct = await there.states.lookup({
      environmentId: there.environmentId,
      productId: here.productId,
      customerKeys: ['acme'],
      instanceRef: null,
      userKeys: [],
      teamKey: null,
    });
    expect(otherProduct.stateOf('acme')).toMatchObject({ id: acme, licenses: [], grants: [] });
  });
});

describe('freshness', () => {
  it('forgets exactly what a notice names', async () => {
    const at = await world();
    const { environmentId } = at;
    const acme = await addCustomer(at, 'acme');
    await addCustomer(at, 'other');
    const warm = async () => {
      await at.ask({
        customerKeys: ['acme', 'other', 'ghost'],
        userKeys: ['ada'],
        teamKey: 'sales',
        instanceRef: 'one',
      });
    };
    const named = {
      acme: { customerKeys: ['acme'] },
      other: { customerKeys: ['other'] },
      ghost: { customerKeys: ['ghost'] },
      user: { userKeys: ['ada'] },
      team: { teamKey: 'sales' },
      instance: { instanceRef: 'one' },
    };
    const coldNow = () =>
      Object.entries(named)
        .filter(([, lookup]) => isCold(at.ask(lookup)))
        .map(([name]) => name);
    const cases: [ChangeNotice, string[]][] = [
      [{ kind: 'customer', environmentId, customerKey: 'acme', version: 2 }, ['acme']],
      [{ kind: 'customer', environmentId, customerKey: 'ghost', version: 0 }, ['ghost']],
      [{ kind: 'subject', environmentId, subjectKind: 'user', subjectKey: 'ada' }, ['user']],
      [{ kind: 'subject', environmentId, subjectKind: 'team', subjectKey: 'sales' }, ['team']],
      [{ kind: 'subject', environmentId, subjectKind: 'instance', subjectKey: 'one' }, ['instance']],
      [{ kind: 'environment-customers', environmentId }, Object.keys(named)],
      [{ kind: 'customer', environmentId: randomUUID(), customerKey: 'acme', version: 2 }, []],
    ];
    for (const [notice, expected] of cases) {
      await warm();
      expect(coldNow()).toEqual([]);
      await at.announce(notice);
      expect(coldNow()).toEqual(expected);
      await warm();
    }
    await at.reset();
    expect(coldNow()).toEqual(Object.keys(named));
    await warm();

    // What is known to be that new already is not read again.
    await at.announce({ kind: 'customer', environmentId, customerKey: 'acme', version: 1 });
    expect(coldNow()).toEqual([]);
    await database.kysely.updateTable('customer').set({ version: 2 }).where('id', '=', acme).execute();
    await at.announce({ kind: 'customer', environmentId, customerKey: 'acme', version: 2 });
    expect((await at.ask({ customerKeys: ['acme'] })).stateOf('acme').version).toBe(2);
  });

  it('drops what an instance id leads to when the notice names its key', async () => {
    const at = await world();
    const acme = await addCustomer(at, 'acme');
    const id = await addInstance(at, acme, 'one');
    await at.ask({ instanceRef: id });
    await addGrant(at, 'instance', 'one');
    await at.announce({
      kind: 'subject',
      environmentId: at.environmentId,
      subjectKind: 'instance',
      subjectKey: 'one',
    });
    expect((await at.ask({ instanceRef: id })).stateOf('acme').grants).toHaveLength(1);
    await database.kysely.deleteFrom('instance').where('id', '=', id).execute();
    await at.announce({
      kind: 'subject',
      environmentId: at.environmentId,
      subjectKind: 'instance',
      subjectKey: 'one',
    });
    expect((await at.ask({ instanceRef: id })).instance).toBeNull();
    expect(now(at.ask({ instanceRef: id })).instance).toBeNull();
  });

  it.each(['customer', 'user'] as const)(
    'a load that began before a change never brings the old state back (asked by %s)',
    async (by) => {
      const at = await world();
      const acme = await addCustomer(at, 'acme');
      await addUser(at, acme, 'ada');
      const named = by === 'customer' ? { customerKeys: ['acme'] } : { userKeys: ['ada'] };
      at.delay(100);
      const slow = at.ask(named);
      await new Promise((resolve) => setTimeout(resolve, 50));
      await database.kysely.updateTable('customer').set({ version: 9 }).where('id', '=', acme).execute();
      await at.announce({
        kind: 'customer',
        environmentId: at.environmentId,
        customerKey: 'acme',
        version: 9,
      });
      // Whoever asks after the change does not join the load from before it.
      const after = at.ask(named);
      expect((await slow).stateOf('acme').version).toBe(1);
      expect((await after).stateOf('acme').version).toBe(9);
      at.delay(0);
      expect((await at.ask({ customerKeys: ['acme'] })).stateOf('acme').version).toBe(9);
    },
  );

  it('waits for a version with one statement, and refuses one that the store does not have', async () => {
    const at = await world();
    const acme = await addCustomer(at, 'acme');
    await at.ask({ customerKeys: ['acme'] });
    await at.states.atLeast(at.environmentId, 'acme', 1, 1000);
    expect(at.statements).toEqual(['customer-facts']);
    await database.kysely.updateTable('customer').set({ version: 2 }).where('id', '=', acme).execute();
    await at.states.atLeast(at.environmentId, 'acme', 2, 1000);
    expect((await at.ask({ customerKeys: ['acme'] })).stateOf('acme').version).toBe(2);
    await expect(at.states.atLeast(at.environmentId, 'acme', 3, 1000)).rejects.toMatchObject({
      kind: 'unavailable',
    });
  });
});

describe('law 1: with the store away', () => {
  it('answers whom it knows, and refuses whom it does not, typed, without remembering anything', async () => {
    const at = await world();
    await addCustomer(at, 'acme');
    await addCustomer(at, 'other');
    await at.ask({ customerKeys: ['acme'] });
    at.breakDatabase(true);
    expect(now(at.ask({ customerKeys: ['acme'] })).stateOf('acme').key).toBe('acme');
    const failure = await Promise.resolve(at.ask({ customerKeys: ['other'] })).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(ServiceError);
    expect(failure).toMatchObject({ kind: 'unavailable', code: 'CUSTOMER_STATE_UNAVAILABLE' });
    at.breakDatabase(false);
    expect((await at.ask({ customerKeys: ['other'] })).customers.size).toBe(1);
  });

  it('gives up at the deadline, and uses what arrives later', async () => {
    const at = await world({ deadlineMilliseconds: 30 });
    await addCustomer(at, 'acme');
    at.delay(150);
    const startedAt = performance.now();
    await expect(at.ask({ customerKeys: ['acme'] })).rejects.toMatchObject({
      code: 'CUSTOMER_STATE_UNAVAILABLE',
    });
    expect(performance.now() - startedAt).toBeLessThan(120);
    await untilTrue(() => at.states.statistics().pieces > 0);
    expect(now(at.ask({ customerKeys: ['acme'] })).customers.size).toBe(1);
    expect(at.statements).toHaveLength(1);
  });
});

describe('with many asking while the store is away', () => {
  it('tells so once a second, and refuses at once what would only queue', async () => {
    const told: unknown[] = [];
    const at = await world({ onUnreadable: (error) => told.push(error) });
    at.breakDatabase(true);
    const asked = Array.from({ length: 1500 }, (_, index) =>
      Promise.resolve(at.ask({ customerKeys: [`c-${index}`] })).catch((error: unknown) => error),
    );
    const answers = await Promise.all(asked);
    for (const answer of answers) expect(answer).toMatchObject({ code: 'CUSTOMER_STATE_UNAVAILABLE' });
    // Those that were not refused go together, whether or not somebody still waits for them.
    const { coldLookups, coldStatements, coldTogether } = LIMITS;
    const together = Math.ceil((coldLookups.value - coldStatements.value) / coldTogether.value);
    await untilTrue(() => at.statements.length === coldStatements.value + together);
    expect(told).toHaveLength(1);
    expect(at.states.statistics().pieces).toBe(0);
  });
});

describe('memory', () => {
  it('is bounded by a setting, and many rows weigh as several customers', async () => {
    const at = await world({ maxCustomers: 10 });
    for (let index = 0; index < 50; index += 1) await at.ask({ customerKeys: [`c-${index}`] });
    expect(at.states.statistics().pieces).toBe(10);
    await addCustomer(at, 'heavy');
    for (let index = 0; index < 96; index += 1) await addGrant(at, 'customer', 'heavy');
    await at.ask({ customerKeys: ['heavy'] });
    expect(at.states.statistics().pieces).toBe(7);
    expect(isCold(at.ask({ customerKeys: ['c-49'] }))).toBe(false);
    expect(isCold(at.ask({ customerKeys: ['c-0'] }))).toBe(true);
  });
});

describe('balances', () => {
  it('show what this process wrote at once, and what others wrote behind the answer', async () => {
    const at = await world();
    const acme = await addCustomer(at, 'acme');
    await setBalance(at, acme, '', 1);
    const used = () =>
      now(at.ask({ customerKeys: ['acme'] }))
        .stateOf('acme')
        .accounts.map((account) => account.used);
    await at.ask({ customerKeys: ['acme'] });
    expect(used()).toEqual([1]);
    const note = {
      productId: at.productId,
      feature: 'calling-minutes',
      scope: '',
      periodStart: null,
      reserved: 0,
    };
    at.states.noteBalance(at.environmentId, 'acme', { ...note, used: 5 });
    expect(used()).toEqual([5]);

    await setBalance(at, acme, '', 9);
    at.pass(1100);
    expect(used()).toEqual([5]);
    await untilTrue(() => used()[0] === 9);
    expect(at.statements).toEqual(['customer-facts', 'customer-balances']);
    at.states.stop();
  });

  it('what was noted while a load was under way is newer than what it read', async () => {
    const at = await world();
    const acme = await addCustomer(at, 'acme');
    await setBalance(at, acme, '', 1);
    at.delay(60);
    const slow = at.ask({ customerKeys: ['acme'] });
    await new Promise((resolve) => setTimeout(resolve, 30));
    const account = {
      productId: at.productId,
      feature: 'calling-minutes',
      scope: '',
      periodStart: null,
      reserved: 0,
    };
    at.states.noteBalance(at.environmentId, 'acme', { ...account, used: 2 });
    expect((await slow).stateOf('acme').accounts.map((one) => one.used)).toEqual([2]);

    // The same for a reading behind the answer.
    at.pass(1100);
    now(at.ask({ customerKeys: ['acme'] }));
    await untilTrue(() => at.statements.includes('customer-balances'));
    at.states.noteBalance(at.environmentId, 'acme', { ...account, used: 3 });
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(
      now(at.ask({ customerKeys: ['acme'] }))
        .stateOf('acme')
        .accounts.map((one) => one.used),
    ).toEqual([3]);
    at.states.stop();
  });
});
