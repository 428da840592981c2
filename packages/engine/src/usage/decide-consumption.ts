import { accessReason } from '../entitlement/denial.js';
import type {
  ConsumptionDecision,
  ConsumptionMode,
  EntitlementDecision,
  EntitlementReason,
} from '../model/decision.js';
import { LIMITS, UNLIMITED_AS_INTEGER } from '../model/limits.js';
import { type Fill, fit, fitting, usedAfter } from './room.js';

export interface ConsumptionInput {
  /** Resolved with the account's own row as truth. */
  readonly entitlement: EntitlementDecision;
  /** An integer of at least 0 in the feature's unit. */
  readonly amount: number;
  /** `all`: the whole amount or nothing. `upTo`: what fits. */
  readonly mode: ConsumptionMode;
  /** The thing that the unit is for holds it already: it is claimed again, and nothing is taken. */
  readonly claimed?: true;
}

/** The question makes no sense, which is no denial: `amount` is no quantity, or the feature is not metered. */
export interface ConsumptionRefusal {
  readonly key: string;
  readonly errorCode: 'TYPE_MISMATCH';
  readonly message: string;
}

export function fillOf(entitlement: EntitlementDecision): Fill {
  return {
    limit: entitlement.limit ?? { kind: 'finite', value: 0 },
    used: entitlement.usage,
    reserved: entitlement.reserved,
    enforcement: entitlement.enforcement,
    overage: entitlement.overageAllowance,
  };
}

/** Asked before anything is decided; `null`: the attempt makes sense. */
export function refuseConsumption({
  entitlement,
  amount,
}: Pick<ConsumptionInput, 'entitlement' | 'amount'>): ConsumptionRefusal | null {
  const { key, type } = entitlement;
  const error = (message: string): ConsumptionRefusal => ({ key, errorCode: 'TYPE_MISMATCH', message });
  if (type !== 'metered') {
    return error(
      `\`${key}\` is ${type} and nothing of it can be consumed; declare it with \`type: metered, reset: never\`.`,
    );
  }
  if (!Number.isSafeInteger(amount) || amount < 0) {
    return error(`\`amount\` is ${amount}; it must be an integer from 0 to ${LIMITS.quantity.value}.`);
  }
  return null;
}

/** What the entitlement reads as with other amounts used and held. */
export function entitlementAfter(
  entitlement: EntitlementDecision,
  used: number,
  reserved: number = entitlement.reserved,
): EntitlementDecision {
  const fill = { ...fillOf(entitlement), used, reserved };
  const value = fill.limit.kind === 'finite' ? fill.limit.value : null;
  const room = fit(fill, 1);
  const hasAccess = entitlement.granted && room !== 'beyond';
  return {
    ...entitlement,
    usage: used,
    reserved,
    balance: value === null ? UNLIMITED_AS_INTEGER : Math.max(0, value - used - reserved),
    overage: value === null ? 0 : Math.max(0, used + reserved - value),
    hasAccess,
    reason: reasonAfter(entitlement, room),
  };
}

export function reasonAfter(
  entitlement: EntitlementDecision,
  room: ReturnType<typeof fit>,
): EntitlementReason {
  if (!entitlement.granted) return entitlement.reason;
  if (room === 'beyond') return 'LIMIT_REACHED';
  if (room === 'over') return entitlement.enforcement === 'observe' ? 'OBSERVE_ONLY' : 'SOFT_LIMIT_EXCEEDED';
  return accessReason(entitlement.limit?.kind === 'unlimited', entitlement.sources);
}

/**
 * Decides one attempt to take an amount (law 2, law 3): the right first, then the room. INVARIANT: with a hard limit, never allowed where
 * used + reserved + consumed would exceed it; and where the limit is below use already, nothing is. What `refuseConsumption` refuses is
 * never allowed here either. What is claimed again needs the right and no room: it stands in use already.
 */
export function decideConsumption(input: ConsumptionInput): ConsumptionDecision {
  const { entitlement, amount, mode, claimed } = input;
  if (claimed === true) return claimAgain(entitlement, amount);
  const refused = refuseConsumption(input) !== null;
  const fill = fillOf(entitlement);
  const hard: Fill = { ...fill, enforcement: 'hard' };
  const wanted = mode === 'all' ? amount : fitting(fill, amount);
  const asked = mode === 'all' || wanted > 0 || amount === 0;
  const room = !refused && asked ? fit(fill, wanted) : 'beyond';
  const allowed = entitlement.granted && room !== 'beyond';
  const consumed = allowed ? wanted : 0;
  const after = usedAfter(fill, consumed);
  return {
    key: entitlement.key,
    allowed,
    reason: reasonAfter(entitlement, room),
    requested: amount,
    consumed,
    usedBefore: fill.used,
    usedAfter: after,
    reservedAfter: fill.reserved,
    limitAtDecision: fill.limit.kind === 'finite' ? fill.limit.value : null,
    enforcement: entitlement.enforcement,
    wouldHaveDenied: entitlement.enforcement === 'observe' && allowed && fit(hard, wanted) === 'beyond',
    refusedBy: null,
    entitlement: entitlementAfter(entitlement, after),
  };
}

function claimAgain(entitlement: EntitlementDecision, amount: number): ConsumptionDecision {
  const { usage, reserved, granted } = entitlement;
  return {
    key: entitlement.key,
    allowed: granted,
    reason: reasonAfter(entitlement, 'within'),
    requested: amount,
    consumed: 0,
    usedBefore: usage,
    usedAfter: usage,
    reservedAfter: reserved,
    // No limit decided it: the one in force may have fallen below what is in use.
    limitAtDecision: null,
    enforcement: entitlement.enforcement,
    wouldHaveDenied: false,
    refusedBy: null,
    entitlement: entitlementAfter(entitlement, usage),
  };
}
