import type { CreditLot } from '@pennon/engine/model/customer';
import type { RowName } from '@pennon/server/service/consumption-record';
import type { AccountTransaction, LockedFrame, LockRequest } from '@pennon/server/store/account-transaction';
import type { Accounts } from '@pennon/server/store/accounts';
import type { JointTransaction } from '@pennon/server/store/joint-transaction';
import type { EndedHolds } from '@pennon/server/store/reservation-statements';
import type { AheadOutcome } from '@pennon/server/store/write-ahead';
import { findHolders, findLots, writeHolders, writeLots } from './simulated-credits.js';
import { endedHolds, findReservations, holdsNow, writeReservations } from './simulated-reservations.js';
import {
  ASK_WHO_WAITS,
  askWhetherItStands,
  BEGIN,
  COMMIT,
  findEarlier,
  insertAccounts,
  lockAccounts,
  lockCustomer,
  lockFreeAccounts,
  lockFreeCustomers,
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

  async function insertMissing(connection: Connection, { customerId, accounts }: LockRequest): Promise<void> {
    const missing = accounts.filter((account) => !known.has(rowOf(customerId, account)));
    if (missing.length === 0) return;
    await exchange(store, wire, connection, [insertAccounts(customerId, missing)]);
    for (const account of missing) known.add(rowOf(customerId, account));
  }

  return {
    async begin(request) {
      const connection = connect(store, wire);
      await insertMissing(connection, request);
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
    async writeAhead(request, ahead, behind) {
      // As the adapter does: on the connection of the transaction before, while that one is on its way.
      const before = behind as Connection;
      const connection = before.isCommitting ? before : connect(store, wire);
      if (connection === before) connection.users += 1;
      // Instants of one process at one customer never go back, although the store would take that.
      if (ahead.expected.now < before.decidedAt) {
        store.faults.push(
          `A batch was decided ${before.decidedAt - ahead.expected.now} ms before the one that it follows.`,
        );
      }
      connection.decidedAt = ahead.expected.now;
      return { place: connection, outcome: outcomeOf() };

      async function outcomeOf(): Promise<AheadOutcome> {
        try {
          const results = await commitAll(store, wire, connection, [
            BEGIN,
            lockCustomer(request.customerId),
            lockAccounts(request.customerId, request.accounts),
            askWhetherItStands(request, ahead),
            ...writeBatch(request.customerId, ahead.write),
          ]);
          return results[QUESTION] as AheadOutcome;
        } catch (error) {
          if (connection.failures > 1) return { stood: false, now: ahead.expected.now };
          throw error;
        }
      }
    },
    isAwaited: (place) => (place as Connection).isAwaited,
    async beginTogether(requests) {
      const connection = connect(store, wire);
      for (const request of requests) await insertMissing(connection, request);
      const [, customers, accounts, frame, ...earlier] = (await exchange(store, wire, connection, [
        BEGIN,
        lockFreeCustomers(requests.map(({ customerId }) => customerId)),
        lockFreeAccounts(requests),
        READ_FRAME,
        ...requests.map(({ customerId, idempotencyKeys }) => findEarlier(customerId, idempotencyKeys)),
      ])) as readonly [
        unknown,
        ReadonlyMap<string, { readonly version: number }>,
        ReadonlyMap<string, LockedFrame['accounts']>,
        Pick<LockedFrame, 'now' | 'revision' | 'versions'>,
        ...LockedFrame['earlier'][],
      ];
      const frames = requests.map((request, place): LockedFrame | null => {
        const customer = customers.get(request.customerId);
        const locked = accounts.get(request.customerId) ?? [];
        if (customer === undefined || locked.length < request.accounts.length) return null;
        const before = earlier[place] ?? [];
        return { ...frame, customer, accounts: locked, earlier: before, reservations: [], holders: [] };
      });
      return jointTransactionOf(store, wire, connection, requests, frames);
    },
    read: () => Promise.reject(new Error('Nothing in a simulated history reads balances without a lock.')),
    close: () => Promise.resolve(),
  };
}

interface Connection {
  readonly session: SimulatedSession | null;
  broken: boolean;
  /** Transactions on it: one, and the one that was sent behind it. */
  users: number;
  /** Of transactions: behind one that failed nothing was begun. */
  failures: number;
  /** All that its last transaction had to say is on its way. */
  isCommitting: boolean;
  /** Of the last transaction on it: somebody waited for its locks when it was about to commit. */
  isAwaited: boolean;
  /** The instant of the last batch on it. */
  decidedAt: number;
  /** When the last message of either direction arrives: none overtakes another. */
  readonly arrives: { there: number; back: number };
}

/** Milliseconds until a message that takes so long arrives, behind those that were sent before it. */
function inOrder(
  store: SimulatedStore,
  connection: Connection,
  way: 'there' | 'back',
  delay: number,
): number {
  const { now } = store.options.time;
  const at = Math.max(now + delay, connection.arrives[way]);
  connection.arrives[way] = at;
  return at - now;
}

function connect(store: SimulatedStore, wire: Wire): Connection {
  if (!store.up) {
    return { session: null, broken: true, ...freshConnection() };
  }
  const session = store.open();
  wire.connected(session);
  return { session, broken: false, ...freshConnection() };
}

function freshConnection(): Omit<Connection, 'session' | 'broken'> {
  return {
    users: 1,
    failures: 0,
    isCommitting: false,
    isAwaited: false,
    decidedAt: Number.NEGATIVE_INFINITY,
    arrives: { there: 0, back: 0 },
  };
}

/** The place of the question among the results. */
const QUESTION = 3;

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
      time.after(inOrder(store, connection, 'back', wire.delay()), () =>
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
      time.after(inOrder(store, connection, 'there', wire.delay()), () => session.leave(), false);
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
    const delay = inOrder(store, connection, 'there', wire.delay());
    time.after(delay, () => session.run(statements, reply), false);
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
      connection.decidedAt = write.now;
      await commitAll(store, wire, connection, [
        ...writeBatch(request.customerId, write),
        writeReservations(request.customerId, write),
        ...writeHolders(request.customerId, write),
        ...writeLots(request.customerId, write),
      ]);
      const { session } = connection;
      const holds = holdsNow(request.customerId, write.reservations.accounts);
      return { holds: session === null ? new Map() : holds(session) };
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

function jointTransactionOf(
  store: SimulatedStore,
  wire: Wire,
  connection: Connection,
  requests: readonly LockRequest[],
  frames: JointTransaction['frames'],
): JointTransaction {
  const release = () => connection.session?.leave();
  return {
    frames,
    async lotsOf(asked) {
      const customers = [...new Set(asked.map(({ customerId }) => customerId))];
      const found = await exchange(
        store,
        wire,
        connection,
        customers.map((id) =>
          findLots(
            id,
            asked.filter(({ customerId }) => customerId === id),
          ),
        ),
      );
      return new Map(
        customers.map((id, place) => [id, found[place] as ReadonlyMap<string, readonly CreditLot[]>]),
      );
    },
    async commit(writes) {
      const statements = requests.flatMap(({ customerId }, place) => {
        const write = writes[place];
        return write === null || write === undefined
          ? []
          : [...writeBatch(customerId, write), ...writeLots(customerId, write)];
      });
      await commitAll(store, wire, connection, statements);
    },
    async rollback() {
      try {
        if (!connection.broken) await exchange(store, wire, connection, [ROLLBACK]);
      } finally {
        release();
      }
    },
  };
}

/** When it rejects, the outcome may be unknown; the connection is given up in any case. */
async function commitAll(
  store: SimulatedStore,
  wire: Wire,
  connection: Connection,
  statements: readonly Statement[],
): Promise<readonly unknown[]> {
  connection.isCommitting = true;
  try {
    const results = await exchange(store, wire, connection, [...statements, ASK_WHO_WAITS, COMMIT]);
    if (results.at(-1) !== 'COMMIT') {
      throw new Error('The store rolled the batch back instead of committing it.');
    }
    connection.isAwaited = results.at(-2) === true;
    return results.slice(0, statements.length);
  } catch (error) {
    connection.failures += 1;
    throw error;
  } finally {
    connection.users -= 1;
    connection.isCommitting = connection.users > 0;
    if (connection.users === 0) connection.session?.leave();
  }
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
