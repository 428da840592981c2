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

/** What is said of an answer, by the step that decided. */
const DECIDED: {
  readonly [Cause in FlagCause]: { readonly cause: Cause; readonly reason: FlagAnswer['reason'] };
} = {
  // A client that ignores values sent with `DISABLED` would defeat a kill switch.
  DISABLED: { cause: 'DISABLED', reason: 'STATIC' },
  GRANT: { cause: 'GRANT', reason: 'TARGETING_MATCH' },
  NOT_ENTITLED: { cause: 'NOT_ENTITLED', reason: 'DEFAULT' },
  PREREQUISITE: { cause: 'PREREQUISITE', reason: 'DEFAULT' },
  RULE: { cause: 'RULE', reason: 'TARGETING_MATCH' },
  ROLLOUT: { cause: 'ROLLOUT', reason: 'SPLIT' },
  NO_RULE_MATCHED: { cause: 'NO_RULE_MATCHED', reason: 'DEFAULT' },
  NO_RULES: { cause: 'NO_RULES', reason: 'STATIC' },
  ENTITLEMENT: { cause: 'ENTITLEMENT', reason: 'TARGETING_MATCH' },
};
type Decided = (typeof DECIDED)[FlagCause];

/** `variant: null` is `code-default`: an answer without a value, which clients take only with the reason `DISABLED`. */
function answer(
  evaluation: Evaluation,
  flag: CompiledFlag,
  { cause, reason }: Decided,
  variant: Variant | null,
  sources: readonly string[] = NONE,
  ruleIndex: number | null = null,
  bucket: Bucket | null = null,
  faults: readonly RuleFault[] | null = null,
): FlagAnswer {
  return {
    kind: 'answer',
    key: flag.key,
    type: flag.type,
    variant: variant === null ? null : variant.name,
    value: variant === null ? null : variant.value,
    reason: variant === null ? 'DISABLED' : reason,
    cause,
    ruleIndex,
    bucket,
    sources,
    faults: faults ?? NONE,
    revision: evaluation.snapshot.revision,
    customerVersion: evaluation.customerVersion,
    validUntil: evaluation.until,
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
    customerVersion: evaluation.customerVersion,
    validUntil: evaluation.until,
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
    explainOff(evaluation, flag);
    return answer(evaluation, flag, DECIDED.DISABLED, flag.off);
  }
  if (flag.broken !== null) return flagError(evaluation, flag.key, 'GENERAL', flag.broken);
  const grant = grantOf(evaluation, flag);
  const missing = missingRight(evaluation, flag);
  if (missing !== null) return answer(evaluation, flag, DECIDED.NOT_ENTITLED, flag.off, missing.sources);
  if (grant !== null) return answer(evaluation, flag, DECIDED.GRANT, grant.variant, [grant.id]);
  const blocking = failedPrerequisite(evaluation, flag);
  if (blocking !== null) return answer(evaluation, flag, DECIDED.PREREQUISITE, flag.off, [blocking]);
  return decideByRules(evaluation, flag);
}

function explainOff(evaluation: Evaluation, flag: CompiledFlag): void {
  const message = (): string => `Switched off in \`${evaluation.snapshot.environment}\`.`;
  explainFlag(evaluation, flag.key, 'environment', 'decided', message);
}

