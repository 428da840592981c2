import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import { evaluateFlag } from '@pennon/engine/flag/evaluate-flag';
import type { EntitlementDecision, ExplanationStep, FlagDecision } from '@pennon/engine/model/decision';
import type { Credential } from './credential.js';
import {
  type EvaluationDependencies,
  type EvaluationInput,
  type EvaluationStamp,
  prepareEvaluation,
} from './evaluation-request.js';
import { ServiceError } from './service-error.js';

export interface Explanation {
  readonly kind: 'flag' | 'entitlement';
  readonly decision: FlagDecision | EntitlementDecision;
  /** In order, from the very functions that decided. */
  readonly steps: readonly ExplanationStep[];
  /** Who the context was found to be about. */
  readonly customerKey: string | null;
  readonly stamp: EvaluationStamp;
}

/** Decides one flag or feature and tells every step of it (X-2, P-6). */
export async function explain(
  dependencies: EvaluationDependencies,
  credential: Credential,
  key: string,
  input: EvaluationInput,
): Promise<Explanation> {
  const { request, stamp } = await prepareEvaluation(dependencies, credential, input);
  const isFeature = request?.snapshot.features.has(key) ?? false;
  if (request === null || (!isFeature && !request.snapshot.flags.has(key))) {
    throw new ServiceError(
      'not-found',
      'KEY_NOT_FOUND',
      `There is no flag and no feature \`${key.slice(0, 128)}\` in this product and environment.`,
    );
  }
  const steps: ExplanationStep[] = [];
  const recorder = {
    record(step: ExplanationStep): void {
      steps.push(step);
    },
  };
  const customerKey = request.subject.customerKey;
  if (!isFeature) {
    return { kind: 'flag', decision: evaluateFlag(request, key, recorder), steps, customerKey, stamp };
  }
  const decision = resolveEntitlement(request, key, {}, recorder);
  if (decision.kind === 'error') {
    const unavailable = decision.errorCode === 'CUSTOMER_STATE_UNAVAILABLE';
    throw new ServiceError(unavailable ? 'unavailable' : 'invalid', decision.errorCode, decision.message);
  }
  return { kind: 'entitlement', decision, steps, customerKey, stamp };
}
