import { randomUUID } from 'node:crypto';
import { createPrometheusMetrics } from '@pennon/server/http/prometheus-metrics';
import { measuredAccounts } from '@pennon/server/service/measured-stores';
import type {
  AccountTransaction,
  AccountWrite,
  BatchWrite,
  ConsumptionRow,
  LockedAccount,
  LockedFrame,
  LockRequest,
} from '@pennon/server/store/account-transaction';
import { type Accounts, openAccounts } from '@pennon/server/store/accounts';
import { NO_LOTS_WRITTEN } from '@pennon/server/store/lot-statements';
import type { AheadWrite } from '@pennon/server/store/write-ahead';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIME_CATALOG } from './runtime-support.js';

/* A transaction that is sent whole behind another one of its customer: what it stands on, and that else nothing of it is written. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const FEATURES = ['calling-minutes', 'hourly-calls'] as const;

let server: TestServer;
let accounts: Accounts;
let environmentId: string;
let productId: string;

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  // As a server has them: counted.
  const opened = openAccounts({ connectionString: server.databaseUrl, maxConnections: 2 });
  accounts = measuredAccounts(opened, createPrometheusMetrics());
  const { rows } = await run(
    `select r.environment_id, r.product_id from environment_revision r
     join environment e on e.id = r.environment_id where e.key = '${server.environment}'`,
  );
  environmentId = rows[0].environment_id;
  productId = rows[0].product_id;
}, 60_000);
afterAll(async () => {
  await accounts.close();
  await server.stop();
});

const run = (text: string) => server.parts.database.pool.query(text);

const insertCustomer = (id: string) =>
  `insert into customer (id, environment_id, key, attributes, version, created_at)
   values ('${id}', '${environmentId}', '${id}', '{}', 1, now())`;

/** A customer of one test's own, with so many accounts, of whom nothing was consumed. */
async function someone(features: number): Promise<LockRequest> {
  const customerId = randomUUID();
  await run(insertCustomer(customerId));
  return {
    ...{ environmentId, productId, customerId, idempotencyKeys: [], reservationIds: [], holders: [] },
    accounts: FEATURES.slice(0, features).map((feature) => ({ feature, scope: '' })),
  };
}

function row(account: LockedAccount, usedAfter: number): ConsumptionRow {
  return {
    ...{ id: randomUUID(), item: 0, operation: 'consume', idempotencyKey: randomUUID() },
    ...{ requestHash: 'ab'.repeat(32), feature: account.feature, scope: account.scope, allowed: true },
    ...{ reason: 'PLAN', enforcement: 'hard', requested: 1, consumed: 1, usedAfter, reservedAfter: 0 },
    ...{ limitAtDecision: 1000, periodStart: account.periodStart, revision: 1, attributes: null },
    ...{ answer: '1;PLAN', actor: 'server-key:x' },
  };
}

/** One unit of each account. */
function taking({ now, accounts: standing }: Pick<LockedFrame, 'now' | 'accounts'>): BatchWrite {
  const written = standing.map(
    (account): AccountWrite => ({
      ...{ ...account, used: account.used + 1, lots: [], percent: null, before: account },
    }),
  );
  return {
    ...{ now, accounts: written, closed: [], holders: [], lots: NO_LOTS_WRITTEN, wouldHaveDenied: 0 },
    ...{ notices: [], reservations: { made: [], finished: [], accounts: [] } },
    consumptions: written.map((account) => row(account, account.used)),
    hours: written.map(({ feature, scope, used }) => ({
      ...{ feature, scope, hour: Math.floor(now / HOUR) * HOUR, dimensions: '', aggregation: 'sum' },
      ...{ amount: 1, events: 1, lastAt: now, usedAfter: used, limitAfter: 1000 },
    })),
  };
}

/** What is expected once that is written. */
function after(frame: LockedFrame, { accounts: written }: BatchWrite): LockedFrame {
  return { ...frame, accounts: written.map(({ lots, percent, before, ...account }) => account) };
}

interface Ahead extends AheadWrite {
  readonly request: LockRequest;
}

function aheadOf(request: LockRequest, expected: LockedFrame): Ahead {
  const write = taking(expected);
  const idempotencyKeys = write.consumptions.map(({ idempotencyKey }) => idempotencyKey);
  return { request: { ...request, idempotencyKeys }, expected, validUntil: null, write };
}

async function send({ request, ...ahead }: Ahead, behind: object) {
  return (await accounts.writeAhead(request, ahead, behind)).outcome;
}

