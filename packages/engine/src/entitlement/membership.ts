import { CelError } from '../cel/values.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type { UsageScope } from '../model/catalog.js';
import type { Instant, SegmentMembership } from '../model/customer.js';
import type { CompiledSegment } from '../snapshot/snapshot.js';
import { spanInForce } from './apply-groups.js';

function isAboutSubject(member: SegmentMembership['member'], evaluation: Evaluation): boolean {
  const { subject } = evaluation.request;
  if (!subject.proven) return false;
  switch (member.kind) {
    case 'customer':
      return member.key === (evaluation.customer?.state?.key ?? subject.customerKey);
    case 'instance':
      return (
        subject.instance !== null &&
        (member.key === subject.instance.key || member.key === subject.instance.id)
      );
    case 'user':
      return member.key === subject.userKey;
    case 'team':
      return member.key === subject.teamKey;
  }
}

/**
 * An account that several share is not made larger by one of them: memberships count at the level of `per` or above. A team counts
 * for the customer's account where it is the customer.
 */
function reaches(
  member: SegmentMembership['member'],
  per: UsageScope | null,
  evaluation: Evaluation,
): boolean {
  if (per === null || per === 'user' || member.kind === 'customer') return true;
  if (member.kind === 'instance') return per === 'instance';
  return member.kind === 'team' && member.key === evaluation.request.subject.customerKey;
}

/** Stored membership, each with an end; `null`: not a member now. */
export function storedMember(
  evaluation: Evaluation,
  segment: string,
  per: UsageScope | null,
): { readonly until: Instant | null } | null {
  const memberships = evaluation.customer?.memberships.get(segment);
  if (memberships === undefined) return null;
  const own = memberships.filter(
    ({ member }) => isAboutSubject(member, evaluation) && reaches(member, per, evaluation),
  );
  return spanInForce(own, evaluation.nowMilliseconds, (edge) => evaluation.touch(edge));
}

function conditionHolds(evaluation: Evaluation, segment: CompiledSegment): boolean | CelError {
  if (segment.condition === null) return false;
  if (segment.condition.reads.now) evaluation.touch(evaluation.nowMilliseconds);
  const result = segment.condition.expression.evaluate(evaluation);
  return result instanceof CelError ? result : result === true;
}

/** What `segment("key")` answers in a rule: stored members and those who meet the condition. */
export function isMember(evaluation: Evaluation, key: string): boolean | CelError {
  const segment = evaluation.snapshot.segments.get(key);
  if (segment === undefined) return false;
  if (evaluation.customer !== null && storedMember(evaluation, key, null) !== null) return true;
  const byCondition = conditionHolds(evaluation, segment);
  if (byCondition === true) return true;
  // Whether the customer is a stored member cannot be told: that is not a no.
  if (evaluation.customer === null) return evaluation.unavailable;
  return byCondition;
}

/**
 * INVARIANT: what gives a feature or passes a gate rests on a segment by membership, or by a condition over server facts
 * alone: a forged mail opens nothing.
 */
export function trustedMember(
  evaluation: Evaluation,
  key: string,
  per: UsageScope | null,
): { readonly until: Instant | null } | null {
  const stored = storedMember(evaluation, key, per);
  if (stored !== null) return stored;
  const segment = evaluation.snapshot.segments.get(key);
  if (segment === undefined || !segment.trusted || !evaluation.request.subject.proven) return null;
  if (per === 'customer' && segment.condition?.reads.parts.has('instance') === true) return null;
  const outer = evaluation.trusted;
  evaluation.trusted = true;
  const holds = conditionHolds(evaluation, segment);
  evaluation.trusted = outer;
  return holds === true ? { until: null } : null;
}
