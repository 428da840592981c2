import type { CreditLot } from '@pennon/engine/model/customer';
import type { RowName } from '@pennon/server/service/consumption-record';
import type { AccountTransaction, LockedFrame, LockRequest } from '@pennon/server/store/account-transaction';
import type { Accounts } from '@pennon/server/store/accounts';
import type { EndedHolds } from '@pennon/server/store/reservation-statements';
import { findHolders, findLots, writeHolders, writeLots } from './simulated-credits.js';
import { endedHolds, findReservations, holdsNow, writeReservations } from './simulated-reservations.js';
import {
  BEGIN,
  COMMIT,
  findEarlier,
  insertAccounts,
  lockAccounts,
  lockCustomer,
  READ_FRAME,
  ROLLBACK,
  rowOf,
  writeBatch,
} from './simulated-statements.js';
import {
  type Outcome,
  type SimulatedSession,
  type SimulatedStore,
  type Statement,
  StoreError,
} from './simulated-store.js';

/** What becomes of one exchange with the store. `lost-reply`: done, and nobody hears of it. */
export type Fate = 'answered' | 'lost-request' | 'lost-reply';

/** The way between one process and the store. */
export interface Wire {
  /** Milliseconds of one way. */
  delay(): number;
  fate(): Fate;
  /** In the process, if it lives: later where it is paused, never where it is dead. */
  deliver(act: () => void): void;
  /** Connections are held by it, so that they end with the process. */
  connected(session: SimulatedSession): void;
}

/** The port that consume works through, over the simulated store. */
export function simulatedAccounts(store: SimulatedStore, wire: Wire): Accounts {
  const known = new Set<string>();
  return {
    async begin(request) {
      const connection = connect(store, wire);
      const missing = request.accounts.filter((account) => !known.has(rowOf(request.customerId, account)));
      if (missing.length > 0) {
        await exchange(store, wire, connection, [insertAccounts(request.customerId, missing)]);
        for (const account of missing) known.add(rowOf(request.customerId, account));
      }
      const results = await exchange(store, wire, connection, [
        BEGIN,
        lockCustomer(request.customerId),
        lockAccounts(request.customerId, request.accounts),
        READ_FRAME,
        findEarlier(request.customerId, request.idempotencyKeys),
        findReservations(request.customerId, request.reservationIds),
        ...findHolders(request.customerId, request.holders),
      ]);
      const [, customer, accounts, frame, earlier, reservations, holders = []] = results as readonly [
        unknown,
        LockedFrame['customer'],
        LockedFrame['accounts'],
        Pick<LockedFrame, 'now' | 'revision' | 'versions'>,
        LockedFrame['earlier'],
        LockedFrame['reservations'],
        LockedFrame['holders'] | undefined,
      ];
      return transactionOf(store, wire, connection, request, {
        ...frame,
        customer,
        accounts,
        earlier,
        reservations,
        holders,
      });
    },
    read: () => Promise.reject(new Error('Nothing in a simulated history reads balances without a lock.')),
    close: () => Promise.resolve(),
  };
}

interface Connection {
  readonly session: SimulatedSession | null;
  broken: boolean;
}

function connect(store: SimulatedStore, wire: Wire): Connection {
  if (!store.up) {
    return { session: null, broken: true };
  }
  const session = store.open();
  wire.connected(session);
  return { session, broken: false };
}

const cut = () => new StoreError('08006', 'The connection was cut.');

/** One group of statements there and their answers back. Rejects as the driver does when the connection breaks. */
function exchange(
  store: SimulatedStore,
  wire: Wire,
  connection: Connection,
  statements: readonly Statement[],
): Promise<readonly unknown[]> {
  const { time } = store.options;
  const { session } = connection;
  return new Promise((resolve, reject) => {
    const hear = (outcome: Outcome): void => {
      time.after(wire.delay(), () =>
        wire.deliver(() => {
          if (outcome.ok) {
            resolve(outcome.results);
          } else {
            connection.broken = true;
            session?.leave();
            reject(outcome.error);
          }
        }),
      );
    };
    if (session === null || connection.broken) {
      hear({ ok: false, error: cut() });
      return;
    }
    const fate = wire.fate();
    if (fate === 'lost-request') {
      time.after(wire.delay(), () => session.leave(), false);
      hear({ ok: false, error: cut() });
      return;
    }
    const reply =
      fate === 'answered'
        ? hear
        : () => {
            session.leave();
            hear({ ok: false, error: cut() });
          };
    time.after(wire.delay(), () => session.run(statements, reply), false);
  });
}

function transactionOf(
  store: SimulatedStore,
  wire: Wire,
  connection: Connection,
  request: LockRequest,
  frame: LockedFrame,
): AccountTransaction {
  const release = () => connection.session?.leave();
  return {
    frame,
    place: connection,
    async answersOf(rows) {
      const [found] = await exchange(store, wire, connection, [answersOf(request.customerId, rows)]);
      return found as ReadonlyMap<string, string>;
    },
    async lotsOf(accounts) {
      const [found] = await exchange(store, wire, connection, [findLots(request.customerId, accounts)]);
      return found as ReadonlyMap<string, readonly CreditLot[]>;
    },
    async endedHolds(accounts) {
      const [ended] = await exchange(store, wire, connection, [
        endedHolds(request.customerId, accounts, frame.now),
      ]);
      return ended as EndedHolds;
    },
    async commit(write) {
      try {
        const results = await exchange(store, wire, connection, [
          ...writeBatch(request.customerId, write),
          writeReservations(request.customerId, write),
          ...writeHolders(request.customerId, write),
          ...writeLots(request.customerId, write),
          COMMIT,
        ]);
        if (results.at(-1) !== 'COMMIT') {
          throw new Error('The store rolled the batch back instead of committing it.');
        }
        const { session } = connection;
        const holds = holdsNow(request.customerId, write.reservations.accounts);
        return { holds: session === null ? new Map() : holds(session) };
      } finally {
        release();
      }
    },
    async rollback() {
      try {
        if (!connection.broken) {
          await exchange(store, wire, connection, [ROLLBACK]);
        }
      } finally {
        release();
      }
    },
  };
}

function answersOf(
  customerId: string,
  rows: readonly (RowName & { readonly decidedAt: number })[],
): Statement {
  return {
    name: 'consumption-answers',
    run({ store }): ReadonlyMap<string, string> {
      const answers = new Map<string, string>();
      for (const { item, operation, idempotencyKey, decidedAt } of rows) {
        const found = store.consumptions.find(
          (row) =>
            row.customerId === customerId &&
            row.idempotencyKey === idempotencyKey &&
            row.operation === operation &&
            row.item === item &&
            row.decidedAt === decidedAt,
        );
        if (found !== undefined) {
          answers.set(`${item}.${operation}.${idempotencyKey}`, found.answer ?? '');
        }
      }
      return answers;
    },
  };
}
