import { randomUUID } from 'node:crypto';
import { NOTHING_TOLD } from '@pennon/engine/usage/notices';
import { FIND_ANSWERS, FIND_EARLIER } from '@pennon/server/store/account-statements';
import type { LockedAccount, LockRequest } from '@pennon/server/store/account-transaction';
import { SESSION } from '@pennon/server/store/accounts';
import { createConsumptionCopier } from '@pennon/server/store/consumption-copy';
import { placeOf } from '@pennon/server/store/consumption-place';
import { scopesOf, scrubUsage } from '@pennon/server/store/erase-traces';
import { NO_LOTS_WRITTEN } from '@pennon/server/store/lot-statements';
import { migrate } from '@pennon/server/store/migrate';
import type { GroupStatement } from '@pennon/server/store/statement-group';
import type { Tables } from '@pennon/server/store/tables';
import { readRecords } from '@pennon/server/store/usage-listings';
import { createUsagePartitions } from '@pennon/server/store/usage-partitions';
import { aheadStatements } from '@pennon/server/store/write-ahead';
import { createTestDatabase, type TestDatabase } from '@pennon/testkit/test-database';
import { type CompiledQuery, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/*
 * Plans are made once, while a partition is empty, and kept while it grows to millions of rows: one that reads all of a
 * customer's consumptions would be right for a day and ruin every consume after it.
 */
const NOBODY = '00000000-0000-0000-0000-000000000000';

let database: TestDatabase;
let pool: pg.Pool;
let client: pg.PoolClient;

beforeAll(async () => {
  database = await createTestDatabase();
  await migrate(database.url);
  pool = new pg.Pool({ connectionString: database.url });
  await createUsagePartitions({
    pool,
    clock: { now: Date.now },
    months: { records: 3, history: 3 },
    onProblem: (problem) => expect.unreachable(problem),
  }).maintain(Date.now());
  client = await pool.connect();
  await client.query(SESSION);
}, 60_000);
afterAll(async () => {
  client.release();
  await pool.end();
  await database.drop();
});

async function planOf({ name, text, values }: GroupStatement): Promise<string> {
  await client.query({ name, text, values: [...values] });
  const parameters = values.map((value) => (value === null ? 'null' : `'${value}'`)).join(', ');
  const { rows } = await client.query(`explain (costs off) execute "${name}" (${parameters})`);
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}

interface Scan {
  readonly how: string;
  readonly partition: string;
  readonly condition: string;
}

/** How each partition of consumptions is read. */
function scansOf(plan: string): readonly Scan[] {
  const lines = plan.split('\n');
  return lines.flatMap((line, index): Scan[] => {
    const [, how, partition] = /->\s+(.* Scan(?: using \w+)?) on (consumption_\w+)/.exec(line) ?? [];
    if (how === undefined || partition === undefined) return [];
    return [{ how, partition, condition: lines[index + 1]?.trim() ?? '' }];
  });
}

const PLACE =
  String.raw`\(\(uuid_hash_extended\(customer_id, '0'::bigint\) & '-1099511627776'::bigint\) ` +
  String.raw`\| \(hashtextextended\(idempotency_key, '0'::bigint\) & '1099511627775'::bigint\)\)`;

function question(features: readonly string[]): GroupStatement {
  const accounts = features.map(
    (feature): LockedAccount => ({
      ...{ feature, scope: '', used: 0, reserved: 0, nextHoldEnd: null, periodStart: null, periodEnd: null },
      ...{ covered: 0, hasLots: false, limitKnown: null, told: NOTHING_TOLD },
    }),
  );
  const request: LockRequest = {
    ...{ environmentId: NOBODY, productId: NOBODY, customerId: NOBODY, accounts },
    ...{ idempotencyKeys: ['a', 'b'], reservationIds: [], holders: [] },
  };
  const statements = aheadStatements(createConsumptionCopier(), request, {
    expected: {
      ...{ now: 5, customer: { version: 1 }, revision: 1, versions: { subjects: 0, shared: 0 }, accounts },
      ...{ earlier: [], reservations: [], holders: [] },
    },
    validUntil: null,
    write: {
      ...{
        now: 5,
        accounts: [],
        closed: [],
        consumptions: [],
        holders: [],
        lots: NO_LOTS_WRITTEN,
        hours: [],
      },
      ...{ reservations: { made: [], finished: [], accounts: [] }, wouldHaveDenied: 0, notices: [] },
    },
  });
  const found = statements.find(({ name }) => name.startsWith('stands-'));
  if (found === undefined) throw new Error('Nothing is asked.');
  return found;
}

describe('look-ups of idempotency keys on an empty table', () => {
  it.each<[string, GroupStatement]>([
    ['earlier', { name: 'earlier', text: FIND_EARLIER.one, values: [NOBODY, '{a,b}'] }],
    [
      'earlier of several',
      { name: 'earlier-many', text: FIND_EARLIER.many, values: [`{${NOBODY},${NOBODY}}`, '{a,b}'] },
    ],
    ['answers', { name: 'answers', text: FIND_ANSWERS, values: [NOBODY, '{a}', '{consume}', '{0}', '{5}'] }],
    ['whether it stands', question(['calls'])],
    ['whether it stands, of several accounts', question(['calls', 'seats'])],
  ])('X-5 go down the one index to the places of the keys, in each partition: %s', async (_, statement) => {
    const plan = await planOf(statement);
    const scans = scansOf(plan);
    // This month and what is of none; on the last day of a month the next one too.
    expect([2, 3]).toContain(scans.length);
    for (const { how, condition } of scans) {
      expect(how).toMatch(/^Index Scan using consumption_\w+_expr_idx$/);
      expect(condition).toMatch(new RegExp(String.raw`^Index Cond: \(${PLACE} = ANY \(.*\)\)$`));
    }
    expect(plan).not.toMatch(/Seq Scan|Bitmap/);
  });

  it.each([[['calls']], [['calls', 'seats']]])(
    'X-5 and each account is found by its whole name, whatever else the customer has: %j',
    async (features) => {
      const plan = await planOf(question(features));
      expect(plan).toMatch(
        /Index Scan using account_pkey on account a\n +Index Cond: \(\(customer_id = [^)]*\) AND \(product_id = [^)]*\) AND \(scope = [^)]*\) AND \(feature = [^)]*\)\)\n/,
      );
    },
  );
});

