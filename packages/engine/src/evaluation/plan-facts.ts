import { splitSku } from '../catalog/sku-pattern.js';
import { versionedKey } from '../model/catalog.js';
import type { Instant, License } from '../model/customer.js';
import type { JsonObject } from '../model/json.js';
import type { CompiledPlan, Snapshot } from '../snapshot/snapshot.js';
import { licenseEdge, licenseLapse, NEVER, untilOf } from './edges.js';
import { type PreparedCustomer, remember } from './prepared-customer.js';

/** The server facts `plan` and `license`, and until when they hold; `null`: for ever. */
export interface PlanFacts {
  readonly until: Instant | null;
  readonly plan: JsonObject | undefined;
  readonly license: JsonObject | undefined;
}

/**
 * What a SKU names. `pro@1` and a bare plan key are read too, because that is how `plan.key` reads where there is no SKU; `plan: null`
 * when it names no plan (`PLAN_NOT_FOUND`): then it gives facts but no entitlements.
 */
export function readSku(
  snapshot: Snapshot,
  text: string,
): { readonly plan: CompiledPlan | null; readonly facts: JsonObject } {
  const named = snapshot.plans.get(text) ?? snapshot.currentPlans.get(text);
  if (named !== undefined) return { plan: named, facts: planFacts(named, text, snapshot) };
  const pattern = snapshot.sku;
  const parts = pattern === null ? null : splitSku(pattern, text);
  if (pattern === null || parts === null) return { plan: null, facts: { key: text } };
  const tier = String(parts[pattern.planPart]);
  const version = parts['version'];
  const plan =
    typeof version === 'number'
      ? snapshot.plans.get(versionedKey(tier, version))
      : snapshot.currentPlans.get(tier);
  const facts: Record<string, string | number> = { ...parts, tier, key: text };
  if (plan !== undefined) facts['version'] = plan.version;
  return { plan: plan ?? null, facts };
}

/** Without a SKU a plan's facts are the same for everyone who has it. */
const plainFacts = new WeakMap<CompiledPlan, JsonObject>();

/** `plan.tier` is the catalog's plan key, whatever the SKU says; the SKU's other parts stand beside it. */
function planFacts(plan: CompiledPlan, sku: string | null, snapshot: Snapshot): JsonObject {
  if (sku === null) {
    let plain = plainFacts.get(plan);
    if (plain === undefined) {
      plain = { tier: plan.key, version: plan.version, key: plan.name };
      plainFacts.set(plan, plain);
    }
    return plain;
  }
  const parts = snapshot.sku === null ? null : splitSku(snapshot.sku, sku);
  return { ...parts, tier: plan.key, version: plan.version, key: sku };
}

function licenseFacts(license: License): JsonObject {
  return { id: license.id, kind: license.kind, status: license.status };
}

/** Of several licenses in force the one of the highest rank speaks; ties: latest start, then id. */
export function speakingLicense(
  prepared: PreparedCustomer,
  now: Instant,
): { readonly license: License; readonly plan: CompiledPlan } | null {
  let best: { license: License; plan: CompiledPlan } | null = null;
  for (const license of prepared.licenses) {
    if (licenseLapse(license, now) !== null) continue;
    const plan = prepared.snapshot.plans.get(versionedKey(license.plan, license.planVersion));
    if (plan !== undefined && (best === null || plan.rank >= best.plan.rank)) best = { license, plan };
  }
  return best;
}

function compute(prepared: PreparedCustomer, now: Instant): PlanFacts {
  const { snapshot, sku, fallbackPlan } = prepared;
  let edge = NEVER;
  for (const license of prepared.licenses) edge = Math.min(edge, licenseEdge(license, now));
  const until = untilOf(edge);
  const best = speakingLicense(prepared, now);
  if (best !== null) {
    const plan = planFacts(best.plan, best.license.sku, snapshot);
    return { until, plan, license: licenseFacts(best.license) };
  }
  if (sku !== null) return { until, plan: readSku(snapshot, sku).facts, license: undefined };
  const plan = fallbackPlan === null ? undefined : planFacts(fallbackPlan, null, snapshot);
  return { until, plan, license: undefined };
}

/** Remembered with the customer while it holds. */
export function planFactsAt(prepared: PreparedCustomer, now: Instant): PlanFacts {
  const known = prepared.plan;
  if (known !== undefined) return known;
  const facts = compute(prepared, now);
  prepared.plan = facts;
  remember(prepared, now, facts.until);
  return facts;
}
