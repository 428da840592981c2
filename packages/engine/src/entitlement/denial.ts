import { licenseLapse } from '../evaluation/edges.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import { termsAt } from '../evaluation/license-terms.js';
import type { PreparedCustomer } from '../evaluation/prepared-customer.js';
import { versionedKey } from '../model/catalog.js';
import type { Grant, Instant, License } from '../model/customer.js';
import type { EntitlementReason, Source, SourceType } from '../model/decision.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';
import { concerns } from './apply-grants.js';
import type { Level } from './level.js';

const BY_SOURCE: Record<SourceType, EntitlementReason> = {
  plan: 'PLAN',
  default: 'PLAN',
  default_group: 'GROUP',
  group: 'GROUP',
  segment: 'GROUP',
  addon: 'ADDON',
  trial: 'TRIAL',
  grant: 'GRANT',
  voucher: 'VOUCHER',
  topup: 'GRANT',
};

/** Why there is access: the highest step that took part; a limit that is lifted says so. */
export function accessReason(unlimited: boolean, sources: readonly Source[]): EntitlementReason {
  if (unlimited) return 'UNLIMITED';
  const last = sources.at(-1);
  return last === undefined ? 'PLAN' : BY_SOURCE[last.type];
}

function wouldGive(
  license: License,
  feature: CompiledFeature,
  prepared: PreparedCustomer,
  now: Instant,
): boolean {
  const terms = termsAt(license, now);
  const plan = prepared.snapshot.plans.get(versionedKey(terms.plan, terms.planVersion));
  if (plan === undefined) return false;
  const group = plan.defaultGroup === null ? undefined : prepared.snapshot.groups.get(plan.defaultGroup);
  return plan.entitlements.has(feature.key) || group?.entitlements.has(feature.key) === true;
}

/**
 * How the last grant that would have given it came to its end: one that was taken back comes with an empty span. INVARIANT: of whom is
 * asked about only: nobody is told of another user's grant, nor by when it ended.
 */
function grantOver(
  prepared: PreparedCustomer,
  feature: CompiledFeature,
  evaluation: Evaluation,
): 'REVOKED' | 'EXPIRED' | null {
  const now = evaluation.nowMilliseconds;
  let last: Grant | null = null;
  for (const { grant, effect } of prepared.featureGrants?.get(feature.key) ?? []) {
    const ended = effect.type !== 'deny' && grant.endsAt !== null && grant.endsAt <= now;
    if (!ended || !concerns(grant, evaluation, feature)) continue;
    if (last === null || grant.startsAt > last.startsAt) last = grant;
  }
  if (last === null) return null;
  return last.endsAt !== null && last.endsAt <= last.startsAt ? 'REVOKED' : 'EXPIRED';
}

/**
 * Why the right is missing: taken away by a `deny` or with its grant, lost with a license or grant that would have given it, never had because
 * there is no license and no default plan, or not part of what there is.
 */
export function missingReason(
  prepared: PreparedCustomer,
  feature: CompiledFeature,
  level: Level,
  evaluation: Evaluation,
): EntitlementReason {
  const now = evaluation.nowMilliseconds;
  if (level.denied) return 'REVOKED';
  let inForce = prepared.fallbackPlan !== null;
  let ended = false;
  for (const license of prepared.licenses) {
    const lapse = licenseLapse(license, now);
    if (lapse === null) inForce = true;
    else if (wouldGive(license, feature, prepared, now)) {
      if (lapse === 'past-due') return 'PAST_DUE';
      if (lapse === 'ended') ended = true;
    }
  }
  if (ended) return 'EXPIRED';
  return grantOver(prepared, feature, evaluation) ?? (inForce ? 'NOT_ENTITLED' : 'NO_LICENSE');
}
