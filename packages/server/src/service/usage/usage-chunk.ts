import { LIMITS } from '@pennon/engine/model/limits';
import type { UsageStore } from '../../store/usage-store.js';
import type { MeterName, UsageFrame, UsageTransaction, UsageWrite } from '../../store/usage-transaction.js';
import type { CustomerStates, Snapshots } from '../ports.js';
import { ServiceError } from '../service-error.js';
import { decideEvents } from './decide-events.js';
import { meterOf } from './record-usage.js';
import { meterText, refused, type UsageItem, type UsageResult, type UsageSubject } from './usage-item.js';

/*
 * One transaction of recorded usage: lock the accounts; read time, versions and earlier events; count; write; commit; and only then tell.
 * What the store says is newer than this process knows is loaded first, for those whom it concerns: the others are recorded meanwhile.
 */

export interface UsageChunkDependencies {
  readonly usage: UsageStore;
  readonly snapshots: Snapshots;
  readonly customers: CustomerStates;
  /**
   * Whether the same may simply be run again: after a lost race (a deadlock, an event that somebody else recorded meanwhile), and when
   * the store went away, because whatever it has of a chunk is known by the keys of its events.
   */
  readonly mayRunAgain: (error: unknown) => boolean;
}

/** Before the same is tried again. */
const PAUSE_MILLISECONDS = 20;

/** An item and its place among the results. */
interface Placed {
  readonly item: UsageItem;
  readonly place: number;
}

