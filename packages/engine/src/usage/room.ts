import type { Enforcement, Feature } from '../model/catalog.js';
import type { Limit } from '../model/decision.js';
import { LIMITS } from '../model/limits.js';

/** What is taken and held of an account, against its limit. */
export interface Fill {
  readonly limit: Limit;
  readonly used: number;
  readonly reserved: number;
  readonly enforcement: Enforcement;
  readonly overage: Feature['overage'] | null;
}

/** How an amount stands to the limit. `over`: beyond the limit, and allowed for softness or observation. */
export type Fit = 'within' | 'over' | 'beyond';

/** Up to where a soft limit lets usage go; `Infinity` where nothing bounds it. */
export function ceiling(limit: number, enforcement: Enforcement, overage: Feature['overage'] | null): number {
  if (enforcement === 'observe') return Number.POSITIVE_INFINITY;
  if (enforcement === 'hard') return limit;
  if (overage === null || overage === undefined) return Number.POSITIVE_INFINITY;
  if ('amount' in overage) return limit + overage.amount;
  // limit < 2^53 and whole percents: computed in integers, floored once.
  return limit + Number((BigInt(limit) * BigInt(Math.round(overage.percent * 100))) / 10_000n);
}

/**
 * INVARIANT: what is held counts as used, and a limit below use allows nothing more, however small the amount. What nothing bounds never
 * refuses for size: there usage stops being counted where JSON stops being exact (`usedAfter`). A bound beyond that point is one at it.
 */
export function fit(fill: Fill, amount: number): Fit {
  const after = fill.used + fill.reserved + amount;
  if (fill.limit.kind === 'unlimited') return 'within';
  if (after <= fill.limit.value) return 'within';
  const top = ceiling(fill.limit.value, fill.enforcement, fill.overage);
  if (top === Number.POSITIVE_INFINITY) return 'over';
  return after <= Math.min(top, LIMITS.quantity.value) ? 'over' : 'beyond';
}

/** What is used once the amount is taken: with what is held, at most what JSON carries exactly, and never less than before. */
export function usedAfter(fill: Fill, consumed: number): number {
  return Math.max(fill.used, Math.min(fill.used + consumed, LIMITS.quantity.value - fill.reserved));
}

/** The largest amount of at most `amount` that is not beyond. */
export function fitting(fill: Fill, amount: number): number {
  const { limit } = fill;
  const top =
    limit.kind === 'unlimited'
      ? Number.POSITIVE_INFINITY
      : ceiling(limit.value, fill.enforcement, fill.overage);
  if (top === Number.POSITIVE_INFINITY) return amount;
  return Math.max(0, Math.min(amount, Math.min(top, LIMITS.quantity.value) - fill.used - fill.reserved));
}
