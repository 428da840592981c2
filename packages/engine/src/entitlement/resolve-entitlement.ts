import { CelError } from '../cel/values.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import { beginEvaluation } from '../flag/layers.js';
import type {
  Downgrade,
  EntitlementDecision,
  EntitlementError,
  EntitlementErrorCode,
  EntitlementReason,
  Limit,
  Recorder,
} from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { LIMITS, UNLIMITED_AS_INTEGER } from '../model/limits.js';
import type { CompiledFeature, Snapshot } from '../snapshot/snapshot.js';
import { type Balance, balanceOf } from '../usage/balance.js';
import { type Fit, fit } from '../usage/room.js';
import { accessReason, missingReason } from './denial.js';
import type { Level } from './level.js';
import { loweredSince } from './resolve-level.js';

export interface EntitlementOptions {
  /** "Would so many fit?": an integer of at least 0; 1 unless said otherwise. */
  readonly amount?: number;
}

function stampOf(
  evaluation: Evaluation,
): Pick<EntitlementDecision, 'revision' | 'customerVersion' | 'validUntil' | 'customerNotProven'> {
  return {
    revision: evaluation.snapshot.revision,
    customerVersion: evaluation.customerVersion,
    validUntil: evaluation.until,
    customerNotProven: !evaluation.request.subject.proven,
  };
}

function failure(
  evaluation: Evaluation,
  key: string,
  errorCode: EntitlementErrorCode,
  message: string,
): EntitlementError {
  return { kind: 'error', key, errorCode, message, ...stampOf(evaluation) };
}

const FIT_REASONS: Record<Fit, (feature: CompiledFeature, level: Level) => EntitlementReason> = {
  within: (_feature, level) => accessReason(level.unlimited, level.sources),
  over: (feature) => (feature.enforcement === 'observe' ? 'OBSERVE_ONLY' : 'SOFT_LIMIT_EXCEEDED'),
  beyond: () => 'LIMIT_REACHED',
};

const NOTHING_USED: Balance = { used: 0, reserved: 0, period: null, heldUntil: null, scope: '' };

/** A metered balance, by way of the account; other types have none. */
function balanceFor(evaluation: Evaluation, feature: CompiledFeature, level: Level): Balance {
  if (feature.type !== 'metered') return NOTHING_USED;
  const balance = balanceOf(evaluation, feature, level);
  if (balance.period !== null) evaluation.touch(balance.period.end);
  return balance;
}

function decide(
  evaluation: Evaluation,
  feature: CompiledFeature,
  level: Level,
  balance: Balance,
  amount: number,
): EntitlementDecision {
  const { used, reserved, period } = balance;
  const limit: Limit = level.unlimited ? { kind: 'unlimited' } : { kind: 'finite', value: level.amount };
  const enforcement = feature.type === 'metered' ? feature.enforcement : 'hard';
  const room = feature.numeric
    ? fit({ limit, used, reserved, enforcement, overage: feature.overage }, amount)
    : 'within';
  // Where there is room, the end of a hold makes only more of it; else it may be what lets the customer in.
  if (room !== 'within') evaluation.touch(balance.heldUntil);
  const downgrade = downgradeOf(evaluation, feature, level, used + reserved);
  const reason =
    level.granted || evaluation.customer === null
      ? FIT_REASONS[room](feature, level)
      : missingReason(evaluation.customer, feature, level, evaluation);
  return {
    kind: 'entitlement',
    key: feature.key,
    type: feature.type,
    granted: level.granted,
    hasAccess: level.granted && room !== 'beyond',
    reason,
    value: level.value,
    limit: feature.numeric ? limit : null,
    enforcement,
    overageAllowance: feature.overage ?? null,
    usage: used,
    reserved,
    balance: level.unlimited ? UNLIMITED_AS_INTEGER : Math.max(0, level.amount - used - reserved),
    overage: level.unlimited ? 0 : Math.max(0, used + reserved - level.amount),
    ...(level.allowance === undefined ? {} : { allowance: level.allowance }),
    period,
    scope: balance.scope ?? '',
    sources: level.sources,
    whenDenied: feature.whenDenied,
    ...(downgrade === null ? {} : { downgrade }),
    ...stampOf(evaluation),
  };
}

