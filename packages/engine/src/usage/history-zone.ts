import { beginEvaluation } from '../flag/layers.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { timeZoneOf } from '../period/period-of.js';
import type { Snapshot } from '../snapshot/snapshot.js';

/** The zone of which the days and months of a feature's history are: the zone of its periods (law 9). */
export function historyZone(request: EvaluationRequest<Snapshot>, featureKey: string): string {
  const feature = request.snapshot.features.get(featureKey);
  const prepared = beginEvaluation(request).customer;
  if (feature === undefined || prepared === null) return 'UTC';
  return timeZoneOf(prepared, feature, request.now);
}
