import { isDeepStrictEqual } from 'node:util';
import { NOTHING_TOLD } from '@pennon/engine/usage/notices';
import type {
  AccountKey,
  BatchWrite,
  LockedAccount,
  LockRequest,
} from '@pennon/server/store/account-transaction';
import type { AheadOutcome, AheadWrite } from '@pennon/server/store/write-ahead';
import {
  type SimulatedSession,
  type Statement,
  type StoredConsumption,
  StoreError,
  WAITING,
} from './simulated-store.js';

/* The statements of a consume transaction, on the simulated store. */

const DAY_MILLISECONDS = 86_400_000;

export const BEGIN: Statement = {
  name: 'begin',
  run(session) {
    session.effects = [];
    return 'BEGIN';
  },
};
/** Whether somebody waits for a row that this transaction has locked. */
export const ASK_WHO_WAITS: Statement = {
  name: 'who-waits',
  run: ({ held, store }) => held.some((row) => (store.locks.get(row)?.queue.length ?? 0) > 0),
};
export const COMMIT: Statement = { name: 'commit', run: (session) => session.commit() };
export const ROLLBACK: Statement = {
  name: 'rollback',
  run(session) {
    session.rollBack();
    return 'ROLLBACK';
  },
};

export function rowOf(customerId: string, { feature, scope }: AccountKey): string {
  return `${customerId}|${feature}|${scope}`;
}

export function insertAccounts(customerId: string, accounts: readonly AccountKey[]): Statement {
  return {
    name: 'account-insert',
    run({ store }) {
      for (const { feature, scope } of accounts) {
        const row = rowOf(customerId, { feature, scope });
        if (!store.accounts.has(row)) {
          store.accounts.set(row, {
            feature,
            scope,
            periodStart: null,
            periodEnd: null,
            used: 0,
            reserved: 0,
            nextHoldEnd: null,
            covered: 0,
            hasLots: false,
            limitKnown: null,
            told: NOTHING_TOLD,
          });
        }
      }
      return null;
    },
  };
}

export function lockCustomer(customerId: string): Statement {
  return {
    name: 'customer-lock',
    run(session) {
      const { store } = session;
      if (!store.customerVersions.has(customerId)) {
        return null;
      }
      if (!store.lock(session, `customer ${customerId}`)) {
        return WAITING;
      }
      return lockedCustomer(session, customerId);
    },
  };
}

function lockedCustomer(session: SimulatedSession, customerId: string): { readonly version: number } {
  const version = session.store.customerVersions.get(customerId) ?? 0;
  session.customerVersions.set(customerId, version);
  return { version };
}

/** Those at whom nobody else is, by id. */
export function lockFreeCustomers(customerIds: readonly string[]): Statement {
  return {
    name: 'customer-lock',
    run(session): ReadonlyMap<string, { readonly version: number }> {
      const { store } = session;
      const free = customerIds.filter(
        (id) => store.customerVersions.has(id) && store.tryLock(session, `customer ${id}`),
      );
      return new Map(free.map((id) => [id, lockedCustomer(session, id)]));
    },
  };
}

/** Those that nobody else has locked, by customer. */
export function lockFreeAccounts(
  requests: readonly { readonly customerId: string; readonly accounts: readonly AccountKey[] }[],
): Statement {
  return {
    name: 'account-lock',
    run(session): ReadonlyMap<string, readonly LockedAccount[]> {
      const { store } = session;
      return new Map(
        requests.map(({ customerId, accounts }) => {
          const rows = accounts.map((account) => rowOf(customerId, account)).sort();
          const free = rows.filter((row) => store.accounts.has(row) && store.tryLock(session, row));
          return [customerId, free.flatMap((row) => store.accounts.get(row) ?? [])];
        }),
      );
    },
  };
}

export function lockAccounts(customerId: string, accounts: readonly AccountKey[]): Statement {
  return {
    name: 'account-lock',
    run(session): readonly LockedAccount[] | typeof WAITING {
      const rows = accounts.map((account) => rowOf(customerId, account)).sort();
      const there = rows.filter((row) => session.store.accounts.has(row));
      for (const row of there) {
        if (!session.store.lock(session, row)) {
          return WAITING;
        }
      }
      return there.flatMap((row) => session.store.accounts.get(row) ?? []);
    },
  };
}

export const READ_FRAME: Statement = {
  name: 'frame-read',
  run(session) {
    const { store } = session;
    session.truth = {
      at: store.options.time.now,
      now: store.options.clock(),
      revision: store.revision,
      sharedVersion: store.sharedVersion,
    };
    return {
      now: session.truth.now,
      revision: store.revision,
      versions: { subjects: store.subjectVersion, shared: store.sharedVersion },
    };
  },
};

interface EarlierSearch extends Statement {
  readonly run: (session: SimulatedSession) => readonly StoredConsumption[];
}

