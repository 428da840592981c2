import { beginEvaluation } from '../flag/layers.js';
import type { CreditLot } from '../model/customer.js';
import type { EntitlementDecision } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import { accountOf } from './account-of.js';
import { rolloversDue } from './rollover.js';

/**
 * What the first consume of a period writes down beside the account's new period: the lots that the periods before it leave. They are
 * the ones that the decision counted already.
 *
 * @param request that the decision was resolved with, the account's own row as truth
 */
export function lotsToStore(
  request: EvaluationRequest<Snapshot>,
  { key, scope, period }: EntitlementDecision,
): readonly CreditLot[] {
  const feature = request.snapshot.features.get(key);
  if (feature === undefined || feature.rollover === null || period === null) return [];
  const evaluation = beginEvaluation(request);
  return rolloversDue(evaluation, feature, accountOf(evaluation, feature, scope), period);
}