/** All that the store knows of a customer's usage. */
async function stored({ customerId }: LockRequest): Promise<unknown> {
  const rows = (table: string) =>
    `(select coalesce(jsonb_agg(to_jsonb(t) order by to_jsonb(t)), '[]') from ${table} t where customer_id = '${customerId}') as ${table}`;
  const found = await run(`select ${rows('account')}, ${rows('consumption')}, ${rows('usage_hour')}`);
  return found.rows[0];
}

async function usedOf({ customerId }: LockRequest): Promise<readonly number[]> {
  const { rows } = await run(
    `select used::integer as used from account where customer_id = '${customerId}' order by feature`,
  );
  return rows.map(({ used }) => used);
}

/** A customer of whom something was consumed already. */
async function begun(features = 1) {
  const request = await someone(features);
  const first = await accounts.begin(request);
  const write = taking(first.frame);
  await first.commit(write);
  return { request, behind: first.place, frame: after(first.frame, write) };
}

/** Connections of this test's own pool and of the server's. */
async function connections(): Promise<number> {
  const { rows } = await run(
    `select count(*)::int as open from pg_stat_activity where application_name = 'pennon consume' and datname = current_database()`,
  );
  return rows[0].open;
}

const NOBODY = { customerId: '00000000-0000-7000-8000-000000000000', accounts: [] };

