import type { ConsumptionDecision, EntitlementDecision } from '../model/decision.js';
import { type ConsumptionInput, decideConsumption, entitlementAfter } from './decide-consumption.js';

export interface ConsumptionsDecision {
  /** Everything was taken, or nothing was. */
  readonly allowed: boolean;
  /** One for each item, in the order of the items. */
  readonly decisions: readonly ConsumptionDecision[];
}

/** An account is told apart by feature and scope: all items are one customer's. */
function accountOf({ key, scope }: EntitlementDecision): string {
  return `${key}\n${scope}`;
}

/** Nothing was taken, although this item alone would have fitted: the reason is that of the item that was refused. */
function undone(
  decision: ConsumptionDecision,
  before: EntitlementDecision,
  refused: ConsumptionDecision,
  refusedBy: number,
): ConsumptionDecision {
  return {
    ...decision,
    allowed: false,
    reason: decision.allowed ? refused.reason : decision.reason,
    consumed: 0,
    usedBefore: before.usage,
    usedAfter: before.usage,
    wouldHaveDenied: false,
    refusedBy: decision.allowed ? refusedBy : null,
    entitlement: entitlementAfter(before, before.usage),
  };
}

/**
 * Several attempts as one: all are allowed, or none is and nothing is taken. The same account named twice counts together, in the
 * order of the items.
 */
export function decideConsumptions(items: readonly ConsumptionInput[]): ConsumptionsDecision {
  const standing = new Map<string, EntitlementDecision>();
  const decisions = items.map((item) => {
    const account = accountOf(item.entitlement);
    const decision = decideConsumption({ ...item, entitlement: standing.get(account) ?? item.entitlement });
    standing.set(account, decision.entitlement);
    return decision;
  });
  const refusedBy = decisions.findIndex((decision) => !decision.allowed);
  const refused = decisions[refusedBy];
  if (refused === undefined) return { allowed: true, decisions };
  const nothing = decisions.map((decision, index) => {
    const item = items[index];
    return item === undefined ? decision : undone(decision, item.entitlement, refused, refusedBy);
  });
  return { allowed: false, decisions: nothing };
}
