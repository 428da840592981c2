import type { CreditLot, Hold, Instant } from '@pennon/engine/model/customer';
import { LIMITS } from '@pennon/engine/model/limits';
import pg from 'pg';
import type { EnvironmentVersions } from '../service/ports.js';
import { numberOrNull, toLockedAccount } from './account-rows.js';
import { PEEK_ACCOUNTS, PEEK_FRAME } from './account-statements.js';
import {
  type AccountConnection,
  type AccountTransaction,
  type AccountTurn,
  frameRow,
  type LockedAccount,
  type LockRequest,
  lockAndRead,
} from './account-transaction.js';
import { closePool } from './close-pool.js';
import { createConsumptionCopier } from './consumption-copy.js';
import { type JointTransaction, lockTogether } from './joint-transaction.js';
import { createKnownAccounts } from './known-accounts.js';
import { surviveLostConnections } from './lost-connections.js';
import { toLots } from './lot-statements.js';
import { openTransaction } from './open-transaction.js';
import { toHolds } from './reservation-statements.js';
import { endSilentConnections } from './silent-connections.js';
import { sendGroup } from './statement-group.js';
import { type AheadOutcome, type AheadWrite, aheadStatements, toAheadOutcome } from './write-ahead.js';

/* Accounts and consumptions: the connections on which consume transactions run. */

export interface Accounts {
  /** Balances as they stand, without a lock; of a customer who may not be there. */
  read(question: {
    readonly environmentId: string;
    readonly productId: string;
    readonly customerKey: string | null;
  }): Promise<{
    readonly now: Instant;
    readonly revision: number | null;
    readonly customerVersion: number | null;
    readonly versions: EnvironmentVersions;
    readonly accounts: readonly ReadAccount[];
  }>;
  /**
   * @param behind what another transaction of the same customer is known by: while that one is on its way, the locks are asked for right
   * behind it, without waiting for its outcome.
   */
  begin(request: LockRequest, behind?: object): Promise<AccountTransaction>;
  /**
   * A transaction that is decided already, in one round trip: written if everything stands as it was expected, else not at all.
   *
   * @param behind a transaction of the same customer that is on its way: this one follows it without waiting for its outcome.
   */
  writeAhead(request: LockRequest, ahead: AheadWrite, behind: object): Promise<SentAhead>;
  /**
   * Of a transaction that is over, and followed others without a pause: whether somebody else waited for its locks. It is asked for every
   * eighth in a row.
   */
  isAwaited(place: object): boolean;
  /** @param requests of different customers of one product, in the order of their ids, with neither reservations nor holders */
  beginTogether(requests: readonly LockRequest[]): Promise<JointTransaction>;
  close(): Promise<void>;
}

/** A transaction among those of one customer that follow one another on one connection. */
interface TurnInARow extends AccountTurn {
  readonly inARow: number;
}

/** A look at all locks costs as much as a few decisions. */
const ASKED_EVERY = 8;

export interface SentAhead {
  /** What this store knows it by. */
  readonly place: object;
  /** When this rejects, the outcome may be unknown. */
  readonly outcome: Promise<AheadOutcome>;
}

export type ReadAccount = LockedAccount & {
  readonly holds: readonly Hold[];
  readonly lots: readonly CreditLot[];
};

export interface AccountsOptions {
  readonly connectionString: string;
  readonly maxConnections?: number;
  readonly onConnectionLost?: (error: Error) => void;
}

/**
 * Deadlocks and serialization failures: nothing was written, and the same may simply be run again. So it is when a month's partition was
 * attached between the routing of a row and its writing: that check, of no name, is no second opinion on a decision.
 */
export function isLostRace(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === '23514') {
    return error instanceof Error && (!('constraint' in error) || error.constraint === undefined);
  }
  return code === '40P01' || code === '40001';
}

/**
 * A caller waits for the answer, so nothing here may hold a lock longer than 800 ms. Sequential scans are off because plans
 * of prepared statements are kept: one that was made while a fresh partition was empty would scan it for hours. Whoever records usage
 * does the same, because who consumes may wait for what is locked there.
 */
export const SESSION = `set synchronous_commit = on; set lock_timeout = 800; set idle_in_transaction_session_timeout = 800;
  set statement_timeout = 2000; set enable_seqscan = off; set enable_bitmapscan = off; set jit = off;
  set plan_cache_mode = force_generic_plan; set timezone = 'UTC'`;