describe('what is read of one customer’s consumptions', () => {
  const customerId = randomUUID();
  let filled: readonly string[] = [];

  /** The statements as they are sent, planned by a session like those of management. */
  async function plansOf(act: (kysely: Kysely<Tables>) => Promise<unknown>): Promise<readonly string[]> {
    const sent: CompiledQuery[] = [];
    const kysely = new Kysely<Tables>({
      dialect: new PostgresDialect({ pool }),
      log: ({ query }) => {
        sent.push(query as CompiledQuery);
      },
    });
    await act(kysely);
    const plans: string[] = [];
    for (const { sql, parameters } of sent.filter((one) => one.sql.includes('consumption'))) {
      const { rows } = await pool.query(`explain (costs off) ${sql}`, [...parameters]);
      plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'));
    }
    return plans;
  }

  beforeAll(async () => {
    // Enough that to read all of it is dearer than to look it up, of this month and of one that no partition was made for.
    await pool.query(
      `insert into consumption (customer_id, decided_at, id, item, environment_id, product_id, operation, idempotency_key,
         request_hash, feature, scope, allowed, reason, enforcement, requested, consumed, used_after, reserved_after, revision, actor)
       select case when n % 500 = 0 then $1::uuid else gen_random_uuid() end,
         case when n % 2 = 0 then now() else now() - interval '60 days' end, gen_random_uuid(), 0, $2, $2, 'consume',
         'key-' || n, '\\x00', 'calls', 'user-1', true, 'PLAN', 'hard', 1, 1, 1, 0, 1, 'x'
       from generate_series(1, 20000) n`,
      [customerId, NOBODY],
    );
    await pool.query('analyze consumption');
    const { rows } = await pool.query(
      'select distinct tableoid::regclass::text as name from consumption order by 1',
    );
    filled = rows.map(({ name }) => name);
    expect(filled).toHaveLength(2);
  }, 60_000);

  const records = (kysely: Kysely<Tables>) =>
    readRecords(kysely, {
      ...{ customerId, productId: NOBODY, feature: null, scope: null, from: null, to: null },
      ...{ kind: null, after: null, limit: 100 },
    });

  it.each<[string, (kysely: Kysely<Tables>) => Promise<unknown>]>([
    ['records', records],
    ['scopes', (kysely) => scopesOf(kysely, customerId)],
    ['erasure', (kysely) => scrubUsage(kysely, customerId, new Map([['user-1', 'erased-1']]), false)],
  ])('is found by the customer’s part of the index: %s', async (_, act) => {
    const plans = await plansOf(act);
    expect(plans.length).toBeGreaterThanOrEqual(1);
    for (const plan of plans) {
      // Rows that were found so already are changed where they are. Empty partitions may be read whole: these plans are not kept.
      const scans = scansOf(plan).filter(
        ({ how, partition }) => how !== 'Tid Scan' && filled.includes(partition),
      );
      expect(scans.map(({ partition }) => partition).sort()).toEqual(filled);
      for (const { how, condition } of scans) {
        expect(how).toMatch(/^Index Scan using consumption_\w+_expr_idx$/);
        expect(condition).toMatch(new RegExp(String.raw`^Index Cond: \(\(${PLACE} >= .* AND \(${PLACE} <= `));
      }
    }
  });

  it('is all of it, of whatever month', async () => {
    const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    expect(await records(kysely)).toHaveLength(40);
  });
});

