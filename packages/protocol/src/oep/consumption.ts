import type { ConsumptionDecision, EntitlementDecision } from '@pennon/engine/model/decision';
import { toOepEntitlement, toOepEntitlementAfter } from './entitlement.js';
import type { OepConsumedItem, OepConsumption, OepRelease } from './schemas.js';

/**
 * The answer to a consume. One key answers flat, `items` answer by item; all-or-nothing, so `allowed` holds for all of them. Where they were
 * refused, `reason` is that of the item which did not fit, and the others name it in `refusedBy`.
 * @param decisions at least one, in the order of the request.
 */
export function toOepConsumption(
  decisions: readonly ConsumptionDecision[],
  asOf: number,
  form: 'single' | 'items',
): OepConsumption {
  const allowed = decisions.every((decision) => decision.allowed);
  const first = decisions[0];
  if (form === 'single' && first !== undefined) {
    return {
      allowed,
      reason: first.reason,
      consumed: first.consumed,
      entitlement: toOepEntitlementAfter(first, asOf),
    };
  }
  const refused = decisions.find((decision) => !decision.allowed && decision.refusedBy === null);
  return {
    allowed,
    ...(refused === undefined ? {} : { reason: refused.reason }),
    items: decisions.map((decision) => ({
      key: decision.key,
      allowed: decision.allowed,
      reason: decision.reason,
      consumed: decision.consumed,
      ...refusedBy(decision, decisions),
      entitlement: toOepEntitlementAfter(decision, asOf),
    })),
  };
}

/** All or nothing: which item was refused, where this one was not. */
function refusedBy(
  { refusedBy: item }: ConsumptionDecision,
  decisions: readonly ConsumptionDecision[],
): Pick<OepConsumedItem, 'refusedBy'> {
  const refused = item === null ? undefined : decisions[item];
  return item === null || refused === undefined ? {} : { refusedBy: { item, key: refused.key } };
}

export function toOepRelease(released: number, entitlement: EntitlementDecision, asOf: number): OepRelease {
  return { released, entitlement: toOepEntitlement(entitlement, asOf) };
}
