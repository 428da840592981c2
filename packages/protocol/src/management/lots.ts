import { DEFAULT_LOT_PRIORITY, LIMITS } from '@pennon/engine/model/limits';
import { Type } from 'typebox';

/* What a balance is described by, wherever one is made. */

export const LotAmountSchema = Type.Integer({ minimum: 1, maximum: LIMITS.quantity.value });

export const LotPrioritySchema = Type.Integer({
  minimum: 0,
  maximum: LIMITS.lotPriority.value,
  description: `Lower ones are used first; what a period allows has ${DEFAULT_LOT_PRIORITY}, which is the default.`,
});

export const BoughtOrGivenSchema = Type.Enum(['topup', 'promotional'], {
  description: 'Paid for, or given: of two that end together, what was given is used first.',
});
