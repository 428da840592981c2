import type { JsonValue } from '../model/json.js';

/**
 * One text per value: members sorted by UTF-16 code units, no white space, numbers as ECMAScript writes them (as RFC 8785).
 */
export function canonicalJson(value: JsonValue): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const record = value as Readonly<Record<string, JsonValue>>;
  const members = Object.keys(record)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonicalJson(record[name] ?? null)}`);
  return `{${members.join(',')}}`;
}
