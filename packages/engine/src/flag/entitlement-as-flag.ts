import { CelError } from '../cel/values.js';
import type { Level } from '../entitlement/level.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type { FlagType } from '../model/catalog.js';
import type { FlagAnswer, FlagDecision } from '../model/decision.js';
import type { JsonValue } from '../model/json.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';
import { accountOf, scopeOf } from '../usage/account-of.js';
import { usageOf } from '../usage/balance.js';
import { flagError } from './decide-flag.js';
import { explainFlag } from './explain-flag.js';

const TYPES: Record<CompiledFeature['type'], FlagType> = {
  boolean: 'boolean',
  limit: 'integer',
  metered: 'integer',
  config: 'object',
};

/** Without access: false, 0 or `{}`. The right counts, whatever is used up: volatile numbers stay out of flags. */
function flagValueOf(feature: CompiledFeature, level: Level): JsonValue {
  if (feature.numeric) return level.unlimited ? feature.unlimitedNumber : level.amount;
  if (feature.type === 'boolean') return level.granted;
  return level.value ?? {};
}

/** Every entitlement is also a flag under its bare key (X-1; OEP rule 6). */
export function serveEntitlement(evaluation: Evaluation, feature: CompiledFeature): FlagDecision {
  const outer = evaluation.until;
  evaluation.until = null;
  const decision = decide(evaluation, feature);
  evaluation.touch(outer);
  return evaluation.planNotFound ? { ...decision, planNotFound: true } : decision;
}

function decide(evaluation: Evaluation, feature: CompiledFeature): FlagDecision {
  const level = evaluation.level(feature);
  if (level instanceof CelError) {
    return flagError(evaluation, feature.key, 'CUSTOMER_STATE_UNAVAILABLE', level.message);
  }
  const variant = !level.granted ? 'denied' : level.unlimited ? 'unlimited' : 'granted';
  explainFlag(
    evaluation,
    feature.key,
    'effective',
    'decided',
    () => `Read as a flag, the entitlement is \`${variant}\`.`,
  );
  // Before the answer says how long it holds.
  const over = isOverLimit(evaluation, feature, level);
  const answer: FlagAnswer = {
    kind: 'answer',
    key: feature.key,
    type: TYPES[feature.type],
    variant,
    value: flagValueOf(feature, level),
    reason: level.granted ? 'TARGETING_MATCH' : 'DEFAULT',
    cause: 'ENTITLEMENT',
    ruleIndex: null,
    bucket: null,
    sources: level.sources.map((source) => source.key),
    faults: [],
    revision: evaluation.snapshot.revision,
    customerVersion: evaluation.customerVersion,
    validUntil: evaluation.until,
    customerNotProven: !evaluation.request.subject.proven,
    ...(over ? { overLimit: true as const } : {}),
  };
  return answer;
}

/** Whether more is used than is granted for good: a bit that turns when that is crossed, and no number that moves with every use. */
function isOverLimit(evaluation: Evaluation, feature: CompiledFeature, level: Level): boolean {
  const limit = level.standing?.limit ?? (level.unlimited ? null : level.amount);
  if (feature.type !== 'metered' || limit === null) return false;
  const account = accountOf(evaluation, feature, scopeOf(evaluation, feature) ?? '');
  // Most accounts are within their limit, whatever their period: nobody needs to know it then.
  if (account === undefined || account.used + account.reserved <= limit) return false;
  const { used, reserved } = usageOf(evaluation, feature, level);
  return used + reserved > limit;
}
