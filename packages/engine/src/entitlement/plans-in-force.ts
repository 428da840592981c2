import { licenseLapse } from '../evaluation/edges.js';
import { termsAt } from '../evaluation/license-terms.js';
import { preparedFor } from '../evaluation/prepared-cache.js';
import { versionedKey } from '../model/catalog.js';
import type { CustomerState, Instant } from '../model/customer.js';
import type { Snapshot } from '../snapshot/snapshot.js';

/** The plan versions that hold for a customer now, as `pro@1`: of its licenses in force, else the default plan. */
export function plansInForce(
  snapshot: Snapshot,
  state: CustomerState | null,
  now: Instant,
): readonly string[] {
  const prepared = preparedFor(snapshot, state, null);
  const plans = prepared.licenses
    .filter((license) => licenseLapse(license, now) === null)
    .map((license) => {
      const { plan, planVersion } = termsAt(license, now);
      return versionedKey(plan, planVersion);
    });
  if (plans.length > 0) return [...new Set(plans)];
  return prepared.fallbackPlan === null ? [] : [prepared.fallbackPlan.name];
}

/** Whether one of the plans is named: `pro` means every version of it, `pro@1` that one. */
export function namesPlan(list: readonly string[], plans: readonly string[]): boolean {
  return plans.some((plan) => list.includes(plan) || list.includes(plan.slice(0, plan.lastIndexOf('@'))));
}
