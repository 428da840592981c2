import type { Hold } from '@pennon/engine/model/customer';
import type { BatchWrite, CommitReport } from '../store/account-transaction.js';
import { heldAccountName } from '../store/reservation-statements.js';
import type { ConsumeRequest } from './consume-request.js';
import type { CustomerStates } from './ports.js';

/** Balances that this process wrote show in its own evaluations at once. */
export function noteBalances(
  customers: CustomerStates,
  first: ConsumeRequest,
  write: BatchWrite,
  { holds }: CommitReport,
): void {
  for (const { feature, scope, periodStart, periodEnd, used, reserved, covered, lots } of write.accounts) {
    customers.noteBalance(first.environmentId, first.customerKey, {
      productId: first.productId,
      feature,
      scope,
      periodStart,
      used,
      reserved,
      periodEnd,
      covered,
      lots,
      ...heldNow(holds.get(heldAccountName({ feature, scope }))),
    });
  }
}

function heldNow(holds: readonly Hold[] | undefined): { readonly holds?: readonly Hold[] } {
  return holds === undefined ? {} : { holds };
}
