import type { AccountKey, LockRequest } from '../store/account-transaction.js';
import type { HolderKey } from '../store/holder-statements.js';
import { nameOf } from './batch-accounts.js';
import { holderKey } from './batch-holders.js';
import type { ConsumeEvaluation, ConsumeRequest } from './consume-request.js';
import type { EnvironmentVersions } from './ports.js';
import { ServiceError } from './service-error.js';

/* What a batch of one customer asks the store for, before anything is locked. */

/** A call that cannot be evaluated any more is refused alone, and only where it has no earlier answer. */
export type Evaluations = readonly (ConsumeEvaluation | ServiceError)[];

export function evaluateAll(
  requests: readonly ConsumeRequest[],
  atLeast: EnvironmentVersions,
): Promise<Evaluations> {
  return Promise.all(requests.map((request) => request.evaluate(atLeast)));
}

export function lockRequestOf(
  { environmentId, productId, customerId }: ConsumeRequest,
  requests: readonly ConsumeRequest[],
  known: Evaluations,
): LockRequest {
  return {
    environmentId,
    productId,
    customerId,
    accounts: lockOrder(known),
    idempotencyKeys: [...new Set(requests.map((request) => request.idempotencyKey))],
    reservationIds: requests.flatMap(({ reservation }) =>
      reservation?.kind === 'end' ? [reservation.id] : [],
    ),
    holders: holdersOf(known),
  };
}

/** INVARIANT: every writer of accounts locks them in (feature, scope) order. */
function lockOrder(evaluations: Evaluations): readonly AccountKey[] {
  const accounts = new Map<string, AccountKey>();
  let last: AccountKey | null = null;
  for (const evaluation of evaluations) {
    if (evaluation instanceof ServiceError || evaluation.items instanceof ServiceError) {
      continue;
    }
    for (const { account } of evaluation.items) {
      // Most of a batch is for one account: only where another begins is a name made.
      if (last === null || last.feature !== account.feature || last.scope !== account.scope) {
        accounts.set(nameOf(account), account);
        last = account;
      }
    }
  }
  return [...accounts.values()].sort(
    (left, right) => compare(left.feature, right.feature) || compare(left.scope, right.scope),
  );
}

function holdersOf(evaluations: Evaluations): readonly HolderKey[] {
  const holders: HolderKey[] = [];
  for (const evaluation of evaluations) {
    if (evaluation instanceof ServiceError || evaluation.items instanceof ServiceError) {
      continue;
    }
    for (const item of evaluation.items) {
      const holder = holderKey(item);
      if (holder !== null) holders.push(holder);
    }
  }
  return holders;
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
