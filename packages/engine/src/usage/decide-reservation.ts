import type { ConsumptionDecision } from '../model/decision.js';
import { type ConsumptionInput, decideConsumption, entitlementAfter } from './decide-consumption.js';

/**
 * Decides one attempt to hold an amount: allowed exactly where a consume of it would be, because what is held counts as used (law 2). What
 * is held stands as `consumed`; `usedAfter` stays and `reservedAfter` rises by it. `refuseConsumption` tells what makes no sense here too.
 */
export function decideReservation(input: ConsumptionInput): ConsumptionDecision {
  const decision = decideConsumption(input);
  // As little as a consume counts: what nothing bounds stops being counted where JSON stops being exact.
  const held = decision.usedAfter - decision.usedBefore;
  const reservedAfter = decision.reservedAfter + held;
  return {
    ...decision,
    consumed: held,
    usedAfter: decision.usedBefore,
    reservedAfter,
    entitlement: entitlementAfter(input.entitlement, decision.usedBefore, reservedAfter),
  };
}
