import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { EntitlementDecision, EntitlementErrorCode } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { RemedySearch } from '@pennon/engine/remedy/remedy-search';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { Credential } from './credential.js';
import {
  type EvaluationDependencies,
  type EvaluationInput,
  type EvaluationStamp,
  type PreparedEvaluation,
  prepareEvaluation,
} from './evaluation-request.js';
import { isVisibleKey } from './flag-visibility.js';
import { type FaultKind, ServiceError } from './service-error.js';
import { type FreshBalances, prepareStrong } from './strong-evaluation.js';

export interface EntitlementEvaluation {
  readonly decision: EntitlementDecision;
  readonly stamp: EvaluationStamp;
}

export interface EntitlementInput extends EvaluationInput {
  readonly amount: number | null;
  /** `consistency: strong`: with the balances that the store holds now, not the last known ones. */
  readonly strong: boolean;
}

export interface EntitlementDependencies extends EvaluationDependencies {
  readonly balances: FreshBalances;
}

/** Resolves one entitlement. A denial is an answer; what cannot be answered is a ServiceError with OEP's code. */
export function evaluateEntitlement(
  dependencies: EntitlementDependencies,
  credential: Credential,
  featureKey: string,
  input: EntitlementInput,
): EntitlementEvaluation | Promise<EntitlementEvaluation> {
  requireProvenCustomer(credential);
  const prepared = input.strong
    ? prepareStrong(dependencies, credential, input)
    : prepareEvaluation(dependencies, credential, input);
  return prepared instanceof Promise
    ? prepared.then((ready) => resolve(credential, featureKey, input, ready))
    : resolve(credential, featureKey, input, prepared);
}

/** A client key without a customer token never learns anything of a customer. */
export function requireProvenCustomer(credential: Credential): void {
  if (credential.kind === 'client') {
    throw new ServiceError(
      'forbidden',
      'CUSTOMER_NOT_PROVEN',
      'A client key proves no customer. Send a customer token with it, or ask from a backend with a server key.',
    );
  }
}

function resolve(
  credential: Credential,
  featureKey: string,
  input: EntitlementInput,
  { request, stamp }: PreparedEvaluation,
): EntitlementEvaluation {
  const visible = visibleRequest(request, credential, featureKey);
  const options = input.amount === null ? {} : { amount: input.amount };
  const decision = resolveEntitlement(visible, featureKey, options);
  if (decision.kind === 'error') {
    throw entitlementFault(decision.errorCode, decision.message);
  }
  return { decision: withRemedies(visible)(decision, input.amount ?? 1), stamp };
}

/** One search serves all denials of an answer; whoever has access costs nothing. */
export function withRemedies(
  request: EvaluationRequest<Snapshot>,
): (decision: EntitlementDecision, amount?: number) => EntitlementDecision {
  let search: RemedySearch | null = null;
  return (decision, amount) => {
    if (decision.hasAccess) {
      return decision;
    }
    search ??= new RemedySearch(request);
    return { ...decision, remedy: search.remedyFor(decision, amount) };
  };
}

/** The request where it may ask for that key, else 404 in the one form. */
export function visibleRequest(
  request: EvaluationRequest<Snapshot> | null,
  credential: Credential,
  featureKey: string,
): EvaluationRequest<Snapshot> {
  if (request === null || !isVisibleKey(request.snapshot, credential, featureKey)) {
    throw entitlementFault(
      'ENTITLEMENT_NOT_FOUND',
      `The feature \`${featureKey.slice(0, 128)}\` does not exist, or this key may not see it.`,
    );
  }
  return request;
}

const FAULT_KINDS: Record<EntitlementErrorCode, FaultKind> = {
  ENTITLEMENT_NOT_FOUND: 'not-found',
  TYPE_MISMATCH: 'invalid',
  TARGETING_KEY_MISSING: 'invalid',
  CUSTOMER_STATE_UNAVAILABLE: 'unavailable',
};

export function entitlementFault(code: EntitlementErrorCode, message: string): ServiceError {
  const kind = FAULT_KINDS[code];
  return new ServiceError(kind, code, message, kind === 'unavailable' ? { retryAfterSeconds: 1 } : {});
}
