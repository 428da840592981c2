import { variantName, variantsOf } from '@pennon/engine/catalog/check-flags';
import { IssueSink } from '@pennon/engine/catalog/issue-sink';
import { readJson } from '@pennon/engine/catalog/read-json';
import { sourceFile } from '@pennon/engine/catalog/source-node';
import { checkValueAgainstSchema } from '@pennon/engine/catalog/value-schema';
import type { EntitlementValue, Feature, Flag } from '@pennon/engine/model/catalog';
import type { GrantEffect, TargetKind } from '@pennon/engine/model/customer';
import { isJsonObject } from '@pennon/engine/model/json';
import type { GrantCreate } from '@pennon/protocol/management/grants';
import { checkCountsFor } from './make-lots.js';
import type { PublishedItems } from './published-items.js';
import { refuse, unknownName } from './refusals.js';

type NamedEffect = GrantCreate['effect'];
type FlagEffect = Extract<NamedEffect, { readonly type: 'flag' }>;

/**
 * The effect as it is stored, checked against the catalog that is published to the environment. `at` is where it stands in the
 * body, for the refusals.
 */
export async function readEffect(
  items: PublishedItems,
  effect: NamedEffect,
  target: TargetKind,
  at = '/effect',
): Promise<GrantEffect> {
  if (effect.type === 'flag') return readFlagEffect(items, effect, target, at);
  const feature = await items.findOne('feature', effect.feature);
  if (feature === null) {
    const known = await items.keysOf('feature');
    throw unknownName('FEATURE_UNKNOWN', 'feature', effect.feature, known, `${at}/feature`);
  }
  checkLevel(feature, target, '/target/kind');
  switch (effect.type) {
    case 'set':
      return { type: 'set', feature: feature.key, value: readValue(feature, effect.value, at) };
    case 'add':
      checkNumeric(feature, effect.type, at);
      return { type: 'add', feature: feature.key, amount: effect.amount };
    case 'multiply':
      checkNumeric(feature, effect.type, at);
      return { type: 'multiply', feature: feature.key, factor: effect.factor };
    case 'unlimited':
      checkNumeric(feature, effect.type, at);
      return { type: 'unlimited', feature: feature.key };
    case 'deny':
      return { type: 'deny', feature: feature.key };
    case 'topUp':
      checkCountsFor(feature, target, { feature: `${at}/feature`, target: '/target/kind' });
      return { ...effect, feature: feature.key };
  }
}

function isNumeric(feature: Feature): boolean {
  return feature.type === 'limit' || feature.type === 'metered';
}

function checkNumeric(feature: Feature, effect: 'add' | 'multiply' | 'unlimited', at: string): void {
  if (isNumeric(feature)) return;
  throw refuse(
    'unprocessable',
    'EFFECT_NOT_OF_TYPE',
    `\`${feature.key}\` is a ${feature.type} feature, which \`${effect}\` does not change. Use \`set\` or \`deny\`.`,
    `${at}/type`,
    'set',
  );
}

/** A metered feature is granted at the level of its account or above: an account that many share cannot be lifted for one. */
function checkLevel(feature: Feature, target: TargetKind, pointer: string): void {
  if (feature.type !== 'metered' || (target !== 'user' && target !== 'instance')) return;
  const per = feature.per ?? 'customer';
  if (per === 'user' || per === target) return;
  throw refuse(
    'unprocessable',
    'GRANT_BELOW_ACCOUNT',
    `The usage of \`${feature.key}\` is counted per ${per}, so one ${target} cannot have more of it alone. Grant it to the ${per}.`,
    pointer,
    per,
  );
}

function readValue(feature: Feature, value: unknown, at: string): EntitlementValue {
  const wanted = wantedValue(feature, value);
  if (wanted !== null) {
    throw refuse(
      'unprocessable',
      'VALUE_NOT_OF_TYPE',
      `\`${feature.key}\` is a ${feature.type} feature, so its value is ${wanted}.${value === -1 ? ' Unlimited is written `unlimited`.' : ''}`,
      `${at}/value`,
      value === -1 ? 'unlimited' : undefined,
    );
  }
  if (feature.schema !== undefined) checkAgainstSchema(feature, value, at);
  return value as EntitlementValue;
}

