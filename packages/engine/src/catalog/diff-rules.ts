import type { RampStep, Rollout, Rule, Weight } from '../model/catalog.js';
import type { JsonValue } from '../model/json.js';
import { canonicalJson } from './canonical-json.js';
import { describe, type MemberChange, percentText, valueText } from './diff-words.js';

interface Pairing {
  readonly before: number;
  readonly after: number;
}

/** Rules are lists in which place is meaning: what stayed is paired first, so that a move is a move and not a rewrite. */
export function diffRules(before: readonly Rule[], after: readonly Rule[], path: string): MemberChange[] {
  const pairs = pairRules(before, after);
  const paired = {
    before: new Set(pairs.map((pair) => pair.before)),
    after: new Set(pairs.map((pair) => pair.after)),
  };
  const where = place(path);
  const changes: MemberChange[] = [];
  const staying = longestAscent(pairs.map((pair) => pair.before));
  for (const [index, pair] of pairs.entries()) {
    const [was, is] = [before[pair.before], after[pair.after]];
    const at = `${path}/${pair.after}`;
    if (was === undefined || is === undefined) continue;
    if (!staying.has(index)) {
      const direction = pair.after < pair.before ? 'up' : 'down';
      const words = `${where}rule ${pair.before + 1} moved ${direction} to ${pair.after + 1}`;
      changes.push({ kind: 'moved', path: at, before: pair.before, after: pair.after, words });
    }
    changes.push(...ruleChanges(was, is, at, `${where}rule ${pair.after + 1}: `));
  }
  for (const [index, rule] of after.entries()) {
    if (paired.after.has(index)) continue;
    const words = `${where}rule ${index + 1} added: ${ruleText(rule)}`;
    changes.push({ kind: 'added', path: `${path}/${index}`, before: null, after: json(rule), words });
  }
  for (const [index, rule] of before.entries()) {
    if (paired.before.has(index)) continue;
    const words = `${where}rule ${index + 1} removed: ${ruleText(rule)}`;
    changes.push({ kind: 'removed', path: `${path}/${index}`, before: json(rule), after: null, words });
  }
  return changes;
}

function json(value: unknown): JsonValue {
  return value as JsonValue;
}

/** "environments.production: " for rules of an environment, nothing for the flag's own. */
function place(path: string): string {
  const [, , environment] = path.split('/');
  return path.startsWith('/environments/') ? `in ${environment}: ` : '';
}

/** Equal rules first, then those of the same name, the same condition, the same place. In the order of `after`. */
function pairRules(before: readonly Rule[], after: readonly Rule[]): Pairing[] {
  const pairs: Pairing[] = [];
  const taken = { before: new Set<number>(), after: new Set<number>() };
  const identities: ((rule: Rule, index: number) => string | undefined)[] = [
    (rule) => canonicalJson(json(rule)),
    (rule) => rule.name,
    (rule) => rule.if ?? '(everybody)',
    (_, index) => String(index),
  ];
  for (const identity of identities) {
    const open = new Map<string, number[]>();
    for (const [index, rule] of before.entries()) {
      const id = taken.before.has(index) ? undefined : identity(rule, index);
      if (id !== undefined) open.set(id, [...(open.get(id) ?? []), index]);
    }
    for (const [index, rule] of after.entries()) {
      const id = taken.after.has(index) ? undefined : identity(rule, index);
      const match = id === undefined ? undefined : open.get(id)?.shift();
      if (match === undefined) continue;
      pairs.push({ before: match, after: index });
      taken.before.add(match);
      taken.after.add(index);
    }
  }
  return pairs.sort((left, right) => left.after - right.after);
}

/** The indexes of one longest ascending subsequence: these did not move relative to each other. */
function longestAscent(values: readonly number[]): Set<number> {
  const length = values.map(() => 1);
  const previous = values.map(() => -1);
  for (const [index, value] of values.entries()) {
    for (let earlier = 0; earlier < index; earlier += 1) {
      const better = (values[earlier] ?? 0) < value && (length[earlier] ?? 0) + 1 > (length[index] ?? 0);
      if (!better) continue;
      length[index] = (length[earlier] ?? 0) + 1;
      previous[index] = earlier;
    }
  }
  const result = new Set<number>();
  for (let at = length.indexOf(Math.max(...length, 0)); at >= 0; at = previous[at] ?? -1) result.add(at);
  return result;
}

function ruleChanges(before: Rule, after: Rule, path: string, prefix: string): MemberChange[] {
  const changes: MemberChange[] = [];
  for (const member of ['name', 'if', 'serve', 'rollout'] as const) {
    const [was, is] = [json(before[member] ?? null), json(after[member] ?? null)];
    if (canonicalJson(was) === canonicalJson(is)) continue;
    const at = `${path}/${member}`;
    const kind = was === null ? 'added' : is === null ? 'removed' : 'changed';
    const words =
      member === 'rollout' && before.rollout && after.rollout
        ? `rollout ${rolloutChange(before.rollout, after.rollout)}`
        : describe(`/${member}`, was, is).words;
    changes.push({ kind, path: at, before: was, after: is, words: `${prefix}${words}` });
  }
  return changes;
}

/** "25 % → 50 %" where only the share of a boolean flag changed; otherwise both whole. */
function rolloutChange(before: Rollout, after: Rollout): string {
  const by =
    (before.by ?? '') === (after.by ?? '')
      ? ''
      : ` by ${before.by ?? 'the subject'} → ${after.by ?? 'the subject'}`;
  const [was, is] = [sharesText(before), sharesText(after)];
  return was === is ? by.trim() : `${was} → ${is}${by && `,${by}`}`;
}

function sharesText(shares: Rollout | RampStep): string {
  if (shares.percentage !== undefined) return `${shares.percentage} %`;
  if (shares.weights !== undefined) return weightsText(shares.weights);
  const steps = 'ramp' in shares ? (shares.ramp ?? []) : [];
  return `ramp (${steps.map((step) => `${step.at}: ${sharesText(step)}`).join('; ')})`;
}

function weightsText(weights: readonly Weight[]): string {
  const total = weights.reduce((sum, { weight }) => sum + weight, 0);
  return weights.map(({ variant, weight }) => `${variant} ${percentText(weight, total)}`).join(' / ');
}

function ruleText(rule: Rule): string {
  const who = rule.if === undefined ? 'everybody' : `if ${rule.if}`;
  const what =
    rule.rollout === undefined
      ? `serve ${valueText(json(rule.serve ?? null))}`
      : `rollout ${sharesText(rule.rollout)}`;
  const text = `${who}: ${what}`;
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}
