import type { Evaluation } from '../evaluation/evaluation.js';
import type { ExplanationStep, ExplanationStepCode } from '../model/decision.js';
import type { JsonObject } from '../model/json.js';

/** Notes a step of a flag for whoever listens; without a listener no sentence is built. */
export function explainFlag(
  evaluation: Evaluation,
  key: string,
  step: ExplanationStepCode,
  outcome: ExplanationStep['outcome'],
  message: () => string,
  data: JsonObject = {},
): void {
  const recorder = evaluation.recorder;
  if (recorder !== null) recorder.record({ step, subject: key, outcome, message: message(), data });
}
