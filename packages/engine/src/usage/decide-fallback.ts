import type { StoreAwayPolicy } from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import type { ConsumptionDecision, ConsumptionMode, EntitlementDecision } from '../model/decision.js';
import { decideConsumption, entitlementAfter, fillOf, refuseConsumption } from './decide-consumption.js';
import { usedAfter } from './room.js';

export interface FallbackInput {
  /** Resolved from the last known state. */
  readonly entitlement: EntitlementDecision;
  readonly amount: number;
  readonly mode: ConsumptionMode;
  /** What the feature says of a store that is away. */
  readonly policy: StoreAwayPolicy;
  /** What was answered of this account without the store and does not stand in the last known balance yet. */
  readonly journaled: number;
  readonly at: Instant;
}

/**
 * What may be answered while the store cannot be reached. `null`: nothing may, only the store can say. INVARIANT: never a denial, because
 * what would be denied from an old state may be allowed by the real one; and nothing of a hard limit (law 2).
 */
export function decideFallback(input: FallbackInput): ConsumptionDecision | null {
  const { entitlement, amount, policy, journaled, at } = input;
  if (policy === 'closed' || entitlement.enforcement === 'hard') return null;
  if (!entitlement.granted || refuseConsumption(input) !== null) return null;
  const known = entitlementAfter(entitlement, usedAfter(fillOf(entitlement), journaled));
  const decision =
    policy === 'open'
      ? takeWhole(known, amount)
      : decideConsumption({ entitlement: known, amount, mode: input.mode });
  if (!decision.allowed) return null;
  return {
    ...decision,
    reason: 'FALLBACK',
    entitlement: {
      ...decision.entitlement,
      hasAccess: true,
      reason: 'FALLBACK',
      fallback: { policy, at },
    },
  };
}

/**
 * Counts what was allowed without the store, now that it is back: all of it, whatever room is left, and under the enforcement that allowed
 * it. The right is not asked for either: it has happened.
 * @param entitlement as it stands now, with the account's own row as truth
 */
export function countFallback(
  entitlement: EntitlementDecision,
  told: ConsumptionDecision,
): ConsumptionDecision {
  return {
    ...takeWhole(entitlement, told.consumed),
    reason: 'FALLBACK',
    requested: told.requested,
    enforcement: told.enforcement,
  };
}

function takeWhole(entitlement: EntitlementDecision, amount: number): ConsumptionDecision {
  const fill = fillOf(entitlement);
  const after = usedAfter(fill, amount);
  return {
    key: entitlement.key,
    allowed: true,
    reason: entitlement.reason,
    requested: amount,
    consumed: amount,
    usedBefore: fill.used,
    usedAfter: after,
    reservedAfter: fill.reserved,
    limitAtDecision: fill.limit.kind === 'finite' ? fill.limit.value : null,
    enforcement: entitlement.enforcement,
    wouldHaveDenied: false,
    refusedBy: null,
    entitlement: entitlementAfter(entitlement, after),
  };
}
