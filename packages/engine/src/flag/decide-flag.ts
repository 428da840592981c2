import { NEVER, untilOf } from '../evaluation/edges.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type {
  Bucket,
  FlagAnswer,
  FlagCause,
  FlagDecision,
  FlagErrorCode,
  RuleFault,
} from '../model/decision.js';
import type { CompiledFlag, CompiledRule, Variant } from '../snapshot/snapshot.js';
import { explainFlag } from './explain-flag.js';
import { failedPrerequisite, grantOf, missingRight } from './gate.js';
import { matchRule } from './match-rule.js';
import { type RolloutOutcome, serveRollout } from './serve-rollout.js';

const NONE: readonly never[] = [];

const REASONS: Record<FlagCause, FlagAnswer['reason']> = {
  // A client that ignores values sent with `DISABLED` would defeat a kill switch.
  DISABLED: 'STATIC',
  GRANT: 'TARGETING_MATCH',
  NOT_ENTITLED: 'DEFAULT',
  PREREQUISITE: 'DEFAULT',
  RULE: 'TARGETING_MATCH',
  ROLLOUT: 'SPLIT',
  NO_RULE_MATCHED: 'DEFAULT',
  NO_RULES: 'STATIC',
  ENTITLEMENT: 'TARGETING_MATCH',
};

interface Detail {
  readonly ruleIndex?: number;
  readonly bucket?: Bucket | null;
  readonly source?: string;
  readonly faults?: readonly RuleFault[] | null;
}

const NO_DETAIL: Detail = {};

/** `variant: null` is `code-default`: an answer without a value, which clients take only with the reason `DISABLED`. */
function answer(
  evaluation: Evaluation,
  flag: CompiledFlag,
  cause: FlagCause,
  variant: Variant | null,
  detail: Detail = NO_DETAIL,
): FlagAnswer {
  return {
    kind: 'answer',
    key: flag.key,
    type: flag.type,
    variant: variant === null ? null : variant.name,
    value: variant === null ? null : variant.value,
    reason: variant === null ? 'DISABLED' : REASONS[cause],
    cause,
    ruleIndex: detail.ruleIndex ?? null,
    bucket: detail.bucket ?? null,
    sources: detail.source === undefined ? NONE : [detail.source],
    faults: detail.faults ?? NONE,
    revision: evaluation.snapshot.revision,
    customerVersion: evaluation.customer?.state?.version ?? 0,
    validUntil: untilOf(evaluation.until),
    customerNotProven: !evaluation.request.subject.proven,
  };
}

export function flagError(
  evaluation: Evaluation,
  key: string,
  errorCode: FlagErrorCode,
  message: string,
): FlagDecision {
  return {
    kind: 'error',
    key,
    errorCode,
    message,
    revision: evaluation.snapshot.revision,
    customerVersion: evaluation.customer?.state?.version ?? 0,
    validUntil: untilOf(evaluation.until),
    customerNotProven: !evaluation.request.subject.proven,
  };
}

/**
 * The order of a flag (DESIGN: the order of decisions), and the only place that owns it. The kill switch comes first and needs
 * nothing else to work. INVARIANT: without the right to what the flag requires nothing else is reached; a grant carries the right
 * along, so it serves where the gate then holds and nowhere else.
 */
export function decideFlag(evaluation: Evaluation, flag: CompiledFlag): FlagDecision {
  if (!flag.enabled) {
    explainFlag(
      evaluation,
      flag.key,
      'environment',
      'decided',
      () => `Switched off in \`${evaluation.snapshot.environment}\`.`,
    );
    return answer(evaluation, flag, 'DISABLED', flag.off);
  }
  if (flag.broken !== null) return flagError(evaluation, flag.key, 'GENERAL', flag.broken);
  const grant = grantOf(evaluation, flag);
  const missing = missingRight(evaluation, flag);
  if (missing !== null) return answer(evaluation, flag, 'NOT_ENTITLED', flag.off, { source: missing });
  if (grant !== null) return answer(evaluation, flag, 'GRANT', grant.variant, { source: grant.id });
  const blocking = failedPrerequisite(evaluation, flag);
  if (blocking !== null) return answer(evaluation, flag, 'PREREQUISITE', flag.off, { source: blocking });
  return decideByRules(evaluation, flag);
}

