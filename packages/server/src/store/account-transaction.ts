import type { CreditLot, Hold, Instant } from '@pennon/engine/model/customer';
import type { Told } from '@pennon/engine/usage/notices';
import type pg from 'pg';
import { type RowName, rowText } from '../service/consumption-record.js';
import type { EnvironmentVersions } from '../service/ports.js';
import { numberOrNull, toEarlier, toLockedAccount } from './account-rows.js';
import { FIND_ANSWERS, insertStatement, lockStatements } from './account-statements.js';
import { writeStatements } from './account-writes.js';
import { numberArray, textArray } from './array-literal.js';
import type { ConsumptionCopier } from './consumption-copy.js';
import { findHoldersStatement, type HolderKey, type StoredHolder, toHolder } from './holder-statements.js';
import type { KnownAccounts } from './known-accounts.js';
import { accountText, findLotsStatement, type LotsWrite, toAccountLots } from './lot-statements.js';
import { BEGIN, type OpenTransaction } from './open-transaction.js';
import type { OutboxEvent } from './outbox-statements.js';
import {
  type EndedHolds,
  endedStatements,
  type FinishedReservation,
  findReservationsStatement,
  type NewReservation,
  type StoredReservation,
  toEndedHolds,
  toHoldsByAccount,
  toReservation,
} from './reservation-statements.js';
import { type GroupResult, type GroupStatement, sendGroup } from './statement-group.js';
import type { HourWrite } from './usage-transaction.js';

/* One consume transaction in two round trips: lock and read; write and commit. */

export interface AccountKey {
  readonly feature: string;
  readonly scope: string;
}

/** An account of one of several customers. */
export interface CustomerAccountKey extends AccountKey {
  readonly customerId: string;
}

/** An account as it stands under its lock. */
export interface LockedAccount extends AccountKey {
  readonly periodStart: Instant | null;
  readonly periodEnd: Instant | null;
  readonly used: number;
  readonly reserved: number;
  /** No hold ends before it; `null`: nothing is held. */
  readonly nextHoldEnd: Instant | null;
  /** Of `used`, what was taken out of lots. */
  readonly covered: number;
  /** There may be lots that are not closed; without them none are looked for. */
  readonly hasLots: boolean;
  /** The limit in force at the last decision; `null`: none, or nobody decided yet. */
  readonly limitKnown: number | null;
  /** Of the current period. */
  readonly told: Told;
}

export interface AccountWrite extends LockedAccount {
  /** Of `limitKnown`, by `percentOf`. */
  readonly percent: number | null;
  /** As they stand then, for this process's own evaluations. */
  readonly lots: readonly CreditLot[];
  /** What stood there when it was locked: the update goes through only if it still does. */
  readonly before: LockedAccount;
}

/**
 * What a row tells of. `consumed` is what was taken (consume, settle), held (reserve), or given back (release; release-hold and expire: of
 * what was held). `expire` is the clock's: its key is the reservation's id, and nobody asks for it again.
 */
export type RecordedOperation = 'consume' | 'release' | 'reserve' | 'settle' | 'release-hold' | 'expire';

/** One item of one decided call; the table's own words. */
export interface ConsumptionRow {
  readonly id: string;
  readonly item: number;
  readonly operation: RecordedOperation;
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
  /** `null`: there is nobody to answer. */
  readonly answer: string | null;
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
  /** Those that are to be settled or released. */
  readonly reservationIds: readonly string[];
  /** Things that claim or give back units. */
  readonly holders: readonly HolderKey[];
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
  /** Those of the request that there are. */
  readonly reservations: readonly StoredReservation[];
  /** Those of the request that hold anything. */
  readonly holders: readonly StoredHolder[];
}

export interface BatchWrite {
  readonly now: Instant;
  readonly accounts: readonly AccountWrite[];
  /** Periods that ended: they go into history as they stood. */
  readonly closed: readonly LockedAccount[];
  readonly consumptions: readonly ConsumptionRow[];
  readonly reservations: {
    readonly made: readonly NewReservation[];
    readonly finished: readonly FinishedReservation[];
    /** Whose holds are not what they were. */
    readonly accounts: readonly AccountKey[];
  };
  /** What those whose amount changed hold now. */
  readonly holders: readonly StoredHolder[];
  readonly lots: LotsWrite;
  /** What the batch adds to the history of usage. */
  readonly hours: readonly ConsumedHour[];
  /** How many of the consumptions are allowed only because they are observed. */
  readonly wouldHaveDenied: number;
  /** What the batch tells of its accounts. */
  readonly notices: readonly Omit<OutboxEvent, 'customerId'>[];
}

export type ConsumedHour = Omit<HourWrite, 'customerId'>;

export interface CommitReport {
  /** By `heldAccountName`, of the accounts whose holds the batch changed: what they hold now. */
  readonly holds: ReadonlyMap<string, readonly Hold[]>;
}

export interface AccountTransaction {
  readonly frame: LockedFrame;
  /** What the store that began it knows it by. */
  readonly place: object;
  /** Of the rows that rows of `earlier` refer to, by `rowText`. */
  answersOf(
    rows: readonly (RowName & { readonly decidedAt: Instant })[],
  ): Promise<ReadonlyMap<string, string>>;
  /** The lots of these accounts that are not closed, by `accountText`. */
  lotsOf(accounts: readonly AccountKey[]): Promise<ReadonlyMap<string, readonly CreditLot[]>>;
  /** Holds of these accounts whose end has come by the frame's time. */
  endedHolds(accounts: readonly AccountKey[]): Promise<EndedHolds>;
  /** Writes and commits; when this rejects, the outcome may be unknown. */
  commit(write: BatchWrite): Promise<CommitReport>;
  rollback(): Promise<void>;
}

