import { type ExpressionFrame, expressionEnvironment } from '../catalog/expression-environment.js';
import { compileExpression } from '../cel/compile-expression.js';
import type { CompiledExpression } from '../cel/types.js';
import { beginEvaluation } from '../flag/layers.js';
import type { CustomerState, Instant } from '../model/customer.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { readsOfExpression } from '../snapshot/condition.js';
import type { Snapshot } from '../snapshot/snapshot.js';

/* Which customers are meant, by what the server itself knows of them: for whoever walks over many. */

/** What a selector may read: facts that nobody but the server sets. */
const READABLE: ReadonlySet<string> = new Set(['customer', 'plan', 'license', 'environment']);

export interface SelectorIssue {
  readonly message: string;
  readonly line: number;
  readonly column: number;
  readonly suggestion?: string;
}

export type CustomerSelector =
  | { readonly ok: true; readonly expression: CompiledExpression<ExpressionFrame> }
  | { readonly ok: false; readonly issues: readonly SelectorIssue[] };

/** Compiles CEL over `customer`, `plan`, `license`, `environment`, `now`, `entitlement`, `limit` and `segment`. */
export function compileSelector(snapshot: Snapshot, text: string): CustomerSelector {
  const environment = expressionEnvironment({
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
    openPlan: true,
  });
  const result = compileExpression(text, environment);
  if (!result.ok) {
    return {
      ok: false,
      issues: result.issues.map(({ message, line, column, suggestion }) => ({
        message,
        line,
        column,
        ...(suggestion === undefined ? {} : { suggestion }),
      })),
    };
  }
  const { parts, usage } = readsOfExpression(result.expression.reads);
  const place = { line: 1, column: 1 };
  for (const part of parts) {
    if (READABLE.has(part)) continue;
    const message = `\`${part}\` is what a caller says of itself; a selector reads ${[...READABLE].map((name) => `\`${name}\``).join(', ')}`;
    return { ok: false, issues: [{ message, ...place }] };
  }
  if (usage.size > 0) {
    const message = 'a balance changes with every consume; ask for `limit` or `entitlement`';
    return { ok: false, issues: [{ message, ...place }] };
  }
  return { ok: true, expression: result.expression };
}

/** A request about the customer itself: no user, no instance, and nothing that a caller says. */
export function aboutCustomer(
  snapshot: Snapshot,
  customer: CustomerState,
  now: Instant,
): EvaluationRequest<Snapshot> {
  const subject = {
    proven: true,
    customerKey: customer.key,
    instance: null,
    userKey: null,
    teamKey: null,
    sku: null,
  };
  return { snapshot, customer, subject, context: { parts: {} }, now };
}

/** Whether the customer is meant. Of whom it cannot be told, by a missing attribute say, is not. */
export function isSelected(
  expression: CompiledExpression<ExpressionFrame>,
  request: EvaluationRequest<Snapshot>,
): boolean {
  const evaluation = beginEvaluation(request);
  evaluation.trusted = true;
  return expression.evaluate(evaluation) === true;
}
