import { resolveEntitlement } from '../entitlement/resolve-entitlement.js';
import { evaluateFlag } from '../flag/evaluate-flag.js';
import type {
  EntitlementDecision,
  EntitlementError,
  ExplanationStep,
  FlagDecision,
  Recorder,
} from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import type { Snapshot } from '../snapshot/snapshot.js';

/** Collects the steps of one decision in the order in which they were taken. */
export class StepRecorder implements Recorder {
  readonly steps: ExplanationStep[] = [];

  record(step: ExplanationStep): void {
    this.steps.push(step);
  }
}

export interface Explanation {
  readonly decision: FlagDecision | EntitlementDecision | EntitlementError;
  readonly steps: readonly ExplanationStep[];
}

function subjectStep({ subject }: EvaluationRequest<Snapshot>, key: string): ExplanationStep {
  const who =
    subject.customerKey === null ? 'nobody that Pennon could prove' : `customer \`${subject.customerKey}\``;
  return {
    step: 'subject',
    subject: key,
    outcome: 'applied',
    message: `Asked about ${who}.`,
    data: {
      proven: subject.proven,
      customer: subject.customerKey,
      instance: subject.instance?.key ?? null,
      user: subject.userKey,
      team: subject.teamKey,
    },
  };
}

/** Why a flag or feature answers as it does. The steps come from the functions that decide. */
export function explain(request: EvaluationRequest<Snapshot>, key: string): Explanation {
  const recorder = new StepRecorder();
  recorder.record(subjectStep(request, key));
  const decision = request.snapshot.features.has(key)
    ? resolveEntitlement(request, key, {}, recorder)
    : evaluateFlag(request, key, recorder);
  return { decision, steps: recorder.steps };
}
