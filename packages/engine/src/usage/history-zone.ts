import { beginEvaluation } from '../flag/layers.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { isTimeZone } from '../period/anchor.js';
import { timeZoneOf } from '../period/period-of.js';
import type { Snapshot } from '../snapshot/snapshot.js';

/** The zone of which the days and months of a feature's history are: the zone of its periods (law 9). */
export function historyZone(request: EvaluationRequest<Snapshot>, featureKey: string): string {
  const feature = request.snapshot.features.get(featureKey);
  const prepared = beginEvaluation(request).customer;
  if (feature === undefined || prepared === null) return 'UTC';
  return timeZoneOf(prepared, feature, request.now);
}

/** The zone of a customer, of all features together: its own, else the product's, else UTC. */
export function customerZone({ snapshot, customer }: EvaluationRequest<Snapshot>): string {
  const own = customer === null || customer === 'unavailable' ? null : customer.timeZone;
  for (const zone of [own, snapshot.timeZone]) if (zone != null && isTimeZone(zone)) return zone;
  return 'UTC';
}
