import type { FlagDecision, Recorder } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import { beginEvaluation } from './layers.js';

/**
 * Decides one flag, or one feature read as a flag. An unknown key is `FLAG_NOT_FOUND`. With a recorder it collects the steps of its
 * own explanation; the decision is the same without.
 */
export function evaluateFlag(
  request: EvaluationRequest<Snapshot>,
  flagKey: string,
  recorder?: Recorder,
): FlagDecision {
  const evaluation = beginEvaluation(request, recorder);
  return evaluation.layers.serveFlag(evaluation, flagKey);
}
