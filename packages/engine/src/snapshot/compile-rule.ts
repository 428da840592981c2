import { bucketSeed } from '../bucket/bucket.js';
import { partReader } from '../catalog/expression-environment.js';
import { memberPath } from '../cel/emit-path.js';
import type { Rollout, Rule, Weight } from '../model/catalog.js';
import { LIMITS } from '../model/limits.js';
import type { CompileContext } from './compile-context.js';
import { instantOf } from './instant.js';
import type {
  AttributePath,
  CompiledRollout,
  CompiledRule,
  RolloutStep,
  Share,
  Variant,
} from './snapshot.js';

/** What a rule's parts may name: the flag's variants. */
export interface RuleScope {
  readonly seed: string;
  readonly variants: ReadonlyMap<string, Variant>;
  readonly off: Variant | null;
}

/** Why an item cannot be used; caught where the item is compiled, so that it disables only itself. */
export class BrokenItem extends Error {}

/** `true` and `false` name the variants `on` and `off`. */
export function variantName(name: string | boolean): string {
  return typeof name === 'boolean' ? (name ? 'on' : 'off') : name;
}

export function variantNamed(scope: RuleScope, name: string | boolean): Variant {
  const variant = scope.variants.get(variantName(name));
  if (variant === undefined) throw new BrokenItem(`There is no variant \`${variantName(name)}\`.`);
  return variant;
}

/** Percentages have up to three decimals: so many shares are a hundred percent. */
const PERCENT_TOTAL = 100_000;

function stepOf(from: number, shares: readonly Share[], total: number): RolloutStep {
  if (!(Number.isInteger(total) && total >= 1 && total <= LIMITS.rolloutTotal.value)) {
    throw new BrokenItem(
      `The weights sum up to ${total}; they must sum up to 1 to ${LIMITS.rolloutTotal.value}.`,
    );
  }
  let before = 0;
  let whole: Share | null = null;
  for (const share of shares) {
    if (share.below - before === total) whole = share;
    before = share.below;
  }
  return { from, total, shares, whole };
}

function weightedStep(from: number, weights: readonly Weight[], scope: RuleScope): RolloutStep {
  let below = 0;
  const shares = weights.map(({ variant, weight }) => {
    if (!Number.isInteger(weight) || weight < 0) {
      throw new BrokenItem(`The weight of \`${variant}\` is ${weight}; it must be an integer of at least 0.`);
    }
    below += weight;
    return { variant: variantNamed(scope, variant), below };
  });
  return stepOf(from, shares, below);
}

function percentageStep(from: number, percentage: number, scope: RuleScope): RolloutStep {
  const below = Math.round(percentage * 1000);
  if (!(below >= 0 && below <= PERCENT_TOTAL)) {
    throw new BrokenItem(`\`percentage\` is ${percentage}; it must be from 0 to 100.`);
  }
  const on = { variant: variantNamed(scope, 'on'), below };
  return stepOf(from, [on, { variant: scope.off, below: PERCENT_TOTAL }], PERCENT_TOTAL);
}

function oneStep(
  from: number,
  step: { readonly weights?: readonly Weight[]; readonly percentage?: number },
  scope: RuleScope,
): RolloutStep {
  if (step.percentage !== undefined) return percentageStep(from, step.percentage, scope);
  if (step.weights !== undefined) return weightedStep(from, step.weights, scope);
  throw new BrokenItem('A rollout needs `weights`, `percentage` or `ramp`.');
}

function attributePath(text: string): AttributePath {
  const [part = text, ...members] = text.split('.');
  return { text, part, read: memberPath(partReader(part), members) };
}

function compileRollout(rollout: Rollout, scope: RuleScope): CompiledRollout {
  const by = rollout.by === undefined ? null : attributePath(rollout.by);
  const seed = bucketSeed(scope.seed);
  if (rollout.ramp === undefined) {
    const always = oneStep(Number.NEGATIVE_INFINITY, rollout, scope);
    return { by, seed, steps: [always], always };
  }
  const steps = rollout.ramp.map((step) => {
    const from = instantOf(step.at);
    if (from === null) throw new BrokenItem(`\`${step.at}\` is no instant.`);
    return oneStep(from, step, scope);
  });
  if (steps.length === 0) throw new BrokenItem('A `ramp` needs at least one step.');
  return { by, seed, steps: steps.sort((a, b) => a.from - b.from), always: null };
}

/** A rule that cannot be compiled is kept in its place, so that it is skipped and named, and the ones after it work. */
export function compileRule(
  rule: Rule,
  index: number,
  scope: RuleScope,
  context: CompileContext,
): CompiledRule {
  const base = { index, name: rule.name ?? null, condition: null, serve: null, rollout: null };
  try {
    const condition = rule.if === undefined ? null : context.condition(rule.if, 'flag');
    if (rule.rollout !== undefined) {
      return { ...base, condition, rollout: compileRollout(rule.rollout, scope), broken: null };
    }
    if (rule.serve === undefined) throw new BrokenItem('A rule needs `serve` or `rollout`.');
    return { ...base, condition, serve: variantNamed(scope, rule.serve), broken: null };
  } catch (error) {
    if (!(error instanceof BrokenItem)) throw error;
    return { ...base, broken: error.message };
  }
}
