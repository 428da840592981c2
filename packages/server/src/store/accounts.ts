import type { Instant } from '@pennon/engine/model/customer';
import pg from 'pg';
import { type RowName, rowText } from '../service/consumption-record.js';
import type { EnvironmentVersions } from '../service/ports.js';
import {
  closeStatement,
  FIND_ANSWERS,
  FIND_EARLIER,
  INSERT_ACCOUNTS,
  LOCK_ACCOUNTS,
  LOCK_CUSTOMER,
  PEEK_ACCOUNTS,
  PEEK_FRAME,
  READ_FRAME,
  updateStatement,
} from './account-statements.js';
import { numberArray, textArray } from './array-literal.js';
import { closePool } from './close-pool.js';
import { type ConsumptionCopier, createConsumptionCopier } from './consumption-copy.js';

/*
 * Accounts and consumptions: the statements of one consume transaction. Everything that can be sent together is sent
 * together (the connections of this pool are pipelined), so a batch costs two round trips: lock and read; write and commit.
 */

export interface AccountKey {
  readonly feature: string;
  readonly scope: string;
}

/** An account as it stands under its lock. */
export interface LockedAccount extends AccountKey {
  readonly periodStart: Instant | null;
  readonly periodEnd: Instant | null;
  readonly used: number;
  readonly reserved: number;
}

export interface AccountWrite extends LockedAccount {
  /** What stood there when it was locked: the update goes through only if it still does. */
  readonly before: LockedAccount;
}

/** One item of one decided call; the table's own words. */
export interface ConsumptionRow {
  readonly id: string;
  readonly item: number;
  readonly operation: 'consume' | 'release';
  readonly idempotencyKey: string;
  /** Hex of SHA-256 over the canonical request. */
  readonly requestHash: string;
  readonly feature: string;
  readonly scope: string;
  readonly allowed: boolean;
  readonly reason: string;
  readonly enforcement: string;
  readonly requested: number;
  readonly consumed: number;
  readonly usedAfter: number;
  readonly reservedAfter: number;
  readonly limitAtDecision: number | null;
  readonly periodStart: Instant | null;
  readonly revision: number;
  readonly attributes: string | null;
  readonly answer: string;
  readonly actor: string;
}

export interface EarlierConsumption {
  readonly id: string;
  readonly item: number;
  readonly operation: string;
  readonly idempotencyKey: string;
  readonly requestHash: string;
  readonly decidedAt: Instant;
  readonly feature: string;
  readonly scope: string;
  readonly allowed: boolean;
  readonly reason: string;
  readonly enforcement: string;
  readonly requested: number;
  readonly consumed: number;
  readonly usedAfter: number;
  readonly reservedAfter: number;
  readonly limitAtDecision: number | null;
  readonly revision: number;
  readonly answer: string;
}

export interface LockRequest {
  readonly environmentId: string;
  readonly productId: string;
  readonly customerId: string;
  /** In (feature, scope) order. */
  readonly accounts: readonly AccountKey[];
  readonly idempotencyKeys: readonly string[];
}

/** What was read after the locks were held. */
export interface LockedFrame {
  /** The database's clock, after the last lock was waited for. */
  readonly now: Instant;
  /** `null`: the customer's row is gone. */
  readonly customer: { readonly version: number } | null;
  /** `null`: nothing was ever published there. */
  readonly revision: number | null;
  readonly versions: EnvironmentVersions;
  readonly accounts: readonly LockedAccount[];
  readonly earlier: readonly EarlierConsumption[];
}

export interface BatchWrite {
  readonly now: Instant;
  readonly accounts: readonly AccountWrite[];
  /** Periods that ended: they go into history as they stood. */
  readonly closed: readonly LockedAccount[];
  readonly consumptions: readonly ConsumptionRow[];
}

export interface AccountTransaction {
  readonly frame: LockedFrame;
  /** Of the rows that rows of `earlier` refer to, by `rowText`. */
  answersOf(
    rows: readonly (RowName & { readonly decidedAt: Instant })[],
  ): Promise<ReadonlyMap<string, string>>;
  /** Writes and commits; when this rejects, the outcome may be unknown. */
  commit(write: BatchWrite): Promise<void>;
  rollback(): Promise<void>;
}

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
    readonly accounts: readonly LockedAccount[];
  }>;
  begin(request: LockRequest): Promise<AccountTransaction>;
  close(): Promise<void>;
}

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
 * of prepared statements are kept: one that was made while a fresh partition was empty would scan it for hours.
 */
const SESSION = `set synchronous_commit = on; set lock_timeout = 800; set idle_in_transaction_session_timeout = 800;
  set statement_timeout = 2000; set enable_seqscan = off; set enable_bitmapscan = off; set jit = off;
  set plan_cache_mode = force_generic_plan; set timezone = 'UTC'`;

const KNOWN_ACCOUNTS = 100_000;

