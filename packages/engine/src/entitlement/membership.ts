import { CelError } from '../cel/values.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type { UsageScope } from '../model/catalog.js';
import type { Instant, SegmentMembership } from '../model/customer.js';
import type { CompiledSegment } from '../snapshot/snapshot.js';
import { spanInForce } from './apply-groups.js';

function isAboutSubject(
  member: SegmentMembership['member'],
  evaluation: Evaluation,
  giving: boolean,
): boolean {
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
      return member.key === subject.teamKey && !(giving && subject.teamClaimed === true);
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

/** Stored membership, each with an end; `null`: not a member now. `giving`: what only the caller says of itself does not count. */
export function storedMember(
  evaluation: Evaluation,
  segment: string,
  per: UsageScope | null,
  giving: boolean,
): { readonly until: Instant | null } | null {
  const memberships = evaluation.customer?.memberships.get(segment);
  if (memberships === undefined) return null;
  const own = memberships.filter(
    ({ member }) => isAboutSubject(member, evaluation, giving) && reaches(member, per, evaluation),
  );
  return spanInForce(own, evaluation.nowMilliseconds, (edge) => evaluation.touch(edge));
}

function conditionHolds(evaluation: Evaluation, segment: CompiledSegment): boolean | CelError {
  // Who is not told apart is not outside either: `!segment(…)` must not open what a broken one was to keep shut.
  if (segment.broken !== null) return failed(`Segment \`${segment.key}\` cannot be used: ${segment.broken}`);
  if (segment.condition === null) return false;
  if (segment.condition.reads.now) evaluation.touch(evaluation.nowMilliseconds);
  const result = segment.condition.expression.evaluate(evaluation);
  if (result instanceof CelError || typeof result === 'boolean') return result;
  return failed(`The condition of segment \`${segment.key}\` gives neither true nor false.`);
}

function failed(message: string): CelError {
  return new CelError('HOST_FAILED', message);
}

/** Whether a segment's condition may give features to an account: it rests on server facts, and on none below the account. */
function mayGive({ trusted, condition }: CompiledSegment, per: UsageScope | null): boolean {
  return trusted && !(per === 'customer' && condition?.reads.parts.has('instance') === true);
}

/** What `segment("key")` answers in a rule: stored members and those who meet the condition. */
export function isMember(evaluation: Evaluation, key: string): boolean | CelError {
  const segment = evaluation.snapshot.segments.get(key);
  if (segment === undefined) return false;
  const per = evaluation.trusted ? evaluation.trustedPer : null;
  if (evaluation.customer !== null && storedMember(evaluation, key, per, evaluation.trusted) !== null)
    return true;
  // INVARIANT: trust reaches through every segment that is asked for on the way, and so does the level of the account.
  if (evaluation.trusted && segment.condition !== null && !mayGive(segment, per)) {
    return failed(`Segment \`${key}\` rests on what a caller says, which gives no features.`);
  }
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
  const stored = storedMember(evaluation, key, per, true);
  if (stored !== null) return stored;
  return meetsTrusted(evaluation, key, per) ? { until: null } : null;
}

/** Whether a condition over server facts alone holds, whoever is a stored member. */
export function meetsTrusted(evaluation: Evaluation, key: string, per: UsageScope | null): boolean {
  const segment = evaluation.snapshot.segments.get(key);
  if (segment === undefined || !evaluation.request.subject.proven || !mayGive(segment, per)) return false;
  const { trusted, trustedPer } = evaluation;
  evaluation.trusted = true;
  evaluation.trustedPer = per;
  const holds = conditionHolds(evaluation, segment);
  evaluation.trusted = trusted;
  evaluation.trustedPer = trustedPer;
  return holds === true;
}
