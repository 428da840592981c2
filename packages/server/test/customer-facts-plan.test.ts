import { randomUUID } from 'node:crypto';
import { createCustomerFactsStore } from '@pennon/server/store/customer-facts';
import { LOOKUP_SESSION } from '@pennon/server/store/database';
import { migrate } from '@pennon/server/store/migrate';
import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';

const ROWS = 5000;
/** Pages of 8 KB. Reading any of the filled tables as a whole takes hundreds; by their indexes it is a few for each look-up. */
const FEW_PAGES = 150;

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase();
  await migrate(database.url);
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query(LOOKUP_SESSION.join('; '));
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

function pagesOf(plan: { 'Shared Hit Blocks': number; 'Shared Read Blocks': number }): number {
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
}

it('a cold look-up that was planned over empty tables stays a few pages when they are full', async () => {
  const environmentId = randomUUID();
  const productId = randomUUID();
  let values: unknown[] = [];
  const store = createCustomerFactsStore({
    query: (config: { values: unknown[] }) => {
      values = config.values;
      return client.query(config as pg.QueryConfig);
    },
  } as unknown as pg.Pool);
  const question = {
    environmentId,
    productId,
    customerKeys: ['customer-77'],
    instanceRef: 'instance-88',
    userKeys: ['user-99'],
    teamKeys: ['team-11'],
    balanceCustomerKeys: ['customer-66'],
    scopes: ['user-99', 'instance-88'],
    shared: true,
  };
  // Planned here, while there is nothing; the plan is kept.
  await store.load(question);
  await fill(environmentId, productId);
  const facts = await store.load(question);
  expect(facts.customers.get('customer-77')?.memberships).toHaveLength(1);
  expect(facts.users.get('user-99')?.customerKeys).toEqual(['customer-99']);

  const literals = values.map((value) => literal(value)).join(', ');
  const { rows } = await client.query(
    `explain (analyze, buffers, format json) execute "customer-facts" (${literals})`,
  );
  expect(pagesOf(rows[0]['QUERY PLAN'][0].Plan)).toBeLessThan(FEW_PAGES);
});

/** As text without a type, so that it takes that of the parameter. */
function literal(value: unknown): string {
  if (value === null) return 'null';
  if (!Array.isArray(value)) return typeof value === 'boolean' ? String(value) : `'${String(value)}'`;
  return `'{${value.map((item) => (item === null ? 'null' : `"${String(item)}"`)).join(',')}}'`;
}

async function fill(environmentId: string, productId: string): Promise<void> {
  const id = "md5('c' || i)::uuid";
  const from = `from generate_series(1, ${ROWS}) as i`;
  // Nothing is analysed: what the planner believes is what it believed when there was nothing.
  for (const statement of [
    `insert into environment (id, key, name, protected, version, created_at)
       values ('${environmentId}', 'e', 'E', false, 1, now())`,
    `insert into product (id, key, name, head_revision, version, created_at)
       values ('${productId}', 'p', 'P', 0, 1, now())`,
    `insert into customer (id, environment_id, key, attributes, version, created_at)
       select ${id}, '${environmentId}', 'customer-' || i, '{}', 1, now() ${from}`,
    `insert into customer_user (customer_id, id, key, environment_id, attributes, version, created_at)
       select ${id}, md5('u' || i)::uuid, 'user-' || i, '${environmentId}', '{}', 1, now() ${from}`,
    `insert into instance (customer_id, id, environment_id, key, metadata, version, created_at)
       select ${id}, md5('i' || i)::uuid, '${environmentId}', 'instance-' || i, '{}', 1, now() ${from}`,
    `insert into license (customer_id, id, environment_id, product_id, plan_key, plan_version, quantity, kind, status,
       starts_at, anchor, addons, version, created_at)
       select ${id}, md5('l' || i)::uuid, '${environmentId}', '${productId}', 'pro', 1, 1, 'paid', 'active',
         now(), '2026-01-01T00:00:00[UTC]', '[]', 1, now() ${from}`,
    `insert into membership (environment_id, member_kind, member_key, product_id, container_kind, container_key, id,
       starts_at, reason, version, created_at)
       select '${environmentId}', 'customer', 'customer-' || i, '${productId}', 'segment', 'large',
         md5('m' || i)::uuid, now(), 'a test', 1, now() ${from}`,
    `insert into access_grant (id, environment_id, product_id, target_kind, target_key, kind, effect, starts_at, reason,
       version, created_at)
       select md5('g' || i)::uuid, '${environmentId}', '${productId}', 'customer', 'customer-' || i, 'demo', '{}', now(),
         'a test', 1, now() ${from}`,
    `insert into account (customer_id, product_id, feature, scope, environment_id, used, reserved, updated_at)
       select ${id}, '${productId}', 'minutes', '', '${environmentId}', 1, 0, now() ${from}`,
  ]) {
    await client.query(statement);
  }
}