describe('X-5 those who share a number of the index', () => {
  // Found by trying: 40 bits of these keys are the same, and 24 of these customers.
  const KEYS = ['key-4047861', 'key-5881887'] as const;
  const CUSTOMERS = ['5cca4f71-36a7-42da-d270-8f1a60c8fd05', 'aa79bf2f-e18d-7253-1a24-be710b53738b'] as const;

  async function consumed(customerId: string, key: string, answer: string): Promise<void> {
    await client.query(
      `insert into consumption (customer_id, decided_at, id, item, environment_id, product_id, operation, idempotency_key,
         request_hash, feature, scope, allowed, reason, enforcement, requested, consumed, used_after, reserved_after, revision,
         answer, actor)
       values ($1, to_timestamp(floor(extract(epoch from now()))), $2, 0, $3, $3, 'consume', $4, '\\x00', 'calls', $5, true, 'PLAN',
         'hard', 1, 1, 1, 0, 1, $6, 'x')`,
      [customerId, randomUUID(), NOBODY, key, `scope of ${answer}`, answer],
    );
  }

  async function answersOf(text: string, values: readonly string[]): Promise<readonly string[]> {
    const { rows } = await client.query(text, [...values]);
    return rows.map((row) => String(row.answer)).sort();
  }

  beforeAll(async () => {
    for (const [index, customerId] of CUSTOMERS.entries()) {
      for (const [place, key] of KEYS.entries()) await consumed(customerId, key, `${index}${place}`);
    }
  });

  it('do share it', async () => {
    const { rows } = await client.query(
      `select count(distinct ${placeOf('customer_id', 'idempotency_key')})::integer as places, count(*)::integer as found
       from consumption where customer_id = any($1::uuid[])`,
      [`{${CUSTOMERS.join(',')}}`],
    );
    expect(rows).toEqual([{ places: 1, found: 4 }]);
  });

  it('are told apart where earlier answers are looked for', async () => {
    const [customerId, other] = CUSTOMERS;
    const [key, another] = KEYS;
    expect(await answersOf(FIND_EARLIER.one, [customerId, `{${key}}`])).toEqual(['00']);
    expect(await answersOf(FIND_EARLIER.one, [other, `{${another}}`])).toEqual(['11']);
    expect(await answersOf(FIND_EARLIER.one, [other, `{${key},${another}}`])).toEqual(['10', '11']);
    // The same key of both, and then each with one of its own.
    expect(await answersOf(FIND_EARLIER.many, [`{${customerId},${other}}`, `{${key},${key}}`])).toEqual([
      '00',
      '10',
    ]);
    expect(await answersOf(FIND_EARLIER.many, [`{${customerId},${other}}`, `{${key},${another}}`])).toEqual([
      '00',
      '11',
    ]);
    expect(await answersOf(FIND_EARLIER.many, [`{${randomUUID()}}`, `{${key}}`])).toEqual([]);
  });

  it('are told apart where an answer is looked for that others refer to', async () => {
    const [customerId, other] = CUSTOMERS;
    const { rows } = await client.query(
      `select (extract(epoch from decided_at) * 1000)::bigint as at, answer from consumption where customer_id = any($1::uuid[])`,
      [`{${customerId},${other}}`],
    );
    const at = (answer: string) => String(rows.find((row) => row.answer === answer)?.at);
    const [key, another] = KEYS;
    expect(
      await answersOf(FIND_ANSWERS, [customerId, `{${another}}`, '{consume}', '{0}', `{${at('01')}}`]),
    ).toEqual(['01']);
    expect(
      await answersOf(FIND_ANSWERS, [
        ...[other, `{${key},${another}}`, '{consume,consume}', '{0,0}', `{${at('10')},${at('11')}}`],
      ]),
    ).toEqual(['10', '11']);
    // Neither another instant, nor another place in the call.
    expect(
      await answersOf(FIND_ANSWERS, [customerId, `{${key}}`, '{consume}', '{1}', `{${at('00')}}`]),
    ).toEqual([]);
    expect(await answersOf(FIND_ANSWERS, [customerId, `{${key}}`, '{consume}', '{0}', '{5}'])).toEqual([]);
  });

  it('are told apart where usage is listed and scopes are looked for', async () => {
    const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    for (const [index, customerId] of CUSTOMERS.entries()) {
      const found = await readRecords(kysely, {
        ...{ customerId, productId: NOBODY, feature: null, scope: null, from: null, to: null },
        ...{ kind: 'consumption', after: null, limit: 100 },
      });
      const scopes = [`scope of ${index}0`, `scope of ${index}1`];
      expect(found.map(({ scope }) => scope).sort()).toEqual(scopes);
      expect([...(await scopesOf(kysely, customerId))].sort()).toEqual(scopes);
    }
  });

  it('are told apart where one of them is erased', async () => {
    const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
    const [customerId, other] = CUSTOMERS;
    await scrubUsage(kysely, customerId, new Map(), true);
    const { rows } = await client.query(
      `select customer_id, count(answer)::integer as answers from consumption where customer_id = any($1::uuid[]) group by 1 order by 1`,
      [`{${customerId},${other}}`],
    );
    expect(rows).toEqual([
      { customer_id: customerId, answers: 0 },
      { customer_id: other, answers: 2 },
    ]);
  });
});
