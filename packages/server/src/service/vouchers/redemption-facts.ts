import type { SubjectInstance } from '@pennon/engine/model/context';
import type { Instant } from '@pennon/engine/model/customer';
import type { EvaluationRequest } from '@pennon/engine/model/evaluation';
import type { Snapshot } from '@pennon/engine/snapshot/snapshot';
import type { GrantServices } from '../contracts/make-grants.js';
import type { ProductRecord } from '../ports.js';
import type { RedeemParties } from './redemption-ask.js';

const KNOWN_WITHIN_MILLISECONDS = 1000;

/** Whose facts: `version` is the customer's as it stands under its lock; `null`: not registered. */
export interface FactsOf extends RedeemParties {
  readonly environmentId: string;
  readonly product: ProductRecord;
  readonly version: number | null;
}

/**
 * What the engine decides with about one customer, at least as new as the row that is locked: while it is, nobody can change its
 * licenses, memberships or grants. What is in memory is used where it is new enough.
 */
export async function evaluationOf(
  services: GrantServices,
  snapshot: Snapshot,
  who: FactsOf,
  now: Instant,
): Promise<EvaluationRequest<Snapshot>> {
  const { environmentId, customerKey, userKey, instanceRef } = who;
  if (who.version !== null) {
    await services.customers.atLeast(environmentId, customerKey, who.version, KNOWN_WITHIN_MILLISECONDS);
  }
  const found = await services.customers.lookup({
    environmentId,
    productId: who.product.id,
    customerKeys: [customerKey],
    instanceRef,
    userKeys: userKey === null ? [] : [userKey],
    teamKey: null,
  });
  const instance: SubjectInstance | null =
    found.instance === null || found.instance.customerKey !== customerKey
      ? null
      : { key: found.instance.key, id: found.instance.id, metadata: found.instance.metadata };
  return {
    snapshot,
    customer: found.stateOf(customerKey),
    subject: { proven: true, customerKey, instance, userKey, teamKey: null, sku: null },
    context: { parts: {} },
    now,
  };
}