function wantedValue(feature: Feature, value: unknown): string | null {
  switch (feature.type) {
    case 'boolean':
      return typeof value === 'boolean' ? null : '`true` or `false`';
    case 'limit':
    case 'metered': {
      const fits = value === 'unlimited' || (Number.isSafeInteger(value) && Number(value) >= 0);
      return fits ? null : 'an integer of at least 0, or `unlimited`';
    }
    case 'config':
      return isJsonObject(value) ? null : 'an object';
  }
}

/** By the same check that a catalog document goes through. */
function checkAgainstSchema(feature: Feature, value: unknown, at: string): void {
  const file = sourceFile('value', JSON.stringify(value));
  const issues = new IssueSink();
  const node = readJson(file, issues);
  if (node !== null && feature.schema !== undefined) {
    checkValueAgainstSchema(feature.schema, node, issues, feature.key);
  }
  const fault = issues.sorted([file]).find((issue) => issue.severity === 'error');
  if (fault !== undefined) {
    throw refuse('unprocessable', 'VALUE_NOT_OF_SCHEMA', fault.message, `${at}/value${fault.path}`);
  }
}

async function readFlagEffect(
  items: PublishedItems,
  effect: FlagEffect,
  target: TargetKind,
  at: string,
): Promise<GrantEffect> {
  const flag = await items.findOne('flag', effect.flag);
  if (flag === null) {
    throw unknownName('FLAG_UNKNOWN', 'flag', effect.flag, await items.keysOf('flag'), `${at}/flag`);
  }
  const variant = variantName(effect.variant);
  const variants = variantsOf(flag);
  if (!Object.hasOwn(variants, variant)) {
    throw unknownName(
      'VARIANT_UNKNOWN',
      `flag \`${flag.key}\` with the variant`,
      variant,
      Object.keys(variants),
      `${at}/variant`,
    );
  }
  const limits = await readRequired(items, flag, effect, target, at);
  return {
    type: 'flag',
    flag: flag.key,
    variant,
    ...(effect.requires === undefined ? {} : { requires: effect.requires }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  };
}

/**
 * A granted flag passes its gate because the grant carries what the gate asks: boolean features go along by themselves, a
 * limit must be said, because nobody can guess it.
 */
async function readRequired(
  items: PublishedItems,
  flag: Flag,
  effect: FlagEffect,
  target: TargetKind,
  at: string,
): Promise<Record<string, number | 'unlimited'>> {
  const limits = effect.limits ?? {};
  const required = effect.requires === 'respect' ? [] : (flag.requires ?? []);
  const features = await items.find('feature', required);
  const given: Record<string, number | 'unlimited'> = {};
  for (const key of required) {
    const feature = features.get(key);
    if (feature === undefined || feature.type === 'boolean') continue;
    const pointer = `${at}/limits/${key}`;
    const limit = Object.hasOwn(limits, key) ? limits[key] : undefined;
    if (!isNumeric(feature)) throw cannotCarry(flag, feature, at);
    if (limit === undefined || limit === 0) throw limitMissing(flag, feature, pointer);
    checkLevel(feature, target, '/target/kind');
    given[key] = limit;
  }
  const stray = Object.keys(limits).find((key) => !Object.hasOwn(given, key));
  if (stray !== undefined) {
    throw refuse(
      'unprocessable',
      'LIMIT_NOT_REQUIRED',
      `The flag \`${flag.key}\` requires no limit of \`${stray}\`, so this grant cannot give one. Grant the feature by itself.`,
      `${at}/limits/${stray}`,
    );
  }
  return given;
}

function limitMissing(flag: Flag, feature: Feature, pointer: string) {
  return refuse(
    'unprocessable',
    'GRANT_LIMIT_MISSING',
    `The flag \`${flag.key}\` requires \`${feature.key}\`, which has a limit: say how much is granted along in \`effect.limits["${feature.key}"]\` (at least 1, or \`unlimited\`), or leave the gate standing with \`requires: respect\`.`,
    pointer,
  );
}

function cannotCarry(flag: Flag, feature: Feature, at: string) {
  return refuse(
    'unprocessable',
    'GRANT_CONFIG_REQUIRED',
    `The flag \`${flag.key}\` requires the config feature \`${feature.key}\`, whose value a grant of a flag cannot carry. Grant \`${feature.key}\` by itself with \`set\`, and the flag with \`requires: respect\`.`,
    `${at}/requires`,
    'respect',
  );
}
