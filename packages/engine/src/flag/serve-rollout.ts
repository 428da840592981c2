import { bucketNumber, bucketText } from '../bucket/bucket.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type { EvaluationContext } from '../model/context.js';
import type { Bucket } from '../model/decision.js';
import { isJsonObject, type JsonValue } from '../model/json.js';
import type { CompiledRollout, RolloutStep, Share } from '../snapshot/snapshot.js';

/**
 * `not-yet`: before a ramp's first step. `no-attribute`: nothing to be bucketed by. `unavailable`: it could not be read.
 * `no-subject`: nobody is named at all.
 */
export type RolloutOutcome =
  | { readonly kind: 'share'; readonly share: Share; readonly bucket: Bucket | null }
  | { readonly kind: 'not-yet' }
  | { readonly kind: 'no-attribute'; readonly by: string }
  | { readonly kind: 'unavailable'; readonly message: string }
  | { readonly kind: 'no-subject' };

function keyOf(part: JsonValue | undefined): JsonValue | undefined {
  return isJsonObject(part) ? part['key'] : undefined;
}

function named(value: JsonValue | undefined): string | null {
  return value === undefined || value === '' ? null : bucketText(value);
}

/** The subject as it was sent: `targetingKey`, else the user, else the instance, else the customer. */
export function subjectText(context: EvaluationContext): string | null {
  const { targetingKey, parts } = context;
  if (targetingKey !== undefined && targetingKey !== '') return targetingKey;
  return named(keyOf(parts['user'])) ?? named(keyOf(parts['instance'])) ?? named(keyOf(parts['customer']));
}

/** The step of a ramp that holds now: the last one that began. The answer changes with the next. */
function stepNow(evaluation: Evaluation, rollout: CompiledRollout): RolloutStep | null {
  if (rollout.always !== null) return rollout.always;
  const now = evaluation.nowMilliseconds;
  let current: RolloutStep | null = null;
  for (const step of rollout.steps) {
    if (step.from > now) {
      evaluation.touch(step.from);
      return current;
    }
    current = step;
  }
  return current;
}

function shareOf(step: RolloutStep, number: number): Share | null {
  for (const share of step.shares) if (number < share.below) return share;
  return null;
}

export function serveRollout(evaluation: Evaluation, rollout: CompiledRollout): RolloutOutcome {
  const step = stepNow(evaluation, rollout);
  if (step === null) return { kind: 'not-yet' };
  if (step.whole !== null) return { kind: 'share', share: step.whole, bucket: null };
  const { by, seed } = rollout;
  evaluation.metUnavailable = false;
  const text = by === null ? subjectText(evaluation.request.context) : bucketText(by.read(evaluation));
  if (evaluation.metUnavailable) return { kind: 'unavailable', message: evaluation.unavailable.message };
  if (text === null) return by === null ? { kind: 'no-subject' } : { kind: 'no-attribute', by: by.text };
  const number = bucketNumber(seed, text, step.total);
  const share = shareOf(step, number);
  if (share === null) return { kind: 'not-yet' };
  const bucket = { by: by === null ? 'subject' : by.text, seed: seed.text, total: step.total, number };
  return { kind: 'share', share, bucket };
}
