import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { CustomerState, Instant } from '@pennon/engine/model/customer';
import type { ConsumptionDecision, EntitlementDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import {
  type ConsumptionInput,
  type ConsumptionRefusal,
  decideConsumption,
  refuseConsumption,
} from '@pennon/engine/usage/decide-consumption';
import { decideConsumptions } from '@pennon/engine/usage/decide-consumptions';
import { decideRelease, refuseRelease } from '@pennon/engine/usage/decide-release';
import { measureAmount } from '@pennon/engine/usage/measure';
import type {
  AccountKey,
  AccountWrite,
  BatchWrite,
  ConsumptionRow,
  LockedAccount,
  LockedFrame,
} from '../store/account-transaction.js';
import type { ConsumeItem, ConsumeRequest } from './consume-request.js';
import { createAnswerEncoder } from './consumption-record.js';
import { createConsumptionRemedies } from './consumption-remedies.js';
import { entitlementFault } from './evaluate-entitlement.js';
import { newId } from './new-id.js';
import { ServiceError } from './service-error.js';

/*
 * Decides a batch in order of arrival on accounts that are locked: pure but for the ids of rows. The engine decides; this file
 * only carries each account's balance from one decision to the next.
 */

export type Decided =
  | { readonly kind: 'decided'; readonly decisions: readonly ConsumptionDecision[] }
  | { readonly kind: 'refused'; readonly error: ServiceError };

/** An account between two decisions. */
interface LiveAccount {
  readonly before: LockedAccount;
  used: number;
  reserved: number;
  periodStart: Instant | null;
  periodEnd: Instant | null;
  closed: LockedAccount | null;
  touched: boolean;
}

export interface BatchDecider {
  decide(
    request: ConsumeRequest,
    evaluation: EvaluationRequest<Snapshot>,
    items: readonly ConsumeItem[],
  ): Decided;
  write(): BatchWrite;
}

export function createBatchDecider(frame: LockedFrame): BatchDecider {
  const accounts = new Map<string, LiveAccount>();
  for (const account of frame.accounts) {
    accounts.set(nameOf(account), {
      before: account,
      used: account.used,
      reserved: account.reserved,
      periodStart: account.periodStart,
      periodEnd: account.periodEnd,
      closed: null,
      touched: false,
    });
  }
  const resolve = createResolver(frame);
  const encoder = createAnswerEncoder();
  const addRemedies = createConsumptionRemedies();
  const rows: ConsumptionRow[] = [];

  function decide(
    request: ConsumeRequest,
    evaluation: EvaluationRequest<Snapshot>,
    items: readonly ConsumeItem[],
  ): Decided {
    try {
      const decisions = decideItems(request, evaluation, items);
      record(request, items, decisions);
      return { kind: 'decided', decisions };
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
    const inputs = items.map((item): ConsumptionInput => {
      const resolved = resolve.entitlement(evaluation, item.key);
      const account = accountFor(resolved);
      return {
        entitlement: { ...resolved, usage: account.used, reserved: account.reserved },
        amount: amountOf(evaluation, item),
        mode: request.mode,
      };
    });
    return request.operation === 'release'
      ? inputs.map(release)
      : addRemedies(() => resolve.lockedRequest(evaluation), consume(inputs));
  }

  /** Opens the period that the database's time is in; an earlier one than the account's is ignored. */
  function accountFor(resolved: EntitlementDecision): LiveAccount {
    const account = accounts.get(nameOf({ feature: resolved.key, scope: resolved.scope }));
    if (account === undefined) {
      throw new ServiceError(
        'unavailable',
        'UNAVAILABLE',
        `The account of \`${resolved.key}\` changed while the request waited. Ask again with the same key.`,
        { retryAfterSeconds: 1 },
      );
    }
    const { period } = resolved;
    if (period === null || (account.periodStart !== null && period.start <= account.periodStart)) {
      return account;
    }
    if (account.periodStart !== null) {
      account.closed ??= account.before;
      account.used = 0;
    }
    account.periodStart = period.start;
    account.periodEnd = period.end;
    account.touched = true;
    return account;
  }

  function record(
    request: ConsumeRequest,
    items: readonly ConsumeItem[],
    decisions: readonly ConsumptionDecision[],
  ): void {
    const id = newId();
    for (const [item, decision] of decisions.entries()) {
      const { entitlement } = decision;
      const account = accounts.get(nameOf({ feature: decision.key, scope: entitlement.scope }));
      if (account !== undefined && account.used !== decision.usedAfter) {
        account.used = decision.usedAfter;
        account.touched = true;
      }
      const attributes = items[item]?.attributes;
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
        attributes: attributes === undefined || isEmpty(attributes) ? null : JSON.stringify(attributes),
        answer: encoder.encode(decision, {
          item,
          operation: request.operation,
          idempotencyKey: request.idempotencyKey,
        }),
        actor: request.actor,
      });
    }
  }

  function write(): BatchWrite {
    const writes: AccountWrite[] = [];
    const closed: LockedAccount[] = [];
    for (const account of accounts.values()) {
      const { before, used, reserved, periodStart, periodEnd } = account;
      if (account.touched) {
        writes.push({
          feature: before.feature,
          scope: before.scope,
          used,
          reserved,
          periodStart,
          periodEnd,
          before,
        });
      }
      if (account.closed !== null) {
        closed.push(account.closed);
      }
    }
    return { now: frame.now, accounts: writes, closed, consumptions: rows };
  }

  return { decide, write };
}

