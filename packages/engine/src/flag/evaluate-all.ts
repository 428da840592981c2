import type { FlagDecision } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import { beginEvaluation } from './layers.js';

/** All flags and all entitlements as flags, sorted by key; what several of them ask for is resolved once. */
export function evaluateAll(
  request: EvaluationRequest<Snapshot>,
  options: { readonly clientVisibleOnly: boolean },
): FlagDecision[] {
  const evaluation = beginEvaluation(request);
  const { flags, features, keys } = request.snapshot;
  const decisions: FlagDecision[] = [];
  for (const key of keys) {
    if (options.clientVisibleOnly && (flags.get(key) ?? features.get(key))?.clientVisible !== true) continue;
    evaluation.until = null;
    decisions.push(evaluation.decision(key));
  }
  return decisions;
}
