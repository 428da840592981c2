import type { Evaluation } from '../evaluation/evaluation.js';
import { type PreparedCustomer, remember } from '../evaluation/prepared-customer.js';
import type { CompiledFeature, CompiledSegment } from '../snapshot/snapshot.js';
import { mayHaveCredits } from '../usage/credits.js';
import { applyAddons } from './apply-addons.js';
import { applyCredits } from './apply-credits.js';
import { applyGrants } from './apply-grants.js';
import { applyGroups } from './apply-groups.js';
import { applyLicenses } from './apply-licenses.js';
import { applySegments } from './apply-segments.js';
import { applyStanding, isMore, loweredAt, standingOver } from './apply-standing.js';
import { Draft, valueText } from './draft.js';
import { type Level, levelOf } from './level.js';
import { sharedLevel } from './shared-level.js';

/** Whether a segment treats everyone of the customer alike: by stored membership of the customer, or by the customer's own facts. */
function isAlike(prepared: PreparedCustomer, { key, condition, trusted }: CompiledSegment): boolean {
  const memberships = prepared.memberships.get(key) ?? [];
  if (!memberships.every(({ member }) => member.kind === 'customer')) return false;
  if (condition === null || !trusted) return true;
  const { now, segments, parts } = condition.reads;
  return prepared.state !== null && !now && segments.size === 0 && !parts.has('instance');
}

/** Whether a feature's level is the same for everyone of the customer, so that it may be kept with the customer. */
function isShared(prepared: PreparedCustomer, feature: CompiledFeature): boolean {
  if (mayHaveCredits(prepared, feature)) return false;
  const grants = prepared.featureGrants?.get(feature.key) ?? [];
  if (grants.some(({ grant }) => grant.target.kind !== 'customer' && grant.target.kind !== 'group'))
    return false;
  const segments = prepared.snapshot.segmentsByFeature.get(feature.key) ?? [];
  return segments.every((segment) => isAlike(prepared, segment));
}

/** Everything that lies over what the licenses give; answers what a period allows where credits lie on top of it. */
function applyRest(draft: Draft, prepared: PreparedCustomer): number | null {
  applyGroups(draft, prepared);
  applySegments(draft);
  applyAddons(draft, prepared);
  applyGrants(draft, prepared);
  return applyCredits(draft);
}

/** What is granted for good while an earlier limit stands; `null` where that is no finite limit. */
function settled(evaluation: Evaluation, prepared: PreparedCustomer, draft: Draft): number | null {
  const plain = new Draft(evaluation, draft.feature, true);
  plain.current = draft.current;
  applyRest(plain, prepared);
  if (plain.current === 'unlimited') return null;
  return typeof plain.current === 'number' && !plain.denied ? plain.current : 0;
}

/** When the licenses last came to give less of a feature than they did; asked where use is above the limit. */
export function loweredSince(evaluation: Evaluation, feature: CompiledFeature): number | null {
  const prepared = evaluation.customer;
  if (prepared === null || !feature.numeric) return null;
  const outer = evaluation.until;
  const draft = new Draft(evaluation, feature, true);
  applyLicenses(draft, prepared);
  evaluation.until = outer;
  return loweredAt(draft, prepared, draft.current);
}

/**
 * The order of an entitlement (DESIGN: the order of decisions), and the only place that owns it: licenses (with the earlier
 * limit that stands for a time) → customer groups → segments → add-ons → grants → credits. Evaluations keep what it gives; ask `Evaluation.level`.
 */
export function resolveLevel(evaluation: Evaluation, feature: CompiledFeature): Level {
  const prepared = evaluation.customer;
  if (prepared === null) throw new TypeError('A level is resolved of a customer whose state was read.');
  const draft = new Draft(evaluation, feature);
  applyLicenses(draft, prepared);
  const standing = standingOver(draft, prepared);
  const lowered = standing === null ? null : settled(evaluation, prepared, draft);
  if (standing !== null) applyStanding(draft, standing);
  const allowance = applyRest(draft, prepared);
  const { denied, sources } = draft;
  const plain = levelOf(feature, draft.current, {
    until: evaluation.until,
    denied,
    sources,
  });
  const base = allowance === null ? plain : { ...plain, allowance };
  const level =
    standing === null || lowered === null || !isMore(draft.current, lowered) || denied
      ? base
      : { ...base, standing: { limit: lowered, since: standing.until, until: standing.standsUntil } };
  draft.explain('effective', 'decided', () => {
    if (denied) return `\`${feature.key}\` is denied.`;
    return level.granted
      ? `\`${feature.key}\` is granted: ${valueText(draft.current)}.`
      : `\`${feature.key}\` is not granted.`;
  });
  const whole = prepared.state === null || evaluation.request.subject.proven;
  if (!whole || !isShared(prepared, feature)) return level;
  const shared = sharedLevel(feature, level);
  prepared.levels[feature.index] = shared;
  remember(prepared, draft.now, shared.until);
  return shared;
}
