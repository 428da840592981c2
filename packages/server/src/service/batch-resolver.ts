import { resolveEntitlement } from '@pennon/engine/entitlement/resolve-entitlement';
import type { CustomerState, Instant } from '@pennon/engine/model/customer';
import type { EntitlementDecision } from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { readsOf } from '@pennon/engine/snapshot/reads-of';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { LockedFrame } from '../store/account-transaction.js';
import { accountState, type LiveAccount } from './batch-accounts.js';
import { entitlementFault } from './evaluate-entitlement.js';

export interface Resolver {
  entitlement(evaluation: EvaluationRequest<Snapshot>, key: string): EntitlementDecision;
  /** The request as it is decided: with the locked accounts, at the database's time. */
  lockedRequest(
    evaluation: EvaluationRequest<Snapshot>,
  ): EvaluationRequest<Snapshot> & { readonly customer: CustomerState };
  /** What was resolved is resolved anew, with the accounts as they stand by now: a limit became less. */
  forget(): void;
  /** When one of those that were asked for may change by time alone; `null`: never. */
  validUntil(): Instant | null;
}

/**
 * Resolves each entitlement once for everyone of a batch who is the same subject. The locked accounts stand in the state, so
 * that the engine judges periods by the store's row and not by what this process remembers.
 */
export function createResolver(frame: LockedFrame, standing: ReadonlyMap<string, LiveAccount>): Resolver {
  let accounts = [...standing.values()].map(accountState);
  const states = new Map<CustomerState, CustomerState>();
  const resolved = new Map<CustomerState, Map<string, EntitlementDecision>>();
  let until: Instant | null = null;
  /** Most of a batch asks what was asked right before. */
  let last: {
    readonly evaluation: EvaluationRequest<Snapshot>;
    readonly decision: EntitlementDecision;
  } | null = null;

  function lockedState(state: CustomerState, product: string): CustomerState {
    let locked = states.get(state);
    if (locked === undefined) {
      locked = { ...state, accounts: accounts.map((account) => ({ ...account, product })) };
      states.set(state, locked);
    }
    return locked;
  }

  function lockedRequest(evaluation: EvaluationRequest<Snapshot>) {
    const customer = lockedState(readableState(evaluation), evaluation.snapshot.productKey);
    return { ...evaluation, customer, now: frame.now };
  }

  function entitlement(evaluation: EvaluationRequest<Snapshot>, key: string): EntitlementDecision {
    if (last !== null && last.evaluation === evaluation && last.decision.key === key) {
      return last.decision;
    }
    const customer = readableState(evaluation);
    const { subject } = evaluation;
    let ofState = resolved.get(customer);
    if (ofState === undefined) {
      ofState = new Map();
      resolved.set(customer, ofState);
    }
    const { userKey, instance, teamKey, sku } = subject;
    // Keys of users and instances may hold any mark that could stand between them.
    const name = JSON.stringify([key, userKey, instance?.key, teamKey, sku]);
    let decision = ofState.get(name);
    if (decision === undefined) {
      const result = resolveEntitlement(lockedRequest(evaluation), key);
      if (result.kind === 'error') {
        throw entitlementFault(result.errorCode, result.message);
      }
      decision = result;
      ofState.set(name, decision);
      until = earlier(until, validUntilOf(decision, lockedRequest(evaluation)));
    }
    last = { evaluation, decision };
    return decision;
  }

  function forget(): void {
    accounts = [...standing.values()].map(accountState);
    states.clear();
    resolved.clear();
    last = null;
  }

  return { entitlement, lockedRequest, forget, validUntil: () => until };
}

/** A segment that carries a feature may ask for the time, of which `validUntil` knows nothing: that holds for the instant alone. */
function validUntilOf(
  { key, validUntil }: EntitlementDecision,
  { snapshot, now }: EvaluationRequest<Snapshot>,
): Instant | null {
  return readsOf(snapshot, key).now ? now : validUntil;
}

function earlier(left: Instant | null, right: Instant | null): Instant | null {
  return left === null || (right !== null && right < left) ? right : left;
}

function readableState({ customer }: EvaluationRequest<Snapshot>): CustomerState {
  if (customer === null || customer === 'unavailable') {
    throw entitlementFault('CUSTOMER_STATE_UNAVAILABLE', 'What is stored of the customer could not be read.');
  }
  return customer;
}
