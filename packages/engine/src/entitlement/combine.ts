import type { EntitlementValue } from '../model/catalog.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';

function larger(a: EntitlementValue, b: EntitlementValue): EntitlementValue {
  if (typeof a === 'number' && typeof b === 'number') return Math.max(a, b);
  return a === 'unlimited' ? a : b;
}

/** At least that much, whatever was there. */
export function lifted(current: EntitlementValue | null, value: number | 'unlimited'): EntitlementValue {
  return typeof current === 'number' || current === 'unlimited' ? larger(current, value) : value;
}

/** Sums and products stop at what JSON carries exactly. */
export function capped(value: number): number {
  return Math.min(value, Number.MAX_SAFE_INTEGER);
}

export function sum(a: EntitlementValue | null, amount: number): EntitlementValue {
  if (a === 'unlimited') return a;
  return capped(Math.max(0, (typeof a === 'number' ? a : 0) + amount));
}

/** Two licenses' values of one feature; `next` is the younger license's. */
function two(feature: CompiledFeature, before: EntitlementValue, next: EntitlementValue): EntitlementValue {
  if (feature.type === 'config' || feature.combine === 'last') return next;
  if (feature.type === 'boolean') return before === true || next === true;
  if (feature.combine !== 'sum') return larger(before, next);
  return next === 'unlimited' ? next : sum(before, typeof next === 'number' ? next : 0);
}

/** Of several licenses, oldest first: boolean any, numbers max (or sum), config last, as the feature says. */
export function combine(
  feature: CompiledFeature,
  values: readonly (EntitlementValue | null)[],
): EntitlementValue | null {
  let result: EntitlementValue | null = null;
  for (const value of values) {
    if (value === null) continue;
    result = result === null ? value : two(feature, result, value);
  }
  return result;
}
