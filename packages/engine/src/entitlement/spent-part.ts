import type { Grant, Instant, TargetKind } from '../model/customer.js';
import type { EntitlementDecision } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import { resolveEntitlement } from './resolve-entitlement.js';

/** How much has to be given again, so that what was used out of withdrawn grants stays covered. */
export interface SpentPart {
  readonly feature: string;
  /** What an `add` must give. */
  readonly amount: number;
  /** The end of the period in which it was used; `null` where nothing resets. */
  readonly until: Instant | null;
}

/**
 * What of withdrawn grants is spent already (K-8: revoking never takes back what was used). Of a metered feature the base is used
 * first. Withdrawn, the limit falls to the base; the answer is what lifts it again to what is used, and no further: the balance is 0,
 * nothing reads as over the limit, and nothing more can be taken. `null`: nothing of them was spent.
 *
 * @param request as of before, with the grants in the customer's state and the account's own row as truth
 */
export function spentPart(
  request: EvaluationRequest<Snapshot>,
  feature: string,
  withdrawn: ReadonlySet<string>,
  target: { readonly kind: TargetKind; readonly key: string },
): SpentPart | null {
  const state = request.customer;
  if (state === null || state === 'unavailable') return null;
  const remaining = state.grants.filter((grant) => !withdrawn.has(grant.id));
  const resolve = (grants: readonly Grant[]): EntitlementDecision | null => {
    const decision = resolveEntitlement({ ...request, customer: { ...state, grants } }, feature);
    return decision.kind === 'error' ? null : decision;
  };
  const before = resolve(state.grants);
  const after = resolve(remaining);
  if (before === null || after === null || before.type !== 'metered') return null;
  const used = before.usage + before.reserved;
  const covered = Math.min(used, limitOf(before));
  if (covered <= limitOf(after)) return null;
  const limitWith = (amount: number): number => {
    const grant: Grant = {
      id: 'spent',
      product: request.snapshot.productKey,
      target,
      kind: 'voucher',
      effect: { type: 'add', feature, amount },
      startsAt: request.now,
      endsAt: null,
    };
    const decision = resolve([...remaining, grant]);
    return decision === null ? 0 : limitOf(decision);
  };
  const amount = smallest(covered, limitWith);
  return amount === null ? null : { feature, amount, until: before.period?.end ?? null };
}

function limitOf({ limit }: EntitlementDecision): number {
  if (limit === null) return 0;
  return limit.kind === 'unlimited' ? Number.POSITIVE_INFINITY : limit.value;
}

/**
 * The smallest amount that lifts the limit so far; others' factors apply to it as to everything. `null` where no amount does, because a
 * `deny` beats all.
 */
function smallest(wanted: number, limitWith: (amount: number) => number): number | null {
  let high = 1;
  while (limitWith(high) < wanted) {
    if (high >= Number.MAX_SAFE_INTEGER / 2) return null;
    high *= 2;
  }
  let low = Math.floor(high / 2);
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2);
    if (limitWith(middle) < wanted) low = middle;
    else high = middle;
  }
  return high;
}
