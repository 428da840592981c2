import type { JsonObject } from '@pennon/engine/model/json';
import { eventAmount } from '@pennon/engine/usage/event-amount';
import { canonicalText } from '../canonical-request.js';
import { mayCountLess } from './event-holders.js';
import type { UsageItem } from './usage-item.js';

/* What an event has to do with one that was recorded before: whether it is the same, and what it takes over from the one it corrects. */

/** Of an event that was recorded. `attributes`: as JSON; `null` where there are none, or where they were erased. */
export interface RecordedBefore {
  readonly amount: number;
  readonly attributes: string | null;
}

/**
 * Whether an event says what was recorded under its name: the amount that was sent, or what the measure makes of the attributes, and of
 * `aggregation: unique` the value. INVARIANT: whoever tells the very same again is never refused, also when the measure has changed.
 */
export function countsTheSame(item: UsageItem, before: RecordedBefore): boolean {
  const { event, feature, correctsKey } = item;
  if (event.amount !== null) return isAmount(item, event.amount, before);
  if (correctsKey !== null) return true;
  if (feature.uniqueBy !== null) {
    const earlier = attributesFrom(before.attributes)?.[feature.uniqueBy];
    return earlier === undefined || sameText(earlier, event.attributes[feature.uniqueBy]);
  }
  const { attributes } = event;
  const measured = eventAmount(feature, { amount: null, attributes, corrects: false });
  if (measured.ok && isAmount(item, measured.amount, before)) return true;
  return feature.measure !== null && sameText(attributesFrom(before.attributes) ?? {}, attributes);
}

function isAmount(item: UsageItem, amount: number, before: RecordedBefore): boolean {
  return amount === before.amount || mayCountLess(item, amount, before.amount);
}

function sameText(left: unknown, right: unknown): boolean {
  return canonicalText(left) === canonicalText(right);
}

/** A correction counts where the event counted that it corrects, also in a history by attributes; what it says itself goes first. */
export function correctingAttributes(own: JsonObject, corrected: RecordedBefore): JsonObject {
  const earlier = attributesFrom(corrected.attributes);
  return earlier === null ? own : { ...earlier, ...own };
}

function attributesFrom(text: string | null): JsonObject | null {
  return text === null ? null : (JSON.parse(text) as JsonObject);
}
