import type { EntitlementValue } from '../model/catalog.js';
import type { Instant } from '../model/customer.js';
import type { Source } from '../model/decision.js';
import { isJsonObject, type JsonObject } from '../model/json.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';

/** What is granted of one feature, whatever is used up, with the span for which that holds. */
export interface Level {
  readonly from: Instant;
  /** `Infinity` when time alone never changes it. */
  readonly until: Instant;
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

/** A value as a level: 0, `false` and nothing are not granted. */
export function levelOf(
  feature: CompiledFeature,
  current: EntitlementValue | null,
  rest: Pick<Level, 'from' | 'until' | 'denied' | 'sources'>,
): Level {
  const value = rest.denied ? null : current;
  if (feature.numeric) {
    const unlimited = value === 'unlimited';
    const amount = typeof value === 'number' ? value : 0;
    return { ...rest, granted: unlimited || amount > 0, unlimited, amount, value: null };
  }
  if (feature.type === 'boolean') {
    const granted = value === true;
    return { ...rest, granted, unlimited: false, amount: 0, value: granted };
  }
  const config = isJsonObject(value) ? value : null;
  return { ...rest, granted: config !== null, unlimited: false, amount: 0, value: config };
}