describe('a transaction that is sent whole behind another one of its customer', () => {
  it('X-5 stands on what the one before leaves, though no outcome is waited for and nothing is read', async () => {
    const request = await someone(1);
    const first = await accounts.begin(request);
    const open = await connections();
    let write = taking(first.frame);
    let { frame, place } = first;
    const outcomes: Promise<unknown>[] = [first.commit(write)];
    for (let turn = 0; turn < 5; turn += 1) {
      frame = after(frame, write);
      const ahead = aheadOf(request, frame);
      const sent = await accounts.writeAhead(ahead.request, ahead, place);
      outcomes.push(sent.outcome);
      ({ place } = sent);
      ({ write } = ahead);
    }
    const [, ...stood] = await Promise.all(outcomes);
    expect(stood).toEqual(Array.from({ length: 5 }, () => ({ stood: true, now: expect.any(Number) })));
    expect(await usedOf(request)).toEqual([6]);
    // All of them on one connection: another one would have had to be opened for a transaction that does not wait.
    expect(await connections()).toBe(open);
  });

  it('X-5 is written as it was decided, at the instant that it was decided at', async () => {
    const { request, behind, frame } = await begun();
    const now = frame.now + 2;
    await new Promise((resolve) => setTimeout(resolve, 5));
    const ahead = aheadOf(request, { ...frame, now });
    const outcome = await send(ahead, behind);
    expect(outcome.stood).toBe(true);
    // The store's own clock, which is later.
    expect(outcome.now).toBeGreaterThanOrEqual(now);
    const [consumed] = ahead.write.consumptions;
    const at = (instant: number) => new Date(instant).toISOString().replace('Z', '+00:00');
    const same = (text: string) =>
      expect.stringMatching(text.replace(/0*\+00:00$/, '0*\\+00:00').replaceAll('.', '\\.'));
    const found = (await stored(request)) as Record<string, Record<string, unknown>[]>;
    expect(found.consumption).toHaveLength(2);
    expect(found.consumption).toContainEqual(
      expect.objectContaining({ id: consumed?.id, used_after: 2, decided_at: same(at(now)) }),
    );
    expect(found.account).toMatchObject([{ used: 2, reserved: 0, updated_at: same(at(now)) }]);
    expect(found.usage_hour).toMatchObject([{ amount: 2, events: 2, used_after: 2, last_at: same(at(now)) }]);
  });

  it('X-5 does not stand behind one that could not commit, nor does what follows it, and nothing is left of them', async () => {
    for (let turn = 0; turn < 5; turn += 1) {
      const { request, frame } = await begun();
      const before = await stored(request);
      const first = await accounts.begin(request);
      const write = taking(frame);
      // Not what stands there: the update goes through only if it still does.
      const wrong = write.accounts.map((one) => ({ ...one, before: { ...one.before, used: 99 } }));
      const refused = expect(first.commit({ ...write, accounts: wrong })).rejects.toThrow(/division by zero/);
      const second = aheadOf(request, after(frame, write));
      const sent = await accounts.writeAhead(second.request, second, first.place);
      const third = aheadOf(request, after(frame, second.write));
      const outcomes = [sent.outcome, send(third, sent.place)];
      await refused;
      expect(await Promise.all(outcomes)).toMatchObject([{ stood: false }, { stood: false }]);
      expect(await stored(request)).toEqual(before);
      const again = await accounts.begin(request);
      expect(again.frame.accounts).toMatchObject([{ used: 1 }]);
      await again.rollback();
    }
  });

  it('X-5 does not stand behind one that did not, and may be decided anew right after', async () => {
    const { request, behind, frame } = await begun();
    await run(`update account set used = 7 where customer_id = '${request.customerId}'`);
    const before = await stored(request);
    const first = aheadOf(request, frame);
    const sent = await accounts.writeAhead(first.request, first, behind);
    const second = aheadOf(request, after(frame, first.write));
    const outcomes = await Promise.all([sent.outcome, send(second, sent.place)]);
    expect(outcomes).toMatchObject([{ stood: false }, { stood: false }]);
    expect(await stored(request)).toEqual(before);
    const transaction = await accounts.begin(request);
    await transaction.commit(taking(transaction.frame));
    expect(await usedOf(request)).toEqual([8]);
  });

  it('X-5 follows one that is over already, on whichever connection there is', async () => {
    const { request, behind, frame } = await begun();
    const first = aheadOf(request, frame);
    expect(await send(first, behind)).toMatchObject({ stood: true });
    expect(await send(aheadOf(request, after(frame, first.write)), {})).toMatchObject({ stood: true });
    expect(await usedOf(request)).toEqual([3]);
  });

  it('waits for the locks of another transaction, and does not stand on what that one wrote', async () => {
    const { request, behind, frame } = await begun();
    const other = await accounts.begin(request);
    const waiting = send(aheadOf(request, frame), behind);
    const write = taking(other.frame);
    await other.commit(write);
    expect(await waiting).toMatchObject({ stood: false });
    expect(await usedOf(request)).toEqual([2]);
    expect(await send(aheadOf(request, after(frame, write)), other.place)).toMatchObject({ stood: true });
  });

  it('lets go of the connection: two of them are enough for any number of turns', async () => {
    const request = await someone(1);
    const nobody = { ...request, ...NOBODY };
    for (let turn = 0; turn < 20; turn += 1) {
      const [one, two] = await Promise.all([accounts.begin(request), accounts.begin(nobody)]);
      const write = taking(one.frame);
      const committed = one.commit(write);
      // Every third one expects what is not there.
      const left = after(one.frame, write);
      const elsewhere = left.accounts.map((account) => ({ ...account, used: account.used + 100 }));
      const expected = turn % 3 === 0 ? { ...left, accounts: elsewhere } : left;
      const ahead = aheadOf(request, expected);
      const sent = await accounts.writeAhead(ahead.request, ahead, one.place);
      const last = send(aheadOf(request, after(expected, ahead.write)), sent.place);
      await committed;
      const stood = turn % 3 !== 0;
      expect(await Promise.all([sent.outcome, last])).toMatchObject([{ stood }, { stood }]);
      await two.rollback();
    }
  });

  it('counts what would have been denied where it is written, and nowhere else', async () => {
    const { request, behind, frame } = await begun();
    const counted: number[] = [];
    const measured = measuredAccounts(accounts, {
      ...createPrometheusMetrics(),
      countWouldHaveDenied: (count) => counted.push(count),
    });
    const ahead = aheadOf(request, frame);
    const observed = { ...ahead, write: { ...ahead.write, wouldHaveDenied: 3 } };
    const stood: boolean[] = [];
    for (let time = 0; time < 2; time += 1) {
      const sent = await measured.writeAhead(observed.request, observed, behind);
      stood.push((await sent.outcome).stood);
    }
    expect(stood).toEqual([true, false]);
    expect(counted).toEqual([3]);
  });

  it('leaves the connection to whoever waits for one', async () => {
    const { request, frame } = await begun();
    const nobody = { ...request, ...NOBODY };
    const [one, two] = await Promise.all([accounts.begin(request), accounts.begin(nobody)]);
    const waits = accounts.begin(nobody);
    const write = taking(frame);
    const order: string[] = [];
    const committed = one.commit(write);
    const other = waits.then(async (transaction: AccountTransaction) => {
      order.push('who waited');
      await transaction.rollback();
    });
    const behind = send(aheadOf(request, after(frame, write)), one.place).then((outcome) => {
      order.push('who is behind');
      return outcome;
    });
    await Promise.all([committed, other]);
    expect(await behind).toMatchObject({ stood: true });
    expect(order).toEqual(['who waited', 'who is behind']);
    await two.rollback();
  });
});

