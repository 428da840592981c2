import type { EntitlementDecision } from '../model/decision.js';
import { LIMITS } from '../model/limits.js';
import { type ConsumptionRefusal, entitlementAfter } from './decide-consumption.js';

export interface ReleaseInput {
  /** Resolved with the account's own row as truth. */
  readonly entitlement: EntitlementDecision;
  readonly amount: number;
}

export interface ReleaseDecision {
  readonly key: string;
  readonly requested: number;
  /** What was given back: never more than was used. */
  readonly released: number;
  readonly usedBefore: number;
  readonly usedAfter: number;
  readonly reservedAfter: number;
  readonly entitlement: EntitlementDecision;
}

/** `null`: the release makes sense. What resets by itself is never given back, and needs to be said so. */
export function refuseRelease({ entitlement, amount }: ReleaseInput): ConsumptionRefusal | null {
  const { key, type, period } = entitlement;
  const refuse = (message: string): ConsumptionRefusal => ({ key, errorCode: 'TYPE_MISMATCH', message });
  if (type !== 'metered')
    return refuse(`\`${key}\` is ${type}; only \`type: metered, reset: never\` can be released.`);
  if (period !== null) {
    return refuse(
      `\`${key}\` resets every ${period.interval}; only features with \`reset: never\` can be released.`,
    );
  }
  if (!Number.isSafeInteger(amount) || amount < 0) {
    return refuse(`\`amount\` is ${amount}; it must be an integer from 0 to ${LIMITS.quantity.value}.`);
  }
  return null;
}

/**
 * Gives units back because the thing that held them is gone. It needs no right: who lost a feature may still delete. What
 * `refuseRelease` refuses releases nothing here.
 */
export function decideRelease(input: ReleaseInput): ReleaseDecision {
  const { entitlement, amount } = input;
  const released = refuseRelease(input) === null ? Math.min(amount, entitlement.usage) : 0;
  const usedAfter = entitlement.usage - released;
  return {
    key: entitlement.key,
    requested: amount,
    released,
    usedBefore: entitlement.usage,
    usedAfter,
    reservedAfter: entitlement.reserved,
    entitlement: entitlementAfter(entitlement, usedAfter),
  };
}
