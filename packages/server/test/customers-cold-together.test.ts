import { randomUUID } from 'node:crypto';
import { createCustomerStates } from '@pennon/server/service/customer-states';
import type { CustomerLookup, CustomerLookupResult } from '@pennon/server/service/ports';
import { createCustomerFactsStore } from '@pennon/server/store/customer-facts';
import { type Database, LOOKUP_SESSION, openDatabase } from '@pennon/server/store/database';
import { migrate } from '@pennon/server/store/migrate';
import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CUSTOMERS = 200;
const environmentId = randomUUID();
const productId = randomUUID();
let testDatabase: TestDatabase;
let database: Database;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  await migrate(testDatabase.url);
  database = openDatabase({ connectionString: testDatabase.url, sessionStatements: LOOKUP_SESSION });
  await fill();
});
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

/** Customer 1 to 200 with a license, grants, a user, an instance, members and balances; every seventh is archived. */
async function fill(): Promise<void> {
  const id = "md5('c' || i)::uuid";
  const from = `from generate_series(1, ${CUSTOMERS}) as i`;
  const since = "'2026-01-01T00:00:00Z'";
  for (const statement of [
    `insert into environment (id, key, name, protected, version, created_at)
       values ('${environmentId}', 'e', 'E', false, 1, now())`,
    `insert into product (id, key, name, head_revision, version, created_at)
       values ('${productId}', 'p', 'P', 0, 1, now())`,
    `insert into customer (id, environment_id, key, attributes, version, created_at, archived_at)
       select ${id}, '${environmentId}', 'customer-' || i, jsonb_build_object('n', i), i, ${since},
         case when i % 7 = 0 then now() end ${from}`,
    // Users of even numbers belong to two customers, so that nobody is the only one.
    `insert into customer_user (customer_id, id, key, environment_id, attributes, version, created_at)
       select ${id}, md5('u' || i)::uuid, 'user-' || i, '${environmentId}', '{}', 1, now() ${from}`,
    `insert into customer_user (customer_id, id, key, environment_id, attributes, version, created_at)
       select md5('c' || (i - 1))::uuid, md5('v' || i)::uuid, 'user-' || i, '${environmentId}', '{}', 1, now()
       ${from} where i % 2 = 0`,
    `insert into instance (customer_id, id, environment_id, key, metadata, version, created_at)
       select ${id}, md5('i' || i)::uuid, '${environmentId}', 'instance-' || i, '{}', 1, now() ${from}`,
    `insert into license (customer_id, id, environment_id, product_id, plan_key, plan_version, quantity, kind, status,
       starts_at, anchor, addons, version, created_at)
       select ${id}, md5('l' || i)::uuid, '${environmentId}', '${productId}', 'pro', 1, i, 'paid', 'active',
         ${since}, '2026-01-01T00:00:00[UTC]', '[]', 1, now() ${from}`,
    `insert into membership (environment_id, member_kind, member_key, product_id, container_kind, container_key, id,
       starts_at, reason, version, created_at)
       select '${environmentId}', kind, kind || '-' || i, '${productId}', container, container || '-' || i % 5,
         md5(kind || container || i)::uuid, ${since}, 'a test', 1, now() ${from}
       cross join (values ('customer', 'group'), ('customer', 'segment'), ('user', 'segment'), ('instance', 'segment'))
         as n (kind, container)`,
    `insert into access_grant (id, environment_id, product_id, target_kind, target_key, kind, effect, starts_at, reason,
       version, created_at)
       select md5('g' || kind || i)::uuid, '${environmentId}', '${productId}', kind, kind || '-' || i, 'demo',
         jsonb_build_object('type', 'set', 'feature', 'f', 'value', true), ${since}, 'a test', 1, now() ${from}
       cross join (values ('customer'), ('user'), ('instance'), ('group')) as n (kind)`,
    `insert into account (customer_id, product_id, feature, scope, environment_id, used, reserved, updated_at)
       select ${id}, '${productId}', feature, scope, '${environmentId}', i * 10 + length(scope), 0, now() ${from}
       cross join (values ('minutes'), ('seats')) as f (feature)
       cross join lateral (values (''), ('user-' || i), ('user-1'), ('instance-' || i)) as n (scope)
       on conflict do nothing`,
  ]) {
    await database.pool.query(statement);
  }
}

