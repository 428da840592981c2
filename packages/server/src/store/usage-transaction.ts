import type { CreditLot, Instant } from '@pennon/engine/model/customer';
import type { Told } from '@pennon/engine/usage/notices';
import type pg from 'pg';
import { numberOrNull } from './account-rows.js';
import { READ_FRAME } from './account-statements.js';
import { frameRow, insertMissing } from './account-transaction.js';
import {
  type CustomerHolder,
  type CustomerHolderKey,
  findHoldersStatement,
  holderStatements,
  toHolder,
} from './holder-statements.js';
import { hoursStatement } from './hour-statements.js';
import type { KnownAccounts } from './known-accounts.js';
import { type CustomerLots, findLotsStatement, lotRowStatements, toAccountLots } from './lot-statements.js';
import { BEGIN, openTransaction } from './open-transaction.js';
import { type OutboxEvent, outboxStatement } from './outbox-statements.js';
import { type GroupResult, type GroupStatement, sendGroup } from './statement-group.js';
import { toTold } from './told-columns.js';
import type { EventCopier } from './usage-event-copy.js';
import {
  correctionsStatement,
  lockStatements,
  periodsStatement,
  removeValuesStatement,
  valuesStatement,
  writeMeters,
  writePeriods,
} from './usage-statements.js';

/* One transaction that records usage of many customers in two round trips: lock and read; write and commit. */

/** An account, by whose it is. */
export interface MeterName {
  readonly customerId: string;
  readonly feature: string;
  readonly scope: string;
}

/** An account as it stands under its lock. */
export interface LockedMeter extends MeterName {
  readonly periodStart: Instant | null;
  readonly periodEnd: Instant | null;
  readonly used: number;
  readonly reserved: number;
  readonly latestAt: Instant | null;
  /** Of `used`, what was taken out of lots. */
  readonly covered: number;
  /** There may be lots that are not closed; without them none are looked for. */
  readonly hasLots: boolean;
  /** Of the current period. */
  readonly told: Told;
}

/** The lots of an account that are not closed. */
export interface MeterLots extends MeterName {
  readonly lots: readonly CreditLot[];
}

export interface MeterWrite extends LockedMeter, MeterLots {
  /** The limit in force; `null`: none. */
  readonly limit: number | null;
  readonly percent: number | null;
}

/** A period that is over: closed now, or counted into once more. */
export interface PeriodWrite extends MeterName {
  readonly periodStart: Instant;
  readonly periodEnd: Instant;
  readonly used: number;
  readonly latestAt: Instant | null;
}

export interface HourWrite extends MeterName {
  /** The first instant of the hour. */
  readonly hour: Instant;
  /** Canonical text; empty where none are kept apart. */
  readonly dimensions: string;
  readonly aggregation: string;
  readonly amount: number;
  readonly events: number;
  readonly lastAt: Instant;
  /** Of the current hour only: how the account stands after it. */
  readonly usedAfter: number | null;
  readonly limitAfter: number | null;
}

/** One recorded event; the table's own words. */
export interface EventRow extends MeterName {
  readonly productId: string;
  readonly eventKey: string;
  readonly source: string;
  readonly eventId: string;
  readonly type: string;
  /** As it was told, or measured. */
  readonly amount: number;
  /** By how much usage changed. */
  readonly counted: number;
  readonly occurredAt: Instant;
  readonly countedAt: Instant;
  readonly periodStart: Instant | null;
  /** The key of the event that it corrects. */
  readonly corrects: string | null;
  readonly attributes: string | null;
  readonly actor: string;
}

/** What was recorded of an event before. */
export interface EarlierEvent extends MeterName {
  readonly eventKey: string;
  readonly productId: string;
  readonly amount: number;
  readonly occurredAt: Instant;
  readonly countedAt: Instant;
  readonly periodStart: Instant | null;
  readonly corrects: string | null;
  readonly attributes: string | null;
}

export interface UsageLockRequest {
  readonly environmentId: string;
  readonly productId: string;
  /** In (customer, feature, scope) order, each once. */
  readonly meters: readonly MeterName[];
  /** Of the events, and of those that they correct. */
  readonly eventKeys: readonly string[];
  /** For how long events are known. */
  readonly rememberedDays: number;
}

/** What was read after the locks were held. */
export interface UsageFrame {
  readonly now: Instant;
  readonly revision: number | null;
  /** By id; a customer that is gone is absent. */
  readonly customers: ReadonlyMap<string, number>;
  readonly meters: readonly LockedMeter[];
  readonly earlier: readonly EarlierEvent[];
}

export interface UsageWrite {
  readonly now: Instant;
  readonly meters: readonly MeterWrite[];
  readonly periods: readonly PeriodWrite[];
  readonly hours: readonly HourWrite[];
  readonly events: readonly EventRow[];
  /** Of the customers that have some. */
  readonly lots: readonly CustomerLots[];
  /** What those whose amount changed hold now. */
  readonly holders: readonly CustomerHolder[];
  /** What is told of the accounts. */
  readonly notices: readonly OutboxEvent[];
}