export function openAccounts(options: AccountsOptions): Accounts {
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    application_name: 'pennon consume',
    max: options.maxConnections ?? 8,
    connectionTimeoutMillis: 800,
    keepAlive: true,
    pipeline: true,
    onConnect: async (client: pg.ClientBase) => {
      await client.query(SESSION);
    },
  } as pg.PoolConfig);
  pool.on('error', (error) => options.onConnectionLost?.(error));
  // Accounts that this process has seen are not inserted again and again; one that is gone is noticed under the lock.
  const known = new Set<string>();
  const copiers = new WeakMap<pg.PoolClient, ConsumptionCopier>();

  function copierOf(client: pg.PoolClient): ConsumptionCopier {
    let copier = copiers.get(client);
    if (copier === undefined) {
      copier = createConsumptionCopier(client);
      copiers.set(client, copier);
    }
    return copier;
  }

  async function begin(request: LockRequest): Promise<AccountTransaction> {
    const client = await pool.connect();
    try {
      return await lockAndRead(client, request, known, copierOf(client));
    } catch (error) {
      // The connection may be in the middle of anything: it is not used again.
      client.release(true);
      throw error;
    }
  }

  async function read({ environmentId, productId, customerKey }: Parameters<Accounts['read']>[0]) {
    const [frames, rows] = await readTogether(pool, [
      {
        name: 'frame-peek',
        text: PEEK_FRAME,
        values: [productId, environmentId, customerKey],
        rowMode: 'array',
      },
      {
        name: 'account-peek',
        text: PEEK_ACCOUNTS,
        values: [environmentId, customerKey, productId],
        rowMode: 'array',
      },
    ]);
    const [now, revision, subjects, shared, version] = frameRow(frames);
    return {
      now: Number(now),
      revision: numberOrNull(revision),
      customerVersion: numberOrNull(version),
      versions: { subjects: Number(subjects), shared: Number(shared) },
      accounts: (rows?.rows ?? []).map(toLockedAccount),
    };
  }

  return { begin, read, close: () => closePool(pool) };
}

async function readTogether(
  pool: pg.Pool,
  statements: readonly (pg.QueryConfig & { readonly rowMode: 'array' })[],
): Promise<pg.QueryResult[]> {
  const client = await pool.connect();
  try {
    const results = await Promise.all(statements.map((statement) => client.query(statement)));
    client.release();
    return results;
  } catch (error) {
    client.release(true);
    throw error;
  }
}

function frameRow(result: pg.QueryResult | undefined): readonly (string | null)[] {
  const row = result?.rows[0] as readonly (string | null)[] | undefined;
  if (row === undefined) {
    throw new Error('The environment does not exist any more.');
  }
  return row;
}

function numberOrNull(text: string | null | undefined): number | null {
  return text === null || text === undefined ? null : Number(text);
}

async function lockAndRead(
  client: pg.PoolClient,
  request: LockRequest,
  known: Set<string>,
  copier: ConsumptionCopier,
): Promise<AccountTransaction> {
  const { customerId, productId, environmentId, accounts } = request;
  const features = textArray(accounts.map((account) => account.feature));
  const scopes = textArray(accounts.map((account) => account.scope));
  const prefix = `${customerId}|${productId}|`;
  const missing = accounts.filter((account) => !known.has(prefix + nameOf(account)));
  // All of it goes out in one write: each write of its own costs as much as dozens of decisions.
  const { stream } = client.connection;
  stream.cork();
  const inserted =
    missing.length === 0
      ? null
      : client.query({
          name: 'account-insert',
          text: INSERT_ACCOUNTS,
          values: [
            customerId,
            productId,
            environmentId,
            textArray(missing.map((account) => account.feature)),
            textArray(missing.map((account) => account.scope)),
          ],
        });
  const sent = [
    client.query('begin'),
    client.query({ name: 'customer-lock', text: LOCK_CUSTOMER, values: [customerId], rowMode: 'array' }),
    client.query({
      name: 'account-lock',
      text: LOCK_ACCOUNTS,
      values: [customerId, productId, features, scopes],
      rowMode: 'array',
    }),
    client.query({
      name: 'frame-read',
      text: READ_FRAME,
      values: [productId, environmentId],
      rowMode: 'array',
    }),
    client.query({
      name: 'consumption-find',
      text: FIND_EARLIER,
      values: [customerId, textArray(request.idempotencyKeys)],
    }),
  ] as const;
  stream.uncork();
  const [insertion, outcome] = await Promise.all([
    inserted,
    Promise.allSettled(sent) as Promise<PromiseSettledResult<pg.QueryResult>[]>,
  ]);
  const [, customers, locked, frames, earlier] = outcome.map(resultOf);
  if (customers === undefined || locked === undefined || frames === undefined || earlier === undefined) {
    throw new Error('The store gave fewer results than it was asked for.');
  }
  if (insertion !== null) {
    remember(known, prefix, missing);
  }
  if (locked.rows.length < accounts.length) {
    for (const account of accounts) {
      known.delete(prefix + nameOf(account));
    }
  }
  const customer = customers.rows[0] as readonly [string] | undefined;
  const [now, revision, subjects, shared] = frameRow(frames);
  return transactionOf(client, request, copier, {
    now: Number(now),
    revision: numberOrNull(revision),
    versions: { subjects: Number(subjects), shared: Number(shared) },
    customer: customer === undefined ? null : { version: Number(customer[0]) },
    accounts: locked.rows.map(toLockedAccount),
    earlier: earlier.rows.map(toEarlier),
  });
}

