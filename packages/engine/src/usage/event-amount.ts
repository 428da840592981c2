import type { Aggregation } from '../model/catalog.js';
import type { JsonObject } from '../model/json.js';
import type { CompiledFeature } from '../snapshot/snapshot.js';
import { type MeasureResult, measureAmount } from './measure.js';

/** Which aggregations a correction can be taken from: of the others nobody knows what stood there before. */
const CORRECTABLE: Record<Aggregation, boolean> = {
  sum: true,
  count: true,
  unique: false,
  max: false,
  latest: false,
};

export interface EventQuantity {
  /** `null`: none was sent. */
  readonly amount: number | null;
  readonly attributes: JsonObject;
  /** Whether an earlier event is corrected; `amount` is then not `null`. */
  readonly corrects: boolean;
}

/**
 * How much one event counts: what was sent, else what the measure makes of the attributes, else 1; of `count` and `unique` always 1.
 * The refusal says what to send.
 */
export function eventAmount(feature: CompiledFeature, event: EventQuantity): MeasureResult {
  const { key, aggregation } = feature;
  const refuse = (message: string): MeasureResult => ({
    ok: false,
    refusal: { key, errorCode: 'TYPE_MISMATCH', message },
  });
  if (event.corrects) {
    if (!CORRECTABLE[aggregation]) {
      return refuse(
        `\`${key}\` has \`aggregation: ${aggregation}\`, of which nothing can be taken back; record the value as it is.`,
      );
    }
    return { ok: true, amount: event.amount ?? 0 };
  }
  switch (aggregation) {
    case 'sum':
      return measureAmount(feature, { ...given(event), attributes: event.attributes });
    case 'count':
    case 'unique':
      return event.amount === null || event.amount === 1
        ? { ok: true, amount: 1 }
        : refuse(`\`${key}\` counts ${aggregation === 'count' ? 'events' : 'values'}; leave \`amount\` out.`);
    case 'max':
    case 'latest':
      return event.amount === null && feature.measure === null
        ? refuse(`\`${key}\` keeps the ${aggregation} value; send it as \`amount\`.`)
        : measureAmount(feature, { ...given(event), attributes: event.attributes });
  }
}

function given({ amount }: EventQuantity): { readonly amount?: number } {
  return amount === null ? {} : { amount };
}