function statesOver() {
  let statements = 0;
  const pool = {
    query: (config: { name: string }) => {
      statements += 1;
      return database.pool.query(config as never);
    },
  };
  const states = createCustomerStates({
    store: createCustomerFactsStore(pool as never),
    changes: { subscribe: () => undefined, subscribeToReset: () => undefined },
    deadlineMilliseconds: 30_000,
    maxCustomers: 1000,
  });
  return { states, statements: () => statements };
}

/** What one caller asks for; of many kinds, for every customer. */
function requests(): CustomerLookup[] {
  const nothing = {
    environmentId,
    productId,
    customerKeys: [],
    instanceRef: null,
    userKeys: [],
    teamKey: null,
  };
  return Array.from({ length: CUSTOMERS + 20 }, (_, index): CustomerLookup => {
    const i = index + 1;
    const customerKeys = [`customer-${i}`];
    switch (index % 6) {
      case 0:
        return { ...nothing, customerKeys };
      case 1:
        return { ...nothing, customerKeys, userKeys: [`user-${i}`], teamKey: 'nobody' };
      case 2:
        return { ...nothing, userKeys: [`user-${i}`] };
      case 3:
        return { ...nothing, instanceRef: `instance-${i}` };
      case 4:
        return { ...nothing, customerKeys, instanceRef: uuidOf(`i${i}`), userKeys: ['user-1'] };
      default:
        return {
          ...nothing,
          customerKeys: [`customer-${i}`, `customer-${i + 1}`],
          userKeys: [`user-${i - 1}`],
        };
    }
  });
}

const ids = new Map<string, string>();
function uuidOf(text: string): string {
  return ids.get(text) ?? 'nobody';
}

function told(request: CustomerLookup, result: CustomerLookupResult): unknown {
  const keys = [...new Set([...request.customerKeys, ...result.customers.keys()])].sort();
  return {
    registered: [...result.customers.keys()].sort(),
    instance: result.instance,
    customersOfUsers: [...result.customersOfUsers],
    states: keys.map((key) => result.stateOf(key)),
    nobody: result.stateOfNobody(),
    versions: result.versions,
  };
}

describe('many cold customers at once', () => {
  it('law 1: are answered as if they were read one by one, with far fewer statements', async () => {
    const { rows } = await database.pool.query<{ key: string; id: string }>('select key, id from instance');
    for (const { key, id } of rows) ids.set(key.replace('instance-', 'i'), id);
    const asked = requests();
    const together = statesOver();
    const answers = await Promise.all(
      asked.map(async (request) => told(request, await together.states.lookup(request))),
    );
    expect(together.statements()).toBeLessThan(asked.length / 10);
    for (const [place, request] of asked.entries()) {
      const alone = statesOver();
      expect(answers[place]).toEqual(told(request, await alone.states.lookup(request)));
      expect(alone.statements()).toBe(1);
      const again = together.states.lookup(request);
      if (again instanceof Promise) throw new Error('It is not in memory.');
      expect(told(request, again)).toEqual(answers[place]);
    }
    const [first, second] = answers as {
      states: { accounts: unknown[]; grants: unknown[]; licenses: unknown[] }[];
    }[];
    expect(first?.states[0]?.licenses).toHaveLength(1);
    expect(first?.states[0]?.accounts).toHaveLength(2);
    expect(second?.states[0]?.accounts).toHaveLength(4);
    expect(second?.states[0]?.grants.length).toBeGreaterThan(first?.states[0]?.grants.length ?? 0);
  });
});
