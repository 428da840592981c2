import type { AccountState, CustomerState } from '@pennon/engine/model/customer';
import {
  type ConsumptionDecision,
  DENIAL_REASONS,
  type EntitlementDecision,
} from '@pennon/engine/model/decision';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import { RemedySearch } from '@pennon/engine/remedy/remedy-search';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';

/*
 * The remedy of a denied consume (C-3). It is looked for once for all denials of a batch that are alike, because the accounts are
 * locked meanwhile, and it is stored with the decision, because a replay gives the stored decision.
 */

const DENIALS: ReadonlySet<string> = new Set(DENIAL_REASONS);

type LockedRequest = EvaluationRequest<Snapshot> & { readonly customer: CustomerState };
type Found = Exclude<EntitlementDecision['remedy'], undefined>;

/** The account of a decision, with its lots, as it stands after the decisions before it. */
type StandingOf = (decision: ConsumptionDecision) => AccountState | undefined;

/** @param lockedRequest asked for only where something was denied. */
export type AddRemedies = (
  lockedRequest: () => LockedRequest,
  decisions: readonly ConsumptionDecision[],
  standingOf: StandingOf,
) => readonly ConsumptionDecision[];

export function createConsumptionRemedies(): AddRemedies {
  const known = new Map<CustomerState, Map<string, Found>>();

  function remedyOf(
    request: LockedRequest,
    decision: ConsumptionDecision,
    amount: number,
    standing: AccountState | undefined,
  ): Found {
    const { entitlement } = decision;
    const { userKey, instance, teamKey, sku } = request.subject;
    const { key, scope, usage, reserved } = entitlement;
    const name = JSON.stringify([key, scope, usage, reserved, amount, userKey, instance?.key, teamKey, sku]);
    let ofState = known.get(request.customer);
    if (ofState === undefined) {
      ofState = new Map();
      known.set(request.customer, ofState);
    }
    let remedy = ofState.get(name);
    if (remedy === undefined) {
      const customer = withBalance(request.customer, request.snapshot.productKey, standing);
      const refused = { ...entitlement, hasAccess: false };
      remedy = new RemedySearch({ ...request, customer }).remedyFor(refused, amount);
      ofState.set(name, remedy);
    }
    return remedy;
  }

  return (lockedRequest, decisions, standingOf) => {
    if (decisions.every(({ allowed }) => allowed)) {
      return decisions;
    }
    const request = lockedRequest();
    return decisions.map((decision) => {
      // An item that would have fitted alone needs nothing; the one that did not says what.
      if (decision.allowed || decision.refusedBy !== null || !DENIALS.has(decision.reason)) {
        return decision;
      }
      const amount = decisions
        .filter(
          ({ key, entitlement }) => key === decision.key && entitlement.scope === decision.entitlement.scope,
        )
        .reduce((sum, { requested }) => Math.min(sum + requested, Number.MAX_SAFE_INTEGER), 0);
      const remedy = remedyOf(request, decision, amount, standingOf(decision));
      return { ...decision, entitlement: { ...decision.entitlement, remedy } };
    });
  };
}

/** The account in place of how it stood when the batch began. */
function withBalance(
  state: CustomerState,
  product: string,
  account: AccountState | undefined,
): CustomerState {
  if (account === undefined) return state;
  const { feature, scope } = account;
  const others = state.accounts.filter((one) => one.feature !== feature || one.scope !== scope);
  return { ...state, accounts: [...others, { ...account, product }] };
}