interface Begun {
  readonly request: LockRequest;
  readonly frame: LockedFrame;
}

/** A difference that is made and taken back, in the store or in what is expected. */
interface Difference {
  readonly make?: (of: Begun) => string;
  readonly takeBack?: (of: Begun) => string;
  readonly expecting?: (ahead: Ahead) => Ahead;
}

const setAccount =
  (made: string, takenBack: string): (() => Difference) =>
  () => ({
    make: ({ request }) => `update account set ${made} where customer_id = '${request.customerId}'`,
    takeBack: ({ request }) => `update account set ${takenBack} where customer_id = '${request.customerId}'`,
  });
const setRow = (table: string, which: string, column: string): (() => Difference) => {
  const where = (of: Begun) =>
    which
      .replaceAll('CUSTOMER', `'${of.request.customerId}'`)
      .replaceAll('ENVIRONMENT', `'${environmentId}'`)
      .replaceAll('PRODUCT', `'${productId}'`);
  return () => ({
    make: (of) => `update ${table} set ${column} = ${column} + 1 where ${where(of)}`,
    takeBack: (of) => `update ${table} set ${column} = ${column} - 1 where ${where(of)}`,
  });
};
const expectingAccount = (stands: Partial<LockedAccount>): Difference => ({
  expecting: (ahead) => ({
    ...ahead,
    expected: {
      ...ahead.expected,
      accounts: ahead.expected.accounts.map((account) => ({ ...account, ...stands })),
    },
  }),
});

const earlierRow = (operation: string, when: string) => (): Difference => ({
  make: ({ request }) => insertEarlier(request.customerId, request.idempotencyKeys[0] ?? '', operation, when),
  takeBack: ({ request }) =>
    `delete from consumption where customer_id = '${request.customerId}' and actor = 'before'`,
});

function insertEarlier(customerId: string, key: string, operation: string, when: string): string {
  return `insert into consumption (customer_id, decided_at, id, item, environment_id, product_id, operation, idempotency_key,
      request_hash, feature, scope, allowed, reason, enforcement, requested, consumed, used_after, reserved_after, revision, actor)
    values ('${customerId}', ${when}, '${randomUUID()}', 0, '${environmentId}', '${productId}', '${operation}', '${key}', '\\x00',
      'calling-minutes', '', true, 'PLAN', 'hard', 1, 1, 1, 0, 1, 'before')`;
}

const DIFFERENCES: readonly (readonly [string, () => Difference])[] = [
  ['somebody else consumed', setAccount('used = used + 1', 'used = used - 1')],
  ['something was given back', setAccount('used = 0', 'used = 1')],
  [
    'something is held, of which nothing is expected',
    setAccount(
      `reserved = 1, next_hold_end = now() + interval '1 hour'`,
      'reserved = 0, next_hold_end = null',
    ),
  ],
  ['nothing is held, of which something is expected', () => expectingAccount({ reserved: 1 })],
  ['a hold may end', setAccount(`next_hold_end = now() + interval '1 hour'`, 'next_hold_end = null')],
  ['something is covered by a lot', setAccount('covered = 1', 'covered = 0')],
  ['there are lots', setAccount('has_lots = true', 'has_lots = false')],
  ['another limit was decided with', setAccount('limit_known = 50', 'limit_known = null')],
  [
    'something was told',
    setAccount(
      'told = 80, told_at = now(), told_limit = 50',
      'told = null, told_at = null, told_limit = null',
    ),
  ],
  ['a period stands there', setAccount(`period_start = now()`, 'period_start = null')],
  ['a period ends', setAccount(`period_end = now() + interval '1 hour'`, 'period_end = null')],
  [
    'the account is gone',
    () => ({
      make: ({ request }) => `delete from account where customer_id = '${request.customerId}'`,
      takeBack: ({
        request,
      }) => `insert into account (customer_id, product_id, feature, scope, environment_id, used, reserved, updated_at)
        values ('${request.customerId}', '${productId}', 'calling-minutes', '', '${environmentId}', 1, 0, now())`,
    }),
  ],
  [
    'something was published',
    setRow('environment_revision', 'environment_id = ENVIRONMENT and product_id = PRODUCT', 'revision'),
  ],
  ['the customer changed', setRow('customer', 'id = CUSTOMER', 'version')],
  [
    'the customer is gone',
    () => ({
      make: ({ request }) => `delete from customer where id = '${request.customerId}'`,
      takeBack: ({ request }) => insertCustomer(request.customerId),
    }),
  ],
  ['a user, a team or an instance changed', setRow('environment', 'id = ENVIRONMENT', 'subject_version')],
  ['what many are granted changed', setRow('environment', 'id = ENVIRONMENT', 'shared_version')],
  [
    'the store’s clock is before the instant that was decided at',
    () => ({
      expecting: (ahead) => ({ ...ahead, expected: { ...ahead.expected, now: ahead.expected.now + MINUTE } }),
    }),
  ],
  ['it is over by now', () => ({ expecting: (ahead) => ({ ...ahead, validUntil: ahead.expected.now }) })],
  ['the key was answered before', earlierRow('consume', 'now()')],
  ['the key was of another operation before', earlierRow('release', 'now()')],
  ['the key was answered in a month that is past', earlierRow('consume', `now() - interval '34 days'`)],
];

