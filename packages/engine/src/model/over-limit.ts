import type { Downgrade, EntitlementDecision } from './decision.js';

/** How use stands to what is granted for good. */
export type LimitState = 'within_limit' | 'over_limit';

/** What is used and held above the limit that is granted for good, whatever else stands for a time; 0 without a finite limit. */
export function overOf({ limit, usage, reserved, downgrade }: EntitlementDecision): number {
  if (limit === null || limit.kind === 'unlimited') {
    return downgrade === undefined ? 0 : Math.max(0, usage + reserved - downgrade.limit);
  }
  return Math.max(0, usage + reserved - (downgrade?.limit ?? limit.value));
}

/** `null` where nothing is counted: only metered features have use. */
export function limitStateOf(decision: EntitlementDecision): LimitState | null {
  if (decision.type !== 'metered') return null;
  return overOf(decision) > 0 ? 'over_limit' : 'within_limit';
}

/** What follows from a lowered limit, for a wire to tell; `null` where nothing does (any more). */
export function overLimitOf(
  decision: EntitlementDecision,
): (Downgrade & { readonly over: number; readonly readOnly: boolean }) | null {
  const { downgrade, hasAccess } = decision;
  if (downgrade === undefined) return null;
  const over = overOf(decision);
  if (over === 0 && downgrade.standsUntil === null) return null;
  return { ...downgrade, over, readOnly: downgrade.policy === 'read-only' && over > 0 && !hasAccess };
}
