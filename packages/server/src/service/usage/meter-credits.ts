import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { AccountState, CreditLot, Instant } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import { remainingOf } from '@pennon/engine/usage/lots';
import { lotsToStore } from '@pennon/engine/usage/opening';
import type { CustomerLots } from '../../store/lot-statements.js';
import type { LockedMeter } from '../../store/usage-transaction.js';
import { LiveCredits } from '../batch-credits.js';
import { entitlementFault } from '../evaluate-entitlement.js';
import type { UsageItem } from './usage-item.js';

/* The lots of an account that usage is recorded of: the engine burns and refills them exactly as for consume and release. */

/**
 * Whether the limit of an account is more than what its period allows, by what stands there or by what this process remembers of it.
 * Nearly every account has nothing of the kind, and is counted without all that follows.
 */
export function hasCredits({ subject, feature }: UsageItem, { covered, hasLots }: LockedMeter): boolean {
  if (hasLots || covered > 0 || feature.rollover !== null) return true;
  const { customer } = subject.evaluation;
  if (customer === null || customer === 'unavailable') return false;
  return customer.accounts.some(
    (one) => one.feature === feature.key && ((one.covered ?? 0) > 0 || (one.lots ?? []).length > 0),
  );
}

/** @param lots as they were read under the lock; `null`: the account has none. */
export function openMeterCredits(
  item: UsageItem,
  locked: LockedMeter,
  lots: readonly CreditLot[] | null,
  now: Instant,
): MeterCredits {
  const request = lockedRequest(item, locked, lots, now);
  const result = resolveEntitlement(request, item.feature.key);
  if (result.kind === 'error') throw entitlementFault(result.errorCode, result.message);
  return new MeterCredits(request, result, new LiveCredits(locked, lots));
}

/** The request with the account's own row as truth, so that the engine judges periods, lots and what rolls over by the store. */
function lockedRequest(
  { subject, feature }: UsageItem,
  { scope, periodStart, periodEnd, used, reserved, covered }: LockedMeter,
  lots: readonly CreditLot[] | null,
  now: Instant,
): EvaluationRequest<Snapshot> {
  const { evaluation } = subject;
  const { customer, snapshot } = evaluation;
  if (customer === null || customer === 'unavailable') return { ...evaluation, now };
  const product = snapshot.productKey;
  const account: AccountState = {
    product,
    feature: feature.key,
    scope,
    periodStart,
    periodEnd,
    used,
    reserved,
    covered,
    lots: lots ?? [],
  };
  return { ...evaluation, customer: { ...customer, accounts: [account] }, now };
}

export class MeterCredits {
  readonly #request: EvaluationRequest<Snapshot>;
  readonly #live: LiveCredits;
  readonly entitlement: EntitlementDecision;

  constructor(request: EvaluationRequest<Snapshot>, entitlement: EntitlementDecision, live: LiveCredits) {
    this.#request = request;
    this.#live = live;
    this.entitlement = entitlement;
  }

  get covered(): number {
    return this.#live.covered;
  }

  get lots(): readonly CreditLot[] {
    return this.#live.lots;
  }

  /** A period begins: with what earlier ones leave it. */
  open(): void {
    this.#live.open(lotsToStore(this.#request, this.entitlement));
  }

  cover(usedBefore: number, used: number, now: Instant): void {
    this.#live.takeOver(this.entitlement, usedBefore, used, now);
  }

  /** `null`: it is what it was, because lots do not count. */
  limitAt(now: Instant): number | null {
    const { allowance } = this.entitlement;
    return allowance === undefined ? null : allowance + this.covered + remainingOf(this.lots, now);
  }

  write(customerId: string, now: Instant): readonly CustomerLots[] {
    const written = this.#live.write(now);
    return written === null ? [] : [{ customerId, changed: written.changed, made: written.made }];
  }
}
