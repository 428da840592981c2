import { beginEvaluation } from '../flag/layers.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import { meetsTrusted } from './membership.js';

/** The segments whose condition holds for whom is asked about, as far as conditions give features: over server facts alone. */
export function segmentsMet(request: EvaluationRequest<Snapshot>): readonly string[] {
  const evaluation = beginEvaluation(request);
  const met: string[] = [];
  for (const { key, condition } of request.snapshot.segments.values()) {
    if (condition !== null && meetsTrusted(evaluation, key, null)) met.push(key);
  }
  return met;
}
