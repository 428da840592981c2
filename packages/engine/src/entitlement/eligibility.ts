import {
  type ExpressionFrame,
  expressionEnvironment,
  SERVER_FACTS,
} from '../catalog/expression-environment.js';
import { compileExpression } from '../cel/compile-expression.js';
import { type CelEnvironment, type CelType, INT, STRING, typeText } from '../cel/types.js';
import { CelError } from '../cel/values.js';
import { licenseLapse } from '../evaluation/edges.js';
import { termsAt } from '../evaluation/license-terms.js';
import { preparedFor } from '../evaluation/prepared-cache.js';
import { beginEvaluation } from '../flag/layers.js';
import { versionedKey } from '../model/catalog.js';
import type { CustomerState, Instant } from '../model/customer.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { type Condition, readsOfExpression } from '../snapshot/condition.js';
import type { Snapshot } from '../snapshot/snapshot.js';

/*
 * Who may redeem a voucher (K-8): a condition over what the server itself knows of a customer. Nothing that a caller says of
 * itself can be read, so that a forged mail redeems nothing.
 */

/** One fault of the text, with its place: UTF-16 offset, line and column from 1. */
export interface EligibilityIssue {
  readonly code: 'EXPRESSION' | 'EXPRESSION_LAYER' | 'SEGMENT_FORGEABLE';
  readonly message: string;
  readonly line: number;
  readonly column: number;
  readonly suggestion?: string;
}

export type CompiledEligibility =
  | { readonly ok: true; readonly condition: Condition }
  | { readonly ok: false; readonly issues: readonly EligibilityIssue[] };

const ASKABLE = ['entitlement', 'limit', 'segment'] as const;
const FORBIDDEN: readonly (readonly [string, string])[] = [
  ...['user', 'team', 'targetingKey'].map(
    (name) =>
      [
        name,
        `\`${name}\` is what a caller says of itself; who may redeem rests on what is known of the customer: ${SERVER_FACTS.map((fact) => `\`${fact}\``).join(', ')}`,
      ] as const,
  ),
  ['flag', 'a voucher may not ask for flags, which its own grants can change; ask for the entitlement'],
  ['usage', 'a balance changes with every consume; ask for `limit` or `entitlement`'],
  ['remaining', 'a balance changes with every consume; ask for `limit` or `entitlement`'],
];

function environmentOf(snapshot: Snapshot): CelEnvironment<ExpressionFrame> {
  const all = expressionEnvironment({
    catalog: {
      features: snapshot.featureList.map(({ document }) => document),
      segments: [...snapshot.segments.keys()].map((key) => ({ key })),
      plans: [],
      addons: [],
      groups: [],
      flags: [],
      tests: [],
    },
    layer: 'flag',
  });
  const variables = new Map(
    [...all.variables].filter(
      ([name]) => name === 'now' || (SERVER_FACTS as readonly string[]).includes(name),
    ),
  );
  const plan = variables.get('plan');
  if (plan !== undefined) variables.set('plan', { ...plan, type: planType(snapshot) });
  const functions = new Map(
    [...all.functions].filter(([name]) => (ASKABLE as readonly string[]).includes(name)),
  );
  return { variables, functions, forbidden: new Map(FORBIDDEN) };
}

/** As rules see it: the parts of the product's SKU pattern, and those that are always there. */
function planType(snapshot: Snapshot): CelType {
  const attributes = new Map<string, CelType>();
  for (const { name, type } of snapshot.sku?.parts ?? []) attributes.set(name, type === 'int' ? INT : STRING);
  for (const [name, type] of [
    ['tier', STRING],
    ['version', INT],
    ['key', STRING],
  ] as const)
    attributes.set(name, type);
  return { kind: 'object', attributes };
}

/** Texts that were compiled against one snapshot; a voucher is redeemed many times. It goes when the snapshot goes. */
const compiled = new WeakMap<Snapshot, Map<string, CompiledEligibility>>();
const KEPT_TEXTS = 500;

/** Compiles a condition once per snapshot. Every fault is named with its place. */
export function compileEligibility(snapshot: Snapshot, text: string): CompiledEligibility {
  let known = compiled.get(snapshot);
  if (known === undefined) {
    known = new Map();
    compiled.set(snapshot, known);
  }
  let result = known.get(text);
  if (result === undefined) {
    if (known.size >= KEPT_TEXTS) known.clear();
    result = compile(snapshot, text);
    known.set(text, result);
  }
  return result;
}

function compile(snapshot: Snapshot, text: string): CompiledEligibility {
  const result = compileExpression(text, environmentOf(snapshot));
  if (!result.ok) {
    const issues = result.issues.map(
      ({ code, message, line, column, suggestion }): EligibilityIssue => ({
        code: code === 'FORBIDDEN' ? 'EXPRESSION_LAYER' : 'EXPRESSION',
        message,
        line,
        column,
        ...(suggestion === undefined ? {} : { suggestion }),
      }),
    );
    return { ok: false, issues };
  }
  const { expression } = result;
  const start = { line: 1, column: 1 } as const;
  if (expression.type.kind !== 'bool' && expression.type.kind !== 'dyn') {
    const message = `A condition is true or false, and this gives ${typeText(expression.type)}`;
    return { ok: false, issues: [{ code: 'EXPRESSION', message, ...start }] };
  }
  const reads = readsOfExpression(expression.reads);
  for (const key of reads.segments) {
    const segment = snapshot.segments.get(key);
    if (segment === undefined || segment.condition === null || segment.trusted) continue;
    const message = `the condition of the segment \`${key}\` rests on what a caller says, so nobody would be eligible by it; name a segment of stored members or of server facts`;
    return { ok: false, issues: [{ code: 'SEGMENT_FORGEABLE', message, ...start }] };
  }
  return { ok: true, condition: { text, expression, reads } };
}

export type Eligibility =
  | { readonly kind: 'eligible' }
  | { readonly kind: 'not-eligible' }
  /** It could not be decided, which never is a yes: an attribute is missing, or the budget was spent. */
  | { readonly kind: 'undecided'; readonly message: string };

/** Decides the condition with server facts alone, whoever asks. */
export function decideEligibility(request: EvaluationRequest<Snapshot>, condition: Condition): Eligibility {
  const evaluation = beginEvaluation(request);
  evaluation.trusted = true;
  const answer = condition.expression.evaluate(evaluation);
  if (answer === true) return { kind: 'eligible' };
  if (answer instanceof CelError) return { kind: 'undecided', message: answer.message };
  return answer === false
    ? { kind: 'not-eligible' }
    : { kind: 'undecided', message: 'The condition gives neither true nor false.' };
}

/** The plan versions that hold for a customer now, as `pro@1`: of its licenses in force, else the default plan. */
export function plansInForce(
  snapshot: Snapshot,
  state: CustomerState | null,
  now: Instant,
): readonly string[] {
  const prepared = preparedFor(snapshot, state, null);
  const plans = prepared.licenses
    .filter((license) => licenseLapse(license, now) === null)
    .map((license) => {
      const { plan, planVersion } = termsAt(license, now);
      return versionedKey(plan, planVersion);
    });
  if (plans.length > 0) return [...new Set(plans)];
  return prepared.fallbackPlan === null ? [] : [prepared.fallbackPlan.name];
}

/** Whether one of the plans is named: `pro` means every version of it, `pro@1` that one. */
export function namesPlan(list: readonly string[], plans: readonly string[]): boolean {
  return plans.some((plan) => list.includes(plan) || list.includes(plan.slice(0, plan.lastIndexOf('@'))));
}