interface Resolver {
  entitlement(evaluation: EvaluationRequest<Snapshot>, key: string): EntitlementDecision;
  /** The request as it is decided: with the locked accounts, at the database's time. */
  lockedRequest(
    evaluation: EvaluationRequest<Snapshot>,
  ): EvaluationRequest<Snapshot> & { readonly customer: CustomerState };
}

/**
 * Resolves each entitlement once for everyone of a batch who is the same subject. The locked accounts stand in the state, so
 * that the engine judges periods by the store's row and not by what this process remembers.
 */
function createResolver(frame: LockedFrame): Resolver {
  const states = new Map<CustomerState, CustomerState>();
  const resolved = new Map<CustomerState, Map<string, EntitlementDecision>>();

  function lockedState(state: CustomerState, product: string): CustomerState {
    let locked = states.get(state);
    if (locked === undefined) {
      locked = { ...state, accounts: frame.accounts.map((account) => ({ ...account, product })) };
      states.set(state, locked);
    }
    return locked;
  }

  function lockedRequest(evaluation: EvaluationRequest<Snapshot>) {
    const customer = lockedState(readableState(evaluation), evaluation.snapshot.productKey);
    return { ...evaluation, customer, now: frame.now };
  }

  function entitlement(evaluation: EvaluationRequest<Snapshot>, key: string): EntitlementDecision {
    const customer = readableState(evaluation);
    const { subject } = evaluation;
    let ofState = resolved.get(customer);
    if (ofState === undefined) {
      ofState = new Map();
      resolved.set(customer, ofState);
    }
    const name = `${key}|${subject.userKey}|${subject.instance?.key}|${subject.teamKey}|${subject.sku}`;
    let decision = ofState.get(name);
    if (decision === undefined) {
      const result = resolveEntitlement(lockedRequest(evaluation), key);
      if (result.kind === 'error') {
        throw entitlementFault(result.errorCode, result.message);
      }
      decision = result;
      ofState.set(name, decision);
    }
    return decision;
  }

  return { entitlement, lockedRequest };
}

function readableState({ customer }: EvaluationRequest<Snapshot>): CustomerState {
  if (customer === null || customer === 'unavailable') {
    throw entitlementFault('CUSTOMER_STATE_UNAVAILABLE', 'What is stored of the customer could not be read.');
  }
  return customer;
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

function isEmpty(value: object): boolean {
  for (const _ in value) {
    return false;
  }
  return true;
}

export function nameOf(account: AccountKey): string {
  return `${account.feature}|${account.scope}`;
}
