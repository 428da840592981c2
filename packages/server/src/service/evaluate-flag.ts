import { evaluateFlag as decideFlag } from '@pennon/engine/flag/evaluate-flag';
import type { FlagDecision } from '@pennon/engine/model/decision';
import type { Credential } from './credential.js';
import {
  type EvaluationDependencies,
  type EvaluationInput,
  type EvaluationStamp,
  type PreparedEvaluation,
  prepareEvaluation,
} from './evaluation-request.js';
import { flagNotFound, isVisibleKey } from './flag-visibility.js';

export interface FlagEvaluation {
  readonly decision: FlagDecision;
  readonly stamp: EvaluationStamp;
}

/** Decides one flag, or one feature read as a flag. Synchronous where the customer is in memory. */
export function evaluateFlag(
  dependencies: EvaluationDependencies,
  credential: Credential,
  flagKey: string,
  input: EvaluationInput,
): FlagEvaluation | Promise<FlagEvaluation> {
  const prepared = prepareEvaluation(dependencies, credential, input);
  return prepared instanceof Promise
    ? prepared.then((ready) => decide(credential, flagKey, ready))
    : decide(credential, flagKey, prepared);
}

function decide(credential: Credential, flagKey: string, prepared: PreparedEvaluation): FlagEvaluation {
  const { request, stamp } = prepared;
  if (request === null || !isVisibleKey(request.snapshot, credential, flagKey)) {
    return { decision: flagNotFound(flagKey, credential, stamp), stamp };
  }
  return { decision: decideFlag(request, flagKey), stamp };
}