/** @param deadline in milliseconds of `performance.now()`. All items are of one environment and product. */
export async function runUsageChunk(
  dependencies: UsageChunkDependencies,
  items: readonly UsageItem[],
  deadline: number,
): Promise<readonly UsageResult[]> {
  const results: UsageResult[] = new Array(items.length);
  let left: readonly Placed[] = items.map((item, place) => ({ item, place }));
  while (left.length > 0) {
    if (performance.now() >= deadline) throw outcomeUnknown(null);
    try {
      left = await runOnce(dependencies, left, results, deadline);
    } catch (error) {
      if (!dependencies.mayRunAgain(error) || performance.now() + PAUSE_MILLISECONDS >= deadline) {
        throw error instanceof ServiceError ? error : outcomeUnknown(error);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
    }
  }
  return results;
}

/** Writes results for what it recorded or refused, and answers what is left to be tried again. */
async function runOnce(
  dependencies: UsageChunkDependencies,
  placed: readonly Placed[],
  results: UsageResult[],
  deadline: number,
): Promise<readonly Placed[]> {
  const first = placed[0]?.item;
  if (first === undefined) return [];
  const transaction = await dependencies.usage.begin({
    environmentId: first.environmentId,
    productId: first.productId,
    meters: lockOrder(placed),
    eventKeys: eventKeysOf(placed),
    rememberedDays: LIMITS.idempotencyDays.value,
  });
  let open = true;
  try {
    const { fresh, stale } = divide(transaction.frame, placed);
    if (fresh.length > 0) {
      const decided = await decideEvents(
        transaction,
        fresh.map(({ item }) => item),
      );
      open = false;
      await finish(transaction, decided.write);
      noteBalances(dependencies.customers, fresh, decided.write);
      for (const [index, { place }] of fresh.entries()) {
        results[place] = decided.results[index] ?? refused('EVENT_INVALID', 'The event was not recorded.');
      }
    } else {
      open = false;
      await transaction.rollback();
    }
    return await catchUp(dependencies, transaction.frame, stale, results, deadline);
  } catch (error) {
    if (open) await transaction.rollback().catch(() => undefined);
    throw error;
  }
}

async function finish(transaction: UsageTransaction, write: UsageWrite): Promise<void> {
  if (write.events.length > 0) await transaction.commit(write);
  else await transaction.rollback();
}

/** INVARIANT: every writer of accounts locks them in (customer, feature, scope) order. */
function lockOrder(placed: readonly Placed[]): readonly MeterName[] {
  const meters = new Map<string, MeterName>();
  for (const { item } of placed) meters.set(item.meterKey, item.meter);
  return [...meters.values()].sort(
    (left, right) =>
      compare(left.customerId, right.customerId) ||
      compare(left.feature, right.feature) ||
      compare(left.scope, right.scope),
  );
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function eventKeysOf(placed: readonly Placed[]): readonly string[] {
  const keys = new Set<string>();
  for (const { item } of placed) {
    keys.add(item.eventKey);
    if (item.correctsKey !== null) keys.add(item.correctsKey);
  }
  return [...keys];
}

/** Which items rest on what the store still says, and which on a catalog or a customer that changed meanwhile. */
function divide(
  frame: UsageFrame,
  placed: readonly Placed[],
): { readonly fresh: readonly Placed[]; readonly stale: readonly Placed[] } {
  const fresh: Placed[] = [];
  const stale: Placed[] = [];
  const locked = new Set(frame.meters.map(meterText));
  for (const one of placed) {
    const { subject, meterKey } = one.item;
    const { snapshot, customer } = subject.evaluation;
    const known = customer === null || customer === 'unavailable' ? -1 : customer.version;
    const isFresh =
      (frame.revision === null || frame.revision <= snapshot.revision) &&
      (frame.customers.get(subject.customerId) ?? Number.POSITIVE_INFINITY) <= known &&
      locked.has(meterKey);
    (isFresh ? fresh : stale).push(one);
  }
  return { fresh, stale };
}

/** Loads what is newer, and prepares those again whom it concerns. */
async function catchUp(
  { snapshots, customers }: UsageChunkDependencies,
  frame: UsageFrame,
  stale: readonly Placed[],
  results: UsageResult[],
  deadline: number,
): Promise<readonly Placed[]> {
  const first = stale[0]?.item;
  if (first === undefined) return [];
  const left = Math.max(1, deadline - performance.now());
  if (frame.revision !== null && frame.revision > first.subject.evaluation.snapshot.revision) {
    await snapshots.atLeast(first.productId, first.environmentId, frame.revision, left);
  }
  const subjects = new Map<UsageSubject, UsageSubject | ServiceError>();
  for (const { item } of stale) {
    const { subject } = item;
    if (subjects.has(subject)) continue;
    const version = frame.customers.get(subject.customerId);
    if (version !== undefined) {
      await customers.atLeast(item.environmentId, subject.customerKey, version, left);
    }
    subjects.set(subject, version === undefined ? gone(subject) : await subject.again());
  }
  const again: Placed[] = [];
  for (const { item, place } of stale) {
    const subject = subjects.get(item.subject) ?? item.subject;
    const next = subject instanceof ServiceError ? subject : meterOf(subject, item.event.key);
    if (next instanceof ServiceError) {
      if (next.kind === 'unavailable') throw next;
      results[place] = refused(next.code, next.message);
    } else if (!(subject instanceof ServiceError)) {
      again.push({ item: { ...item, ...next, subject }, place });
    }
  }
  return again;
}

function gone({ customerKey }: UsageSubject): ServiceError {
  return new ServiceError(
    'not-found',
    'CUSTOMER_NOT_FOUND',
    `The customer \`${customerKey}\` does not exist any more, so nothing can be recorded of it.`,
  );
}

export function outcomeUnknown(cause: unknown): ServiceError {
  return new ServiceError(
    'unavailable',
    'UNAVAILABLE',
    'The store did not answer in time, so it is not known which events are recorded. Send all of them again as they are: each counts once.',
    { retryAfterSeconds: 1, cause },
  );
}

/** Balances that this process wrote show in its own evaluations at once. */
function noteBalances(customers: CustomerStates, placed: readonly Placed[], write: UsageWrite): void {
  const keys = new Map(placed.map(({ item }) => [item.subject.customerId, item.subject.customerKey]));
  const first = placed[0]?.item;
  if (first === undefined) return;
  for (const { customerId, ...meter } of write.meters) {
    const key = keys.get(customerId);
    if (key !== undefined) {
      customers.noteBalance(first.environmentId, key, {
        productId: first.productId,
        feature: meter.feature,
        scope: meter.scope,
        periodStart: meter.periodStart,
        used: meter.used,
        reserved: meter.reserved,
        periodEnd: meter.periodEnd,
        covered: meter.covered,
        lots: meter.lots,
      });
    }
  }
}