/** Rules in order: the first that matches serves a variant, or a rollout, which ends the evaluation. */
function decideByRules(evaluation: Evaluation, flag: CompiledFlag): FlagDecision {
  let faults: RuleFault[] | null = null;
  for (const rule of flag.rules) {
    const match = matchRule(evaluation, rule);
    if (evaluation.recorder !== null) explainMatch(evaluation, flag, rule, match);
    if (match === false) continue;
    if (match !== true) {
      faults = noted(faults, match);
      continue;
    }
    if (rule.rollout === null) {
      return answer(evaluation, flag, DECIDED.RULE, rule.serve, NONE, rule.index, null, faults);
    }
    const outcome = serveRollout(evaluation, rule.rollout);
    if (evaluation.recorder !== null) explainRollout(evaluation, flag, rule, outcome);
    if (outcome.kind === 'share') {
      const { share, bucket } = outcome;
      return answer(evaluation, flag, DECIDED.ROLLOUT, share.variant, NONE, rule.index, bucket, faults);
    }
    if (outcome.kind === 'no-subject') {
      return flagError(evaluation, flag.key, 'TARGETING_KEY_MISSING', NO_SUBJECT);
    }
    if (outcome.kind !== 'not-yet') faults = noted(faults, faultOf(rule, outcome));
  }
  if (evaluation.recorder !== null) explainDefault(evaluation, flag);
  const by = flag.rules.length === 0 ? DECIDED.NO_RULES : DECIDED.NO_RULE_MATCHED;
  return answer(evaluation, flag, by, flag.fallback, NONE, null, null, faults);
}

function noted(faults: RuleFault[] | null, fault: RuleFault): RuleFault[] {
  if (faults === null) return [fault];
  faults.push(fault);
  return faults;
}

/** Why a rollout gives nobody anything, so that its rule is skipped. */
function faultOf(
  { index: ruleIndex }: CompiledRule,
  outcome: RolloutOutcome & { readonly kind: 'no-attribute' | 'unavailable' },
): RuleFault {
  return outcome.kind === 'no-attribute'
    ? { ruleIndex, code: 'BUCKET_ATTRIBUTE_MISSING', message: absent(outcome.by) }
    : { ruleIndex, code: 'CUSTOMER_STATE_UNAVAILABLE', message: outcome.message };
}

const NO_SUBJECT =
  'The rollout needs someone to be told apart by: send `targetingKey`, or a `user`, `instance` or `customer` with a key.';

function absent(by: string): string {
  return `\`${by}\` is absent or is no text, integer or boolean, so there is no bucket.`;
}

function explainMatch(
  evaluation: Evaluation,
  flag: CompiledFlag,
  rule: CompiledRule,
  match: boolean | RuleFault,
): void {
  const name = `Rule ${rule.index + 1}${rule.name === null ? '' : ` (${rule.name})`}`;
  const data = { ruleIndex: rule.index, condition: rule.condition?.text ?? null };
  const serves =
    rule.serve === null ? 'matches; its rollout decides' : `matches and serves \`${rule.serve.name}\``;
  const text =
    match === true ? serves : match === false ? 'does not match' : `fails (${match.code}): ${match.message}`;
  const outcome = match !== true ? 'skipped' : rule.serve === null ? 'applied' : 'decided';
  explainFlag(evaluation, flag.key, 'rule', outcome, () => `${name} ${text.replace(/\.$/, '')}.`, data);
}

function explainRollout(
  evaluation: Evaluation,
  flag: CompiledFlag,
  rule: CompiledRule,
  outcome: RolloutOutcome,
): void {
  const bucket = outcome.kind === 'share' ? outcome.bucket : null;
  const data = { ruleIndex: rule.index, ...bucket };
  const decided = outcome.kind === 'share' ? 'decided' : 'skipped';
  explainFlag(evaluation, flag.key, 'rollout', decided, () => rolloutText(outcome), data);
}

function explainDefault(evaluation: Evaluation, flag: CompiledFlag): void {
  const message = (): string =>
    `No rule decides, so the default variant \`${flag.fallback.name}\` is served.`;
  explainFlag(evaluation, flag.key, 'flag-default', 'decided', message);
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
    case 'unavailable':
      return outcome.message;
    case 'no-subject':
      return NO_SUBJECT;
  }
}

/** Decides one flag; its own time to hold, and what it adds to that of whoever asked for it. */
export function serveDeclaredFlag(evaluation: Evaluation, flag: CompiledFlag): FlagDecision {
  const outer = evaluation.until;
  evaluation.until = null;
  const decision = decideFlag(evaluation, flag);
  evaluation.touch(outer);
  return evaluation.planNotFound ? { ...decision, planNotFound: true } : decision;
}