/** Rules in order: the first that matches serves a variant, or a rollout, which ends the evaluation. */
function decideByRules(evaluation: Evaluation, flag: CompiledFlag): FlagDecision {
  let faults: RuleFault[] | null = null;
  for (const rule of flag.rules) {
    const match = matchRule(evaluation, rule);
    if (match === true) {
      if (rule.serve !== null) {
        explainRule(evaluation, flag, rule, 'decided', () => `matches and serves \`${rule.serve?.name}\`.`);
        return answer(evaluation, flag, 'RULE', rule.serve, { ruleIndex: rule.index, faults });
      }
      const outcome = rule.rollout === null ? NOT_YET : serveRollout(evaluation, rule.rollout);
      explainRollout(evaluation, flag, rule, outcome);
      if (outcome.kind === 'share') {
        const { share, bucket } = outcome;
        return answer(evaluation, flag, 'ROLLOUT', share.variant, { ruleIndex: rule.index, bucket, faults });
      }
      if (outcome.kind === 'no-subject')
        return flagError(evaluation, flag.key, 'TARGETING_KEY_MISSING', NO_SUBJECT);
      if (outcome.kind === 'no-attribute') {
        faults ??= [];
        faults.push({ ruleIndex: rule.index, code: 'BUCKET_ATTRIBUTE_MISSING', message: absent(outcome.by) });
      }
    } else if (match === false) explainRule(evaluation, flag, rule, 'skipped', () => 'does not match.');
    else {
      faults ??= [];
      faults.push(match);
      explainRule(evaluation, flag, rule, 'skipped', () => `fails (${match.code}): ${match.message}`);
    }
  }
  const cause = flag.rules.length === 0 ? 'NO_RULES' : 'NO_RULE_MATCHED';
  explainFlag(
    evaluation,
    flag.key,
    'flag-default',
    'decided',
    () => `The default variant \`${flag.fallback.name}\` is served.`,
  );
  return answer(evaluation, flag, cause, flag.fallback, { faults });
}

const NOT_YET: RolloutOutcome = { kind: 'not-yet' };

const NO_SUBJECT =
  'The rollout needs someone to be told apart by: send `targetingKey`, or a `user`, `instance` or `customer` with a key.';

function absent(by: string): string {
  return `\`${by}\` is absent or is no text, integer or boolean, so there is no bucket.`;
}

function explainRule(
  evaluation: Evaluation,
  flag: CompiledFlag,
  rule: CompiledRule,
  outcome: 'skipped' | 'decided',
  message: () => string,
): void {
  explainFlag(
    evaluation,
    flag.key,
    'rule',
    outcome,
    () => `Rule ${rule.index + 1}${rule.name === null ? '' : ` (${rule.name})`} ${message()}`,
    { ruleIndex: rule.index, condition: rule.condition?.text ?? null },
  );
}

function explainRollout(
  evaluation: Evaluation,
  flag: CompiledFlag,
  rule: CompiledRule,
  outcome: RolloutOutcome,
): void {
  if (evaluation.recorder === null) return;
  explainRule(evaluation, flag, rule, outcome.kind === 'share' ? 'decided' : 'skipped', () => 'matches.');
  const data =
    outcome.kind === 'share' && outcome.bucket !== null
      ? { ruleIndex: rule.index, ...outcome.bucket }
      : { ruleIndex: rule.index };
  explainFlag(
    evaluation,
    flag.key,
    'rollout',
    outcome.kind === 'share' ? 'decided' : 'skipped',
    () => rolloutText(outcome),
    data,
  );
}

function rolloutText(outcome: RolloutOutcome): string {
  switch (outcome.kind) {
    case 'share': {
      const name = outcome.share.variant?.name ?? 'code-default';
      const bucket = outcome.bucket;
      if (bucket === null) return `\`${name}\` has the whole weight.`;
      return `Bucket ${bucket.number} of ${bucket.total} by ${bucket.by} (seed \`${bucket.seed}\`) gives \`${name}\`.`;
    }
    case 'not-yet':
      return 'The ramp has not begun.';
    case 'no-attribute':
      return absent(outcome.by);
    case 'no-subject':
      return NO_SUBJECT;
  }
}

/** Decides one flag; its own time to hold, and what it adds to that of whoever asked for it. */
export function serveDeclaredFlag(evaluation: Evaluation, flag: CompiledFlag): FlagDecision {
  if (evaluation.flagsUnderWay.includes(flag.key)) {
    const path = [...evaluation.flagsUnderWay, flag.key].map((key) => `\`${key}\``).join(' → ');
    return flagError(evaluation, flag.key, 'GENERAL', `Flags ask for each other in a circle: ${path}.`);
  }
  const outer = evaluation.until;
  evaluation.until = NEVER;
  evaluation.flagsUnderWay.push(flag.key);
  const decision = decideFlag(evaluation, flag);
  evaluation.flagsUnderWay.pop();
  evaluation.touch(outer);
  return decision;
}