/** What is told of a lowered limit: while the one before it stands, and where use is above what is granted. */
function downgradeOf(
  evaluation: Evaluation,
  feature: CompiledFeature,
  level: Level,
  taken: number,
): Downgrade | null {
  const { policy } = feature.onDowngrade;
  const { standing } = level;
  if (standing !== undefined) {
    return { limit: standing.limit, policy, since: standing.since, standsUntil: standing.until };
  }
  if (feature.type !== 'metered' || level.unlimited || taken <= level.amount) return null;
  return { limit: level.amount, policy, since: loweredSince(evaluation, feature), standsUntil: null };
}

function explainUsage(evaluation: Evaluation, decision: EntitlementDecision, amount: number): void {
  const recorder = evaluation.recorder;
  if (recorder === null) return;
  const { key, limit, usage, reserved, hasAccess, reason } = decision;
  if (limit !== null) {
    const most = limit.kind === 'unlimited' ? 'no limit' : `a limit of ${limit.value}`;
    const message = `${usage} used and ${reserved} held of ${most}: ${amount} more ${hasAccess ? 'fit' : 'do not fit'}.`;
    recorder.record({
      step: 'usage',
      subject: key,
      outcome: 'applied',
      message,
      data: { usage, reserved, amount },
    });
  }
  const message = `${hasAccess ? 'Access' : 'No access'} (${reason}).`;
  recorder.record({
    step: 'effective',
    subject: key,
    outcome: 'decided',
    message,
    data: { hasAccess, reason },
  });
}

function resolveFeature(
  evaluation: Evaluation,
  feature: CompiledFeature,
  amount: number,
): EntitlementDecision | EntitlementError {
  evaluation.until = null;
  const level = evaluation.level(feature);
  if (level instanceof CelError)
    return failure(evaluation, feature.key, 'CUSTOMER_STATE_UNAVAILABLE', level.message);
  const balance = balanceFor(evaluation, feature, level);
  if (balance.scope === null) {
    const message = `\`${feature.key}\` counts per ${feature.per}; name the ${feature.per} in the context.`;
    return failure(evaluation, feature.key, 'TARGETING_KEY_MISSING', message);
  }
  const decision = decide(evaluation, feature, level, balance, amount);
  explainUsage(evaluation, decision, amount);
  return evaluation.planNotFound ? { ...decision, planNotFound: true } : decision;
}

/**
 * What the customer may do with one feature now. `hasAccess` means the right and room for the amount; `granted` the right alone.
 * Errors: `ENTITLEMENT_NOT_FOUND`, `TYPE_MISMATCH` (a flag's key, or an amount that is none), `CUSTOMER_STATE_UNAVAILABLE`,
 * `TARGETING_KEY_MISSING` (a feature that counts per user or instance, and none is named).
 */
export function resolveEntitlement(
  request: EvaluationRequest<Snapshot>,
  featureKey: string,
  options?: EntitlementOptions,
  recorder?: Recorder,
): EntitlementDecision | EntitlementError {
  const evaluation = beginEvaluation(request, recorder);
  const amount = options?.amount ?? 1;
  const feature = request.snapshot.features.get(featureKey);
  if (feature === undefined) {
    if (request.snapshot.flags.has(featureKey)) {
      const message = `\`${featureKey}\` is a flag, not a feature: evaluate it over OFREP.`;
      return failure(evaluation, featureKey, 'TYPE_MISMATCH', message);
    }
    const message = `There is no feature \`${featureKey}\` in \`${request.snapshot.environment}\`.`;
    return failure(evaluation, featureKey, 'ENTITLEMENT_NOT_FOUND', message);
  }
  if (!Number.isSafeInteger(amount) || amount < 0) {
    const message = `\`amount\` is ${amount}; it must be an integer from 0 to ${LIMITS.quantity.value}.`;
    return failure(evaluation, featureKey, 'TYPE_MISMATCH', message);
  }
  return resolveFeature(evaluation, feature, amount);
}

/** All features, sorted by key; what several of them rest on is resolved once. */
export function resolveAllEntitlements(
  request: EvaluationRequest<Snapshot>,
): (EntitlementDecision | EntitlementError)[] {
  const evaluation = beginEvaluation(request);
  const decisions: (EntitlementDecision | EntitlementError)[] = [];
  for (const key of request.snapshot.keys) {
    const feature = request.snapshot.features.get(key);
    if (feature !== undefined) decisions.push(resolveFeature(evaluation, feature, 1));
  }
  return decisions;
}