describe('X-5 laws 2 and 9: a transaction that is sent whole is not written', () => {
  it.each(DIFFERENCES)('where %s, and is where that is not so', async (_, differenceOf) => {
    const { request, behind, frame } = await begun();
    await notWrittenWith(differenceOf(), aheadOf(request, frame), behind);
  });

  it('where something is otherwise of an account of which more was known', async () => {
    const columns = [
      ['period_start', `period_start - interval '1 hour'`],
      ['period_end', `period_end + interval '1 hour'`],
      ['limit_known', 'limit_known + 1'],
      ['limit_known', 'null'],
      ['told', 'told + 1'],
      ['told_at', `told_at + interval '1 millisecond'`],
      ['told_limit', 'told_limit + 1'],
    ] as const;
    const { request } = await begun();
    const ofCustomer = `where customer_id = '${request.customerId}' and feature = 'calling-minutes'`;
    const stands = `period_start = date_trunc('hour', now()), period_end = date_trunc('hour', now()) + interval '2 hours',
      limit_known = 50, told = 80, told_at = date_trunc('second', now()), told_limit = 50`;
    await run(`update account set ${stands} ${ofCustomer}`);
    for (const [column, otherwise] of columns) {
      // It reads all of it by itself: what is expected is what is there.
      const transaction = await accounts.begin(request);
      const { frame } = transaction;
      await transaction.rollback();
      const { rows } = await run(`select ${column}::text as value from account ${ofCustomer}`);
      const difference = {
        make: () => `update account set ${column} = ${otherwise} ${ofCustomer}`,
        takeBack: () => `update account set ${column} = '${rows[0].value}' ${ofCustomer}`,
      };
      await notWrittenWith(difference, aheadOf(request, frame), transaction.place);
    }
    expect(await usedOf(request)).toEqual([1 + columns.length]);
  });

  it('where one of several accounts is otherwise, be it the first or the last, and none of them is written then', async () => {
    for (const feature of FEATURES) {
      const { request, behind, frame } = await begun(2);
      expect(frame.accounts).toHaveLength(2);
      const ofOne = `where customer_id = '${request.customerId}' and feature = '${feature}'`;
      const difference = {
        make: () => `update account set used = used + 1 ${ofOne}`,
        takeBack: () => `update account set used = used - 1 ${ofOne}`,
      };
      await notWrittenWith(difference, aheadOf(request, frame), behind);
      expect(await usedOf(request)).toEqual([2, 2]);
    }
  });

  it('where one of several accounts is gone', async () => {
    const { request, behind, frame } = await begun(2);
    const ofOne = `customer_id = '${request.customerId}' and feature = 'hourly-calls'`;
    const difference = {
      make: () => `update account set customer_id = '${NOBODY.customerId}' where ${ofOne}`,
      takeBack: () =>
        `update account set customer_id = '${request.customerId}' where customer_id = '${NOBODY.customerId}'`,
    };
    await notWrittenWith(difference, aheadOf(request, frame), behind);
  });

  it('where any of its keys was answered before', async () => {
    const { request, behind, frame } = await begun(2);
    const ahead = aheadOf(request, frame);
    const [, key = ''] = ahead.request.idempotencyKeys;
    const difference = {
      make: () => insertEarlier(request.customerId, key, 'consume', 'now()'),
      takeBack: () =>
        `delete from consumption where customer_id = '${request.customerId}' and actor = 'before'`,
    };
    await notWrittenWith(difference, ahead, behind);
  });

  it('but is where another customer has the same key, or this one had it so long ago that nobody asks for it', async () => {
    const { request, behind, frame } = await begun();
    const ahead = aheadOf(request, frame);
    const [key = ''] = ahead.request.idempotencyKeys;
    await run(insertEarlier(randomUUID(), key, 'consume', 'now()'));
    await run(insertEarlier(request.customerId, key, 'consume', `now() - interval '36 days'`));
    expect(await send(ahead, behind)).toMatchObject({ stood: true });
  });

  it('but is where it holds for a while yet', async () => {
    const { request, behind, frame } = await begun();
    const ahead = { ...aheadOf(request, frame), validUntil: frame.now + MINUTE };
    expect(await send(ahead, behind)).toMatchObject({ stood: true });
    expect(await usedOf(request)).toEqual([2]);
  });
});

