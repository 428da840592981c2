import { isMember } from '../entitlement/membership.js';
import { resolveLevel } from '../entitlement/resolve-level.js';
import { Evaluation, type Layers } from '../evaluation/evaluation.js';
import type { FlagDecision, Recorder } from '../model/decision.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import { usageOf } from '../usage/balance.js';
import { flagError, serveDeclaredFlag } from './decide-flag.js';
import { serveEntitlement } from './entitlement-as-flag.js';
import { explainFlag } from './explain-flag.js';

/** A flag, or a feature read as one. */
function serveFlag(evaluation: Evaluation, key: string): FlagDecision {
  const flag = evaluation.snapshot.flags.get(key);
  return flag === undefined ? serveFeature(evaluation, key) : serveDeclaredFlag(evaluation, flag);
}

function serveFeature(evaluation: Evaluation, key: string): FlagDecision {
  const feature = evaluation.snapshot.features.get(key);
  if (feature !== undefined) return serveEntitlement(evaluation, feature);
  explainFlag(evaluation, key, 'flag-lookup', 'decided', () => `There is no flag or feature \`${key}\`.`);
  const { environment, revision } = evaluation.snapshot;
  return flagError(
    evaluation,
    key,
    'FLAG_NOT_FOUND',
    `There is no flag or feature \`${key}\` in \`${environment}\` at revision ${revision}.`,
  );
}

const LAYERS: Layers = { resolveLevel, isMember, usageOf, serveFlag };

/** Begins an evaluation with all layers in their places. */
export function beginEvaluation(request: EvaluationRequest<Snapshot>, recorder?: Recorder): Evaluation {
  return new Evaluation(request, LAYERS, recorder ?? null);
}
