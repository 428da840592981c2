import { splitSku } from '../catalog/sku-pattern.js';
import { versionedKey } from '../model/catalog.js';
import type { Instant, License } from '../model/customer.js';
import type { JsonObject } from '../model/json.js';
import type { CompiledPlan, Snapshot } from '../snapshot/snapshot.js';
import { licenseEdge, licenseLapse, NEVER, untilOf } from './edges.js';
import { type TermsOfLicense, termsAt } from './license-terms.js';
import { type PreparedCustomer, remember } from './prepared-customer.js';

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
  const { id, kind, status, quantity } = license;
  return { id, kind, status, quantity };
}

/** INVARIANT: whose plan is not in the catalog is not told to be on another one. */
function missingPlanFacts({ plan, planVersion, sku }: TermsOfLicense, snapshot: Snapshot): JsonObject {
  const parts = sku === null || snapshot.sku === null ? null : splitSku(snapshot.sku, sku);
  return { ...parts, tier: plan, version: planVersion, key: sku ?? versionedKey(plan, planVersion) };
}

interface Speaking {
  readonly license: License;
  readonly terms: TermsOfLicense;
  /** `null`: the catalog does not have it. */
  readonly plan: CompiledPlan | null;
}

/** Of several licenses in force the one of the highest rank speaks; ties: latest start, then id. */
export function speakingLicense(prepared: PreparedCustomer, now: Instant): Speaking | null {
  let best: Speaking | null = null;
  for (const license of prepared.licenses) {
    if (licenseLapse(license, now) !== null) continue;
    const terms = termsAt(license, now);
    const plan = prepared.snapshot.plans.get(versionedKey(terms.plan, terms.planVersion)) ?? null;
    const rank = best?.plan?.rank ?? Number.NEGATIVE_INFINITY;
    if (best === null || (plan?.rank ?? Number.NEGATIVE_INFINITY) >= rank) best = { license, terms, plan };
  }
  return best;
}

/** Whether a license in force names a plan that the catalog does not have. */
export function namesMissingPlan(prepared: PreparedCustomer, now: Instant): boolean {
  return prepared.licenses.some((license) => {
    if (licenseLapse(license, now) !== null) return false;
    const terms = termsAt(license, now);
    return !prepared.snapshot.plans.has(versionedKey(terms.plan, terms.planVersion));
  });
}

/** The server fact `plan`, by the license that speaks. */
function planOf(
  { snapshot, sku, fallbackPlan }: PreparedCustomer,
  best: Speaking | null,
): JsonObject | undefined {
  if (best !== null) {
    const { plan, terms } = best;
    return plan === null ? missingPlanFacts(terms, snapshot) : planFacts(plan, terms.sku, snapshot);
  }
  if (sku !== null) return readSku(snapshot, sku).facts;
  return fallbackPlan === null ? undefined : planFacts(fallbackPlan, null, snapshot);
}

/** Puts the server facts `plan` and `license` into the customer as they are now. */
export function learnPlanFacts(prepared: PreparedCustomer, now: Instant): void {
  let edge = NEVER;
  for (const license of prepared.licenses) edge = Math.min(edge, licenseEdge(license, now));
  const best = speakingLicense(prepared, now);
  prepared.plan = planOf(prepared, best);
  prepared.license = best === null ? undefined : licenseFacts(best.license);
  prepared.planUntil = untilOf(edge);
  prepared.planKnown = true;
  remember(prepared, now, prepared.planUntil);
}
