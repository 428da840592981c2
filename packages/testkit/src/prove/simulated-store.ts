import type {
  AccountKey,
  BatchWrite,
  EarlierConsumption,
  LockedAccount,
} from '@pennon/server/store/account-transaction';
import type { SimulatedReservation } from './simulated-reservations.js';
import type { SimulatedTime } from './simulated-time.js';

/*
 * PostgreSQL as consume transactions see it, at READ COMMITTED: row locks with a queue in order of arrival, a snapshot for each statement,
 * rows read after a wait as they are then, and the timeouts of the session. What a transaction wrote is seen by others at its commit.
 * That this is how PostgreSQL (and our adapter on it) behaves is checked by scripted interleavings, not believed.
 */

export class StoreError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** What stood in the store when a frame was read: the limit in force follows from it. */
export interface FrameTruth {
  readonly at: number;
  readonly now: number;
  readonly revision: number;
  readonly sharedVersion: number;
  readonly customerVersion: number;
}

export interface Commit {
  readonly at: number;
  readonly customerId: string;
  readonly frame: FrameTruth;
  readonly write: BatchWrite;
}

export interface StoredConsumption extends EarlierConsumption {
  readonly customerId: string;
}

type Effect = () => void;
export type Outcome =
  | { readonly ok: true; readonly results: readonly unknown[] }
  | { readonly ok: false; readonly error: Error };

const WAITING = Symbol('waiting');
export interface Statement {
  readonly name: string;
  readonly run: (session: SimulatedSession) => unknown;
}

export interface StoreOptions {
  readonly time: SimulatedTime;
  /** The database's clock. */
  readonly clock: () => number;
  /** How long a statement takes, in milliseconds. */
  readonly duration: (statement: string) => number;
  /** A fault of the store's own making in that statement: a lost race, for example. */
  readonly fault?: (statement: string) => StoreError | null;
}

const LOCK_TIMEOUT_MILLISECONDS = 800;
const IDLE_IN_TRANSACTION_MILLISECONDS = 800;
const DAY_MILLISECONDS = 86_400_000;
/** How long after a lock became free its first waiter goes on. */
const WAKE_MILLISECONDS = 0.01;

interface Lock {
  owner: SimulatedSession;
  readonly queue: SimulatedSession[];
}

export class SimulatedStore {
  readonly options: StoreOptions;
  revision = 1;
  subjectVersion = 0;
  sharedVersion = 0;
  readonly customerVersions = new Map<string, number>();
  readonly accounts = new Map<string, LockedAccount>();
  readonly periods = new Map<string, LockedAccount>();
  readonly consumptions: StoredConsumption[] = [];
  readonly reservations = new Map<string, SimulatedReservation>();
  readonly commits: Commit[] = [];
  readonly sessions = new Set<SimulatedSession>();
  readonly locks = new Map<string, Lock>();
  up = true;

  constructor(options: StoreOptions) {
    this.options = options;
  }

  open(): SimulatedSession {
    const session = new SimulatedSession(this);
    this.sessions.add(session);
    return session;
  }

  /** `kill -9`: what was committed stays, everything else is gone. */
  crash(): void {
    this.up = false;
    for (const session of [...this.sessions]) {
      session.terminate(new StoreError('57P01', 'The database was killed.'));
    }
  }

  /** False: the session waits in the queue, and the statement is run again once the lock is its own. */
  lock(session: SimulatedSession, row: string): boolean {
    const lock = this.locks.get(row);
    if (lock === undefined) {
      this.locks.set(row, { owner: session, queue: [] });
      session.held.push(row);
      return true;
    }
    if (lock.owner === session) {
      return true;
    }
    lock.queue.push(session);
    session.waitingFor = row;
    return false;
  }

  leaveQueue(session: SimulatedSession): void {
    const lock = session.waitingFor === null ? undefined : this.locks.get(session.waitingFor);
    const place = lock?.queue.indexOf(session) ?? -1;
    if (lock !== undefined && place !== -1) {
      lock.queue.splice(place, 1);
    }
    session.waitingFor = null;
  }

  unlock(row: string): void {
    const lock = this.locks.get(row);
    const next = lock?.queue.shift();
    if (lock === undefined || next === undefined) {
      this.locks.delete(row);
      return;
    }
    lock.owner = next;
    next.held.push(row);
    next.waitingFor = null;
    this.options.time.after(WAKE_MILLISECONDS, () => next.resume(), false);
  }
}

export class SimulatedSession {
  readonly store: SimulatedStore;
  readonly held: string[] = [];
  waitingFor: string | null = null;
  /** How long it may be silent in a transaction; `null`: for ever. */
  idleMilliseconds: number | null = IDLE_IN_TRANSACTION_MILLISECONDS;
  /** What the open transaction will do at its commit; `null`: none is open. */
  effects: Effect[] | null = null;
  truth: FrameTruth | null = null;
  customerVersion = 0;
  closed: Error | null = null;
  #failed = false;
  #running: { readonly statements: readonly Statement[]; next: number; readonly results: unknown[] } | null =
    null;
  #done: ((outcome: Outcome) => void) | null = null;
  #leaving = false;
  #endWait: (() => void) | null = null;
  #endIdle: (() => void) | null = null;

  constructor(store: SimulatedStore) {
    this.store = store;
  }

