import { createPrometheusMetrics } from '@pennon/server/http/prometheus-metrics';
import { measuredAccounts } from '@pennon/server/service/measured-stores';
import type { AccountTransaction, BatchWrite, LockRequest } from '@pennon/server/store/account-transaction';
import { type Accounts, openAccounts } from '@pennon/server/store/accounts';
import { NO_LOTS_WRITTEN } from '@pennon/server/store/lot-statements';
import { startTestServer, type TestServer } from '@pennon/testkit/test-server';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { customer, RUNTIME_CATALOG } from './runtime-support.js';

let server: TestServer;
let accounts: Accounts;
let request: LockRequest;

beforeAll(async () => {
  server = await startTestServer({ catalog: RUNTIME_CATALOG });
  // As a server has them: counted.
  const opened = openAccounts({ connectionString: server.databaseUrl, maxConnections: 2 });
  accounts = measuredAccounts(opened, createPrometheusMetrics());
  await customer(server, 'acme', 'pro');
  const { rows } = await server.parts.database.pool.query(
    `select c.id, c.environment_id, p.id as product_id from customer c, product p where c.key = 'acme' and p.key = 'test'`,
  );
  request = {
    environmentId: rows[0].environment_id,
    productId: rows[0].product_id,
    customerId: rows[0].id,
    accounts: [{ feature: 'calling-minutes', scope: '' }],
    idempotencyKeys: [],
    reservationIds: [],
    holders: [],
  };
}, 60_000);
afterAll(async () => {
  await accounts.close();
  await server.stop();
});

function taking(transaction: AccountTransaction, amount: number, told?: number): BatchWrite {
  const [account] = transaction.frame.accounts;
  if (account === undefined) throw new Error('The account is not there.');
  const before = { ...account, used: told ?? account.used };
  return {
    now: transaction.frame.now,
    accounts: [{ ...account, used: account.used + amount, lots: [], percent: null, before }],
    closed: [],
    consumptions: [],
    reservations: { made: [], finished: [], accounts: [] },
    holders: [],
    lots: NO_LOTS_WRITTEN,
    hours: [],
    wouldHaveDenied: 0,
    notices: [],
  };
}

const usedOf = (transaction: AccountTransaction) => transaction.frame.accounts[0]?.used;

/** Connections of this test's own pool and of the server's. */
async function connections(): Promise<number> {
  const { rows } = await server.parts.database.pool.query(
    `select count(*)::int as open from pg_stat_activity where application_name = 'pennon consume' and datname = current_database()`,
  );
  return rows[0].open;
}

describe('a transaction that is sent behind another one of its customer', () => {
  it('X-5 reads what the one before has left, though its outcome was not waited for', async () => {
    let before = await accounts.begin(request, null);
    const from = usedOf(before) ?? 0;
    const open = await connections();
    for (let turn = 1; turn <= 5; turn += 1) {
      const committed = before.commit(taking(before, 1));
      const next = await accounts.begin(request, before);
      expect(usedOf(next)).toBe(from + turn);
      await committed;
      before = next;
    }
    await before.rollback();
    // All of them on one connection: another one would have had to be opened for a transaction that does not wait.
    expect(await connections()).toBe(open);
  });

  it('X-5 begins on another connection when the one before could not commit, and nothing of that is left', async () => {
    for (let turn = 0; turn < 5; turn += 1) {
      const before = await accounts.begin(request, null);
      const from = usedOf(before);
      // Not what stands there: the update goes through only if it still does.
      const refused = expect(before.commit(taking(before, 1, -1))).rejects.toThrow(/division by zero/);
      const next = await accounts.begin(request, before);
      await refused;
      expect(usedOf(next)).toBe(from);
      await next.commit(taking(next, 1));
      const last = await accounts.begin(request, next);
      expect(usedOf(last)).toBe((from ?? 0) + 1);
      await last.rollback();
    }
  });

  it('lets go of the connection: two of them are enough for any number of turns', async () => {
    for (let turn = 0; turn < 20; turn += 1) {
      const [one, two] = await Promise.all([
        accounts.begin(request, null),
        accounts.begin(
          { ...request, customerId: '00000000-0000-7000-8000-000000000000', accounts: [] },
          null,
        ),
      ]);
      const committed = one.commit(taking(one, 0));
      const behind = await accounts.begin(request, one);
      await committed;
      await Promise.all([behind.rollback(), two.rollback()]);
    }
  });
});