export interface AccountConnection {
  readonly client: pg.PoolClient;
  readonly copier: ConsumptionCopier;
}

/** A transaction's time with a connection. */
export interface AccountTurn {
  readonly connection: AccountConnection;
  readonly transaction: OpenTransaction;
}

/** When this rejects, the connection must be closed. */
export async function lockAndRead(
  turn: AccountTurn,
  request: LockRequest,
  known: KnownAccounts,
): Promise<AccountTransaction> {
  const { client } = turn.connection;
  const accounts = await insertMissing(client, request, accountsOf(request), known);
  const [, customers, locked, frames, earlier, ...named] = await sendGroup(client, [
    BEGIN,
    ...lockStatements(request, [request], 'wait'),
    ...(request.reservationIds.length > 0
      ? [findReservationsStatement(request, request.reservationIds)]
      : []),
    ...findHoldersStatement(
      request.productId,
      request.holders.map((holder) => ({ ...holder, customerId: request.customerId })),
    ),
  ]);
  const found = rowsOf(locked).map(toLockedAccount);
  if (found.length < request.accounts.length) {
    known.forget({ productId: request.productId, accounts });
  }
  const version = rowsOf(customers)[0]?.[1];
  return transactionOf(turn, request, {
    ...toFrame(frames),
    customer: version === undefined ? null : { version: Number(version) },
    accounts: found,
    earlier: rowsOf(earlier).map(toEarlier),
    reservations: rowsOf(request.reservationIds.length > 0 ? named[0] : undefined).map(toReservation),
    holders: rowsOf(request.holders.length > 0 ? named.at(-1) : undefined).map(toHolder),
  });
}

export function accountsOf({ customerId, accounts }: LockRequest): readonly CustomerAccountKey[] {
  return accounts.map(({ feature, scope }) => ({ customerId, feature, scope }));
}

/** Outside of the transaction: a lock on a new row would be held over all that follows. Answers with all of the accounts. */
export async function insertMissing(
  client: pg.PoolClient,
  request: Pick<LockRequest, 'productId' | 'environmentId'>,
  accounts: readonly CustomerAccountKey[],
  known: KnownAccounts,
): Promise<readonly CustomerAccountKey[]> {
  const ofProduct = { productId: request.productId, accounts };
  const missing = known.missing(ofProduct);
  if (missing.length > 0) {
    await sendGroup(client, [insertStatement(request, missing)]);
    known.remember(ofProduct);
  }
  return accounts;
}

/** What does not belong to one customer. */
export function toFrame(result: GroupResult | undefined): Pick<LockedFrame, 'now' | 'revision' | 'versions'> {
  const [now, revision, subjects, shared] = frameRow(result);
  return {
    now: Number(now),
    revision: numberOrNull(revision),
    versions: { subjects: Number(subjects), shared: Number(shared) },
  };
}

export function rowsOf(result: GroupResult | undefined): GroupResult['rows'] {
  return result?.rows ?? [];
}

export function frameRow(result: GroupResult | undefined): readonly (string | null)[] {
  const row = rowsOf(result)[0];
  if (row === undefined) {
    throw new Error('The environment does not exist any more.');
  }
  return row;
}

function transactionOf(
  { connection, transaction }: AccountTurn,
  request: LockRequest,
  frame: LockedFrame,
): AccountTransaction {
  const { send, commit, rollback } = transaction;

  return {
    frame,
    place: transaction,
    async answersOf(rows) {
      const [found] = await send([answersStatement(request, rows)]);
      return new Map(
        rowsOf(found).map(([item, operation, idempotencyKey, answer]) => [
          rowText({ item: Number(item), operation: operation ?? '', idempotencyKey: idempotencyKey ?? '' }),
          answer ?? '',
        ]),
      );
    },
    async lotsOf(accounts) {
      const { customerId, productId } = request;
      const named = accounts.map(({ feature, scope }) => ({ customerId, feature, scope }));
      const [found] = await send([findLotsStatement(productId, named)]);
      return new Map(toAccountLots(found).map((one) => [accountText(one), one.lots]));
    },
    async endedHolds(accounts) {
      const [ended, next] = await send(endedStatements(request, accounts, frame.now));
      return toEndedHolds(accounts, ended, next);
    },
    async commit(write) {
      const results = await commit(() => writeStatements(connection.copier, write.now, [{ request, write }]));
      return {
        holds: toHoldsByAccount(write.reservations.accounts.length > 0 ? results.at(-1) : undefined),
      };
    },
    rollback,
  };
}

function answersStatement(
  request: LockRequest,
  rows: readonly (RowName & { readonly decidedAt: Instant })[],
): GroupStatement {
  return {
    name: 'consumption-answers',
    text: FIND_ANSWERS,
    values: [
      request.customerId,
      textArray(rows.map((one) => one.idempotencyKey)),
      textArray(rows.map((one) => one.operation)),
      numberArray(rows.map((one) => one.item)),
      numberArray(rows.map((one) => one.decidedAt)),
    ],
  };
}
