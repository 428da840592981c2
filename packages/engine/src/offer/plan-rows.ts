import { resolveEntitlement } from '../entitlement/resolve-entitlement.js';
import type { EntitlementValue } from '../model/catalog.js';
import type { CustomerState, License } from '../model/customer.js';
import type { EntitlementDecision } from '../model/decision.js';
import { isCompiledSplit } from '../snapshot/compile-offers.js';
import type { CompiledFeature, CompiledPlan, Snapshot } from '../snapshot/snapshot.js';

/** What a plan gives of one feature to a customer who has only the plan. */
export interface PlanRow {
  readonly feature: CompiledFeature;
  readonly included: boolean;
  /** The least that every customer gets; `null` for boolean and config features. */
  readonly limit: number | 'unlimited' | null;
  /** The most that some get, where an experiment splits the value; else `null`. */
  readonly most: number | 'unlimited' | null;
}

/** The product's key stands in for a customer's: nobody's, and nothing is stored under it. */
const SHOPPER = 'pricing-page';

function shopperWith(plan: CompiledPlan, product: string): CustomerState {
  const license: License = {
    id: SHOPPER,
    product,
    plan: plan.key,
    planVersion: plan.version,
    quantity: 1,
    kind: 'paid',
    status: 'active',
    startsAt: 0,
    endsAt: null,
    graceEndsAt: null,
    anchor: '1970-01-01T00:00:00[UTC]',
    timeZone: null,
    sku: null,
    addons: [],
  };
  return {
    id: null,
    key: SHOPPER,
    version: 0,
    createdAt: null,
    timeZone: null,
    attributes: {},
    licenses: [license],
    groups: [],
    memberships: [],
    grants: [],
    accounts: [],
  };
}

/**
 * A plan's column of a pricing page: what a customer of that plan is entitled to, asked of the decision itself, so that default groups
 * and segments that look at the plan are in it. Features that are not listed in `features` are left out.
 */
export function planRows(
  snapshot: Snapshot,
  plan: CompiledPlan,
  features: readonly CompiledFeature[],
): readonly PlanRow[] {
  const customer = shopperWith(plan, snapshot.productKey);
  // Whoever reads the page may be anybody: a feature that counts per user or instance is asked for one of them.
  const subject = {
    proven: true,
    customerKey: SHOPPER,
    instance: { key: SHOPPER, id: null, metadata: {} },
    userKey: SHOPPER,
    teamKey: null,
    sku: null,
  };
  return features.map((feature) => {
    const request = { snapshot, customer, subject, context: { parts: {} }, now: 0 };
    const decision = resolveEntitlement(request, feature.key);
    return decision.kind === 'error'
      ? { feature, included: false, limit: feature.numeric ? 0 : null, most: null }
      : rowOf(feature, plan, decision);
  });
}

function rowOf(feature: CompiledFeature, plan: CompiledPlan, decision: EntitlementDecision): PlanRow {
  const { limit, granted, sources } = decision;
  if (limit === null) return { feature, included: granted, limit: null, most: null };
  const entry = plan.entitlements.get(feature.key);
  const decided = sources.at(-1)?.key === plan.name;
  if (decided && entry !== undefined && isCompiledSplit(entry)) {
    const values = entry.values.map(({ value }) => value).sort(bySize);
    const least = sizeOf(values[0]);
    const most = sizeOf(values.at(-1));
    return { feature, included: least !== 0, limit: least, most: most === least ? null : most };
  }
  return {
    feature,
    included: granted,
    limit: limit.kind === 'finite' ? limit.value : limit.kind,
    most: null,
  };
}

function sizeOf(value: EntitlementValue | undefined): number | 'unlimited' {
  if (value === 'unlimited') return value;
  return typeof value === 'number' ? value : 0;
}

function bySize(left: EntitlementValue, right: EntitlementValue): number {
  const [a, b] = [sizeOf(left), sizeOf(right)];
  if (a === b) return 0;
  if (a === 'unlimited') return 1;
  return b === 'unlimited' ? -1 : a - b;
}
