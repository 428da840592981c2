import type { EarlierConsumption, LockedAccount } from './account-transaction.js';
import { toTold } from './told-columns.js';

/* Rows as the statements of accounts answer them, all columns as text, in the order in which the statements name them. */

type Row = readonly (string | null)[];

export function numberOrNull(text: string | null | undefined): number | null {
  return text === null || text === undefined ? null : Number(text);
}

/** Rows of one of several customers end with the customer's id. */
export function toLockedAccount(row: Row): LockedAccount {
  const [feature, scope, start, end, used, reserved, nextHoldEnd, covered, hasLots, limitKnown, ...told] =
    row;
  return {
    feature: feature ?? '',
    scope: scope ?? '',
    periodStart: numberOrNull(start),
    periodEnd: numberOrNull(end),
    used: Number(used),
    reserved: Number(reserved),
    nextHoldEnd: numberOrNull(nextHoldEnd),
    covered: Number(covered),
    hasLots: hasLots === 't',
    limitKnown: numberOrNull(limitKnown),
    told: toTold(told),
  };
}

export function toEarlier(row: Row): EarlierConsumption {
  const [id, item, operation, idempotencyKey, requestHash, decidedAt, feature, scope, ...decision] = row;
  const [allowed, reason, enforcement, requested, consumed, usedAfter, reservedAfter, ...rest] = decision;
  const [limitAtDecision, revision, answer] = rest;
  return {
    id: id ?? '',
    item: Number(item),
    operation: operation ?? '',
    idempotencyKey: idempotencyKey ?? '',
    requestHash: requestHash ?? '',
    decidedAt: Number(decidedAt),
    feature: feature ?? '',
    scope: scope ?? '',
    allowed: allowed === 't',
    reason: reason ?? '',
    enforcement: enforcement ?? '',
    requested: Number(requested),
    consumed: Number(consumed),
    usedAfter: Number(usedAfter),
    reservedAfter: Number(reservedAfter),
    limitAtDecision: numberOrNull(limitAtDecision),
    revision: Number(revision),
    answer: answer ?? '',
  };
}
