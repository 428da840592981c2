import { suggestName } from '../cel/suggest.js';
import type { Flag, FlagType, RampStep, Rollout, Rule, Weight } from '../model/catalog.js';
import { isJsonObject, type JsonValue } from '../model/json.js';
import { LIMITS } from '../model/limits.js';
import { checkTotal } from './check-entitlements.js';
import { checkEnvironment } from './check-product.js';
import type { CheckScope } from './check-scope.js';
import { readInstant } from './dates.js';
import { quoted } from './issue-sink.js';

export const CODE_DEFAULT = 'code-default';

/** The variants as they count: `on` and `off` are implied for booleans that name none. */
export function variantsOf(flag: Flag): Readonly<Record<string, JsonValue>> {
  if (flag.variants !== undefined) return flag.variants;
  return flag.type === 'boolean' ? { on: true, off: false } : {};
}

/** The variant that an authored `true` or `false` names. */
export function variantName(variant: string | boolean): string {
  return typeof variant === 'string' ? variant : variant ? 'on' : 'off';
}

export function checkFlag(flag: Flag, scope: CheckScope): void {
  checkVariants(flag, scope);
  checkFallbacks(flag, scope);
  checkRequires(flag, scope);
  checkPrerequisites(flag, scope);
  checkRules(flag.rules ?? [], flag, scope);
  for (const [name, environment] of Object.entries(flag.environments ?? {})) {
    checkEnvironment(name, flag.environments ?? {}, name, scope);
    if (environment.default !== undefined)
      checkVariant(environment.default, flag, environment, 'default', scope);
    checkRules(environment.rules ?? [], flag, scope);
  }
}

const VALUE_OF: Record<FlagType, { readonly word: string; readonly fits: (value: JsonValue) => boolean }> = {
  boolean: { word: '`true` or `false`', fits: (value) => typeof value === 'boolean' },
  string: { word: 'a text', fits: (value) => typeof value === 'string' },
  integer: { word: 'an integer', fits: (value) => Number.isSafeInteger(value) },
  float: { word: 'a number', fits: (value) => typeof value === 'number' },
  object: { word: 'an object', fits: isJsonObject },
};

function checkVariants(flag: Flag, scope: CheckScope): void {
  const { variants } = flag;
  if (variants === undefined) {
    if (flag.type === 'boolean') return;
    const message = `A flag of type ${flag.type} names its variants: \`variants: { small: …, large: … }\`.`;
    scope.fault(flag, undefined, 'MISSING_MEMBER', message);
    return;
  }
  const wanted = VALUE_OF[flag.type];
  for (const [name, value] of Object.entries(variants)) {
    if (name === CODE_DEFAULT) {
      scope.fault(
        variants,
        name,
        'BAD_KEY',
        `\`${CODE_DEFAULT}\` means "no value" and cannot name a variant.`,
      );
    }
    if (!wanted.fits(value)) {
      const message = `The flag is of type ${flag.type}, so ${quoted(name)} must be ${wanted.word}, and this is ${quoted(value)}.`;
      scope.fault(variants, name, 'VARIANT_TYPE', message);
    } else if (JSON.stringify(value).length > LIMITS.variantBytes.value) {
      const message = `${quoted(name)} is larger than ${LIMITS.variantBytes.value} ${LIMITS.variantBytes.unit}.`;
      scope.fault(variants, name, 'TOO_LONG', message);
    }
  }
}

function checkFallbacks(flag: Flag, scope: CheckScope): void {
  const variants = variantsOf(flag);
  for (const member of ['off', 'default'] as const) {
    const said = flag[member];
    if (said === CODE_DEFAULT && member === 'off') continue;
    if (said !== undefined) checkVariant(said, flag, flag, member, scope);
    else if (!(flag.type === 'boolean' && Object.hasOwn(variants, 'off'))) {
      const when = member === 'off' ? 'when it is switched off or a gate is closed' : 'when no rule matched';
      const why = flag.type === 'boolean' ? 'has no variant `off`' : `is of type ${flag.type}`;
      scope.fault(
        flag,
        undefined,
        'MISSING_MEMBER',
        `${quoted(flag.key)} ${why}, so \`${member}\` must name its variant ${when}.`,
      );
    }
  }
}

function checkVariant(
  said: string | boolean,
  flag: Flag,
  holder: object,
  member: string | number,
  scope: CheckScope,
): boolean {
  if (typeof said === 'boolean' && flag.type !== 'boolean') {
    const message = `\`${said}\` names a variant of boolean flags only, and ${quoted(flag.key)} is of type ${flag.type}; name a variant.`;
    scope.fault(holder, member, 'UNKNOWN_VARIANT', message);
    return false;
  }
  const variants = variantsOf(flag);
  const name = variantName(said);
  if (Object.hasOwn(variants, name)) return true;
  // Without variants there is one fault already, and it is not this one.
  if (Object.keys(variants).length === 0) return false;
  const names = Object.keys(variants);
  const message = `${quoted(flag.key)} has no variant ${quoted(name)}; it has ${names.slice(0, 10).map(quoted).join(', ')}.`;
  scope.fault(holder, member, 'UNKNOWN_VARIANT', message, suggestName(name, names));
  return false;
}