  /** Statements sent together: after a failure the rest of them is passed over. */
  run(statements: readonly Statement[], done: (outcome: Outcome) => void): void {
    this.#endIdle?.();
    if (this.closed !== null) {
      done({ ok: false, error: this.closed });
      return;
    }
    this.#running = { statements, next: 0, results: [] };
    this.#done = done;
    this.#later();
  }

  /** The client is gone. A backend that works or waits notices only when it has done what it was told. */
  leave(): void {
    this.#leaving = true;
    if (this.#running === null) {
      this.terminate(new StoreError('08006', 'The client is gone.'));
    }
  }

  terminate(error: Error): void {
    if (this.closed !== null) {
      return;
    }
    this.closed = error;
    this.#endIdle?.();
    this.#endWait?.();
    this.store.leaveQueue(this);
    this.#running = null;
    const done = this.#done;
    this.#done = null;
    this.rollBack();
    this.store.sessions.delete(this);
    done?.({ ok: false, error });
  }

  resume(): void {
    this.#endWait?.();
    if (this.#running !== null) {
      this.#step();
    }
  }

  rollBack(): void {
    this.effects = null;
    this.#failed = false;
    this.#unlockAll();
  }

  /** Answers the tag of the command: a failed transaction is rolled back by its commit. */
  commit(): 'COMMIT' | 'ROLLBACK' {
    const { effects } = this;
    if (effects === null || this.#failed) {
      this.rollBack();
      return 'ROLLBACK';
    }
    this.effects = null;
    for (const effect of effects) {
      effect();
    }
    this.#unlockAll();
    return 'COMMIT';
  }

  #unlockAll(): void {
    for (const row of this.held.splice(0)) {
      this.store.unlock(row);
    }
  }

  #later(): void {
    const statement = this.#running?.statements[this.#running.next];
    const { time, duration } = this.store.options;
    time.after(statement === undefined ? 0 : duration(statement.name), () => this.#step(), false);
  }

  #step(): void {
    const running = this.#running;
    if (running === null) {
      return;
    }
    const statement = running.statements[running.next];
    if (statement === undefined) {
      this.#finish({ ok: true, results: running.results });
      return;
    }
    try {
      const fault = this.waitingFor === null ? this.store.options.fault?.(statement.name) : null;
      if (fault !== null && fault !== undefined) {
        throw fault;
      }
      const result = statement.run(this);
      if (result === WAITING) {
        this.#endWait = this.store.options.time.after(
          LOCK_TIMEOUT_MILLISECONDS,
          () => this.#waitedTooLong(),
          false,
        );
        return;
      }
      running.results.push(result);
      running.next += 1;
      this.#later();
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #waitedTooLong(): void {
    if (this.waitingFor !== null) {
      this.store.leaveQueue(this);
      this.#fail(new StoreError('55P03', 'canceling statement due to lock timeout'));
    }
  }

  /** INVARIANT: as in PostgreSQL, a failed statement gives the locks back at once; the block stays failed until it ends. */
  #fail(error: Error): void {
    this.#unlockAll();
    this.#failed = this.effects !== null;
    this.#finish({ ok: false, error });
  }

  #finish(outcome: Outcome): void {
    this.#running = null;
    const done = this.#done;
    this.#done = null;
    done?.(outcome);
    if (this.#leaving) {
      this.terminate(new StoreError('08006', 'The client is gone.'));
    } else if (this.effects !== null && this.closed === null && this.idleMilliseconds !== null) {
      this.#endIdle = this.store.options.time.after(
        this.idleMilliseconds,
        () =>
          this.terminate(
            new StoreError('25P03', 'terminating connection due to idle-in-transaction timeout'),
          ),
        false,
      );
    }
  }
}

/* The statements of a consume transaction. */

export const BEGIN: Statement = {
  name: 'begin',
  run(session) {
    session.effects = [];
    return 'BEGIN';
  },
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
      session.customerVersion = store.customerVersions.get(customerId) ?? 0;
      return { version: session.customerVersion };
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
      customerVersion: session.customerVersion,
    };
    return {
      now: session.truth.now,
      revision: store.revision,
      versions: { subjects: store.subjectVersion, shared: store.sharedVersion },
    };
  },
};

export function findEarlier(customerId: string, idempotencyKeys: readonly string[]): Statement {
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
    for (const account of write.accounts) {
      const { feature, scope, periodStart, periodEnd, used, reserved, nextHoldEnd, limitKnown } = account;
      store.accounts.set(rowOf(customerId, { feature, scope }), {
        feature,
        scope,
        periodStart,
        periodEnd,
        used,
        reserved,
        nextHoldEnd,
        covered: 0,
        hasLots: false,
        limitKnown,
      });
    }
  });
  return null;
}

function insertConsumptions(session: SimulatedSession, customerId: string, write: BatchWrite): null {
  const { store } = session;
  for (const row of write.consumptions) {
    const over = row.limitAtDecision !== null && row.usedAfter + row.reservedAfter > row.limitAtDecision;
    if (row.allowed && row.enforcement === 'hard' && row.operation === 'consume' && over) {
      const error = new StoreError('23514', 'new row for relation "consumption" violates check constraint');
      throw Object.assign(error, { constraint: 'consumption_check' });
    }
  }
  const frame = session.truth;
  session.effects?.push(() => {
    for (const row of write.consumptions) {
      store.consumptions.push({ ...row, answer: row.answer ?? '', customerId, decidedAt: write.now });
    }
    if (frame !== null) {
      store.commits.push({ at: store.options.time.now, customerId, frame, write });
    }
  });
  return null;
}