export function openAccounts(options: AccountsOptions): Accounts {
  const pool = openPool(options, options.maxConnections ?? 8);
  // Of their own: no customer whose lock is waited for keeps the many who are decided together from a connection.
  const together = openPool(options, LIMITS.transactionsTogether.value);
  const known = createKnownAccounts();
  const connections = new WeakMap<pg.PoolClient, AccountConnection>();
  const turns = new WeakMap<object, TurnInARow>();

  function connectionOf(client: pg.PoolClient): AccountConnection {
    let connection = connections.get(client);
    if (connection === undefined) {
      connection = { client, copier: createConsumptionCopier() };
      connections.set(client, connection);
    }
    return connection;
  }

  /** The turn of a transaction that is on its way, so that the one behind it takes its connection over; `null`: it is over, or failed. */
  function takeOver(behind: object | undefined): TurnInARow | null {
    const before = behind === undefined ? undefined : turns.get(behind);
    // Who waits for a connection gets this one, instead of a customer of whom there are always more requests.
    if (before?.transaction.state() !== 'committing' || pool.waitingCount > 0) return null;
    before.transaction.handOn();
    return before;
  }

  function turnOn(connection: AccountConnection, before: TurnInARow | null): TurnInARow {
    const inARow = (before?.inARow ?? 0) + 1;
    return {
      ...{ connection, inARow },
      transaction: openTransaction(connection.client, inARow % ASKED_EVERY === 0),
    };
  }

  async function begin(request: LockRequest, behind?: object): Promise<AccountTransaction> {
    const before = takeOver(behind);
    if (before !== null) {
      try {
        return await beginOn(turnOn(before.connection, before), request);
      } catch (error) {
        // Behind a transaction that failed nothing was begun.
        if (before.transaction.state() !== 'failed') throw error;
      }
    }
    return beginOn(turnOn(connectionOf(await pool.connect()), null), request);
  }

  async function beginOn(turn: TurnInARow, request: LockRequest): Promise<AccountTransaction> {
    try {
      const transaction = await lockAndRead(turn, request, known);
      turns.set(transaction.place, turn);
      return transaction;
    } catch (error) {
      turn.connection.client.release(true);
      throw error;
    }
  }

  async function writeAhead(request: LockRequest, ahead: AheadWrite, behind: object): Promise<SentAhead> {
    const before = takeOver(behind);
    const turn = turnOn(before?.connection ?? connectionOf(await pool.connect()), before);
    const { connection, transaction } = turn;
    turns.set(transaction, turn);
    return { place: transaction, outcome: outcomeOf() };

    async function outcomeOf(): Promise<AheadOutcome> {
      try {
        return toAheadOutcome(
          await transaction.commit(() => aheadStatements(connection.copier, request, ahead)),
        );
      } catch (error) {
        // Behind a transaction that failed, nothing was begun; where only the answers of both were lost, whoever decides it anew finds
        // its keys.
        if (before?.transaction.state() === 'failed') {
          return { stood: false, now: ahead.expected.now };
        }
        throw error;
      }
    }
  }

  async function beginTogether(requests: readonly LockRequest[]): Promise<JointTransaction> {
    const client = await together.connect();
    try {
      const turn = { connection: connectionOf(client), transaction: openTransaction(client) };
      return await lockTogether(turn, requests, known);
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  async function read({ environmentId, productId, customerKey }: Parameters<Accounts['read']>[0]) {
    const client = await pool.connect();
    try {
      const [frames, accounts] = await sendGroup(client, [
        { name: 'frame-peek', text: PEEK_FRAME, values: [productId, environmentId, customerKey] },
        { name: 'account-peek', text: PEEK_ACCOUNTS, values: [environmentId, customerKey, productId] },
      ]);
      client.release();
      const [now, revision, subjects, shared, version] = frameRow(frames);
      return {
        now: Number(now),
        revision: numberOrNull(revision),
        customerVersion: numberOrNull(version),
        versions: { subjects: Number(subjects), shared: Number(shared) },
        accounts: (accounts?.rows ?? []).map((row) => ({
          ...toLockedAccount(row),
          holds: toHolds(row[13]),
          lots: toLots(row[14]),
        })),
      };
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  async function close(): Promise<void> {
    await Promise.all([closePool(pool), closePool(together)]);
  }

  const isAwaited = (place: object): boolean => turns.get(place)?.transaction.isAwaited() === true;

  return { begin, writeAhead, isAwaited, beginTogether, read, close };
}

/** What the store lists these connections as. */
const APPLICATION_NAME = 'pennon consume';

function openPool({ connectionString, onConnectionLost }: AccountsOptions, max: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString,
    application_name: APPLICATION_NAME,
    max,
    connectionTimeoutMillis: 800,
    keepAlive: true,
    pipeline: true,
    onConnect: async (client: pg.ClientBase) => {
      await client.query(SESSION);
    },
  } as pg.PoolConfig);
  surviveLostConnections(pool, onConnectionLost);
  endSilentConnections(pool, { connectionString, applicationName: APPLICATION_NAME });
  return pool;
}