function checkRequires(flag: Flag, scope: CheckScope): void {
  const requires = flag.requires ?? [];
  for (const [index, key] of requires.entries()) {
    scope.refer('feature', key, requires, index);
    if (requires.indexOf(key) !== index) {
      scope.fault(requires, index, 'DUPLICATE_DEFINITION', `${quoted(key)} is required twice; keep one.`);
    }
    if (scope.features.get(key)?.category === 'ux') {
      const message = `${quoted(key)} is a \`ux\` item: a hint to the screen is never trusted, so nothing may require it.`;
      scope.fault(requires, index, 'UX_NOT_TRUSTED', message);
    }
  }
}

function checkPrerequisites(flag: Flag, scope: CheckScope): void {
  for (const prerequisite of flag.prerequisites ?? []) {
    scope.refer('flag', prerequisite.flag, prerequisite, 'flag');
    const other = scope.flags.get(prerequisite.flag);
    if (other === undefined) continue;
    checkVariant(prerequisite.variant, other, prerequisite, 'variant', scope);
    if (other.category === 'ux' && flag.category !== 'ux') {
      const message = `${quoted(other.key)} is a \`ux\` flag: only other \`ux\` flags may depend on it.`;
      scope.fault(prerequisite, 'flag', 'UX_NOT_TRUSTED', message);
    }
  }
}

function checkRules(rules: readonly Rule[], flag: Flag, scope: CheckScope): void {
  for (const rule of rules) {
    if (rule.serve !== undefined) checkVariant(rule.serve, flag, rule, 'serve', scope);
    if (rule.rollout !== undefined) checkRollout(rule.rollout, flag, scope);
  }
}

function checkRollout(rollout: Rollout, flag: Flag, scope: CheckScope): void {
  checkShares(rollout, flag, scope);
  let before: number | null = null;
  for (const step of rollout.ramp ?? []) {
    checkShares(step, flag, scope);
    const at = readInstant(step.at);
    if (before !== null && at !== null && at <= before) {
      const message = `The steps of a ramp ascend in time, and ${quoted(step.at)} is not after the step before it.`;
      scope.fault(step, 'at', 'RAMP_ORDER', message);
    }
    before = at ?? before;
  }
}

function checkShares(shares: Rollout | RampStep, flag: Flag, scope: CheckScope): void {
  const { percentage, weights } = shares;
  if (percentage !== undefined) checkPercentage(percentage, shares, flag, scope);
  if (weights === undefined) return;
  const seen = new Set<string>();
  let total = 0;
  for (const weight of weights) {
    total += weight.weight;
    checkWeight(weight, flag, seen, scope);
  }
  checkTotal(total, shares, 'weights', weights, scope);
}

function checkWeight(weight: Weight, flag: Flag, seen: Set<string>, scope: CheckScope): void {
  checkVariant(weight.variant, flag, weight, 'variant', scope);
  if (seen.has(weight.variant)) {
    const message = `${quoted(weight.variant)} has two weights here; keep one, or shares would lie apart.`;
    scope.fault(weight, 'variant', 'DUPLICATE_DEFINITION', message);
  }
  seen.add(weight.variant);
}

function checkPercentage(percentage: number, holder: object, flag: Flag, scope: CheckScope): void {
  if (flag.type !== 'boolean') {
    const message = `\`percentage\` is for boolean flags; ${quoted(flag.key)} is of type ${flag.type}, so write \`weights\` by variant.`;
    scope.fault(holder, 'percentage', 'NOT_FOR_TYPE', message);
    return;
  }
  const variants = variantsOf(flag);
  if (!Object.hasOwn(variants, 'on') || !Object.hasOwn(variants, 'off')) {
    const message = `\`percentage\` shares between \`on\` and \`off\`, and ${quoted(flag.key)} has other variants; write \`weights\`.`;
    scope.fault(holder, 'percentage', 'UNKNOWN_VARIANT', message);
  }
  // Thousandths of a percent are integers; the product is exact enough to tell them apart from finer ones.
  if (Math.abs(percentage * 1000 - Math.round(percentage * 1000)) > 1e-6) {
    const message = `\`percentage\` has up to 3 decimals, and this is ${percentage}; use \`weights\` for finer shares.`;
    scope.fault(holder, 'percentage', 'PERCENTAGE_DECIMALS', message);
  }
}
