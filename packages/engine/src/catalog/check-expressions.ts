import { compileExpression } from '../cel/compile-expression.js';
import type { CelIssue } from '../cel/issue.js';
import { type CelEnvironment, type CelReads, typeText } from '../cel/types.js';
import type { Feature, Flag, Rule, Segment } from '../model/catalog.js';
import type { CheckScope } from './check-scope.js';
import {
  type ExpressionFrame,
  type ExpressionLayer,
  expressionEnvironment,
  SERVER_FACTS,
} from './expression-environment.js';
import type { CatalogIssueCode } from './issue.js';
import { quoted } from './issue-sink.js';
import { constraintsOf } from './short-form.js';
import { memberOf, offsetInScalar, type ScalarNode, type SourceNode } from './source-node.js';

const WANTED = { condition: 'bool', measure: 'int' } as const;
type Purpose = keyof typeof WANTED;

/** `user.key`, and nothing that computes. */
const PATH = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*){0,8}$/;

/** Checks every expression of a catalog and remembers what each reads, for the checks of cycles and layers. */
export class ExpressionChecks {
  readonly #scope: CheckScope;
  readonly #environments = new Map<ExpressionLayer, CelEnvironment<ExpressionFrame>>();
  readonly #reads = new Map<string, CelReads | null>();
  readonly #partial: boolean;
  readonly #checked = new Set<SourceNode>();

  constructor(scope: CheckScope) {
    this.#scope = scope;
    this.#partial = scope.acceptUnknown;
  }

  /** What the text asks for, without reporting; `null` when it is no expression of that layer. */
  readsOf(text: string, layer: ExpressionLayer): CelReads | null {
    const key = `${layer} ${text}`;
    const known = this.#reads.get(key);
    if (known !== undefined) return known;
    const result = compileExpression(text, this.#environment(layer));
    const reads = result.ok ? result.expression.reads : null;
    this.#reads.set(key, reads);
    return reads;
  }

  checkFeature(feature: Feature): void {
    if (feature.measure === undefined) return;
    this.#check(feature.measure, this.#scope.nodeOf(feature, 'measure'), 'measure', 'measure');
  }

  checkSegment(segment: Segment): void {
    if (segment.condition === undefined) return;
    this.#check(segment.condition, this.#scope.nodeOf(segment, 'condition'), 'segment', 'condition');
  }

  checkFlag(flag: Flag): void {
    for (const rule of rulesOf(flag)) {
      this.#checkRule(rule);
      const by = rule.rollout?.by;
      if (rule.rollout !== undefined && by !== undefined) this.#checkBy(by, rule.rollout);
    }
  }

  /** One that may stand in a part that was left out for another fault; the author hears of both at once. */
  checkWritten(node: ScalarNode): void {
    if (this.#checked.has(node)) return;
    const text = String(node.value);
    if (node.segment === 'by') this.#checkPath(text, node);
    else if (node.segment === 'measure') this.#check(text, node, 'measure', 'measure');
    else this.#check(text, node, node.segment === 'condition' ? 'segment' : 'flag', 'condition');
  }

  #checkRule(rule: Rule): void {
    if (rule.if === undefined) return;
    const constraints = constraintsOf(rule);
    if (constraints.length === 0) {
      this.#check(rule.if, this.#scope.nodeOf(rule, 'if'), 'flag', 'condition');
      return;
    }
    let sound = true;
    for (const entry of constraints) {
      const node = memberOf(entry, 'constraint')?.value;
      if (node?.kind !== 'scalar') continue;
      sound = this.#check(String(node.value), node, 'flag', 'condition') && sound;
    }
    if (sound && constraints.length > 1) this.#check(rule.if, this.#scope.nodeOf(rule), 'flag', 'condition');
  }

  /** The attribute of a bucket is a path that a rule could read. */
  #checkBy(by: string, holder: object): void {
    const node = this.#scope.nodeOf(holder, 'by');
    if (node !== undefined) this.#checkPath(by, node);
  }

  #checkPath(by: string, node: SourceNode): void {
    this.#checked.add(node);
    if (!PATH.test(by)) {
      const message = `${quoted(by)} does not name an attribute; write a path such as \`team.key\`.`;
      this.#scope.issues.at(node, 'EXPRESSION', message);
      return;
    }
    const result = compileExpression(by, this.#environment('flag'));
    if (!result.ok) this.#report(result.issues, node);
  }

