import type { SettleMore } from '../model/catalog.js';
import type { ConsumptionDecision, EntitlementDecision } from '../model/decision.js';
import {
  type ConsumptionRefusal,
  decideConsumption,
  entitlementAfter,
  fillOf,
  reasonAfter,
  refuseConsumption,
} from './decide-consumption.js';
import { fit, fitting, usedAfter } from './room.js';

export interface SettlementInput {
  /** Resolved with the account's own row as truth: what this reservation holds is part of `reserved`, unless it has ended. */
  readonly entitlement: EntitlementDecision;
  /** What the reservation holds. */
  readonly held: number;
  /** What was really used. */
  readonly amount: number;
  /** What the feature says of the part that was not held. */
  readonly more: SettleMore;
}

/** Asked before anything is settled; `null`: it makes sense. */
export function refuseSettlement({
  entitlement,
  held,
  amount,
  more,
}: SettlementInput): ConsumptionRefusal | null {
  const refusal = refuseConsumption({ entitlement, amount });
  if (refusal !== null || amount <= held || more !== 'refuse') return refusal;
  const { key } = entitlement;
  return {
    key,
    errorCode: 'TYPE_MISMATCH',
    message: `\`amount\` is ${amount}, and ${held} of \`${key}\` are held. Settle at most that, and consume the rest; or let the feature say \`settle: { more: all }\` or \`upTo\`.`,
  };
}

/**
 * Turns what is held into usage. Up to the amount held it needs neither right nor room: that was decided when it was held. INVARIANT: the part
 * beyond is decided like a consume (law 2), whole or as far as it fits; where `all` of it does not fit, nothing is settled and the
 * reservation holds on. What is not used is given back.
 */
export function decideSettlement(input: SettlementInput): ConsumptionDecision {
  const { entitlement, held, amount, more } = input;
  const fill = fillOf(entitlement);
  const refused = refuseSettlement(input) !== null;
  const excess = Math.max(0, amount - held);
  const fitted = entitlement.granted ? fitting(fill, excess) : 0;
  const taken = more === 'upTo' ? fitted : excess;
  const room = taken === 0 ? 'within' : fit(fill, taken);
  const allowed = !refused && (taken === 0 || (entitlement.granted && room !== 'beyond'));
  const settled = allowed ? Math.min(amount, held) + taken : 0;
  const reserved = allowed ? Math.max(0, fill.reserved - held) : fill.reserved;
  const used = usedAfter({ ...fill, reserved }, settled);
  return {
    ...decided(entitlement, used, reserved),
    allowed,
    reason: reasonAfter(entitlement, allowed ? room : 'beyond'),
    requested: amount,
    consumed: settled,
    wouldHaveDenied:
      entitlement.enforcement === 'observe' &&
      allowed &&
      taken > 0 &&
      fit({ ...fill, enforcement: 'hard' }, taken) === 'beyond',
  };
}

/** After the end nothing is held any more: tried as a consume of the whole amount, where the feature says so. */
export function decideLateSettlement(input: SettlementInput): ConsumptionDecision {
  const { entitlement, amount, more } = input;
  return decideConsumption({ entitlement, amount, mode: more === 'upTo' ? 'upTo' : 'all' });
}

/** Gives back what is held, by a release or by the clock. It needs no right. What was given back stands as `consumed`. */
export function decideHoldEnd(entitlement: EntitlementDecision, held: number): ConsumptionDecision {
  const given = Math.min(held, entitlement.reserved);
  return {
    ...decided(entitlement, entitlement.usage, entitlement.reserved - given),
    requested: held,
    consumed: given,
  };
}

function decided(entitlement: EntitlementDecision, used: number, reserved: number): ConsumptionDecision {
  const after = entitlementAfter(entitlement, used, reserved);
  return {
    key: entitlement.key,
    allowed: true,
    reason: after.reason,
    requested: 0,
    consumed: 0,
    usedBefore: entitlement.usage,
    usedAfter: used,
    reservedAfter: reserved,
    limitAtDecision: entitlement.limit?.kind === 'finite' ? entitlement.limit.value : null,
    enforcement: entitlement.enforcement,
    wouldHaveDenied: false,
    refusedBy: null,
    entitlement: after,
  };
}
