import type { AccountState, CreditLot, Instant } from '@pennon/engine/model/customer';
import type { ConsumptionDecision, EntitlementDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import {
  type ConsumptionInput,
  type ConsumptionRefusal,
  decideConsumption,
  entitlementAfter,
  refuseConsumption,
} from '@pennon/engine/usage/decide-consumption';
import { decideConsumptions } from '@pennon/engine/usage/decide-consumptions';
import { countFallback } from '@pennon/engine/usage/decide-fallback';
import { decideRelease, refuseRelease } from '@pennon/engine/usage/decide-release';
import { measureAmount } from '@pennon/engine/usage/measure';
import { lotsToStore } from '@pennon/engine/usage/opening';
import type { BatchWrite, ConsumptionRow, LockedFrame } from '../store/account-transaction.js';
import type { EndedHolds } from '../store/reservation-statements.js';
import {
  accountState,
  accountWrites,
  createAccountFinder,
  type LiveAccount,
  liveAccounts,
  lotWrites,
  openPeriod,
  opensPeriod,
  takeOffEnded,
  takeOver,
  takeOverLimit,
  takeOverPeriodEnd,
} from './batch-accounts.js';
import { createBatchHolders } from './batch-holders.js';
import { createBatchHours } from './batch-hours.js';
import { createBatchNotices } from './batch-notices.js';
import { type BatchReservations, createBatchReservations, type EndQuestion } from './batch-reservations.js';
import { createResolver } from './batch-resolver.js';
import type { ConsumeItem, ConsumeRequest } from './consume-request.js';
import { createAnswerEncoder } from './consumption-record.js';
import { createConsumptionRemedies } from './consumption-remedies.js';
import { newId } from './new-id.js';
import { reservationContext } from './reservation-context.js';
import { ServiceError } from './service-error.js';

/*
 * Decides a batch in order of arrival on accounts that are locked: pure but for the ids of rows. The engine decides; this file
 * only carries each account's balance from one decision to the next.
 */

export type Decided =
  | { readonly kind: 'decided'; readonly decisions: readonly ConsumptionDecision[] }
  | { readonly kind: 'refused'; readonly error: ServiceError };

export interface BatchDecider {
  decide(
    request: ConsumeRequest,
    evaluation: EvaluationRequest<Snapshot>,
    items: readonly ConsumeItem[],
  ): Decided;
  write(): BatchWrite;
  /** When something of it may be decided otherwise by time alone; `null`: never. */
  validUntil(): Instant | null;
}

/**
 * @param ended holds of these accounts that ended: they are taken off before anything is decided.
 * @param lots of the accounts that have some.
 */
export function createBatchDecider(
  frame: LockedFrame,
  ended: EndedHolds,
  lots: ReadonlyMap<string, readonly CreditLot[]>,
): BatchDecider {
  const accounts = liveAccounts(frame.accounts, lots);
  const accountOf = createAccountFinder(accounts);
  const rows: ConsumptionRow[] = takeOffEnded(accounts, ended, frame);
  const reservations = createBatchReservations(frame, ended);
  const holders = createBatchHolders(frame);
  const hours = createBatchHours(frame);
  const notices = createBatchNotices(frame);
  let wouldHaveDenied = 0;
  const resolve = createResolver(frame, accounts);
  const encoder = createAnswerEncoder();
  const addRemedies = createConsumptionRemedies();

  function decide(
    request: ConsumeRequest,
    evaluation: EvaluationRequest<Snapshot>,
    items: readonly ConsumeItem[],
  ): Decided {
    try {
      if (request.touches === true) return touch(evaluation, items);
      const decisions = record(request, evaluation, items, decideItems(request, evaluation, items));
      return { kind: 'decided', decisions: request.happened ?? decisions };
    } catch (error) {
      if (error instanceof ServiceError) {
        return { kind: 'refused', error };
      }
      throw error;
    }
  }

  function decideItems(
    request: ConsumeRequest,
    evaluation: EvaluationRequest<Snapshot>,
    items: readonly ConsumeItem[],
  ): readonly ConsumptionDecision[] {
    const { reservation } = request;
    const [only] = items;
    if (reservation?.kind === 'end' && only !== undefined) {
      return [endReservation(request, evaluation, only, reservation.id)];
    }
    if (request.happened !== undefined) {
      return countHappened(request.happened, evaluation, items);
    }
    const named = new Set<string>();
    const inputs = items.map((item): ConsumptionInput => {
      const resolved = resolve.entitlement(evaluation, item.key);
      const account = accountFor(evaluation, resolved);
      return {
        entitlement: { ...resolved, usage: account.used, reserved: account.reserved },
        amount:
          request.operation === 'release' ? releasedAmount(evaluation, item) : amountOf(evaluation, item),
        mode: request.mode,
        ...(request.operation === 'consume' && isClaimedAgain(item, named) ? { claimed: true } : {}),
      };
    });
    if (request.operation === 'release') {
      const released = inputs.map(release);
      for (const [index, decision] of released.entries()) holders.note(items[index], decision, 'given');
      return released;
    }
    const decisions =
      reservation?.kind === 'make' ? reserve(request, evaluation, items, inputs) : consume(inputs);
    for (const [index, decision] of decisions.entries()) holders.note(items[index], decision, 'taken');
    return addRemedies(() => resolve.lockedRequest(evaluation), decisions, standingOf);
  }

  /** What was allowed while the store was away counts into the period that is current now, whatever room is left in it. */
  function countHappened(
    happened: readonly ConsumptionDecision[],
    evaluation: EvaluationRequest<Snapshot>,
    items: readonly ConsumeItem[],
  ): readonly ConsumptionDecision[] {
    const usage = new Map<LiveAccount, number>();
    return items.map((item, index) => {
      const told = happened[index];
      if (told === undefined) {
        throw new Error('What was told of an item is missing.');
      }
      const resolved = resolve.entitlement(evaluation, item.key);
      const account = accountFor(evaluation, resolved);
      const used = usage.get(account) ?? account.used;
      const decision = countFallback({ ...resolved, usage: used, reserved: account.reserved }, told);
      usage.set(account, decision.usedAfter);
      return decision;
    });
  }

  /** What time alone changed: the period, and with it the limit. */
  function touch(evaluation: EvaluationRequest<Snapshot>, items: readonly ConsumeItem[]): Decided {
    for (const { key } of items) {
      const resolved = resolve.entitlement(evaluation, key);
      accountFor(evaluation, resolved);
    }
    return { kind: 'decided', decisions: [] };
  }

  /** Held before this call, or named by an earlier item of it. */
  function isClaimedAgain(item: ConsumeItem, named: Set<string>): boolean {
    if (item.holder === null) return false;
    const name = JSON.stringify([item.account, item.holder]);
    const again = named.has(name) || holders.heldBy(item) > 0;
    named.add(name);
    return again;
  }

  /** INVARIANT: a holder gives back what it holds, and never what others do. */
  function releasedAmount(evaluation: EvaluationRequest<Snapshot>, item: ConsumeItem): number {
    if (item.holder === null) return amountOf(evaluation, item);
    const held = holders.heldBy(item);
    return Math.min(item.amount ?? held, held);
  }

  function reserve(
    request: ConsumeRequest,
    { subject }: EvaluationRequest<Snapshot>,
    items: readonly ConsumeItem[],
    inputs: readonly ConsumptionInput[],
  ): readonly ConsumptionDecision[] {
    const { actor, reservation } = request;
    const ttlMilliseconds = reservation?.kind === 'make' ? reservation.ttlMilliseconds : 0;
    return inputs.map((input, index) => {
      const item = items[index];
      const context = JSON.stringify(reservationContext(subject, item?.account.scope ?? ''));
      const attributes = attributesText(item);
      const decision = reservations.make({ ...input, ttlMilliseconds, context, attributes, actor });
      const account = accountOf(decision.key, decision.entitlement.scope);
      if (account !== undefined && decision.reservation !== undefined) {
        const { expiresAt } = decision.reservation;
        account.nextHoldEnd = Math.min(account.nextHoldEnd ?? expiresAt, expiresAt);
        account.touched = true;
      }
      return decision;
    });
  }

  function endReservation(
    request: ConsumeRequest,
    evaluation: EvaluationRequest<Snapshot>,
    item: ConsumeItem,
    id: string,
  ): ConsumptionDecision {
    const resolved = resolve.entitlement(evaluation, item.key);
    const { used, reserved } = accountFor(evaluation, resolved);
    const feature = evaluation.snapshot.features.get(item.key);
    if (feature === undefined) {
      throw new Error(`\`${item.key}\` was resolved and is not there.`);
    }
    const measured = item.amount === null && feature.measure !== null && !isEmpty(item.attributes);
    const question: EndQuestion = {
      id,
      amount: measured ? amountOf(evaluation, item) : item.amount,
      feature,
      account: item.account,
      entitlement: { ...resolved, usage: used, reserved },
    };
    return request.operation === 'settle' ? reservations.settle(question) : reservations.release(question);
  }

  function accountFor(evaluation: EvaluationRequest<Snapshot>, resolved: EntitlementDecision): LiveAccount {
    const account = accountOf(resolved.key, resolved.scope);
    if (account === undefined) {
      throw new ServiceError(
        'unavailable',
        'UNAVAILABLE',
        `The account of \`${resolved.key}\` changed while the request waited. Ask again with the same key.`,
        { retryAfterSeconds: 1 },
      );
    }
    if (opensPeriod(account, resolved)) {
      openPeriod(account, resolved, lotsToStore(resolve.lockedRequest(evaluation), resolved));
      notices.periodBegan(account, resolved);
    } else {
      takeOverPeriodEnd(account, resolved);
    }
    if (takeOverLimit(account, resolved)) {
      notices.changed(account, evaluation.snapshot.features.get(resolved.key), resolved, account.used);
    }
    return account;
  }

  function record(
    request: ConsumeRequest,
    evaluation: EvaluationRequest<Snapshot>,
    items: readonly ConsumeItem[],
    decisions: readonly ConsumptionDecision[],
  ): readonly ConsumptionDecision[] {
    const id = newId();
    return decisions.map((decided, item) => {
      if (decided.wouldHaveDenied) wouldHaveDenied += 1;
      const account = accountOf(decided.key, decided.entitlement.scope);
      const attributes = recordedAttributes(request, items[item], reservations);
      const decision = account === undefined ? decided : follow(account, evaluation, decided, attributes);
      const { entitlement } = decision;
      rows.push({
        id,
        item,
        operation: request.operation,
        idempotencyKey: request.idempotencyKey,
        requestHash: request.requestHash,
        feature: decision.key,
        scope: entitlement.scope,
        allowed: decision.allowed,
        reason: decision.reason,
        enforcement: decision.enforcement,
        requested: decision.requested,
        consumed: decision.consumed,
        usedAfter: decision.usedAfter,
        reservedAfter: decision.reservedAfter,
        limitAtDecision: decision.limitAtDecision,
        periodStart: account?.periodStart ?? null,
        revision: entitlement.revision,
        attributes,
        answer: encoder.encode(request.happened?.[item] ?? decision, {
          item,
          operation: request.operation,
          idempotencyKey: request.idempotencyKey,
        }),
        actor: request.actor,
      });
      return decision;
    });
  }

  /** The account goes on as the decision leaves it. Answers with the decision, as it stands to the limit by then. */
  function follow(
    account: LiveAccount,
    evaluation: EvaluationRequest<Snapshot>,
    decision: ConsumptionDecision,
    attributes: string | null,
  ): ConsumptionDecision {
    const { key, entitlement } = decision;
    const { used } = account;
    const isLimitLess = takeOver(account, decision, frame.now);
    if (account.used !== used) {
      const feature = evaluation.snapshot.features.get(key);
      hours.add(account, feature, account.used - used, attributes);
      notices.changed(account, feature, entitlement, used);
    }
    if (!isLimitLess) return decision;
    // INVARIANT: whoever is decided next in this batch has the limit that is left (law 2).
    resolve.forget();
    const resolved = resolve.entitlement(evaluation, key);
    const { used: usage, reserved } = accountFor(evaluation, resolved);
    return { ...decision, entitlement: entitlementAfter(resolved, usage, reserved) };
  }

  function standingOf({ key, entitlement: { scope } }: ConsumptionDecision): AccountState | undefined {
    const account = accountOf(key, scope);
    return account === undefined ? undefined : accountState(account);
  }

  function write(): BatchWrite {
    const { now } = frame;
    // Before the accounts: what is over is not told any more.
    const lots = lotWrites(accounts.values(), now);
    const { writes, closed } = accountWrites(accounts.values());
    return {
      now,
      accounts: writes,
      closed,
      consumptions: rows,
      reservations: reservations.write(),
      holders: holders.write(),
      lots,
      hours: hours.rows(),
      notices: notices.rows(),
      wouldHaveDenied,
    };
  }

  return { decide, write, validUntil: resolve.validUntil };
}

function consume(inputs: readonly ConsumptionInput[]): readonly ConsumptionDecision[] {
  for (const input of inputs) {
    throwRefusal(refuseConsumption(input));
  }
  const [first, second] = inputs;
  return first !== undefined && second === undefined
    ? [decideConsumption(first)]
    : decideConsumptions(inputs).decisions;
}

/** A release in the words of the consumption table: what was given back stands as consumed. */
function release(input: ConsumptionInput): ConsumptionDecision {
  throwRefusal(refuseRelease(input));
  const { key, requested, released, usedBefore, usedAfter, reservedAfter, entitlement } =
    decideRelease(input);
  return {
    key,
    allowed: true,
    reason: entitlement.reason,
    requested,
    consumed: released,
    usedBefore,
    usedAfter,
    reservedAfter,
    limitAtDecision: entitlement.limit?.kind === 'finite' ? entitlement.limit.value : null,
    enforcement: entitlement.enforcement,
    wouldHaveDenied: false,
    refusedBy: null,
    entitlement,
  };
}

function throwRefusal(refusal: ConsumptionRefusal | null): void {
  if (refusal !== null) {
    throw new ServiceError('invalid', refusal.errorCode, refusal.message);
  }
}

function amountOf(evaluation: EvaluationRequest<Snapshot>, item: ConsumeItem): number {
  const feature = evaluation.snapshot.features.get(item.key);
  if (item.amount !== null || feature === undefined) {
    return item.amount ?? 1;
  }
  const measured = measureAmount(feature, { attributes: item.attributes });
  if (!measured.ok) {
    throw new ServiceError('invalid', measured.refusal.errorCode, measured.refusal.message);
  }
  return measured.amount;
}

function attributesText(item: ConsumeItem | undefined): string | null {
  return item === undefined || isEmpty(item.attributes) ? null : JSON.stringify(item.attributes);
}

/** A settlement that says nothing of its usage is of what the reservation said. */
function recordedAttributes(
  { reservation }: ConsumeRequest,
  item: ConsumeItem | undefined,
  reservations: BatchReservations,
): string | null {
  const sent = attributesText(item);
  return sent === null && reservation?.kind === 'end' ? reservations.attributesOf(reservation.id) : sent;
}

function isEmpty(value: object): boolean {
  for (const _ in value) {
    return false;
  }
  return true;
}
