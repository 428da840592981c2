import type { EntitlementValue } from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import type { Source } from '../model/decision.js';
import { isJsonObject, type JsonObject } from '../model/json.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';

/** What is granted of one feature, whatever is used up. */
export interface Level {
  /** `null` when time alone never changes it. */
  readonly until: Instant | null;
  readonly granted: boolean;
  /** Limit and metered features: no limit at all. */
  readonly unlimited: boolean;
  /** Limit and metered features: the finite limit, 0 when nothing is granted. */
  readonly amount: number;
  /** Boolean and config features: the granted value. */
  readonly value: boolean | JsonObject | null;
  /** A `deny` decided. */
  readonly denied: boolean;
  readonly sources: readonly Source[];
  /** Present where lots add to the limit: `amount` without what they cover and what remains of them. */
  readonly allowance?: number;
  /** Present while an earlier limit stands in place of a lowered one. */
  readonly standing?: { readonly limit: number; readonly since: Instant; readonly until: Instant };
}

/** Whether a value is of the feature's kind; broken data may hold others, which are passed over. */
export function fits(feature: CompiledFeature, value: EntitlementValue): boolean {
  switch (feature.type) {
    case 'boolean':
      return typeof value === 'boolean';
    case 'config':
      return isJsonObject(value);
    case 'limit':
    case 'metered':
      return (
        value === 'unlimited' || (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0)
      );
  }
}

/**
 * A value as a level: 0, `false` and nothing are not granted. Written out once: whoever reads levels then always meets objects that
 * are laid out alike.
 */
export function levelOf(
  feature: CompiledFeature,
  current: EntitlementValue | null,
  { until, denied, sources }: Pick<Level, 'until' | 'denied' | 'sources'>,
): Level {
  const given = denied ? null : current;
  const unlimited = feature.numeric && given === 'unlimited';
  const amount = feature.numeric && typeof given === 'number' ? given : 0;
  const value = feature.numeric ? null : feature.type === 'boolean' ? given === true : configOf(given);
  const granted = feature.numeric ? unlimited || amount > 0 : value !== null && value !== false;
  return { until, granted, unlimited, amount, value, denied, sources };
}

function configOf(value: EntitlementValue | null): JsonObject | null {
  return isJsonObject(value) ? value : null;
}
