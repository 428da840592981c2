import type { Evaluation } from '../evaluation/evaluation.js';
import type { EntitlementValue } from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import type { ExplanationStepCode, Recorder, Source } from '../model/decision.js';
import type { JsonObject } from '../model/json.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';
import { fits } from './level.js';

/** An entitlement on its way through the steps: the value so far, and every step that took part. */
export class Draft {
  readonly evaluation: Evaluation;
  readonly feature: CompiledFeature;
  readonly now: Instant;
  /** `null`: nothing is given so far. */
  current: EntitlementValue | null = null;
  denied = false;
  readonly sources: Source[] = [];

  readonly #recorder: Recorder | null;

  /** @param silent nothing is explained: what comes out is compared, and is not the answer. */
  constructor(evaluation: Evaluation, feature: CompiledFeature, silent = false) {
    this.#recorder = silent ? null : evaluation.recorder;
    this.evaluation = evaluation;
    this.feature = feature;
    this.now = evaluation.nowMilliseconds;
  }

  /** The value of a catalog item where it is of the feature's kind; another one, forced into the data, is passed over. */
  usable(value: EntitlementValue | undefined): EntitlementValue | null {
    return value !== undefined && fits(this.feature, value) ? value : null;
  }

  /** A step that took part. The sentence is built only for someone who reads it. */
  took(step: ExplanationStepCode, source: Source, message: () => string): void {
    this.sources.push(source);
    this.explain(step, 'applied', message, { source: source.type, key: source.key, effect: source.effect });
  }

  explain(
    step: ExplanationStepCode,
    outcome: 'applied' | 'skipped' | 'decided',
    message: () => string,
    data: JsonObject = {},
  ): void {
    const recorder = this.#recorder;
    if (recorder === null) return;
    recorder.record({ step, subject: this.feature.key, outcome, message: message(), data });
  }
}

/** A value as a person reads it. */
export function valueText(value: EntitlementValue | null): string {
  if (value === null) return 'nothing';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