export interface UsageTransaction {
  readonly frame: UsageFrame;
  /** The lots of these accounts. Asked only of those whose row says that they have some. */
  lotsOf(meters: readonly MeterName[]): Promise<readonly MeterLots[]>;
  /** Those that hold anything. Asked only where an event names one. */
  holdersOf(holders: readonly CustomerHolderKey[]): Promise<readonly CustomerHolder[]>;
  /** The period of each account that began last before an instant, among those that are over. */
  periodsAt(
    asked: readonly (MeterName & { readonly at: Instant })[],
  ): Promise<readonly (PeriodWrite & { readonly at: Instant })[]>;
  /** How much was corrected of each event so far, by key. */
  correctionsOf(keys: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Which of the values were not seen before. */
  addValues(values: readonly UsageValue[]): Promise<readonly UsageValue[]>;
  /** Takes back what this transaction added and no event counted. */
  removeValues(values: readonly UsageValue[]): Promise<void>;
  /** Writes and commits; when this rejects, the outcome may be unknown. */
  commit(write: UsageWrite): Promise<void>;
  rollback(): Promise<void>;
}

export interface UsageValue extends MeterName {
  readonly periodStart: Instant;
  /** A hash, as a UUID. */
  readonly value: string;
}

export interface UsageConnection {
  readonly client: pg.PoolClient;
  readonly copier: EventCopier;
}

/** When this rejects, the connection must be closed. */
export async function lockMeters(
  connection: UsageConnection,
  request: UsageLockRequest,
  known: KnownAccounts,
): Promise<UsageTransaction> {
  const { productId } = request;
  await insertMissing(connection.client, request, request.meters, known);
  const [, , customers, locked, earlier, frames] = await sendGroup(connection.client, [
    BEGIN,
    ...lockStatements(request),
    { name: 'frame-read', text: READ_FRAME, values: [request.productId, request.environmentId] },
  ]);
  const meters = rowsOf(locked).map(toMeter);
  if (meters.length < request.meters.length) {
    known.forget({ productId, accounts: request.meters });
  }
  const [now, revision] = frameRow(frames);
  return transactionOf(connection, request, {
    now: Number(now),
    revision: numberOrNull(revision),
    customers: new Map(rowsOf(customers).map(([id, version]) => [id ?? '', Number(version)])),
    meters,
    earlier: rowsOf(earlier).map(toEarlierEvent),
  });
}

function transactionOf(
  connection: UsageConnection,
  request: UsageLockRequest,
  frame: UsageFrame,
): UsageTransaction {
  const { send, commit, rollback } = openTransaction(connection.client);

  return {
    frame,
    async lotsOf(meters) {
      const [found] = await send([findLotsStatement(request.productId, meters)]);
      return toAccountLots(found);
    },
    async holdersOf(holders) {
      const [found] = await send(findHoldersStatement(request.productId, holders));
      return rowsOf(found).map(toHolder);
    },
    async periodsAt(asked) {
      const [found] = await send([periodsStatement(request.productId, asked)]);
      return rowsOf(found).map(([at, customerId, feature, scope, start, end, used, latestAt]) => ({
        at: Number(at),
        customerId: customerId ?? '',
        feature: feature ?? '',
        scope: scope ?? '',
        periodStart: Number(start),
        periodEnd: Number(end),
        used: Number(used),
        latestAt: numberOrNull(latestAt),
      }));
    },
    async correctionsOf(keys) {
      const [found] = await send([correctionsStatement(keys)]);
      return new Map(rowsOf(found).map(([key, sum]) => [key ?? '', Number(sum)]));
    },
    async addValues(values) {
      const [added] = await send([valuesStatement(request, values)]);
      return rowsOf(added).map(([customerId, feature, scope, periodStart, value]) => ({
        customerId: customerId ?? '',
        feature: feature ?? '',
        scope: scope ?? '',
        periodStart: Number(periodStart),
        value: value ?? '',
      }));
    },
    async removeValues(values) {
      await send([removeValuesStatement(request, values)]);
    },
    async commit(write) {
      await commit(() => writeStatements(connection.copier, request, write));
    },
    rollback,
  };
}

function writeStatements(
  copier: EventCopier,
  request: UsageLockRequest,
  write: UsageWrite,
): readonly GroupStatement[] {
  const statements: GroupStatement[] = [];
  if (write.periods.length > 0) {
    statements.push(writePeriods(request, write.now, write.periods));
  }
  if (write.meters.length > 0) {
    statements.push(writeMeters(request, write));
  }
  statements.push(
    ...lotRowStatements(request, write.now, write.lots),
    ...holderStatements(request, write.now, write.holders),
  );
  if (write.hours.length > 0) {
    statements.push(hoursStatement(request, write.hours));
  }
  if (write.notices.length > 0) {
    statements.push(outboxStatement(request, write.now, write.notices));
  }
  if (write.events.length > 0) {
    statements.push(copier.copyOf(request, write.now, write.events));
  }
  return statements;
}

type Row = readonly (string | null)[];

function rowsOf(result: GroupResult | undefined): readonly Row[] {
  return result?.rows ?? [];
}

function toMeter(row: Row): LockedMeter {
  const [customerId, feature, scope, start, end, used, reserved, latestAt, covered, hasLots, ...told] = row;
  return {
    customerId: customerId ?? '',
    feature: feature ?? '',
    scope: scope ?? '',
    periodStart: numberOrNull(start),
    periodEnd: numberOrNull(end),
    used: Number(used),
    reserved: Number(reserved),
    latestAt: numberOrNull(latestAt),
    covered: Number(covered),
    hasLots: hasLots === 't',
    told: toTold(told),
  };
}

function toEarlierEvent(row: Row): EarlierEvent {
  const [eventKey, customerId, productId, feature, scope, amount, occurredAt, countedAt, ...rest] = row;
  const [periodStart, corrects, attributes] = rest;
  return {
    eventKey: eventKey ?? '',
    customerId: customerId ?? '',
    productId: productId ?? '',
    feature: feature ?? '',
    scope: scope ?? '',
    amount: Number(amount),
    occurredAt: Number(occurredAt),
    countedAt: Number(countedAt),
    periodStart: numberOrNull(periodStart),
    corrects: corrects ?? null,
    attributes: attributes ?? null,
  };
}
