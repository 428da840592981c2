import {
  type ExpressionFrame,
  expressionEnvironment,
  SERVER_FACTS,
} from '../catalog/expression-environment.js';
import { compileExpression } from '../cel/compile-expression.js';
import { type CelEnvironment, type CelType, INT, STRING, typeText } from '../cel/types.js';
import { CelError } from '../cel/values.js';
import { beginEvaluation } from '../flag/layers.js';
import type { CustomerState, Instant } from '../model/customer.js';
import type { EvaluationRequest } from '../model/evaluation.js';
import { type Condition, readsOfExpression } from '../snapshot/condition.js';
import type { Snapshot } from '../snapshot/snapshot.js';

/*
 * Which customers are meant: who may redeem a voucher (K-8), whom a plan move concerns (P-8). A condition over what the server itself
 * knows of a customer; nothing that a caller says of itself can be read, so that a forged mail redeems nothing and moves nobody.
 */

/** Who is asked about: a customer as such, or one of whom an instance may be named. */
export type ConditionSubject = 'customer' | 'customer-or-instance';

/** One fault of the text, with its place: UTF-16 offset, line and column from 1. */
export interface CustomerConditionIssue {
  readonly code: 'EXPRESSION' | 'EXPRESSION_LAYER' | 'SEGMENT_FORGEABLE';
  readonly message: string;
  readonly line: number;
  readonly column: number;
  readonly suggestion?: string;
}

export type CustomerCondition =
  | { readonly ok: true; readonly condition: Condition }
  | { readonly ok: false; readonly issues: readonly CustomerConditionIssue[] };

const ASKABLE: ReadonlySet<string> = new Set(['entitlement', 'limit', 'segment']);

const BALANCE = 'a balance changes with every consume; ask for `limit` or `entitlement`';

/** What may be read, and why the rest may not. */
function factsOf(subject: ConditionSubject): readonly string[] {
  return subject === 'customer' ? SERVER_FACTS.filter((fact) => fact !== 'instance') : SERVER_FACTS;
}

function forbiddenTo(subject: ConditionSubject): ReadonlyMap<string, string> {
  const names = factsOf(subject)
    .map((fact) => `\`${fact}\``)
    .join(', ');
  const said = (name: string): readonly [string, string] => [
    name,
    `\`${name}\` is what a caller says of itself; a condition over customers rests on what is known of them: ${names}`,
  ];
  const forbidden: (readonly [string, string])[] = [
    ...['user', 'team', 'targetingKey'].map(said),
    ['flag', 'a condition over customers may not ask for flags; ask for the entitlement'],
    ['usage', BALANCE],
    ['remaining', BALANCE],
  ];
  if (subject === 'customer')
    forbidden.push(['instance', 'nobody names an instance here; ask for `customer`']);
  return new Map(forbidden);
}

function environmentOf(snapshot: Snapshot, subject: ConditionSubject): CelEnvironment<ExpressionFrame> {
  const all = expressionEnvironment({
    catalog: {
      features: snapshot.featureList.map(({ document }) => document),
      segments: [...snapshot.segments.keys()].map((key) => ({ key })),
      plans: [],
      addons: [],
      groups: [],
      flags: [],
      billing: [],
      tests: [],
    },
    layer: 'flag',
  });
  const facts = factsOf(subject);
  const variables = new Map([...all.variables].filter(([name]) => name === 'now' || facts.includes(name)));
  const plan = variables.get('plan');
  if (plan !== undefined) variables.set('plan', { ...plan, type: planType(snapshot) });
  const functions = new Map([...all.functions].filter(([name]) => ASKABLE.has(name)));
  return { variables, functions, forbidden: forbiddenTo(subject) };
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

type Texts = Record<ConditionSubject, Map<string, CustomerCondition>>;

/** Texts that were compiled against one snapshot: one condition is asked of many customers. It goes when the snapshot goes. */
const compiled = new WeakMap<Snapshot, Texts>();
const KEPT_TEXTS = 500;

/** Compiles a condition once per snapshot. Every fault is named with its place. */
export function compileCustomerCondition(
  snapshot: Snapshot,
  text: string,
  subject: ConditionSubject,
): CustomerCondition {
  let texts = compiled.get(snapshot);
  if (texts === undefined) {
    texts = { customer: new Map(), 'customer-or-instance': new Map() };
    compiled.set(snapshot, texts);
  }
  const known = texts[subject];
  let result = known.get(text);
  if (result === undefined) {
    if (known.size >= KEPT_TEXTS) known.clear();
    result = compile(snapshot, text, subject);
    known.set(text, result);
  }
  return result;
}

function compile(snapshot: Snapshot, text: string, subject: ConditionSubject): CustomerCondition {
  const result = compileExpression(text, environmentOf(snapshot, subject));
  if (!result.ok) {
    const issues = result.issues.map(
      ({ code, message, line, column, suggestion }): CustomerConditionIssue => ({
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
    const message = `the condition of the segment \`${key}\` rests on what a caller says, so nobody would be meant by it; name a segment of stored members or of server facts`;
    return { ok: false, issues: [{ code: 'SEGMENT_FORGEABLE', message, ...start }] };
  }
  return { ok: true, condition: { text, expression, reads } };
}

export type CustomerMeant =
  | { readonly kind: 'meant' }
  | { readonly kind: 'not-meant' }
  /** It could not be decided, which never is a yes: an attribute is missing, or the budget was spent. */
  | { readonly kind: 'undecided'; readonly message: string };

/** Decides the condition with server facts alone, whoever asks. */
export function decideCustomerCondition(
  request: EvaluationRequest<Snapshot>,
  condition: Condition,
): CustomerMeant {
  const evaluation = beginEvaluation(request);
  evaluation.trusted = true;
  const answer = condition.expression.evaluate(evaluation);
  if (answer === true) return { kind: 'meant' };
  if (answer instanceof CelError) return { kind: 'undecided', message: answer.message };
  return answer === false
    ? { kind: 'not-meant' }
    : { kind: 'undecided', message: 'The condition gives neither true nor false.' };
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
