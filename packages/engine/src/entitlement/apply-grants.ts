import { nextEdge } from '../evaluation/edges.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type { FeatureEffect, FeatureGrant, PreparedCustomer } from '../evaluation/prepared-customer.js';
import type { EntitlementValue, UsageScope } from '../model/catalog.js';
import { type Grant, inForce, type TargetKind } from '../model/customer.js';
import type { Source } from '../model/decision.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';
import { spanInForce } from './apply-groups.js';
import { lifted, sum } from './combine.js';
import { multiplyExactly, tenThousandths } from './decimal.js';
import { type Draft, valueText } from './draft.js';
import { trustedMember } from './membership.js';

/** Whether the request is about a grant's target. */
export function isTarget(target: Grant['target'], evaluation: Evaluation, per: UsageScope | null): boolean {
  const { subject } = evaluation.request;
  if (!subject.proven) return false;
  switch (target.kind) {
    case 'user':
      return target.key === subject.userKey;
    case 'instance':
      return (
        subject.instance !== null &&
        (target.key === subject.instance.key || target.key === subject.instance.id)
      );
    case 'customer':
      return target.key === (evaluation.customer?.state?.key ?? subject.customerKey);
    case 'group': {
      const entry = evaluation.customer?.groups.find(({ group }) => group.key === target.key);
      const touch = evaluation.touch.bind(evaluation);
      return (
        entry !== undefined && spanInForce(entry.memberships, evaluation.nowMilliseconds, touch) !== null
      );
    }
    case 'segment':
      return trustedMember(evaluation, target.key, per) !== null;
  }
}

/** Whose account a target stands for: a metered feature is granted at its `per` level or above, because the account is shared. */
const PERSONAL: Record<TargetKind, UsageScope | null> = {
  user: 'user',
  instance: 'instance',
  customer: null,
  group: null,
  segment: null,
};

function reachesAccount(kind: TargetKind, per: UsageScope | null): boolean {
  const level = PERSONAL[kind];
  return per === null || level === null || per === 'user' || level === per;
}

/** Whether a grant is for whom is asked about and reaches the feature's account, whenever it holds. */
export function concerns({ target }: Grant, evaluation: Evaluation, feature: CompiledFeature): boolean {
  const per = feature.type === 'metered' ? feature.per : null;
  return reachesAccount(target.kind, per) && isTarget(target, evaluation, per);
}

/** The grants of a feature that hold now for whom is asked about, nearest first. */
function inForceNow(draft: Draft, prepared: PreparedCustomer): readonly FeatureGrant[] {
  const all = prepared.featureGrants?.get(draft.feature.key);
  if (all === undefined) return [];
  const per = draft.feature.type === 'metered' ? draft.feature.per : null;
  return all.filter(({ grant }) => {
    const edge = nextEdge(grant, draft.now);
    if (!inForce(grant, draft.now)) {
      draft.evaluation.touch(edge);
      draft.explain('grant', 'skipped', () => `Grant \`${grant.id}\` is not in force now.`);
      return false;
    }
    if (!reachesAccount(grant.target.kind, per)) {
      draft.explain('grant', 'skipped', () => {
        return `Grant \`${grant.id}\` is for one ${grant.target.kind}, and the account is shared per ${per}.`;
      });
      return false;
    }
    const applies = isTarget(grant.target, draft.evaluation, per);
    if (applies) draft.evaluation.touch(edge);
    else
      draft.explain('grant', 'skipped', () => `Grant \`${grant.id}\` is for another ${grant.target.kind}.`);
    return applies;
  });
}

function took(
  draft: Draft,
  { grant, impliedBy }: FeatureGrant,
  effect: Source['effect'],
  value: EntitlementValue | string | null,
): void {
  const type = grant.kind === 'voucher' ? 'voucher' : 'grant';
  draft.took('grant', { type, key: grant.id, effect, value, until: grant.endsAt }, () => {
    const along = impliedBy === null ? '' : `, which flag \`${impliedBy}\` requires`;
    const what =
      typeof value === 'string' && value !== 'unlimited'
        ? value
        : valueText(value as EntitlementValue | null);
    return `Grant \`${grant.id}\` (${grant.kind}, to ${grant.target.kind} \`${grant.target.key}\`): ${effect} ${what}${along}.`;
  });
}

function effectsOf<T extends FeatureEffect['type']>(
  grants: readonly FeatureGrant[],
  type: T,
): readonly (FeatureGrant & { readonly effect: FeatureEffect & { readonly type: T } })[] {
  return grants.filter(
    (one): one is FeatureGrant & { effect: FeatureEffect & { type: T } } => one.effect.type === type,
  );
}

/** The nearest `set` that can be used; what stands farther is overruled by it. */
function applySet(draft: Draft, grants: readonly FeatureGrant[]): FeatureGrant | null {
  const set = effectsOf(grants, 'set').find(({ effect }) => draft.usable(effect.value) !== null);
  if (set === undefined) return null;
  draft.current = set.effect.value;
  took(draft, set, 'set', set.effect.value);
  return set;
}

/** INVARIANT: what a granted flag carries along never lowers what is there, by whatever step it came. */
function applyRaises(draft: Draft, nearer: readonly FeatureGrant[]): void {
  for (const one of effectsOf(nearer, 'raise')) {
    if (draft.usable(one.effect.value) === null) continue;
    draft.current = lifted(draft.current, one.effect.value);
    took(draft, one, 'max', one.effect.value);
  }
}

/**
 * Step five: `deny` beats all; else the nearest `set`, lifted by what flags granted nearer than that carry along, then every `add`,
 * then every `multiply` as one exact number floored once; `unlimited` lifts.
 */
export function applyGrants(draft: Draft, prepared: PreparedCustomer): void {
  const grants = inForceNow(draft, prepared);
  if (grants.length === 0) return;
  const deny = effectsOf(grants, 'deny')[0];
  if (deny !== undefined) {
    draft.denied = true;
    took(draft, deny, 'deny', null);
    return;
  }
  const set = applySet(draft, grants);
  if (!draft.feature.numeric) return;
  applyRaises(draft, set === null ? grants : grants.slice(0, grants.indexOf(set)));
  for (const one of effectsOf(grants, 'add')) {
    if (!Number.isSafeInteger(one.effect.amount)) continue;
    draft.current = sum(draft.current, one.effect.amount);
    took(draft, one, 'add', one.effect.amount);
  }
  const factors: bigint[] = [];
  for (const one of effectsOf(grants, 'multiply')) {
    const factor = tenThousandths(one.effect.factor);
    if (factor === null) continue;
    factors.push(factor);
    took(draft, one, 'multiply', one.effect.factor);
  }
  if (factors.length > 0 && typeof draft.current === 'number') {
    draft.current = multiplyExactly(draft.current, factors);
  }
  for (const one of effectsOf(grants, 'unlimited')) {
    draft.current = 'unlimited';
    took(draft, one, 'unlimited', 'unlimited');
  }
}
