import type { ConsumptionDecision, EntitlementDecision } from '@pennon/engine/model/decision';
import { toOepEntitlement } from './entitlement.js';
import type { OepConsumption, OepRelease } from './schemas.js';

/**
 * The answer to a consume. One key answers flat, `items` answer by item; all-or-nothing, so `allowed` holds for all of them.
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
      entitlement: toOepEntitlement(first.entitlement, asOf),
    };
  }
  return {
    allowed,
    items: decisions.map((decision) => ({
      key: decision.key,
      allowed: decision.allowed,
      reason: decision.reason,
      consumed: decision.consumed,
      entitlement: toOepEntitlement(decision.entitlement, asOf),
    })),
  };
}

export function toOepRelease(released: number, entitlement: EntitlementDecision, asOf: number): OepRelease {
  return { released, entitlement: toOepEntitlement(entitlement, asOf) };
}
