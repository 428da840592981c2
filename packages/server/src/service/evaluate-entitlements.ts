import { resolveAllEntitlements } from '@pennon/engine/entitlement/resolve-entitlement';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import type { Credential } from './credential.js';
import {
  type EntitlementDependencies,
  entitlementFault,
  requireProvenCustomer,
  withRemedies,
} from './evaluate-entitlement.js';
import {
  type EvaluationInput,
  type EvaluationStamp,
  type PreparedEvaluation,
  prepareEvaluation,
} from './evaluation-request.js';
import { isVisibleKey } from './flag-visibility.js';
import { prepareStrong } from './strong-evaluation.js';

export interface EntitlementsEvaluation {
  /** Sorted by key. */
  readonly decisions: readonly EntitlementDecision[];
  readonly stamp: EvaluationStamp;
}

/** Resolves every entitlement that the credential may see. */
export function evaluateEntitlements(
  dependencies: EntitlementDependencies,
  credential: Credential,
  input: EvaluationInput & { readonly strong: boolean },
): EntitlementsEvaluation | Promise<EntitlementsEvaluation> {
  requireProvenCustomer(credential);
  const prepared = input.strong
    ? prepareStrong(dependencies, credential, input)
    : prepareEvaluation(dependencies, credential, input);
  return prepared instanceof Promise
    ? prepared.then((ready) => resolve(credential, ready))
    : resolve(credential, prepared);
}

function resolve(credential: Credential, { request, stamp }: PreparedEvaluation): EntitlementsEvaluation {
  if (request === null) {
    return { decisions: [], stamp };
  }
  const decisions: EntitlementDecision[] = [];
  const remedied = withRemedies(request);
  for (const decision of resolveAllEntitlements(request)) {
    if (!isVisibleKey(request.snapshot, credential, decision.key)) {
      continue;
    }
    if (decision.kind === 'entitlement') {
      decisions.push(remedied(decision));
    } else if (decision.errorCode !== 'TARGETING_KEY_MISSING') {
      // A partial list would read like a denial of what is missing from it.
      throw entitlementFault(decision.errorCode, decision.message);
    }
    // A feature that counts per user or instance has no balance where none is named: it is left out of the list.
  }
  return { decisions, stamp };
}
