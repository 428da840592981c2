import { resolveAllEntitlements } from '../entitlement/resolve-entitlement.js';
import { licenseLapse } from '../evaluation/edges.js';
import { speakingLicense } from '../evaluation/plan-facts.js';
import { preparedFor } from '../evaluation/prepared-cache.js';
import { evaluateAll } from '../flag/evaluate-all.js';
import type { EntitlementDecision, FlagDecision } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { UNLIMITED_AS_INTEGER } from '../model/limits.js';
import type { Snapshot } from '../snapshot/snapshot.js';

export interface Capabilities {
  readonly kind: 'capabilities';
  /** The key of the plan that speaks for the customer. */
  readonly plan: string | null;
  /** Booleans and numbers as declared, never derived from what is used up; sorted by key. */
  readonly flags: ReadonlyMap<string, boolean | number>;
  /** Of every feature that may be seen, in the order of their keys; without those that count for a user or an instance that is not named. */
  readonly entitlements: readonly EntitlementDecision[];
}

export interface CapabilitiesFault {
  readonly kind: 'unavailable';
  readonly message: string;
}

/** What a customer can do, resolved: never raw plan data (C-2). */
export function capabilitiesOf(
  request: EvaluationRequest<Snapshot>,
  options: { readonly clientVisibleOnly: boolean },
): Capabilities | CapabilitiesFault {
  const flags = new Map<string, boolean | number>();
  for (const decision of evaluateAll(request, options)) {
    if (decision.kind === 'error' && decision.errorCode === 'CUSTOMER_STATE_UNAVAILABLE')
      return { kind: 'unavailable', message: decision.message };
    const value = capabilityOf(decision, request.snapshot);
    if (value !== null) flags.set(decision.key, value);
  }
  const entitlements: EntitlementDecision[] = [];
  for (const decision of resolveAllEntitlements(request)) {
    const feature = request.snapshot.features.get(decision.key);
    if (options.clientVisibleOnly && feature?.clientVisible !== true) continue;
    if (decision.kind === 'entitlement') entitlements.push(decision);
    else if (decision.errorCode !== 'TARGETING_KEY_MISSING')
      return { kind: 'unavailable', message: decision.message };
  }
  return { kind: 'capabilities', plan: planOf(request), flags, entitlements };
}

/** `null`: neither a boolean nor a number, or a number that only the caller's code knows. */
function capabilityOf(decision: FlagDecision, snapshot: Snapshot): boolean | number | null {
  const { key } = decision;
  const type = snapshot.features.get(key)?.type ?? snapshot.flags.get(key)?.type;
  if (type === 'boolean') return decision.kind === 'answer' && decision.value === true;
  if (decision.kind === 'error') return null;
  if (decision.cause === 'ENTITLEMENT' && decision.variant === 'unlimited') return UNLIMITED_AS_INTEGER;
  return typeof decision.value === 'number' ? decision.value : null;
}

function planOf(request: EvaluationRequest<Snapshot>): string | null {
  const { snapshot, customer, subject, now } = request;
  if (customer === 'unavailable') return null;
  const prepared = preparedFor(snapshot, customer, subject.sku);
  const spoken = speakingLicense(prepared, now);
  if (spoken !== null) return spoken.terms.plan;
  const isBought = prepared.licenses.some((license) => licenseLapse(license, now) === null);
  return isBought ? null : (prepared.fallbackPlan?.key ?? null);
}