  #check(text: string, node: SourceNode | undefined, layer: ExpressionLayer, purpose: Purpose): boolean {
    if (node === undefined) return true;
    this.#checked.add(node);
    const result = compileExpression(text, this.#environment(layer));
    if (!result.ok) {
      this.#report(result.issues, node);
      return false;
    }
    const { type, reads } = result.expression;
    this.#reads.set(`${layer} ${text}`, reads);
    const wanted = WANTED[purpose];
    if (type.kind !== wanted && type.kind !== 'dyn') {
      const what = purpose === 'condition' ? 'is true or false' : 'is an integer';
      const message = `A ${purpose} ${what}, and ${quoted(text)} gives ${typeText(type)}.`;
      this.#scope.issues.at(node, 'EXPRESSION', message);
      return false;
    }
    for (const call of reads.calls) {
      if (call.function !== 'usage' && call.function !== 'remaining') continue;
      const message = `\`${call.function}\` sees the last known balance, which may be 2 seconds old; it must never guard a hard limit, which consuming does.`;
      this.#scope.issues.at(node, 'EXPRESSION_WARNING', message, { severity: 'warning' });
    }
    return true;
  }

  #report(issues: readonly CelIssue[], node: SourceNode): void {
    const scalar = node.kind === 'scalar' ? node : null;
    for (const issue of issues) {
      const bare = issue.code === 'SYNTAX' && scalar?.style === 'plain';
      const hint = bare
        ? ' The expression is not quoted, and YAML may have taken a part of it; put it in single quotes.'
        : '';
      this.#scope.issues.at(
        node,
        bare ? 'BARE_EXPRESSION' : codeOf(issue),
        `${sentence(issue.message)}${hint}`,
        {
          ...(scalar === null ? {} : { offset: offsetInScalar(scalar, issue.offset) }),
          suggestion: issue.suggestion,
          hinted: true,
        },
      );
    }
  }

  #environment(layer: ExpressionLayer): CelEnvironment<ExpressionFrame> {
    const known = this.#environments.get(layer);
    if (known !== undefined) return known;
    const { catalog } = this.#scope;
    const environment = expressionEnvironment({
      catalog,
      layer,
      acceptKey: (kind, key) => this.#scope.accepts(kind, key),
      openPlan: this.#partial && catalog.product === undefined,
    });
    this.#environments.set(layer, environment);
    return environment;
  }
}

export function rulesOf(flag: Flag): readonly Rule[] {
  const environments = Object.values(flag.environments ?? {}).flatMap(({ rules }) => rules ?? []);
  return [...(flag.rules ?? []), ...environments];
}

function codeOf(issue: CelIssue): CatalogIssueCode {
  if (issue.code === 'FORBIDDEN') return 'EXPRESSION_LAYER';
  return issue.code === 'INVALID_ARGUMENT' && issue.message.startsWith('there is no ')
    ? 'UNKNOWN_REFERENCE'
    : 'EXPRESSION';
}

function sentence(message: string): string {
  const text = message.replace(/[.\s]*$/, '');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('?') ? '' : '.'}`;
}

/**
 * What a segment's condition reads of the caller, which may be forged; empty when it rests on server facts alone. Other segments
 * that it asks for count with their conditions.
 */
export function forgeableReads(segment: Segment, checks: ExpressionChecks, scope: CheckScope): string[] {
  const facts = new Set<string>(SERVER_FACTS);
  const found = new Set<string>();
  const seen = new Set<string>();
  const open = [segment];
  for (let next = open.pop(); next; next = open.pop()) {
    if (seen.has(next.key) || next.condition === undefined) continue;
    seen.add(next.key);
    const reads = checks.readsOf(next.condition, 'segment');
    for (const path of reads?.attributes ?? []) if (!facts.has(path.split('.')[0] ?? '')) found.add(path);
    for (const call of reads?.calls ?? []) {
      const other = scope.catalog.segments.find(
        ({ key }) => call.function === 'segment' && key === call.argument,
      );
      if (other) open.push(other);
    }
  }
  return [...found].sort();
}