export function findEarlier(customerId: string, idempotencyKeys: readonly string[]): EarlierSearch {
  return {
    name: 'consumption-find',
    run({ store }): readonly StoredConsumption[] {
      const asked = new Set(idempotencyKeys);
      const now = store.options.clock();
      return store.consumptions
        .filter(
          (row) =>
            row.customerId === customerId &&
            asked.has(row.idempotencyKey) &&
            row.decidedAt > now - 35 * DAY_MILLISECONDS &&
            row.decidedAt < now + DAY_MILLISECONDS,
        )
        .sort((one, other) => (one.id < other.id ? -1 : one.id > other.id ? 1 : one.item - other.item));
    },
  };
}

/** Whether everything is as it was expected, under the locks that are held. */
export function askWhetherItStands(request: LockRequest, { expected, validUntil }: AheadWrite): Statement {
  return {
    name: 'stands',
    run(session): AheadOutcome {
      const { store } = session;
      const now = store.options.clock();
      const { revision, subjectVersion, sharedVersion } = store;
      session.truth = { at: store.options.time.now, now, revision, sharedVersion };
      const { customerId, idempotencyKeys } = request;
      session.stands =
        now >= expected.now &&
        (validUntil === null || now < validUntil) &&
        store.customerVersions.get(customerId) === expected.customer?.version &&
        subjectVersion === expected.versions.subjects &&
        sharedVersion === expected.versions.shared &&
        revision === expected.revision &&
        expected.accounts.every((account) =>
          isDeepStrictEqual(standingOf(account), standingOf(store.accounts.get(rowOf(customerId, account)))),
        ) &&
        findEarlier(customerId, idempotencyKeys).run(session).length === 0;
      return { stood: session.stands, now };
    },
  };
}

/** What a row of an account says, without what those who write it add. */
function standingOf(account: LockedAccount | undefined): LockedAccount | undefined {
  if (account === undefined) return undefined;
  const { feature, scope, periodStart, periodEnd, used, reserved, nextHoldEnd, ...rest } = account;
  const { covered, hasLots, limitKnown, told } = rest;
  const balance = { used, reserved, nextHoldEnd, covered, hasLots, limitKnown, told };
  return { feature, scope, periodStart, periodEnd, ...balance };
}

/** A change of the customer: a grant given or taken, a license moved. */
export function raiseCustomer(customerId: string, then: (version: number) => void = () => {}): Statement {
  return {
    name: 'customer-update',
    run(session) {
      const { store } = session;
      if (!store.lock(session, `customer ${customerId}`)) {
        return WAITING;
      }
      const version = (store.customerVersions.get(customerId) ?? 0) + 1;
      session.effects?.push(() => {
        store.customerVersions.set(customerId, version);
        then(version);
      });
      return version;
    },
  };
}

/** The second group of a consume transaction, but for the commit. */
export function writeBatch(customerId: string, write: BatchWrite): readonly Statement[] {
  return [
    { name: 'account-update', run: (session) => updateAccounts(session, customerId, write) },
    { name: 'consumption-copy', run: (session) => insertConsumptions(session, customerId, write) },
  ];
}

function updateAccounts(session: SimulatedSession, customerId: string, write: BatchWrite): null {
  const { store } = session;
  if (session.stands === false) return null;
  for (const { before } of write.accounts) {
    const standing = store.accounts.get(rowOf(customerId, before));
    if (standing === undefined || standing.used !== before.used || standing.reserved !== before.reserved) {
      throw new StoreError('22012', 'division by zero');
    }
  }
  session.effects?.push(() => {
    for (const account of write.closed) {
      const row = `${rowOf(customerId, account)}|${account.periodStart}`;
      if (!store.periods.has(row)) {
        store.periods.set(row, account);
      }
    }
    for (const hour of write.hours) {
      const row = rowOf(customerId, hour);
      store.hours.set(row, (store.hours.get(row) ?? 0) + hour.amount);
    }
    for (const account of write.accounts) {
      const { feature, scope, periodStart, periodEnd, used, reserved, nextHoldEnd, limitKnown, told } =
        account;
      const row = rowOf(customerId, { feature, scope });
      const { covered = 0, hasLots = false } = store.accounts.get(row) ?? {};
      store.accounts.set(row, {
        feature,
        scope,
        periodStart,
        periodEnd,
        used,
        reserved,
        nextHoldEnd,
        covered,
        hasLots,
        limitKnown,
        told,
      });
    }
  });
  return null;
}

function insertConsumptions(session: SimulatedSession, customerId: string, write: BatchWrite): null {
  const { store } = session;
  if (session.stands === false) return null;
  for (const row of write.consumptions) {
    const over = row.limitAtDecision !== null && row.usedAfter + row.reservedAfter > row.limitAtDecision;
    if (row.allowed && row.enforcement === 'hard' && row.operation === 'consume' && over) {
      const error = new StoreError('23514', 'new row for relation "consumption" violates check constraint');
      throw Object.assign(error, { constraint: 'consumption_check' });
    }
  }
  const { truth } = session;
  const customerVersion = session.customerVersions.get(customerId) ?? 0;
  session.effects?.push(() => {
    for (const row of write.consumptions) {
      store.consumptions.push({ ...row, answer: row.answer ?? '', customerId, decidedAt: write.now });
    }
    if (truth !== null) {
      store.commits.push({
        at: store.options.time.now,
        customerId,
        frame: { ...truth, customerVersion },
        write,
      });
    }
  });
  return null;
}
