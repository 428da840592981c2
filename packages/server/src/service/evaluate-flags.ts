import { evaluateAll } from '@pennon/engine/flag/evaluate-all';
import type { FlagDecision } from '@pennon/engine/model/decision';
import type { Credential } from './credential.js';
import {
  type EvaluationDependencies,
  type EvaluationInput,
  type EvaluationStamp,
  type PreparedEvaluation,
  prepareEvaluation,
} from './evaluation-request.js';
import { seesOnlyClientVisible } from './flag-visibility.js';

export interface FlagsEvaluation {
  /** Sorted by key. */
  readonly decisions: readonly FlagDecision[];
  readonly stamp: EvaluationStamp;
}

/** Decides every flag and every feature that the credential may see. */
export function evaluateFlags(
  dependencies: EvaluationDependencies,
  credential: Credential,
  input: EvaluationInput,
): FlagsEvaluation | Promise<FlagsEvaluation> {
  const prepared = prepareEvaluation(dependencies, credential, input);
  return prepared instanceof Promise
    ? prepared.then((ready) => decide(credential, ready))
    : decide(credential, prepared);
}

function decide(credential: Credential, { request, stamp }: PreparedEvaluation): FlagsEvaluation {
  if (request === null) {
    return { decisions: [], stamp };
  }
  const clientVisibleOnly = seesOnlyClientVisible(credential);
  return { decisions: evaluateAll(request, { clientVisibleOnly }), stamp };
}