/** The first failure of a pipeline is the cause; those after it only say that the transaction is aborted. */
function resultOf(settled: PromiseSettledResult<pg.QueryResult>): pg.QueryResult {
  if (settled.status === 'rejected') {
    throw settled.reason;
  }
  return settled.value;
}

function transactionOf(
  client: pg.PoolClient,
  request: LockRequest,
  copier: ConsumptionCopier,
  frame: LockedFrame,
): AccountTransaction {
  return {
    frame,
    async answersOf(rows) {
      const found = await client.query<{
        item: number;
        operation: string;
        idempotency_key: string;
        answer: string | null;
      }>({
        name: 'consumption-answers',
        text: FIND_ANSWERS,
        values: [
          request.customerId,
          textArray(rows.map((one) => one.idempotencyKey)),
          textArray(rows.map((one) => one.operation)),
          numberArray(rows.map((one) => one.item)),
          numberArray(rows.map((one) => one.decidedAt)),
        ],
      });
      return new Map(
        found.rows.map((row) => [rowText({ ...row, idempotencyKey: row.idempotency_key }), row.answer ?? '']),
      );
    },
    async commit(write) {
      try {
        await writeAndCommit(client, request, copier, write);
      } catch (error) {
        client.release(true);
        throw error;
      }
      client.release();
    },
    async rollback() {
      try {
        await client.query('rollback');
      } catch (error) {
        client.release(true);
        throw error;
      }
      client.release();
    },
  };
}

async function writeAndCommit(
  client: pg.PoolClient,
  request: LockRequest,
  copier: ConsumptionCopier,
  write: BatchWrite,
): Promise<void> {
  const sent: Promise<pg.QueryResult>[] = [];
  const { stream } = client.connection;
  stream.cork();
  if (write.closed.length > 0) {
    sent.push(client.query(closeStatement(request, write)));
  }
  if (write.accounts.length > 0) {
    sent.push(client.query(updateStatement(request, write)));
  }
  if (write.consumptions.length > 0) {
    sent.push(copier.copyOf(request, write.now, write.consumptions));
  }
  sent.push(client.query('commit'));
  stream.uncork();
  const outcome = await Promise.allSettled(sent);
  const results = outcome.map(resultOf);
  // INVARIANT: acknowledge only after commit. A commit of an aborted transaction succeeds as a rollback.
  if (results.at(-1)?.command !== 'COMMIT') {
    throw new Error('The store rolled the batch back instead of committing it.');
  }
}

function nameOf(account: AccountKey): string {
  return `${account.feature}|${account.scope}`;
}

function remember(known: Set<string>, prefix: string, accounts: readonly AccountKey[]): void {
  if (known.size + accounts.length > KNOWN_ACCOUNTS) {
    known.clear();
  }
  for (const account of accounts) {
    known.add(prefix + nameOf(account));
  }
}

function toLockedAccount(row: readonly unknown[]): LockedAccount {
  const [feature, scope, start, end, used, reserved] = row as readonly [
    string,
    string,
    Date | null,
    Date | null,
    string,
    string,
  ];
  return {
    feature,
    scope,
    periodStart: start === null ? null : start.getTime(),
    periodEnd: end === null ? null : end.getTime(),
    used: Number(used),
    reserved: Number(reserved),
  };
}

interface EarlierRow {
  id: string;
  item: number;
  operation: string;
  idempotency_key: string;
  request_hash: string;
  decided_at: Date;
  feature: string;
  scope: string;
  allowed: boolean;
  reason: string;
  enforcement: string;
  requested: string;
  consumed: string;
  used_after: string;
  reserved_after: string;
  limit_at_decision: string | null;
  revision: string;
  answer: string | null;
}

function toEarlier(row: EarlierRow): EarlierConsumption {
  return {
    id: row.id,
    item: row.item,
    operation: row.operation,
    idempotencyKey: row.idempotency_key,
    requestHash: row.request_hash,
    decidedAt: row.decided_at.getTime(),
    feature: row.feature,
    scope: row.scope,
    allowed: row.allowed,
    reason: row.reason,
    enforcement: row.enforcement,
    requested: Number(row.requested),
    consumed: Number(row.consumed),
    usedAfter: Number(row.used_after),
    reservedAfter: Number(row.reserved_after),
    limitAtDecision: row.limit_at_decision === null ? null : Number(row.limit_at_decision),
    revision: Number(row.revision),
    answer: row.answer ?? '',
  };
}
