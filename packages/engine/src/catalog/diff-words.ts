import type { JsonValue } from '../model/json.js';
import { canonicalJson } from './canonical-json.js';

/** One change inside an item; `words` without the item's name. */
export interface MemberChange {
  readonly kind: 'added' | 'removed' | 'changed' | 'moved';
  readonly path: string;
  readonly before: JsonValue | null;
  readonly after: JsonValue | null;
  readonly words: string;
}

const SHORT = 120;

/** A value as a person reads it, cut where it would fill the screen. */
export function valueText(value: JsonValue): string {
  const text = typeof value === 'string' ? `"${value}"` : canonicalJson(value);
  return text.length > SHORT ? `${text.slice(0, SHORT - 1)}…` : text;
}

/** A share as percent, at most 3 decimals. */
export function percentText(weight: number, total: number): string {
  const percent = total === 0 ? 0 : Math.round((weight / total) * 100_000) / 1000;
  return `${percent} %`;
}

/** `/environments/production/enabled` as `environments.production.enabled`. */
function dotted(path: string): string {
  return path.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~');
}

export function describe(path: string, before: JsonValue | null, after: JsonValue | null): MemberChange {
  const name = dotted(path);
  const base = { path, before, after } as const;
  if (before === null) return { kind: 'added', ...base, words: `${name} set to ${valueText(after)}` };
  if (after === null) return { kind: 'removed', ...base, words: `${name} ${valueText(before)} removed` };
  const lists = describeLists(before, after);
  if (lists !== null) return { kind: 'changed', ...base, words: `${name} ${lists}` };
  return { kind: 'changed', ...base, words: `${name} ${valueText(before)} → ${valueText(after)}` };
}

/** Lists by what came and went; `null` for anything that says more as a whole. */
function describeLists(before: JsonValue, after: JsonValue): string | null {
  if (!Array.isArray(before) || !Array.isArray(after)) return null;
  const old = new Set(before.map((entry: JsonValue) => canonicalJson(entry)));
  const fresh = new Set(after.map((entry: JsonValue) => canonicalJson(entry)));
  const added = [...fresh].filter((entry) => !old.has(entry));
  const removed = [...old].filter((entry) => !fresh.has(entry));
  if (added.length + removed.length === 0) return 'reordered';
  const texts = [...added.map((entry) => `+ ${entry}`), ...removed.map((entry) => `− ${entry}`)];
  return texts.join(', ');
}
