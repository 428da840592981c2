import type { FlagAnswer, FlagDecision, FlagError, FlagErrorCode } from '@pennon/engine/model/decision';
import type { OfrepBulkEvaluation, OfrepEvaluation, OfrepMetadata } from './schemas.js';

/** OFREP has no word for a store that is away: it stays `GENERAL`, and `metadata.cause` says more. */
/** The error codes that every known client reads. `GENERAL` is what is left. */
type OfrepErrorCode =
  | 'PARSE_ERROR'
  | 'TARGETING_KEY_MISSING'
  | 'INVALID_CONTEXT'
  | 'FLAG_NOT_FOUND'
  | 'GENERAL';

const ERROR_CODES: Record<FlagErrorCode, OfrepErrorCode> = {
  FLAG_NOT_FOUND: 'FLAG_NOT_FOUND',
  TARGETING_KEY_MISSING: 'TARGETING_KEY_MISSING',
  CUSTOMER_STATE_UNAVAILABLE: 'GENERAL',
  GENERAL: 'GENERAL',
};

const STATUSES: Record<FlagErrorCode, number> = {
  FLAG_NOT_FOUND: 404,
  TARGETING_KEY_MISSING: 400,
  CUSTOMER_STATE_UNAVAILABLE: 503,
  GENERAL: 500,
};

/** The HTTP status of a single evaluation. */
export function ofrepStatusOf(decision: FlagDecision): number {
  return decision.kind === 'answer' ? 200 : STATUSES[decision.errorCode];
}

/**
 * One decision as an OFREP item. Nothing volatile stands in it (no instants, revisions or usage), so that an unchanged item
 * is byte for byte the same: web clients compare items to find what changed.
 */
export function toOfrepEvaluation(decision: FlagDecision): OfrepEvaluation {
  return decision.kind === 'answer' ? toSuccess(decision) : toFailure(decision);
}

/** Sorted by key, in the order of code units. */
export function toOfrepBulk(decisions: readonly FlagDecision[]): OfrepBulkEvaluation {
  return { flags: inKeyOrder(decisions).map(toOfrepEvaluation), metadata: {} };
}

function toSuccess(answer: FlagAnswer): OfrepEvaluation {
  return {
    key: answer.key,
    ...(answer.value === null ? {} : { value: answer.value }),
    reason: answer.reason,
    ...(answer.variant === null ? {} : { variant: answer.variant }),
    metadata: metadataOf(answer),
  };
}

function toFailure(error: FlagError): OfrepEvaluation {
  return {
    key: error.key,
    errorCode: ERROR_CODES[error.errorCode],
    errorDetails: error.message,
    metadata: {
      ...(ERROR_CODES[error.errorCode] === error.errorCode ? {} : { cause: error.errorCode }),
      ...(error.customerNotProven ? { warning: 'CUSTOMER_NOT_PROVEN' } : {}),
    },
  };
}

function metadataOf(answer: FlagAnswer): OfrepMetadata {
  return {
    cause: answer.cause,
    ...(answer.ruleIndex === null ? {} : { ruleIndex: answer.ruleIndex }),
    ...(isUnlimited(answer) ? { unlimited: true } : {}),
    ...(answer.overLimit === true ? { overLimit: true } : {}),
    ...warningOf(answer),
  };
}

/** What the caller should look into although there is an answer: nobody is proven, or its billing key names no plan. */
function warningOf({ customerNotProven, planNotFound }: FlagAnswer): OfrepMetadata {
  if (customerNotProven) return { warning: 'CUSTOMER_NOT_PROVEN' };
  return planNotFound === true ? { warning: 'PLAN_NOT_FOUND' } : {};
}

/** An entitlement that is read as a flag says by its variant that there is no limit. */
export function isUnlimited(answer: FlagAnswer): boolean {
  return answer.cause === 'ENTITLEMENT' && answer.variant === 'unlimited';
}

export function inKeyOrder<Keyed extends { readonly key: string }>(
  items: readonly Keyed[],
): readonly Keyed[] {
  for (let index = 1; index < items.length; index += 1) {
    const before = items[index - 1];
    const here = items[index];
    if (before !== undefined && here !== undefined && before.key > here.key) {
      return [...items].sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0));
    }
  }
  return items;
}
