import { CelError } from '../cel/values.js';
import { isTarget } from '../entitlement/apply-grants.js';
import type { Level } from '../entitlement/level.js';
import { nextEdge } from '../evaluation/edges.js';
import type { Evaluation } from '../evaluation/evaluation.js';
import type { FlagGrant } from '../evaluation/prepared-customer.js';
import { inForce } from '../model/customer.js';
import type { CompiledFlag, Requirement, Variant } from '../snapshot/snapshot.js';
import { explainFlag } from './explain-flag.js';

/** The requirement whose right is missing; `null` when the gate holds. INVARIANT: an error here denies. */
export function missingRight(evaluation: Evaluation, flag: CompiledFlag): Requirement | null {
  for (const required of flag.gate) {
    const { key, feature } = required;
    const level = feature === null ? null : evaluation.level(feature);
    const granted = level !== null && !(level instanceof CelError) && level.granted;
    if (evaluation.recorder !== null) explainRight(evaluation, flag, key, level);
    if (!granted) return required;
  }
  return null;
}

function explainRight(
  evaluation: Evaluation,
  flag: CompiledFlag,
  key: string,
  level: Level | CelError | null,
): void {
  const granted = level !== null && !(level instanceof CelError) && level.granted;
  explainFlag(evaluation, flag.key, 'requires', granted ? 'applied' : 'decided', () => {
    if (level === null) return `The required feature \`${key}\` is not there, so the gate is closed.`;
    if (level instanceof CelError) return `${level.message} So the gate is closed.`;
    return granted ? `The customer has the right to \`${key}\`.` : `The right to \`${key}\` is missing.`;
  });
}

/** The nearest grant of this flag that is in force for whom is asked about. */
export function grantOf(
  evaluation: Evaluation,
  flag: CompiledFlag,
): { readonly id: string; readonly variant: Variant } | null {
  const grants = evaluation.customer?.flagGrants?.get(flag.key);
  return grants === undefined ? null : nearestOf(grants, evaluation, flag);
}

function nearestOf(
  grants: readonly FlagGrant[],
  evaluation: Evaluation,
  flag: CompiledFlag,
): { readonly id: string; readonly variant: Variant } | null {
  let nearest: { readonly id: string; readonly variant: Variant } | null = null;
  for (const one of grants) {
    const variant = applicable(evaluation, flag, one);
    if (variant !== null && nearest === null) nearest = { id: one.grant.id, variant };
  }
  return nearest;
}

function applicable(
  evaluation: Evaluation,
  flag: CompiledFlag,
  { grant, variant: name }: FlagGrant,
): Variant | null {
  const now = evaluation.nowMilliseconds;
  const edge = nextEdge(grant, now);
  const variant = flag.variants.get(name);
  if (!inForce(grant, now)) {
    evaluation.touch(edge);
    explainFlag(
      evaluation,
      flag.key,
      'flag-grant',
      'skipped',
      () => `Grant \`${grant.id}\` is not in force now.`,
    );
    return null;
  }
  if (!isTarget(grant.target, evaluation, null)) {
    explainFlag(
      evaluation,
      flag.key,
      'flag-grant',
      'skipped',
      () => `Grant \`${grant.id}\` is for another ${grant.target.kind}.`,
    );
    return null;
  }
  evaluation.touch(edge);
  explainFlag(evaluation, flag.key, 'flag-grant', variant === undefined ? 'skipped' : 'applied', () => {
    const what = `Grant \`${grant.id}\` (${grant.kind}) to ${grant.target.kind} \`${grant.target.key}\``;
    return variant === undefined
      ? `${what} names variant \`${name}\`, which is not there.`
      : `${what} serves \`${name}\`.`;
  });
  return variant ?? null;
}

/** The prerequisite flag that does not serve its variant; `null` when all do. */
export function failedPrerequisite(evaluation: Evaluation, flag: CompiledFlag): string | null {
  return flag.prerequisites.length === 0 ? null : firstFailing(evaluation, flag);
}

function firstFailing(evaluation: Evaluation, flag: CompiledFlag): string | null {
  for (const { flag: key, variant } of flag.prerequisites) {
    const decision = evaluation.decision(key);
    const serves = decision.kind === 'answer' && decision.variant === variant;
    explainFlag(evaluation, flag.key, 'prerequisite', serves ? 'applied' : 'decided', () => {
      if (decision.kind === 'error') return `The prerequisite \`${key}\` fails: ${decision.message}`;
      return `The prerequisite \`${key}\` serves \`${decision.variant ?? 'code-default'}\`; asked for is \`${variant}\`.`;
    });
    if (!serves) return key;
  }
  return null;
}
