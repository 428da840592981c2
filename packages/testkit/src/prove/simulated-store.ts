import type { BatchWrite, EarlierConsumption, LockedAccount } from '@pennon/server/store/account-transaction';
import type { SimulatedHolder, SimulatedLot } from './simulated-credits.js';
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

/** The same where several customers are locked, each at its own version. */
export type StoreTruth = Omit<FrameTruth, 'customerVersion'>;

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

/** What a statement answers that waits for a lock. */
export const WAITING = Symbol('waiting');
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
  /** What the history of usage adds up to, by account. */
  readonly hours = new Map<string, number>();
  readonly reservations = new Map<string, SimulatedReservation>();
  readonly holders = new Map<string, SimulatedHolder>();
  readonly lots = new Map<string, SimulatedLot>();
  readonly commits: Commit[] = [];
  readonly sessions = new Set<SimulatedSession>();
  readonly locks = new Map<string, Lock>();
  /** What it was asked for and should not have been. */
  readonly faults: string[] = [];
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

  /** As `skip locked` has it: false, and nothing is waited for. */
  tryLock(session: SimulatedSession, row: string): boolean {
    const owner = this.locks.get(row)?.owner;
    return (owner === undefined || owner === session) && this.lock(session, row);
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
  truth: StoreTruth | null = null;
  /** What the open transaction was told of what it was decided on: whether all of it stands. `null`: it did not ask. */
  stands: boolean | null = null;
  /** Of the customers that it locked. */
  readonly customerVersions = new Map<string, number>();
  closed: Error | null = null;
  #failed = false;
  #running: { readonly statements: readonly Statement[]; next: number; readonly results: unknown[] } | null =
    null;
  #done: ((outcome: Outcome) => void) | null = null;
  /** Groups that were sent before the one that runs was answered. */
  readonly #sent: { readonly statements: readonly Statement[]; readonly done: (outcome: Outcome) => void }[] =
    [];
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
    if (this.#running !== null) {
      this.#sent.push({ statements, done });
      return;
    }
    this.#running = { statements, next: 0, results: [] };
    this.#done = done;
    this.#later();
  }

  /** The client is gone. A backend that works or waits notices only when it has done what it was told, also what it has not begun yet. */
  leave(): void {
    this.#leaving = true;
    if (this.#running === null && this.#sent.length === 0) {
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
    for (const sent of this.#sent.splice(0)) sent.done({ ok: false, error });
  }

  resume(): void {
    this.#endWait?.();
    if (this.#running !== null) {
      this.#step();
    }
  }

  rollBack(): void {
    this.effects = null;
    this.stands = null;
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
    this.stands = null;
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
      if (this.#failed && statement.name !== 'commit' && statement.name !== 'rollback') {
        throw new StoreError('25P02', 'current transaction is aborted');
      }
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
    this.#failed ||= this.effects !== null;
    this.#finish({ ok: false, error });
  }

  #finish(outcome: Outcome): void {
    this.#running = null;
    const done = this.#done;
    this.#done = null;
    done?.(outcome);
    const next = this.#sent.shift();
    if (next !== undefined) {
      this.run(next.statements, next.done);
    } else if (this.#leaving) {
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