/** The very same is sent twice: with the difference, and without. */
async function notWrittenWith(difference: Difference, ahead: Ahead, behind: object): Promise<void> {
  const { make, takeBack, expecting } = difference;
  const of = { request: ahead.request, frame: ahead.expected };
  if (make !== undefined) await run(make(of));
  const before = await stored(ahead.request);
  expect(await send(expecting?.(ahead) ?? ahead, behind)).toEqual({ stood: false, now: expect.any(Number) });
  expect(await stored(ahead.request)).toEqual(before);
  if (takeBack !== undefined) await run(takeBack(of));
  const used = await usedOf(ahead.request);
  expect(await send(ahead, behind)).toMatchObject({ stood: true });
  expect(await usedOf(ahead.request)).toEqual(used.map((one) => one + 1));
}

describe('X-5 transactions in a row on one connection', () => {
  /** So many, each begun before the outcome of the one before is known. What `meanwhile` begins is there before the last commits. */
  async function lastOf(
    inARow: number,
    request: LockRequest,
    meanwhile: () => Promise<void>,
  ): Promise<object> {
    let transaction = await accounts.begin(request);
    for (let place = 2; place <= inARow; place += 1) {
      const committed = transaction.commit(taking(transaction.frame));
      const next = accounts.begin(request, transaction.place);
      await committed;
      transaction = await next;
    }
    await meanwhile();
    await transaction.commit(taking(transaction.frame));
    return transaction.place;
  }

  /** Somebody else who wants the same customer, and has it in the end. */
  async function withSomebodyWaiting(request: LockRequest, inARow: number): Promise<object> {
    const other = openAccounts({ connectionString: server.databaseUrl, maxConnections: 1 });
    try {
      let waited: Promise<AccountTransaction> | undefined;
      const place = await lastOf(inARow, request, async () => {
        waited = other.begin(request);
        await expect.poll(waiters).toBe(1);
      });
      await (await waited)?.rollback();
      return place;
    } finally {
      await other.close();
    }
  }

  async function waiters(): Promise<number> {
    const { rows } = await run(
      `select count(*)::int as waiting from pg_stat_activity where application_name = 'pennon consume'
         and datname = current_database() and wait_event_type = 'Lock'`,
    );
    return rows[0].waiting;
  }

  it('know of every eighth whether somebody waits for the customer', async () => {
    const request = await someone(1);
    expect(accounts.isAwaited(await withSomebodyWaiting(request, 8))).toBe(true);
    expect(accounts.isAwaited(await lastOf(8, request, async () => undefined))).toBe(false);
    expect(accounts.isAwaited(await withSomebodyWaiting(request, 16))).toBe(true);
  });

  it('are not asked about it in between, nor when they are the first', async () => {
    const request = await someone(1);
    for (const inARow of [1, 7, 9]) {
      expect(accounts.isAwaited(await withSomebodyWaiting(request, inARow))).toBe(false);
    }
    expect(accounts.isAwaited({})).toBe(false);
  });

  it('know nothing of somebody who waits for another customer', async () => {
    const request = await someone(1);
    const another = await someone(1);
    const held = await accounts.begin(another);
    const other = openAccounts({ connectionString: server.databaseUrl, maxConnections: 1 });
    let waited: Promise<AccountTransaction> | undefined;
    const place = await lastOf(8, request, async () => {
      waited = other.begin(another);
      await expect.poll(waiters).toBe(1);
    });
    expect(accounts.isAwaited(place)).toBe(false);
    await held.rollback();
    await (await waited)?.rollback();
    await other.close();
  });
});
