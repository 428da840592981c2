import type { ExpressionFrame } from '../catalog/expression-environment.js';
import { CelError, type CelValue } from '../cel/values.js';
import type { JsonObject } from '../model/json.js';
import { LIMITS } from '../model/limits.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';
import type { ConsumptionRefusal } from './decide-consumption.js';

export type MeasureResult =
  | { readonly ok: true; readonly amount: number }
  | { readonly ok: false; readonly refusal: ConsumptionRefusal };

/** A measure sees the attributes of its usage and nothing else (DESIGN: layers). */
function frameOf(attributes: JsonObject): ExpressionFrame {
  return {
    sent: attributes,
    targetingKey: undefined,
    plan: undefined,
    fact: () => undefined,
    entitlement: () => false,
    limit: () => 0,
    usage: () => 0,
    remaining: () => 0,
    segment: () => false,
    flag: () => false,
    nowMilliseconds: 0,
  };
}

/** An integer of at least 0 that JSON carries exactly, or why there is none. */
function quantityOf(value: CelValue | CelError): number | string {
  if (value instanceof CelError) return value.message;
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (typeof number !== 'number') return 'it gives no number';
  if (!Number.isSafeInteger(number) || number < 0) {
    return `it gives ${number}, and an amount is an integer from 0 to ${LIMITS.quantity.value}`;
  }
  return number;
}

/**
 * The amount of one usage (K-9): the one that was sent, else what the feature's `measure` makes of the attributes, else 1. A
 * missing attribute or a fraction is a refusal with the reason, never a guess.
 */
export function measureAmount(
  feature: CompiledFeature,
  usage: { readonly amount?: number; readonly attributes?: JsonObject },
): MeasureResult {
  const { key } = feature;
  const refuse = (message: string): MeasureResult => ({
    ok: false,
    refusal: { key, errorCode: 'TYPE_MISMATCH', message },
  });
  if (usage.amount !== undefined) {
    const sent = quantityOf(usage.amount);
    return typeof sent === 'number'
      ? { ok: true, amount: sent }
      : refuse(`\`amount\` of \`${key}\`: ${sent}.`);
  }
  if (feature.broken !== null) return refuse(`The measure of \`${key}\` cannot be used: ${feature.broken}`);
  if (feature.measure === null) return { ok: true, amount: 1 };
  const measured = quantityOf(feature.measure.expression.evaluate(frameOf(usage.attributes ?? {})));
  if (typeof measured === 'number') return { ok: true, amount: measured };
  return refuse(
    `The measure \`${feature.measure.text}\` of \`${key}\`: ${measured}; send the attributes or an \`amount\`.`,
  );
}
