import type { ConsumptionDecision, Reservation } from '@pennon/engine/model/decision';
import { toInstantText, toOepEntitlementAfter } from './entitlement.js';
import type { OepReservation, OepReservationDecision, OepReservationDenial } from './schemas.js';

export function toOepReservation(key: string, reservation: Reservation): OepReservation {
  const { id, amount, settled, state, expiresAt } = reservation;
  return { id, key, amount, settled, state, expiresAt: toInstantText(expiresAt) };
}

/** The answer to reserve, settle, and the release of a hold. Where nothing could be held there is no reservation to show. */
export function toOepReservationDecision(
  decision: ConsumptionDecision,
  asOf: number,
): OepReservationDecision | OepReservationDenial {
  const { allowed, reason, key, reservation } = decision;
  const entitlement = toOepEntitlementAfter(decision, asOf);
  if (reservation === undefined) return { allowed, reason, key, entitlement };
  return { allowed, reason, ...toOepReservation(key, reservation), entitlement };
}
