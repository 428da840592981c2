import type { Flag, Rule } from '../model/catalog.js';
import type { CompileContext } from './compile-context.js';
import { BrokenItem, compileRule, type RuleScope, variantName, variantNamed } from './compile-rule.js';
import { mergeReads, NO_READS, type Reads } from './reads.js';
import type { CompiledFlag, CompiledRule, Variant } from './snapshot.js';

const CODE_DEFAULT = 'code-default';

function variantsOf(flag: Flag): ReadonlyMap<string, Variant> {
  const values = flag.variants ?? (flag.type === 'boolean' ? { on: true, off: false } : {});
  return new Map(Object.entries(values).map(([name, value]) => [name, { name, value }]));
}

/** Booleans are off unless they say otherwise; of other types the off variant stands in for a missing default and back. */
function namedOr(
  named: string | boolean | undefined,
  other: string | boolean | undefined,
  flag: Flag,
): string {
  if (named !== undefined) return variantName(named);
  if (flag.type === 'boolean') return 'off';
  if (other !== undefined && other !== CODE_DEFAULT) return variantName(other);
  throw new BrokenItem(`Flag \`${flag.key}\` names no \`off\` and no \`default\` variant.`);
}

function readsOfRules(rules: readonly CompiledRule[], flag: Flag): Reads {
  let reads: Reads = NO_READS;
  for (const rule of rules) {
    if (rule.condition !== null) reads = mergeReads(reads, rule.condition.reads);
    const rollout = rule.rollout;
    if (rollout?.steps.some((step) => step.whole === null) === true) {
      const parts =
        rollout.by === null ? ['targetingKey', 'user', 'instance', 'customer'] : [rollout.by.part];
      reads = mergeReads(reads, { ...NO_READS, parts: new Set(parts) });
    }
  }
  const requires = new Set(flag.requires ?? []);
  const flags = new Set((flag.prerequisites ?? []).map((prerequisite) => prerequisite.flag));
  // A grant may reach any flag, so every answer of a flag rests on the customer.
  return mergeReads(reads, { ...NO_READS, customer: true, entitlements: requires, flags });
}

function rulesOf(flag: Flag, environment: string): readonly Rule[] {
  return flag.environments?.[environment]?.rules ?? flag.rules ?? [];
}

/**
 * A flag in one environment. The kill switch and the off variant are read first: they work however broken the rest is.
 */
export function compileFlag(flag: Flag, context: CompileContext): CompiledFlag {
  const here = flag.environments?.[context.environment];
  const variants = variantsOf(flag);
  const bare: RuleScope = { seed: flag.seed ?? flag.key, variants, off: null };
  const base = {
    key: flag.key,
    type: flag.type,
    clientVisible: flag.clientVisible === true,
    enabled: here?.enabled !== false,
    variants,
    requires: flag.requires ?? [],
    // Features change by themselves: see `linkGates`.
    gate: [],
    prerequisites: (flag.prerequisites ?? []).map((one) => ({
      flag: one.flag,
      variant: variantName(one.variant),
    })),
  };
  let off: Variant | null = null;
  try {
    const offName = namedOr(flag.off, flag.default, flag);
    off = offName === CODE_DEFAULT ? null : variantNamed(bare, offName);
    const fallback = variantNamed(bare, namedOr(here?.default ?? flag.default, flag.off, flag));
    const scope = { ...bare, off };
    const rules = rulesOf(flag, context.environment).map((rule, index) =>
      compileRule(rule, index, scope, context),
    );
    const reads = readsOfRules(rules, flag);
    return { ...base, off, fallback, rules, broken: null, reads };
  } catch (error) {
    if (!(error instanceof BrokenItem)) throw error;
    const fallback = off ?? { name: 'off', value: null };
    return { ...base, off, fallback, rules: [], broken: error.message, reads: NO_READS };
  }
}
